/* A ring for each sort of control frames; see control_rings.h. */
#include "control_rings.h"

#include <string.h>

#include "../worker.h"

/*
 * In the order in which they are asked. Hellos and BFD of 100 neighbours are some 400 frames a
 * second. Neighbours answer all at once when many are asked for. What a TCP peer may have under way
 * is its window; 2,048 segments are 3 MB, and more that finds no room is sent again.
 */
static const struct {
	unsigned sort;
	uint32_t slots;
} kinds[CONTROL_QUEUES] = {
	{SORT_ROUTING, 512},
	{SORT_NEIGHBOUR, 1024},
	{SORT_STREAM, 2048},
};

void control_rings_init(struct control_rings *c)
{
	memset(c, 0, sizeof(*c));
	for (int i = 0; i < CONTROL_QUEUES; i++)
		c->ring[i].fd = -1;
}

int control_rings_open(struct control_rings *c, const struct port *port, unsigned besides)
{
	int status = 0;
	for (int i = 0; i < CONTROL_QUEUES && !status; i++)
		status = packet_ring_open(
			&c->ring[i], port, kinds[i].slots, kinds[i].sort | (i ? 0 : besides));
	return status;
}

void control_rings_close(struct control_rings *c)
{
	for (int i = 0; i < CONTROL_QUEUES; i++)
		packet_ring_close(&c->ring[i]);
}

/* Each may take half of the room that is left, so that those behind it always have some. */
uint16_t control_rings_rx(struct control_rings *c, struct port *port, struct worker *w,
	struct pkt **pkts, uint16_t max)
{
	uint16_t n = 0;
	uint64_t lost = 0;
	for (int i = 0; i < CONTROL_QUEUES; i++) {
		uint16_t left = (uint16_t)(max - n);
		uint16_t room = (uint16_t)(i == CONTROL_QUEUES - 1 ? left : (left + 1) / 2);
		n = (uint16_t)(n + packet_ring_rx(&c->ring[i], port, w, pkts + n, room));
		lost += c->ring[i].lost;
	}
	port->shared->tx[w->id].control_lost = lost;
	return n;
}
