/*
 * Driver af_xdp: AF_XDP sockets on all queues of a device, without a copy where the NIC can.
 *
 * The workers' packet buffers are the memory that the kernel receives into and sends from: a frame
 * is received into a buffer of the receiving worker, walks the graph, and is sent from there by
 * whichever worker has it. Control frames of routed ports, of which none may be lost for data, come
 * by the kernel and packet rings; the program tells them. Buffers that were sent come back on the
 * completion ring of the queue, and go home to the pool that they are of.
 *
 * The receiving worker serves all queues in turn. Each worker sends through a ring of its own.
 * Frames longer than the room behind the kernel's headroom, and those for which no buffer was
 * ready, are dropped by the kernel and counted here as errors.
 *
 * Options: mode=native|generic (native, falling back), busy-poll=US (the worker runs the device's
 * NAPI itself; set napi_defer_hard_irqs and gro_flush_timeout), peer-offloads=off (a promise about
 * the other end of a veth, see af_xdp_open.c).
 */
#include <errno.h>
#include <sys/socket.h>

#include <linux/if_xdp.h>

#include "../worker.h"
#include "af_xdp.h"

enum {
	STATS_MS = 200,
	KEPT_FOR_CONTROL = 64, /* slots of the tx ring that data does not take */
	MAX_WAKEUPS = 32, /* of the kernel for one vector; it may take as little as 32 frames */
};

/* ---- buffers and their addresses ---- */

static uint64_t address_of(const struct af_xdp *self, const struct pkt *p)
{
	return (uint64_t)(p->buf - (const uint8_t *)self->buffers);
}

static struct pkt *buffer_at(const struct af_xdp *self, uint64_t address)
{
	uint64_t at = address & XSK_UNALIGNED_BUF_ADDR_MASK;
	return (struct pkt *)(void *)((uint8_t *)self->buffers + at - offsetof(struct pkt, buf));
}

void af_xdp_refill(struct af_xdp *self, struct xdp_queue *q, struct worker *w)
{
	uint32_t at;
	uint32_t spare = w->n_free > CONTROL_BUFFERS ? w->n_free - CONTROL_BUFFERS : 0;
	uint32_t n = xsk_prod_nb_free(&q->fill, q->missing);
	n = n < spare ? n : spare;
	n = n < q->missing ? n : q->missing;
	if (!n || !xsk_ring_prod__reserve(&q->fill, n, &at))
		return;
	uint32_t done = 0;
	for (; done < n; done++) {
		struct pkt *p = pkt_alloc(w);
		if (!p)
			break;
		*xsk_ring_prod__fill_addr(&q->fill, at + done) = address_of(self, p);
	}
	q->fill.cached_prod -= n - done; /* what was reserved in vain */
	xsk_ring_prod__submit(&q->fill, done);
	q->missing -= done;
}

/* Buffers that the kernel has sent. One worker at a time; the others need not wait for it. */
static void collect_sent(const struct af_xdp *self, struct xdp_queue *q, struct worker *w)
{
	uint32_t at;
	if (__atomic_exchange_n(&q->collecting, true, __ATOMIC_ACQUIRE))
		return;
	uint32_t n = xsk_ring_cons__peek(&q->completion, XDP_RING_SIZE, &at);
	for (uint32_t i = 0; i < n; i++)
		pkt_free(w, buffer_at(self, *xsk_ring_cons__comp_addr(&q->completion, at + i)));
	xsk_ring_cons__release(&q->completion, n);
	__atomic_store_n(&q->collecting, false, __ATOMIC_RELEASE);
}

/* ---- receive ---- */

static uint16_t receive(struct af_xdp *self, struct xdp_queue *q, struct pkt **pkts, uint16_t max)
{
	uint32_t at;
	uint16_t n = (uint16_t)xsk_ring_cons__peek(&q->rx, max, &at);
	for (uint16_t i = 0; i < n; i++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&q->rx, at + i);
		struct pkt *p = buffer_at(self, d->addr);
		p->data = (uint16_t)xsk_umem__extract_offset(d->addr);
		p->len = (uint16_t)d->len;
		pkt_fence_end(p);
		pkts[i] = p;
	}
	if (n)
		xsk_ring_cons__release(&q->rx, n);
	q->missing += n;
	return n;
}

/* Frames that the kernel had to drop, since the last look. */
static void count_lost(struct port *port, struct xdp_queue *q, uint32_t now_ms)
{
	struct xdp_statistics stats = {0};
	socklen_t len = sizeof(stats);
	if (now_ms - q->stats_ms < STATS_MS)
		return;
	q->stats_ms = now_ms;
	if (getsockopt(xsk_socket__fd(q->socket), SOL_XDP, XDP_STATISTICS, &stats, &len))
		return;
	uint64_t lost = stats.rx_dropped + stats.rx_ring_full;
	port->shared->rx_errors += lost - q->lost;
	port->shared->tx[port->shared->rx_worker].rx_lost += lost - q->lost;
	q->lost = lost;
}

/* The device is waiting to be told of new buffers, or to be run by us. */
static void wake_receiver(const struct af_xdp *self, struct xdp_queue *q, bool idle)
{
	if (xsk_ring_prod__needs_wakeup(&q->fill) || (self->busy_poll_us && idle))
		(void)recvfrom(xsk_socket__fd(q->socket), NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static uint16_t af_xdp_rx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t max)
{
	struct af_xdp *self = port->state;
	uint16_t n = 0;
	for (uint32_t i = 0; i < self->n_queues; i++) {
		struct xdp_queue *q = &self->queue[(self->next_queue + i) % self->n_queues];
		uint16_t some = receive(self, q, pkts + n, (uint16_t)(max - n));
		n = (uint16_t)(n + some);
		if (q->missing)
			af_xdp_refill(self, q, w);
		if (!some)
			collect_sent(self, q, w);
		wake_receiver(self, q, !some);
		count_lost(port, q, w->now_ms);
	}
	self->next_queue++;
	return n;
}

static uint16_t af_xdp_rx_control(
	struct port *port, struct worker *w, struct pkt **pkts, uint16_t max)
{
	struct af_xdp *self = port->state;
	return control_rings_rx(&self->control, port, w, pkts, max);
}

static int af_xdp_control_fd(struct port *port, struct worker *w, unsigned i)
{
	const struct af_xdp *self = port->state;
	(void)w;
	return self->control.ring[i].fd;
}

static int af_xdp_rx_fd(struct port *port, struct worker *w)
{
	const struct af_xdp *self = port->state;
	(void)w;
	return self->n_queues == 1 ? xsk_socket__fd(self->queue[0].socket) : self->epoll_fd;
}

/* ---- send ---- */

static bool all_taken(struct xsk_ring_prod *tx)
{
	return xsk_prod_nb_free(tx, XDP_RING_SIZE) == XDP_RING_SIZE;
}

/* Without zero copy the kernel sends while we call. What it does not take now, for its queues are
 * full, is offered again each turn. */
static void wake_sender(const struct af_xdp *self, struct xdp_sender *s, struct worker *w)
{
	for (int tries = 0; tries < MAX_WAKEUPS && xsk_ring_prod__needs_wakeup(s->tx); tries++) {
		if (!sendto(s->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) || all_taken(s->tx))
			return;
		if (errno != EAGAIN && errno != EBUSY && errno != ENOBUFS)
			return;
		collect_sent(self, s->queue, w);
	}
}

static uint16_t af_xdp_tx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t n)
{
	const struct af_xdp *self = port->state;
	struct xdp_sender *s = port->queue[w->id];
	uint32_t at;
	collect_sent(self, s->queue, w);
	uint32_t kept = pkts[0]->flags & PKT_CONTROL ? 0 : KEPT_FOR_CONTROL;
	uint32_t room = xsk_prod_nb_free(s->tx, n + kept);
	room = room > kept ? room - kept : 0;
	uint16_t taken = room < n ? (uint16_t)room : n;
	if (taken && xsk_ring_prod__reserve(s->tx, taken, &at) == taken) {
		for (uint16_t i = 0; i < taken; i++)
			*xsk_ring_prod__tx_desc(s->tx, at + i) = (struct xdp_desc){
				.addr = address_of(self, pkts[i]) |
					(uint64_t)pkts[i]->data << XSK_UNALIGNED_BUF_OFFSET_SHIFT,
				.len = pkts[i]->len};
		xsk_ring_prod__submit(s->tx, taken);
	}
	wake_sender(self, s, w);
	for (uint16_t i = taken; i < n; i++)
		pkt_free(w, pkts[i]);
	return (uint16_t)(n - taken);
}

static bool af_xdp_retry(struct port *port, struct worker *w)
{
	struct xdp_sender *s = port->queue[w->id];
	if (all_taken(s->tx))
		return false;
	wake_sender(port->state, s, w);
	return !all_taken(s->tx);
}

DRIVER(af_xdp) = {
	.name = "af_xdp",
	.options = {"mode", "busy-poll", "peer-offloads"},
	.open = af_xdp_open,
	.open_queue = af_xdp_open_queue,
	.close = af_xdp_close,
	.rx = af_xdp_rx,
	.tx = af_xdp_tx,
	.retry = af_xdp_retry,
	.rx_fd = af_xdp_rx_fd,
	.rx_control = af_xdp_rx_control,
	.control_fd = af_xdp_control_fd,
};
