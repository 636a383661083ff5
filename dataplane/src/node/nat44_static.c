/*
 * One-to-one NAT (RFC 3022 section 2, "basic NAT"): nat44_static_in gives what a session sends its
 * public address as source, nat44_static_out what it receives there its own as destination. There
 * are no ports in it, so any protocol passes, and fragments in any order; checksums over the
 * pseudo-header follow (RFC 1624), and so do the packets that ICMP errors quote (RFC 5508 REQ-4,
 * REQ-5).
 *
 * Only the session's own address is translated, not those of framed routes.
 */
#include "graph.h"
#include "node/account.h"
#include "node/hints.h"
#include "node/nat44_packet.h"
#include "worker.h"

enum { IPPROTO_DCCP = 33, IPPROTO_UDPLITE = 136, SHORT_CHECKSUM = 6, UNIT = 8 };

/* Offset in the transport header of a checksum over the pseudo-header, -1: there is none. */
static int checksum_offset(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP4:
		return TCP_CHECKSUM;
	case IPPROTO_UDP4:
	case IPPROTO_UDPLITE: /* RFC 3828 section 3.1 */
	case IPPROTO_DCCP:    /* RFC 4340 section 9.1 */
		return SHORT_CHECKSUM;
	default:
		return -1;
	}
}

/* What the rewriting changes beside the header, as a difference of sums: an address of the header
 * is made up for by the header's own checksum. `len` bytes are there, header included. */
static uint64_t rewrite(struct ip4_hdr *ip, uint16_t len, bool source, be32 address)
{
	uint64_t delta = nat44_set_address(ip, source, address);
	int at = checksum_offset(ip->protocol);
	if (at < 0)
		return 0;
	/* of a fragment it may be in another one */
	at += ip4_header_len(ip) - (ntoh16(ip->fragment) & IP4_OFFSET_MASK) * UNIT;
	if (at < ip4_header_len(ip) || at + 2 > len)
		return 0;
	uint8_t *field = (uint8_t *)ip + at;
	be16 before = load16(field);
	nat44_fix_checksum(field, ip->protocol == IPPROTO_UDP4 ? NAT_UDP : NAT_TCP, delta);
	return checksum_delta16(before, load16(field));
}

/* The packet that an ICMP error speaks of went the other way. */
static void rewrite_quote(struct ip4_hdr *ip, uint16_t len, bool source, be32 from, be32 to)
{
	uint16_t header = ip4_header_len(ip);
	if (len < header + ICMP4_LEN + IP4_LEN || ip->fragment & hton16(IP4_OFFSET_MASK))
		return;
	uint8_t *icmp = (uint8_t *)ip + header;
	struct ip4_hdr *quote = (struct ip4_hdr *)(icmp + ICMP4_LEN);
	uint16_t room = (uint16_t)(len - header - ICMP4_LEN);
	if (!icmp4_is_error(icmp[0]) || quote->version_ihl >> 4 != 4 ||
		ip4_header_len(quote) < IP4_LEN || ip4_header_len(quote) > room ||
		(source ? quote->destination : quote->source) != from)
		return;
	uint64_t delta = rewrite(quote, room, !source, to);
	store16(icmp + ICMP4_CHECKSUM, checksum_apply(load16(icmp + ICMP4_CHECKSUM), delta));
}

/* Whether it was to be translated. */
static inline bool translate(struct pkt *p, bool source, be32 from, be32 to)
{
	struct ip4_hdr *ip = (struct ip4_hdr *)pkt_data(p);
	if ((source ? ip->source : ip->destination) != from)
		return false;
	if (ip->protocol == IPPROTO_ICMP4)
		rewrite_quote(ip, p->len, source, from, to);
	(void)rewrite(ip, p->len, source, to);
	return true;
}

static void process_in(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	const struct tables *t = w->t;
	for (uint16_t i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n)
			prefetch_read(&t->cold[pkts[i + PREFETCH_AHEAD]->session].nat_public);
		uint32_t session = pkts[i]->session;
		struct session_in *in = &t->in[session];
		(void)translate(pkts[i], true, in->ip4, t->cold[session].nat_public);
		next[i] = arc_next_in(in, pkts[i]);
	}
}

static void process_out(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	const struct tables *t = w->t;
	for (uint16_t i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n) {
			uint32_t ahead = pkts[i + PREFETCH_AHEAD]->session;
			prefetch_read(&t->cold[ahead].nat_public);
			prefetch_read(&t->in[ahead].ip4);
		}
		uint32_t session = pkts[i]->session;
		if (translate(pkts[i], false, t->cold[session].nat_public, t->in[session].ip4))
			pkts[i]->arc &= (uint16_t) ~(1 << FEATURE_OUT_NAT44_GUARD);
		next[i] = arc_next(pkts[i]);
	}
}

NODE(nat44_static_in) = {
	.name = "nat44_static_in",
	.process = process_in,
	.arc = ARC_SESSION_IN,
	.feature = FEATURE_IN_NAT44_STATIC,
};

NODE(nat44_static_out) = {
	.name = "nat44_static_out",
	.process = process_out,
	.arc = ARC_SESSION_OUT,
	.feature = FEATURE_OUT_NAT44_STATIC,
};
