/*
 * ip4_lookup: the destination's leaf in the FIB, and with it the next node. Errors are those of RFC
 * 1812 section 5.2.7.1. The current header is the IPv4 header.
 */
#include "hdr/ip4.h"
#include "node/next_hop.h"
#include "table/fib4.h"

/* RFC 2992 section 2: a flow stays on its path. Fragments, which may lack ports, go by addresses.
 */
static uint32_t flow_slot(const struct pkt *p, const void *header)
{
	const struct ip4_hdr *ip = header;
	uint32_t ports = 0;
	uint32_t at = (uint32_t)(ip->version_ihl & 15) * 4;
	bool has_ports = ip->protocol == IPPROTO_TCP4 || ip->protocol == IPPROTO_UDP4;
	if (has_ports && !(ip->fragment & hton16(IP4_MF | IP4_OFFSET_MASK)) &&
		at + sizeof(ports) <= p->len)
		memcpy(&ports, (const uint8_t *)ip + at, sizeof(ports));
	uint64_t hash = ((uint64_t)ip->source << 32 | ip->destination) * 0x9e3779b97f4a7c15ull;
	hash ^= hash >> 32;
	hash = (hash ^ ((uint64_t)ip->protocol << 32 | ports)) * 0xbf58476d1ce4e5b9ull;
	hash = (hash ^ hash >> 29) * 0x94d049bb133111ebull;
	return (uint32_t)(hash >> 60);
}

static struct ip6_words destination(const void *ip)
{
	return ip4_words(((const struct ip4_hdr *)ip)->destination);
}

static const struct next_hop_family ip4 = {
	.flow_slot = flow_slot,
	.destination = destination,
	.unreachable = ICMP4_UNREACHABLE,
	.no_route = ICMP4_CODE_NET,
	.host = ICMP4_CODE_HOST,
	.prohibited = ICMP4_CODE_PROHIBITED,
	.has_nat = true,
};

static inline uint16_t lookup(struct worker *w, struct pkt *p)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	uint32_t leaf = fib4_lookup(w->t->fib4_root, w->t->fib4_page, ntoh32(ip->destination));
	return next_hop(&ip4, w, p, leaf);
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++) {
		const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(pkts[i]);
		prefetch_read(&w->t->fib4_root[ntoh32(ip->destination) >> 16]);
	}
	for (uint16_t i = 0; i < n; i++)
		next[i] = lookup(w, pkts[i]);
}

NODE(ip4_lookup) = {
	.name = "ip4_lookup",
	.process = process,
	.edges =
		{
			NEXT_HOP_EDGES,
			[EDGE_REWRITE] = {.next = "ip4_rewrite"},
			[EDGE_SESSION_OUTPUT] = {.next = "session_output"},
			[EDGE_LOCAL] = {.next = "ip4_local"},
			[EDGE_ICMP_ERROR] = {.next = "icmp4_error"},
			[EDGE_NAT44_OUT2IN] = {.next = "nat44_out2in"},
		},
};
