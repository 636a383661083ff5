/*
 * mss_clamp: lowers the Maximum Segment Size option (RFC 9293 section 3.7.1) of TCP SYNs to what
 * fits the session, both ways: mss_clamp_in and mss_clamp_out. Never raises it, never adds it. The
 * session's is that of IPv4; IPv6 has less room by what its header is longer (RFC 6691 section 2).
 */
#include "graph.h"
#include "hdr/checksum.h"
#include "hdr/ip4.h"
#include "hdr/ip6.h"
#include "node/account.h"
#include "node/hints.h"
#include "worker.h"

enum { IP6_OVER_IP4 = IP6_LEN - IP4_LEN };
enum { TCP_OPTION_END = 0, TCP_OPTION_NOP = 1, TCP_OPTION_MSS = 2, TCP_OPTION_MSS_LEN = 4 };

/* The value at an odd offset lies across two words of the sum, which swaps its bytes there (RFC
 * 1071 section 2 (B)). */
static void set_mss(struct tcp_hdr *tcp, uint8_t *value, uint16_t mss)
{
	be16 from, to = hton16(mss);
	memcpy(&from, value, 2);
	memcpy(value, &to, 2);
	if ((value - (uint8_t *)tcp) & 1) {
		from = __builtin_bswap16(from);
		to = __builtin_bswap16(to);
	}
	tcp->checksum = checksum_update16(tcp->checksum, from, to);
}

static void clamp_options(struct tcp_hdr *tcp, uint16_t len, uint16_t mss)
{
	uint8_t *option = (uint8_t *)tcp;
	uint16_t end = (uint16_t)((tcp->offset >> 4) * 4);
	if (end > len)
		return;
	for (uint16_t at = TCP_LEN; at + 1 < end && option[at] != TCP_OPTION_END;) {
		uint8_t size = option[at] == TCP_OPTION_NOP ? 1 : option[at + 1];
		if (option[at] == TCP_OPTION_MSS) {
			if (size == TCP_OPTION_MSS_LEN && at + size <= end &&
				(option[at + 2] << 8 | option[at + 3]) > mss)
				set_mss(tcp, option + at + 2, mss);
			return;
		}
		if (size == 0)
			return;
		at = (uint16_t)(at + size);
	}
}

/* `mss` is the session's, which `longer` bytes of the IP header take room from; 0: none. */
static inline void clamp_tcp(struct pkt *p, uint16_t header, uint16_t mss, uint16_t longer)
{
	if (p->len < header + TCP_LEN)
		return;
	struct tcp_hdr *tcp = (struct tcp_hdr *)(pkt_data(p) + header);
	if (unlikely(tcp->flags & TCP_SYN) && mss > longer)
		clamp_options(tcp, (uint16_t)(p->len - header), (uint16_t)(mss - longer));
}

static void clamp_behind_extensions(struct pkt *p, uint16_t mss)
{
	const struct ip6_upper upper = ip6_find_upper((const struct ip6_hdr *)pkt_data(p), p->len);
	if (upper.place == IP6_UPPER_HERE && upper.protocol == IPPROTO_TCP6)
		clamp_tcp(p, upper.offset, mss, IP6_OVER_IP4);
}

static inline void clamp(struct pkt *p, uint16_t mss)
{
	if (p->flags & PKT_IP6) {
		uint8_t protocol = ((const struct ip6_hdr *)pkt_data(p))->next_header;
		if (protocol == IPPROTO_TCP6)
			clamp_tcp(p, IP6_LEN, mss, IP6_OVER_IP4);
		else if (unlikely(ip6_is_extension(protocol)))
			clamp_behind_extensions(p, mss);
		return;
	}
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	if (ip->protocol == IPPROTO_TCP4 && !(ip->fragment & hton16(IP4_OFFSET_MASK)))
		clamp_tcp(p, ip4_header_len(ip), mss, 0);
}

static void process_in(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++) {
		struct session_in *in = &w->t->in[pkts[i]->session];
		clamp(pkts[i], in->mss);
		next[i] = arc_next_in_both(w->t, in, pkts[i]);
	}
}

static void process_out(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++) {
		clamp(pkts[i], w->t->out[pkts[i]->session].mss);
		next[i] = arc_next(pkts[i]);
	}
}

NODE(mss_clamp_in) = {
	.name = "mss_clamp_in",
	.process = process_in,
	.arc = ARC_SESSION_IN,
	.feature = FEATURE_IN_MSS_CLAMP,
};

NODE(mss_clamp_out) = {
	.name = "mss_clamp_out",
	.process = process_out,
	.arc = ARC_SESSION_OUT,
	.feature = FEATURE_OUT_MSS_CLAMP,
};
