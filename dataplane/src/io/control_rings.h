/*
 * Rings of the control frames of a routed port, one for each sort (packet_filter.h): a table that
 * BGP learns at once, or a storm of ARP, pushes no hello out, and neither does data.
 */
#ifndef BNG_CONTROL_RINGS_H
#define BNG_CONTROL_RINGS_H

#include "packet_ring.h"

struct control_rings {
	struct packet_ring ring[CONTROL_QUEUES];
};

/* Control frames come by rings of their own where the kernel's TAP twins get them. */
static inline bool has_control_rings(const struct port *port)
{
	return port->shared->role == PORT_ROUTED || port->has_vlans;
}

/* None is open. */
void control_rings_init(struct control_rings *c);
/* `besides`: sorts that come by the first ring as well. Returns 0 or -errno; close them in either
 * case. */
int control_rings_open(struct control_rings *c, const struct port *port, unsigned besides);
void control_rings_close(struct control_rings *c);
/* As driver.rx_control, with the count of what was lost. */
uint16_t control_rings_rx(struct control_rings *c, struct port *port, struct worker *w,
	struct pkt **pkts, uint16_t max);

#endif
