/*
 * pppoe_padt: a session frame for an id nobody holds draws a PADT (RFC 2516 section 5.5), so that a
 * client that outlived our restart dials in again. Rate limited in all, per S-VLAN and per client;
 * only on VLANs that are served. The current header is the PPPoE header.
 */
#include <errno.h>

#include "graph.h"
#include "hdr/pppoe.h"
#include "node/access.h"
#include "node/l2.h"
#include "node/share.h"
#include "worker.h"

enum {
	EDGE_PORT_OUTPUT,
	EDGE_ID_RESERVED,
	EDGE_VLAN_NOT_SERVED,
	EDGE_CLIENT_SHARE,
	EDGE_SVLAN_SHARE,
	EDGE_RATE_LIMITED,
};

struct state {
	struct bucket svlan[MAX_PORTS << 12]; /* [port << 12 | outer VID] */
	struct share_table clients;
};

static struct node node_pppoe_padt;

static int init(struct worker *w)
{
	struct state *s = share_state(sizeof(*s), PADT_CLIENTS);
	if (!s)
		return -ENOMEM;
	share_table_init(&s->clients, w, PADT_CLIENTS);
	w->node_state[node_pppoe_padt.id] = s;
	return 0;
}

/* Turns the frame into the PADT, in its own bytes: session id and tags are kept. */
static void make_padt(const struct port_shared *port, struct pkt *p)
{
	const struct l2_tags tags = {
		.outer_tpid = p->outer_tpid,
		.outer_vid = p->outer_vid,
		.inner_tpid = p->inner_tpid,
		.inner_vid = p->inner_vid,
		.pbit = port->control_pbit,
	};
	struct pppoe_hdr *pppoe = (struct pppoe_hdr *)pkt_data(p);
	uint8_t client[MAC_LEN];
	memcpy(client, l2_header(p)->source, MAC_LEN);
	pppoe->code = PPPOE_CODE_PADT;
	pppoe->length = 0;
	p->len = PPPOE_LEN;
	l2_build(pkt_push(p, l2_len(p)), client, port->mac, &tags, ETHERTYPE_PPPOE_DISCOVERY);
	p->tx_port = p->rx_port;
}

static uint16_t padt(struct worker *w, struct state *s, struct pkt *p)
{
	const struct pppoe_hdr *pppoe = (const struct pppoe_hdr *)pkt_data(p);
	uint16_t id = ntoh16(pppoe->session_id);
	if (id == 0 || id == 0xffff) /* RFC 2516 section 4: never a session */
		return EDGE_ID_RESERVED;
	if (!access_allowed(w->t, p))
		return EDGE_VLAN_NOT_SERVED;
	struct bucket *client = share_find(
		&s->clients, l2_client_key(l2_header(p), 0) ^ (uint64_t)p->rx_port << 48);
	struct bucket *svlan = &s->svlan[(uint32_t)p->rx_port << 12 | p->outer_vid];
	if (!bucket_ready(client, w->now_ms, PADT_CLIENT_RATE, PADT_CLIENT_BURST))
		return EDGE_CLIENT_SHARE;
	if (!bucket_ready(svlan, w->now_ms, PADT_SVLAN_RATE, PADT_SVLAN_BURST))
		return EDGE_SVLAN_SHARE;
	if (!bucket_take(&w->padt_policer, w->now_ms, PADT_RATE, PADT_BURST))
		return EDGE_RATE_LIMITED;
	bucket_spend(client);
	bucket_spend(svlan);
	make_padt(&w->t->port[p->rx_port], p);
	return EDGE_PORT_OUTPUT;
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = padt(w, w->node_state[node_pppoe_padt.id], pkts[i]);
}

NODE(pppoe_padt) = {
	.name = "pppoe_padt",
	.process = process,
	.init = init,
	.edges =
		{
			[EDGE_PORT_OUTPUT] = {.next = "port_output"},
			[EDGE_ID_RESERVED] = DROP("session-id-reserved"),
			[EDGE_VLAN_NOT_SERVED] = DROP("vlan-not-served"),
			[EDGE_CLIENT_SHARE] = DROP("client-share-used-up"),
			[EDGE_SVLAN_SHARE] = DROP("svlan-share-used-up"),
			[EDGE_RATE_LIMITED] = DROP("rate-limited"),
		},
};
