/*
 * ip6_local: IPv6 to an address of the box. From a routed port: the whole frame to the TAP twin.
 * From a subscriber: ICMPv6 echo is answered here (RFC 4443 section 4.2), policed, and nothing else
 * is.
 */
#include <errno.h>

#include "graph.h"
#include "hdr/ethernet.h"
#include "node/icmp6.h"
#include "node/share.h"
#include "table/fib4.h"
#include "worker.h"

enum {
	EDGE_TWIN_OUTPUT,
	EDGE_IP6_LOOKUP,
	EDGE_OWN_ERROR,
	EDGE_NOT_ECHO,
	EDGE_SOURCE_SHARE,
	EDGE_RATE_LIMITED,
	EDGE_CHECKSUM_WRONG,
};

struct state {
	struct bucket all;
	struct share_table sources;
};

static struct node node_ip6_local;

static int init(struct worker *w)
{
	struct state *s = share_state(sizeof(*s), ECHO4_SOURCES);
	if (!s)
		return -ENOMEM;
	share_table_init(&s->sources, w, ECHO4_SOURCES);
	w->node_state[node_ip6_local.id] = s;
	return 0;
}

/* A network of 64 bits is one source. */
static uint16_t police(struct worker *w, struct state *s, const struct ip6_hdr *ip)
{
	struct bucket *share = share_find(&s->sources, ip6_prefix(ip->source));
	if (!bucket_ready(share, w->now_ms, ECHO4_SOURCE_RATE, ECHO4_SOURCE_BURST))
		return EDGE_SOURCE_SHARE;
	if (!bucket_take(&s->all, w->now_ms, ECHO4_RATE, ECHO4_BURST))
		return EDGE_RATE_LIMITED;
	bucket_spend(share);
	return 0;
}

static uint16_t echo(struct worker *w, struct pkt *p)
{
	struct ip6_hdr *ip = (struct ip6_hdr *)pkt_data(p);
	if (p->len < IP6_LEN + ICMP6_LEN || !is_echo6_request(ip))
		return EDGE_NOT_ECHO;
	uint16_t refused = police(w, w->node_state[node_ip6_local.id], ip);
	if (refused)
		return refused;
	if (icmp6_checksum(ip, ip + 1, (uint16_t)(p->len - IP6_LEN)))
		return EDGE_CHECKSUM_WRONG;
	echo6_reply(ip);
	p->session = NO_SESSION;
	p->flags = PKT_IP6;
	return EDGE_IP6_LOOKUP;
}

static uint16_t local(struct worker *w, struct pkt *p)
{
	const struct adjacency *adjacency = &w->t->adjacency[leaf_index(p->leaf)];
	if (p->flags & PKT_ICMP_MADE) /* its source was forged as one of our addresses */
		return EDGE_OWN_ERROR;
	if (p->flags & PKT_FROM_SESSION || adjacency->kind != ADJ_LOCAL)
		return echo(w, p);
	pkt_push(p, ETH_LEN); /* still there, without tags */
	return EDGE_TWIN_OUTPUT;
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = local(w, pkts[i]);
}

NODE(ip6_local) = {
	.name = "ip6_local",
	.process = process,
	.init = init,
	.edges =
		{
			[EDGE_TWIN_OUTPUT] = {.next = "twin_output"},
			[EDGE_IP6_LOOKUP] = {.next = "ip6_lookup"},
			[EDGE_OWN_ERROR] = DROP("own-error"),
			[EDGE_NOT_ECHO] = DROP("not-echo-request"),
			[EDGE_SOURCE_SHARE] = DROP("source-share-used-up"),
			[EDGE_RATE_LIMITED] = DROP("rate-limited"),
			[EDGE_CHECKSUM_WRONG] = DROP("echo-checksum-wrong"),
		},
};
