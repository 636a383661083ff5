/*
 * Whole Ethernet frames into the transmit vector of their port, for the nodes that end there. What
 * may be sent as IP is decided before; the length here guards the device.
 */
#ifndef BNG_NODE_PORT_SEND_H
#define BNG_NODE_PORT_SEND_H

#include "hdr/ethernet.h"
#include "worker.h"

enum { EDGE_SENT, EDGE_NO_PORT, EDGE_PORT_DOWN, EDGE_LENGTH };

static inline uint16_t port_check(const struct worker *w, const struct pkt *p)
{
	if (p->tx_port >= w->t->n_ports)
		return EDGE_NO_PORT;
	const struct port_shared *port = &w->t->port[p->tx_port];
	if (!(__atomic_load_n(&port->flags, __ATOMIC_RELAXED) & PORT_UP))
		return EDGE_PORT_DOWN;
	if (p->len < ETH_LEN || p->len > port->mtu + ETH_LEN + 2 * VLAN_LEN)
		return EDGE_LENGTH;
	return EDGE_SENT;
}

/* How many of n, from the first on, leave by the port that the first leaves by, or do not leave for
 * the same reason. */
static inline uint16_t port_run(struct pkt **pkts, const uint16_t *next, uint16_t n)
{
	uint16_t i = 1;
	while (i < n && next[i] == next[0] && pkts[i]->tx_port == pkts[0]->tx_port)
		i++;
	return i;
}

static inline void port_send(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = port_check(w, pkts[i]);
	for (uint16_t done = 0; done < n;) {
		uint16_t run = port_run(pkts + done, next + done, (uint16_t)(n - done));
		if (next[done] == EDGE_SENT)
			worker_transmit(w, pkts[done]->tx_port, pkts + done, run);
		done = (uint16_t)(done + run);
	}
}

#define PORT_SEND_EDGES                                                                            \
	{                                                                                          \
		[EDGE_SENT] = CONSUMED, [EDGE_NO_PORT] = DROP("no-such-port"),                     \
		[EDGE_PORT_DOWN] = DROP("port-down"), [EDGE_LENGTH] = DROP("frame-length"),        \
	}

#endif
