/*
 * ip4_lookup: the destination's leaf in the FIB, and with it the next node. Errors are those of RFC
 * 1812 section 5.2.7.1. The current header is the IPv4 header.
 */
#include "graph.h"
#include "hdr/ip4.h"
#include "node/hints.h"
#include "node/ip4_forward.h"
#include "node/next_hop.h"
#include "table/fib4.h"
#include "worker.h"

enum {
	EDGE_IP4_REWRITE,
	EDGE_SESSION_OUTPUT,
	EDGE_NAT44_OUT2IN,
	EDGE_IP4_LOCAL,
	EDGE_ICMP4_ERROR,
	EDGE_UNRESOLVED,
	EDGE_BLACKHOLE,
	EDGE_ADJACENCY_GONE,
};

enum { ICMP4_CODE_NET = 0 };

static uint16_t unreachable(struct pkt *p, uint8_t code)
{
	icmp4_error_set(p, ICMP4_UNREACHABLE, code, 0);
	return EDGE_ICMP4_ERROR;
}

static uint16_t no_neighbour(
	struct worker *w, struct pkt *p, const struct adjacency *adjacency, uint8_t kind)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	switch (kind) {
	case ADJ_GLEAN:
		resolve_next_hop(w, adjacency, ip4_words(ip->destination));
		return EDGE_UNRESOLVED;
	case ADJ_LOCAL:
	case ADJ_GATEWAY:
		return EDGE_IP4_LOCAL;
	case ADJ_BLACKHOLE:
		return EDGE_BLACKHOLE;
	case ADJ_UNREACHABLE:
		return unreachable(p, ICMP4_CODE_HOST);
	case ADJ_PROHIBIT:
		return unreachable(p, ICMP4_CODE_PROHIBITED);
	default:
		return EDGE_ADJACENCY_GONE;
	}
}

/* RFC 2992 section 2: a flow stays on its path. Fragments, which may lack ports, go by addresses.
 */
static uint32_t flow_slot(const struct pkt *p, const struct ip4_hdr *ip)
{
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

/* The leaf becomes that of the member: the nodes that follow know of no groups. */
static uint16_t member(
	struct worker *w, struct pkt *p, const struct adjacency *group, uint32_t slot)
{
	uint16_t id = __atomic_load_n(&group->member[slot], __ATOMIC_ACQUIRE);
	p->leaf = leaf_make(LEAF_ADJACENCY, id) | leaf_length(p->leaf) << 22;
	const struct adjacency *adjacency = &w->t->adjacency[id];
	uint8_t kind = __atomic_load_n(&adjacency->kind, __ATOMIC_ACQUIRE);
	return kind == ADJ_NEIGHBOUR ? EDGE_IP4_REWRITE : no_neighbour(w, p, adjacency, kind);
}

static inline uint16_t lookup(struct worker *w, struct pkt *p)
{
	const struct tables *t = w->t;
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	uint32_t leaf = fib4_lookup(t->fib4_root, t->fib4_page, ntoh32(ip->destination));
	p->leaf = leaf;
	if (leaf_kind(leaf) == LEAF_SESSION) {
		p->session = leaf_index(leaf);
		prefetch_write(&t->out[p->session]);
		return EDGE_SESSION_OUTPUT;
	}
	if (unlikely(leaf_kind(leaf) == LEAF_NONE))
		return unreachable(p, ICMP4_CODE_NET);
	const struct adjacency *adjacency = &t->adjacency[leaf_index(leaf)];
	uint8_t kind = __atomic_load_n(&adjacency->kind, __ATOMIC_ACQUIRE);
	if (likely(kind == ADJ_NEIGHBOUR))
		return EDGE_IP4_REWRITE;
	if (likely(kind == ADJ_NAT_POOL))
		return EDGE_NAT44_OUT2IN;
	if (kind == ADJ_NEXTHOP)
		return member(w, p, adjacency, 0);
	if (kind == ADJ_GROUP)
		return member(w, p, adjacency, flow_slot(p, ip));
	return no_neighbour(w, p, adjacency, kind);
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
			[EDGE_IP4_REWRITE] = {.next = "ip4_rewrite"},
			[EDGE_SESSION_OUTPUT] = {.next = "session_output"},
			[EDGE_NAT44_OUT2IN] = {.next = "nat44_out2in"},
			[EDGE_IP4_LOCAL] = {.next = "ip4_local"},
			[EDGE_ICMP4_ERROR] = {.next = "icmp4_error"},
			[EDGE_UNRESOLVED] = DROP("unresolved"),
			[EDGE_BLACKHOLE] = DROP("blackhole"),
			[EDGE_ADJACENCY_GONE] = DROP("adjacency-gone"),
		},
};
