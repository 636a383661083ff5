/*
 * The sending and the refilling side of the driver af_xdp over rings of its own, without a device:
 * how many frames are taken is what the test says. Linked with nothing else of the dataplane.
 */
#include "io/af_xdp.c"

#include <stdlib.h>

enum { BUFFERS = 1 << 14 };

static struct pkt *pool;
static uint8_t in_use[BUFFERS];
static struct worker worker;
static struct port_shared shared;
static struct port port = {.shared = &shared};
static struct af_xdp self;
static struct xdp_sender sender;
static uint32_t flags;
static uint32_t tx_head, tx_tail, sent_head, sent_tail, fill_head, fill_tail;
static struct xdp_desc tx_ring[XDP_RING_SIZE];
static uint64_t sent_ring[2 * XDP_RING_SIZE], fill_ring[XDP_RING_SIZE];
static uint32_t freed_twice;

/* ---- what the driver calls of others ---- */

struct pkt *pkt_alloc(struct worker *w)
{
	struct pkt *p = w->free_list;
	if (!p)
		return NULL;
	w->free_list = p->link;
	w->n_free--;
	in_use[p - pool] = 1;
	p->data = PKT_HEADROOM;
	p->len = 60;
	p->flags = 0;
	return p;
}

void pkt_free(struct worker *w, struct pkt *p)
{
	freed_twice += !in_use[p - pool];
	in_use[p - pool] = 0;
	p->link = w->free_list;
	w->free_list = p;
	w->n_free++;
}

int af_xdp_open(struct port *p)
{
	return p ? 0 : -EINVAL;
}

int af_xdp_open_queue(struct port *p, struct worker *w)
{
	return p && w ? 0 : -EINVAL;
}

void af_xdp_close(struct port *p)
{
	(void)p;
}

uint16_t control_rings_rx(
	struct control_rings *c, struct port *p, struct worker *w, struct pkt **pkts, uint16_t max)
{
	(void)c, (void)p, (void)w, (void)pkts, (void)max;
	return 0;
}

void driver_register(struct driver *driver)
{
	(void)driver;
}

/* ---- for the test ---- */

static struct xsk_ring_prod producer(uint32_t size, uint32_t *head, uint32_t *tail, void *ring)
{
	*head = *tail = 0;
	return (struct xsk_ring_prod){.cached_cons = size,
		.mask = size - 1,
		.size = size,
		.producer = head,
		.consumer = tail,
		.ring = ring,
		.flags = &flags};
}

/* Everything anew; `buffers` are free. */
void shim_reset(uint32_t buffers)
{
	pool = pool ? pool : aligned_alloc(64, BUFFERS * sizeof(*pool));
	memset(in_use, 1, sizeof(in_use));
	memset(&worker, 0, sizeof(worker));
	for (uint32_t i = buffers; i--;)
		pkt_free(&worker, &pool[i]);
	freed_twice = sent_head = sent_tail = 0;
	self = (struct af_xdp){.buffers = pool, .n_queues = 1};
	struct xdp_queue *q = &self.queue[0];
	q->tx = producer(XDP_RING_SIZE, &tx_head, &tx_tail, tx_ring);
	q->fill = producer(XDP_RING_SIZE, &fill_head, &fill_tail, fill_ring);
	q->completion = (struct xsk_ring_cons){.mask = 2 * XDP_RING_SIZE - 1,
		.size = 2 * XDP_RING_SIZE,
		.producer = &sent_head,
		.consumer = &sent_tail,
		.ring = sent_ring,
		.flags = &flags};
	sender = (struct xdp_sender){.queue = q, .tx = &q->tx, .fd = -1};
	port.state = &self;
	port.queue[0] = &sender;
}

/* Sends n frames; returns how many the driver had to drop. */
uint32_t shim_send(uint32_t n, int is_control)
{
	struct pkt *pkts[BURST_SIZE];
	uint32_t dropped = 0;

	while (n) {
		uint32_t some = n < BURST_SIZE ? n : BURST_SIZE;
		for (uint32_t i = 0; i < some; i++) {
			pkts[i] = pkt_alloc(&worker);
			pkts[i]->flags = is_control ? PKT_CONTROL : 0;
		}
		dropped += af_xdp_tx(&port, &worker, pkts, (uint16_t)some);
		n -= some;
	}
	return dropped;
}

/* The device sends n frames, or as many as there are, and gives their buffers back. */
uint32_t shim_device_sends(uint32_t n)
{
	uint32_t taken = 0;

	for (; taken < n && tx_tail != tx_head; taken++)
		sent_ring[sent_head++ & (2 * XDP_RING_SIZE - 1)] =
			tx_ring[tx_tail++ & (XDP_RING_SIZE - 1)].addr;
	return taken;
}

uint32_t shim_waiting(void)
{
	return tx_head - tx_tail;
}

/* Asks for `missing` buffers to receive into; returns how many the device has got. */
uint32_t shim_refill(uint32_t missing)
{
	uint32_t before = fill_head;

	self.queue[0].missing = missing;
	af_xdp_refill(&self, &self.queue[0], &worker);
	return fill_head - before;
}

uint32_t shim_free(void)
{
	return worker.n_free;
}

uint32_t shim_freed_twice(void)
{
	return freed_twice;
}
