/*
 * icmp4_error: ICMP errors about packets that cannot go on (RFC 792; RFC 1812 section 4.3.2; RFC
 * 1191 for "fragmentation needed"). The error is built around the offending packet in its own
 * buffer. Never about an ICMP error, a later fragment, or a packet of our own making; broadcast,
 * multicast and martians never come this far.
 *
 * Type in cause, code and next-hop MTU in arg; the current header is the IPv4 header.
 */
#include "hdr/checksum.h"
#include "hdr/ip4.h"
#include "node/answer.h"

enum {
	EDGE_IP4_LOOKUP,
	EDGE_OWN_PACKET,
	EDGE_ABOUT_ERROR,
	EDGE_ABOUT_FRAGMENT,
	EDGE_NO_ADDRESS,
	EDGE_REFUSED, /* by answer_refused() */
};

enum {
	ERROR_LEN = IP4_LEN + ICMP4_LEN,
	ERROR_MAX_LEN = 576, /* RFC 1812 section 4.3.2.3 */
	ERROR_TTL = 64,
	ERROR_TOS = 0xc0, /* precedence 6, RFC 1812 section 4.3.2.5 */
};

static struct node node_icmp4_error;

static int init(struct worker *w)
{
	return answers_init(w, &node_icmp4_error, &error_limits);
}

/* RFC 1122 section 3.2.2: an error, or too short to tell. */
static bool is_icmp_error(struct pkt *p, const struct ip4_hdr *ip)
{
	uint16_t header = ip4_header_len(ip);
	if (ip->protocol != IPPROTO_ICMP4)
		return false;
	if (p->len <= header)
		return true;
	switch (pkt_data(p)[header]) {
	case ICMP4_UNREACHABLE:
	case 4: /* Source Quench */
	case 5: /* Redirect */
	case ICMP4_TIME_EXCEEDED:
	case ICMP4_PARAMETER_PROBLEM:
		return true;
	default:
		return false;
	}
}

/* RFC 1812 section 4.3.2.7; 0: an error may be sent. */
static uint16_t refused(struct worker *w, struct pkt *p, const struct ip4_hdr *ip, be32 from)
{
	if (p->flags & PKT_ICMP_MADE)
		return EDGE_OWN_PACKET;
	if (ip->fragment & hton16(IP4_OFFSET_MASK))
		return EDGE_ABOUT_FRAGMENT;
	if (is_icmp_error(p, ip))
		return EDGE_ABOUT_ERROR;
	if (!from)
		return EDGE_NO_ADDRESS;
	return answer_refused(w, &node_icmp4_error, &error_limits, ip->source, EDGE_REFUSED);
}

static void make_error(struct worker *w, struct pkt *p, be32 from, be32 to)
{
	if (p->len > ERROR_MAX_LEN - ERROR_LEN)
		p->len = ERROR_MAX_LEN - ERROR_LEN;
	struct ip4_hdr *ip = pkt_push(p, ERROR_LEN);
	struct icmp4_hdr *icmp = (struct icmp4_hdr *)(ip + 1);
	*ip = (struct ip4_hdr){
		.version_ihl = 0x45,
		.tos = ERROR_TOS,
		.total_length = hton16(p->len),
		.id = (be16)worker_random(w),
		.ttl = ERROR_TTL,
		.protocol = IPPROTO_ICMP4,
		.source = from,
		.destination = to,
	};
	ip->checksum = checksum(ip, IP4_LEN);
	*icmp = (struct icmp4_hdr){
		.type = p->cause,
		.code = (uint8_t)p->arg,
		.sequence = hton16((uint16_t)(p->arg >> 8)),
	};
	icmp->checksum = checksum(icmp, (size_t)(p->len - IP4_LEN));
	p->session = NO_SESSION;
	p->flags = PKT_ICMP_MADE;
}

static uint16_t error(struct worker *w, struct pkt *p)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	be32 from = __atomic_load_n(&w->t->port[p->rx_port].ip4, __ATOMIC_RELAXED);
	uint16_t edge = refused(w, p, ip, from);
	if (edge)
		return edge;
	make_error(w, p, from, ip->source);
	return EDGE_IP4_LOOKUP;
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = error(w, pkts[i]);
}

NODE(icmp4_error) = {
	.name = "icmp4_error",
	.process = process,
	.init = init,
	.edges =
		{
			[EDGE_IP4_LOOKUP] = {.next = "ip4_lookup"},
			[EDGE_OWN_PACKET] = DROP("about-own-packet"),
			[EDGE_ABOUT_ERROR] = DROP("about-icmp-error"),
			[EDGE_ABOUT_FRAGMENT] = DROP("about-later-fragment"),
			[EDGE_NO_ADDRESS] = DROP("no-source-address"),
			ANSWER_EDGES(EDGE_REFUSED),
		},
};
