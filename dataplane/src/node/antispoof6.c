/*
 * antispoof6: strict source check per session (RFC 3704 section 2.2): see ip6_source.h. A
 * link-local source goes no further than the link (RFC 4291 section 2.5.6). Whose source is
 * nobody's, as that of a host with a prefix of yesterday, is told (RFC 4443 section 3.1, code 5),
 * so that he takes another one; whose is somebody else's is not.
 */
#include "graph.h"
#include "node/account.h"
#include "node/ip_verdict.h"
#include "node/ip6_source.h"

enum { EDGE_ICMP6_ERROR = ARC_EDGES, EDGE_SPOOFED, EDGE_LINK_LOCAL };

static bool is_of_nobody(const struct tables *t, uint32_t leaf)
{
	if (leaf_kind(leaf) != LEAF_ADJACENCY)
		return leaf_kind(leaf) == LEAF_NONE;
	const struct adjacency *adjacency = &t->adjacency[leaf_index(leaf)];
	return __atomic_load_n(&adjacency->kind, __ATOMIC_ACQUIRE) == ADJ_UNREACHABLE;
}

static uint16_t spoofed(const struct tables *t, struct pkt *p, const struct ip6_hdr *ip)
{
	struct session_in *in = &t->in[p->session];
	if (ip6_is_link_local(ip->source))
		return refused_in(t, p, IN_DROP_SPOOFED, EDGE_LINK_LOCAL);
	uint32_t leaf = fib6_lookup(&t->fib6, ip->source);
	if (leaf_is_session(leaf, p->session))
		return arc_next_in_both(t, in, p);
	drop_in(t, p->session, IN_DROP_SPOOFED);
	if (!is_of_nobody(t, leaf))
		return EDGE_SPOOFED;
	icmp_error_set(p, ICMP6_UNREACHABLE, ICMP6_CODE_SOURCE_POLICY, 0);
	return EDGE_ICMP6_ERROR;
}

static inline uint16_t check(const struct tables *t, struct pkt *p)
{
	const struct ip6_hdr *ip = (const struct ip6_hdr *)pkt_data(p);
	if (unlikely(!ip6_source_is_known(&t->ip6[p->session], ip)))
		return spoofed(t, p, ip);
	return arc_next_in_both(t, &t->in[p->session], p);
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = check(w->t, pkts[i]);
}

NODE(antispoof6) = {
	.name = "antispoof6",
	.process = process,
	.arc = ARC_SESSION_IN,
	.feature = FEATURE_IN_ANTISPOOF6,
	.edges =
		{
			[EDGE_ICMP6_ERROR] = {.next = "icmp6_error"},
			[EDGE_SPOOFED] = DROP("source-spoofed"),
			[EDGE_LINK_LOCAL] = DROP("source-link-local"),
		},
};
