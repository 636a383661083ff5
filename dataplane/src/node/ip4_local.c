/*
 * ip4_local: IPv4 to an address of the box. From a routed port to an address of the kernel: the
 * whole frame to the TAP twin. From a subscriber, or to a gateway address: ICMP echo is answered
 * here (RFC 792, RFC 1122 section 3.2.2.6), policed, and nothing else is.
 */
#include <errno.h>

#include "graph.h"
#include "hdr/checksum.h"
#include "hdr/ethernet.h"
#include "hdr/ip4.h"
#include "node/share.h"
#include "table/fib4.h"
#include "worker.h"

enum {
	EDGE_TWIN_OUTPUT,
	EDGE_IP4_LOOKUP,
	EDGE_OWN_ERROR,
	EDGE_NOT_ECHO,
	EDGE_FRAGMENT,
	EDGE_OPTIONS,
	EDGE_TRUNCATED,
	EDGE_SOURCE_SHARE,
	EDGE_RATE_LIMITED,
	EDGE_CHECKSUM_WRONG,
};

enum { ECHO_REPLY_TTL = 64 };

struct state {
	struct bucket all;
	struct share_table sources;
};

static struct node node_ip4_local;

static int init(struct worker *w)
{
	struct state *s = share_state(sizeof(*s), ECHO4_SOURCES);
	if (!s)
		return -ENOMEM;
	share_table_init(&s->sources, w, ECHO4_SOURCES);
	w->node_state[node_ip4_local.id] = s;
	return 0;
}

/* Why the packet is no Echo Request that we answer; 0: it is one. */
static uint16_t echo_fault(struct pkt *p)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	if (ip->protocol != IPPROTO_ICMP4)
		return EDGE_NOT_ECHO;
	if (ip->fragment & hton16(IP4_MF | IP4_OFFSET_MASK))
		return EDGE_FRAGMENT;
	if (ip4_header_len(ip) != IP4_LEN)
		return EDGE_OPTIONS;
	if (p->len < IP4_LEN + ICMP4_LEN)
		return EDGE_TRUNCATED;
	const struct icmp4_hdr *icmp = (const struct icmp4_hdr *)(ip + 1);
	return icmp->type == ICMP4_ECHO_REQUEST && icmp->code == 0 ? 0 : EDGE_NOT_ECHO;
}

static uint16_t police(struct worker *w, struct state *s, be32 source)
{
	struct bucket *share = share_find(&s->sources, source);
	if (!bucket_ready(share, w->now_ms, ECHO4_SOURCE_RATE, ECHO4_SOURCE_BURST))
		return EDGE_SOURCE_SHARE;
	if (!bucket_take(&s->all, w->now_ms, ECHO4_RATE, ECHO4_BURST))
		return EDGE_RATE_LIMITED;
	bucket_spend(share);
	return 0;
}

static void make_reply(struct worker *w, struct pkt *p)
{
	struct ip4_hdr *ip = (struct ip4_hdr *)pkt_data(p);
	struct icmp4_hdr *icmp = (struct icmp4_hdr *)(ip + 1);
	be32 client = ip->source;
	be16 request, reply;
	memcpy(&request, &icmp->type, 2);
	icmp->type = ICMP4_ECHO_REPLY;
	memcpy(&reply, &icmp->type, 2);
	icmp->checksum = checksum_update16(icmp->checksum, request, reply);
	ip->source = ip->destination;
	ip->destination = client;
	ip->ttl = ECHO_REPLY_TTL;
	ip->id = (be16)worker_random(w);
	ip->fragment = 0;
	ip->checksum = 0;
	ip->checksum = checksum(ip, IP4_LEN);
	p->session = NO_SESSION;
	p->flags = 0;
}

static uint16_t echo(struct worker *w, struct state *s, struct pkt *p)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	uint16_t refused = echo_fault(p);
	if (!refused)
		refused = police(w, s, ip->source);
	if (refused)
		return refused;
	if (checksum(ip + 1, (size_t)(p->len - IP4_LEN)))
		return EDGE_CHECKSUM_WRONG;
	make_reply(w, p);
	return EDGE_IP4_LOOKUP;
}

static uint16_t local(struct worker *w, struct pkt *p)
{
	const struct adjacency *adjacency = &w->t->adjacency[leaf_index(p->leaf)];
	if (p->flags & PKT_ICMP_MADE) /* its source was forged as one of our addresses */
		return EDGE_OWN_ERROR;
	if (p->flags & PKT_FROM_SESSION || adjacency->kind != ADJ_LOCAL)
		return echo(w, w->node_state[node_ip4_local.id], p);
	pkt_push(p, ETH_LEN); /* still there: routed ports are untagged */
	return EDGE_TWIN_OUTPUT;
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = local(w, pkts[i]);
}

NODE(ip4_local) = {
	.name = "ip4_local",
	.process = process,
	.init = init,
	.edges =
		{
			[EDGE_TWIN_OUTPUT] = {.next = "twin_output"},
			[EDGE_IP4_LOOKUP] = {.next = "ip4_lookup"},
			[EDGE_OWN_ERROR] = DROP("own-error"),
			[EDGE_NOT_ECHO] = DROP("not-echo-request"),
			[EDGE_FRAGMENT] = DROP("echo-fragment"),
			[EDGE_OPTIONS] = DROP("echo-options"),
			[EDGE_TRUNCATED] = DROP("echo-truncated"),
			[EDGE_SOURCE_SHARE] = DROP("source-share-used-up"),
			[EDGE_RATE_LIMITED] = DROP("rate-limited"),
			[EDGE_CHECKSUM_WRONG] = DROP("echo-checksum-wrong"),
		},
};
