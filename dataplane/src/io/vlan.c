/*
 * Driver vlan: a routed port in a VLAN of another port, its parent, which has the device
 * (IEEE 802.1Q, 802.1ad). Nodes see an untagged port with a name, an MTU and counters of its own.
 * What comes in is found by ethernet_input, which takes the tags away; what goes out gets them here
 * and leaves with the parent's frames.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../driver.h"
#include "../hdr/ethernet.h"
#include "../node/l2.h"
#include "../worker.h"

struct vlan {
	uint8_t parent;
	uint8_t tags_len; /* 0: the untagged frames of an access port's device */
	uint8_t tags[2 * VLAN_LEN];
};

static uint8_t build_tags(struct vlan *vlan, const struct port_shared *shared)
{
	uint8_t *at = vlan->tags;
	if (shared->outer_tpid) {
		at = l2_put16(at, shared->outer_tpid);
		at = l2_put16(at, shared->outer_vid);
	}
	if (shared->inner_tpid) {
		at = l2_put16(at, shared->inner_tpid);
		at = l2_put16(at, shared->inner_vid);
	}
	return (uint8_t)(at - vlan->tags);
}

/* The parent is open: it stands before its VLANs on the command line. */
static int vlan_open(struct port *port)
{
	struct port_shared *shared = port->shared;
	const struct port_shared *parent = shared - port->index + shared->parent;
	struct vlan *vlan = calloc(1, sizeof(*vlan));
	if (!vlan)
		return -ENOMEM;
	port->state = vlan;
	vlan->parent = (uint8_t)shared->parent;
	vlan->tags_len = build_tags(vlan, shared);
	memcpy(shared->mac, parent->mac, sizeof(shared->mac));
	shared->flags = parent->flags;
	return 0;
}

static int vlan_open_queue(struct port *port, struct worker *w)
{
	port->queue[w->id] = port->state;
	return 0;
}

static void vlan_close(struct port *port)
{
	free(port->state);
	port->state = NULL;
}

/* Between the addresses and the EtherType. */
static inline void insert_tags(struct pkt *p, const struct vlan *vlan)
{
	const uint8_t *old = pkt_data(p);
	uint8_t *start = pkt_push(p, vlan->tags_len);
	l2_move_addresses(start, old);
	if (vlan->tags_len == VLAN_LEN) /* constant lengths: the copies become a few moves */
		memcpy(start + 2 * MAC_LEN, vlan->tags, VLAN_LEN);
	else
		memcpy(start + 2 * MAC_LEN, vlan->tags, 2 * VLAN_LEN);
}

static uint16_t vlan_tx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t n)
{
	const struct vlan *vlan = port->queue[w->id];
	for (uint16_t i = 0; i < n && vlan->tags_len; i++)
		insert_tags(pkts[i], vlan);
	worker_transmit(w, vlan->parent, pkts, n);
	return 0; /* the parent counts what the device refuses */
}

DRIVER(vlan) = {
	.name = "vlan",
	.open = vlan_open,
	.open_queue = vlan_open_queue,
	.close = vlan_close,
	.tx = vlan_tx,
};
