/*
 * punt: control packets to bngd. Each cause has its policer; inside it discovery has a share per
 * client and per S-VLAN, PPP control one per session, so that one hostile client cannot starve the
 * others. The current header is the one behind Ethernet and tags.
 */
#include <assert.h>
#include <errno.h>

#include "graph.h"
#include "hdr/pppoe.h"
#include "node/l2.h"
#include "node/share.h"
#include "worker.h"

enum {
	EDGE_PUNTED,
	EDGE_CLIENT_SHARE,
	EDGE_SVLAN_SHARE,
	EDGE_SESSION_SHARE,
	EDGE_RING_FULL,
	EDGE_POLICED, /* + enum punt_cause, from 1 */
};

struct state {
	struct bucket svlan[MAX_PORTS << 12]; /* [port << 12 | outer VID] */
	struct share_table clients;
};

struct rate {
	uint32_t rate, burst;
};

static const struct rate rates[PUNT_CAUSES] = {
	[PUNT_DISCOVERY] = {DISCOVERY_RATE, DISCOVERY_BURST},
	[PUNT_LCP] = {CONTROL_RATE, CONTROL_BURST},
	[PUNT_AUTH] = {CONTROL_RATE, CONTROL_BURST},
	[PUNT_NCP] = {CONTROL_RATE, CONTROL_BURST},
	[PUNT_PPP_UNKNOWN] = {PPP_UNKNOWN_RATE, PPP_UNKNOWN_BURST},
	[PUNT_IP6_CONTROL] = {CONTROL_RATE, CONTROL_BURST},
};

static struct node node_punt;

static int init(struct worker *w)
{
	struct state *s = share_state(sizeof(*s), DISCOVERY_CLIENTS);
	if (!s)
		return -ENOMEM;
	share_table_init(&s->clients, w, DISCOVERY_CLIENTS);
	w->node_state[node_punt.id] = s;
	return 0;
}

static bool cause_take(struct worker *w, uint8_t cause)
{
	return bucket_take(
		&w->punt_policer[cause], w->now_ms, rates[cause].rate, rates[cause].burst);
}

static uint16_t police_discovery(struct worker *w, struct pkt *p)
{
	struct state *s = w->node_state[node_punt.id];
	uint64_t line = pkt_line_key(p);
	struct bucket *client = share_find(
		&s->clients, l2_client_key(l2_header(p), 0) ^ line * 0xff51afd7ed558ccdull);
	struct bucket *svlan = &s->svlan[(uint32_t)p->rx_port << 12 | p->outer_vid];
	if (!bucket_ready(client, w->now_ms, DISCOVERY_CLIENT_RATE, DISCOVERY_CLIENT_BURST))
		return EDGE_CLIENT_SHARE;
	if (!bucket_ready(svlan, w->now_ms, DISCOVERY_SVLAN_RATE, DISCOVERY_SVLAN_BURST))
		return EDGE_SVLAN_SHARE;
	if (!cause_take(w, PUNT_DISCOVERY))
		return EDGE_POLICED + PUNT_DISCOVERY;
	bucket_spend(client);
	bucket_spend(svlan);
	return 0;
}

static uint16_t police_session(struct worker *w, struct pkt *p)
{
	struct session_in *in = &w->t->in[p->session];
	if (!session_share_ready(in, w->now_ms))
		return EDGE_SESSION_SHARE;
	if (!cause_take(w, p->cause))
		return (uint16_t)(EDGE_POLICED + p->cause);
	session_share_spend(in);
	return 0;
}

static bool push(struct worker *w, struct pkt *p)
{
	const struct eth_hdr *eth = l2_header(p);
	struct punt_record record = {
		.monotonic_ns = w->now_ns,
		.session = p->session,
		.outer_tpid = p->outer_tpid,
		.outer_vid = p->outer_vid,
		.inner_tpid = p->inner_tpid,
		.inner_vid = p->inner_vid,
		.cause = p->cause,
		.port = p->rx_port,
	};
	memcpy(record.source, eth->source, MAC_LEN);
	memcpy(record.destination, eth->destination, MAC_LEN);
	if (p->cause != PUNT_DISCOVERY) {
		record.generation = p->generation;
		pkt_pull(p, PPPOE_LEN);
	}
	record.full_len = p->len;
	uint16_t len = p->len;
	if (p->cause == PUNT_PPP_UNKNOWN && len > PPP_UNKNOWN_LEN)
		len = PPP_UNKNOWN_LEN;
	return worker_punt(w, &record, pkt_data(p), len);
}

static uint16_t punt(struct worker *w, struct pkt *p)
{
	assert(p->cause > 0 && p->cause < PUNT_CAUSES);
	uint16_t refused =
		p->cause == PUNT_DISCOVERY ? police_discovery(w, p) : police_session(w, p);
	if (refused)
		return refused;
	if (!push(w, p))
		return EDGE_RING_FULL;
	pkt_free(w, p);
	return EDGE_PUNTED;
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = punt(w, pkts[i]);
}

NODE(punt) = {
	.name = "punt",
	.process = process,
	.init = init,
	.edges =
		{
			[EDGE_PUNTED] = CONSUMED,
			[EDGE_CLIENT_SHARE] = DROP("client-share-used-up"),
			[EDGE_SVLAN_SHARE] = DROP("svlan-share-used-up"),
			[EDGE_SESSION_SHARE] = DROP("session-share-used-up"),
			[EDGE_RING_FULL] = DROP("ring-full"),
			[EDGE_POLICED + PUNT_DISCOVERY] = DROP("discovery-policed"),
			[EDGE_POLICED + PUNT_LCP] = DROP("lcp-policed"),
			[EDGE_POLICED + PUNT_AUTH] = DROP("auth-policed"),
			[EDGE_POLICED + PUNT_NCP] = DROP("ncp-policed"),
			[EDGE_POLICED + PUNT_PPP_UNKNOWN] = DROP("ppp-unknown-policed"),
			[EDGE_POLICED + PUNT_IP6_CONTROL] = DROP("ip6-control-policed"),
		},
};
