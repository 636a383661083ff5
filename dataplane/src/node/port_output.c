/*
 * port_output: puts whole Ethernet frames into the transmit vector of their port. What may be sent
 * as IP is decided before; the length here guards the device.
 */
#include "graph.h"
#include "hdr/ethernet.h"
#include "worker.h"

enum { EDGE_SENT, EDGE_NO_PORT, EDGE_PORT_DOWN, EDGE_LENGTH };

static inline uint16_t check(const struct worker *w, const struct pkt *p)
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

static void port_output_process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	uint16_t first = 0; /* of those that leave by one port */
	for (uint16_t i = 0; i < n; i++) {
		next[i] = check(w, pkts[i]);
		if (next[i] == EDGE_SENT && pkts[i]->tx_port == pkts[first]->tx_port)
			continue;
		if (first < i)
			worker_transmit(
				w, pkts[first]->tx_port, pkts + first, (uint16_t)(i - first));
		first = next[i] == EDGE_SENT ? i : (uint16_t)(i + 1);
	}
	if (first < n)
		worker_transmit(w, pkts[first]->tx_port, pkts + first, (uint16_t)(n - first));
}

NODE(port_output) = {
	.name = "port_output",
	.process = port_output_process,
	.edges =
		{
			[EDGE_SENT] = CONSUMED,
			[EDGE_NO_PORT] = DROP("no-such-port"),
			[EDGE_PORT_DOWN] = DROP("port-down"),
			[EDGE_LENGTH] = DROP("frame-length"),
		},
};
