/*
 * gen: a port in memory. Frames come from a queue that embedded mode fills, or from a set that is
 * replayed for ever (benchmarks, no syscall in either direction). What is sent is kept where
 * somebody asks for it (embedded mode, one thread), and else freed.
 */
#include "io/gen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "worker.h"

struct frame {
	struct frame *next;
	uint16_t len;
	uint8_t bytes[];
};

struct fifo {
	struct frame *head;
	struct frame **end; /* where the next one is hung */
	uint32_t n;
};

struct gen {
	struct fifo rx;
	struct fifo tx;
	bool keep;		      /* what is sent */
	const uint8_t *const *replay; /* NULL: the queue */
	const uint16_t *lens;
	uint32_t n_replay;
	uint32_t at;
	int idle_fd; /* never readable */
};

static int fifo_put(struct fifo *f, const uint8_t *bytes, uint16_t len)
{
	struct frame *frame = malloc(sizeof(*frame) + len);
	if (!frame)
		return -ENOMEM;
	frame->next = NULL;
	frame->len = len;
	memcpy(frame->bytes, bytes, len);
	*f->end = frame;
	f->end = &frame->next;
	f->n++;
	return 0;
}

static struct frame *fifo_take(struct fifo *f)
{
	struct frame *frame = f->head;
	if (!frame)
		return NULL;
	f->head = frame->next;
	if (!f->head)
		f->end = &f->head;
	f->n--;
	return frame;
}

static int gen_open(struct port *port)
{
	struct gen *g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->rx.end = &g->rx.head;
	g->tx.end = &g->tx.head;
	g->idle_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	port->state = g;
	/* Locally administered; a TAP twin has the address of its port. */
	const struct port_shared *routed = port->shared - port->index + port->shared->twin;
	if (port->shared->role == PORT_TAP_TWIN)
		memcpy(port->shared->mac, routed->mac, sizeof(port->shared->mac));
	else
		memcpy(port->shared->mac, (uint8_t[]){2, 0, 0x5e, 0, 0, port->index}, 6);
	port->shared->flags = PORT_UP;
	return 0;
}

static int gen_open_queue(struct port *port, struct worker *w)
{
	port->queue[w->id] = port->state;
	return 0;
}

static void gen_close(struct port *port)
{
	struct gen *g = port->state;
	struct frame *frame;

	while ((frame = fifo_take(&g->rx)))
		free(frame);
	while ((frame = fifo_take(&g->tx)))
		free(frame);
	close(g->idle_fd);
	free(g);
}

static uint16_t rx_replay(struct gen *g, struct worker *w, struct pkt **pkts, uint16_t max)
{
	uint16_t n;

	for (n = 0; n < max; n++) {
		struct pkt *p = pkt_alloc(w);
		if (!p)
			break;
		p->len = g->lens[g->at];
		memcpy(pkt_data(p), g->replay[g->at], p->len);
		g->at = g->at + 1 < g->n_replay ? g->at + 1 : 0;
		pkts[n] = p;
	}
	return n;
}

static uint16_t gen_rx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t max)
{
	struct gen *g = port->state;
	uint16_t n = 0;

	if (g->replay)
		return rx_replay(g, w, pkts, max);
	while (n < max && g->rx.head) {
		struct pkt *p = pkt_alloc(w);
		if (!p)
			break;
		struct frame *frame = fifo_take(&g->rx);
		memcpy(pkt_data(p), frame->bytes, frame->len);
		p->len = frame->len;
		pkt_fence_end(p);
		free(frame);
		pkts[n++] = p;
	}
	return n;
}

static uint16_t gen_tx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t n)
{
	struct gen *g = port->state;
	uint16_t dropped = 0;

	for (uint16_t i = 0; i < n; i++) {
		if (g->keep && fifo_put(&g->tx, pkt_data(pkts[i]), pkts[i]->len))
			dropped++;
		pkt_free(w, pkts[i]);
	}
	return dropped;
}

static int gen_rx_fd(struct port *port, struct worker *w)
{
	const struct gen *g = port->state;
	(void)w;
	return g->replay ? -1 : g->idle_fd;
}

DRIVER(gen) = {
	.name = "gen",
	.open = gen_open,
	.open_queue = gen_open_queue,
	.close = gen_close,
	.rx = gen_rx,
	.tx = gen_tx,
	.rx_fd = gen_rx_fd,
};

bool gen_is(const struct port *port)
{
	return port->driver == &driver_gen;
}

int gen_receive(struct port *port, const uint8_t *frame, uint16_t len)
{
	struct gen *g = port->state;
	return len > PKT_DATA_ROOM ? -EMSGSIZE : fifo_put(&g->rx, frame, len);
}

uint32_t gen_pending(const struct port *port)
{
	const struct gen *g = port->state;
	return g->rx.n;
}

uint16_t gen_transmitted(struct port *port, uint8_t *frame, uint16_t size)
{
	struct gen *g = port->state;
	struct frame *oldest = fifo_take(&g->tx);

	if (!oldest)
		return 0;
	uint16_t len = oldest->len < size ? oldest->len : size;
	memcpy(frame, oldest->bytes, len);
	free(oldest);
	return len;
}

void gen_keep(struct port *port, bool keep)
{
	struct gen *g = port->state;
	g->keep = keep;
}

void gen_replay(struct port *port, const uint8_t *const *frames, const uint16_t *lens, uint32_t n)
{
	struct gen *g = port->state;
	g->replay = frames;
	g->lens = lens;
	g->n_replay = n;
	g->at = 0;
}
