/*
 * inject: frames that bngd sends. The packet is a struct inject_record and what follows it;
 * addresses, tags and PPPoE header are built here, with the port's control priority.
 */
#include "graph.h"
#include "hdr/pppoe.h"
#include "node/l2.h"
#include "node/session_header.h"
#include "worker.h"

enum {
	EDGE_PORT_OUTPUT,
	EDGE_HANDOFF,
	EDGE_TRUNCATED,
	EDGE_KIND_UNKNOWN,
	EDGE_PORT_UNKNOWN,
	EDGE_TAGS_WRONG,
	EDGE_SESSION_UNKNOWN,
	EDGE_GENERATION_STALE,
};

static bool tag_is_sane(uint16_t tpid, uint16_t vid)
{
	return tpid ? is_tpid(tpid) && vid <= VID_MASK : vid == 0;
}

static uint16_t discovery(const struct tables *t, const struct inject_record *record, struct pkt *p)
{
	if (p->len < PPPOE_LEN)
		return EDGE_TRUNCATED;
	if (record->port >= t->n_ports || t->port[record->port].role != PORT_ACCESS)
		return EDGE_PORT_UNKNOWN;
	if (!tag_is_sane(record->outer_tpid, record->outer_vid) ||
		!tag_is_sane(record->inner_tpid, record->inner_vid) ||
		(record->inner_tpid && !record->outer_tpid))
		return EDGE_TAGS_WRONG;
	const struct port_shared *port = &t->port[record->port];
	const struct l2_tags tags = {
		.outer_tpid = record->outer_tpid,
		.outer_vid = record->outer_vid,
		.inner_tpid = record->inner_tpid,
		.inner_vid = record->inner_vid,
		.pbit = port->control_pbit,
	};
	p->outer_tpid = record->outer_tpid;
	p->inner_tpid = record->inner_tpid;
	l2_build(pkt_push(p, l2_len(p)), record->destination, port->mac, &tags,
		ETHERTYPE_PPPOE_DISCOVERY);
	p->tx_port = record->port;
	return EDGE_PORT_OUTPUT;
}

static struct node node_inject;

/* A session that has moved since: its owner reads the record again. */
static uint16_t to_owner(struct pkt *p, uint8_t owner)
{
	pkt_push(p, sizeof(struct inject_record));
	p->arg = owner;
	p->handoff_node = (uint8_t)node_inject.id;
	return EDGE_HANDOFF;
}

static uint16_t session(struct worker *w, const struct inject_record *record, struct pkt *p)
{
	if (p->len < PPP_PROTOCOL_LEN)
		return EDGE_TRUNCATED;
	if (record->session >= w->t->max_sessions)
		return EDGE_SESSION_UNKNOWN;
	const struct session_out *out = &w->t->out[record->session];
	uint8_t owner = __atomic_load_n(&out->owner, __ATOMIC_RELAXED);
	if (owner != w->id)
		return to_owner(p, owner);
	if (out->state == SESSION_FREE || out->generation != record->generation)
		return EDGE_GENERATION_STALE;
	session_control_push(p, out, w->t->port[out->port].control_pbit);
	return EDGE_PORT_OUTPUT;
}

static uint16_t inject(struct worker *w, struct pkt *p)
{
	struct inject_record record;
	const void *bytes = pkt_header(p, sizeof(record));
	if (!bytes)
		return EDGE_TRUNCATED;
	memcpy(&record, bytes, sizeof(record));
	pkt_pull(p, sizeof(record));
	switch (record.kind) {
	case INJECT_DISCOVERY:
		return discovery(w->t, &record, p);
	case INJECT_SESSION:
		return session(w, &record, p);
	default:
		return EDGE_KIND_UNKNOWN;
	}
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = inject(w, pkts[i]);
}

NODE(inject) = {
	.name = "inject",
	.process = process,
	.edges =
		{
			[EDGE_PORT_OUTPUT] = {.next = "port_output"},
			[EDGE_HANDOFF] = {.next = "handoff"},
			[EDGE_TRUNCATED] = DROP("truncated"),
			[EDGE_KIND_UNKNOWN] = DROP("kind-unknown"),
			[EDGE_PORT_UNKNOWN] = DROP("port-unknown"),
			[EDGE_TAGS_WRONG] = DROP("tags-wrong"),
			[EDGE_SESSION_UNKNOWN] = DROP("session-unknown"),
			[EDGE_GENERATION_STALE] = DROP("generation-stale"),
		},
};
