/*
 * The loop of a worker, and how it sleeps.
 *
 * A worker that finds nothing to do spins for a short while, then says that it sleeps, looks at
 * its rings once more and waits on its descriptors. Whoever fills a ring publishes first and then
 * looks for the sleeper, with a full fence in between on both sides: one of the two sees the other.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "engine.h"
#include "ring.h"
#include "table/nat44.h"

enum {
	SPIN_US = 50,  /* idle this long, then sleep */
	SLEEP_MS = 20, /* longest sleep: timers of nodes run at least this often */
	SHORT_MS = 1,  /* while bngd leaves no room for answers, which it does not tell of, a sweep
			  is behind, or a device has not taken all frames */
	MAX_WAIT_EVENTS = 8,
};

uint64_t monotonic_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void eventfd_kick(int fd)
{
	uint64_t one = 1;
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return; /* its counter is full: it is awake */
}

void eventfd_clear(int fd)
{
	uint64_t count;
	if (read(fd, &count, sizeof(count)) < 0)
		return; /* nothing to clear */
}

void worker_clock(struct worker *w, uint64_t ns)
{
	w->now_tsc = __rdtsc();
	w->now_ns = ns;
	w->now_ms = (uint32_t)(ns / 1000000);
	w->now_s = (uint32_t)(ns / 1000000000);
}

/* Room for packets from a source, at most one burst. */
static uint16_t budget(const struct worker *w)
{
	uint32_t left = w->in_graph < GRAPH_BUDGET ? GRAPH_BUDGET - w->in_graph : 0;
	return (uint16_t)(left < BURST_SIZE ? left : BURST_SIZE);
}

/* The same for data: some buffers are left for control frames, however many data fills. */
static uint16_t data_budget(struct worker *w)
{
	uint16_t room = budget(w);
	if (w->n_free >= room + (uint32_t)CONTROL_BUFFERS)
		return room;
	if (w->n_free > CONTROL_BUFFERS)
		return (uint16_t)(w->n_free - CONTROL_BUFFERS);
	w->shared->no_buffer++;
	return 0;
}

/* By vectors, each of which is through the graph before the next one begins; what is no whole one
 * waits for other sources. */
static void enter(struct worker *w, struct pkt **pkts, uint16_t n)
{
	for (uint16_t done = 0; done < n; done += VECTOR_SIZE) {
		uint16_t left = (uint16_t)(n - done);
		graph_enter(
			w, w->engine->entry, pkts + done, left < VECTOR_SIZE ? left : VECTOR_SIZE);
		if (w->in_graph >= VECTOR_SIZE)
			graph_run(w);
	}
}

static uint32_t received(struct worker *w, struct port *port, struct pkt **pkts, uint16_t n)
{
	struct port_shared *shared = port->shared;
	uint64_t bytes = 0;

	if (!n)
		return 0;
	for (uint16_t i = 0; i < n; i++) {
		pkts[i]->rx_port = port->index;
		bytes += pkts[i]->len;
	}
	shared->rx_packets += n;
	shared->rx_bytes += bytes;
	w->shared->rx_packets += n;
	enter(w, pkts, n);
	return n;
}

/* Half a burst: a flood of what looks like control leaves data the other half. */
static uint32_t receive_control(struct worker *w, struct port *port)
{
	struct pkt *pkts[BURST_SIZE / 2];
	uint16_t room = budget(w);

	if (!port->driver->rx_control)
		return 0;
	room = room < BURST_SIZE / 2 ? room : BURST_SIZE / 2;
	uint16_t n = room ? port->driver->rx_control(port, w, pkts, room) : 0;
	port->shared->tx[w->id].control_received += n;
	return received(w, port, pkts, n);
}

static uint32_t receive_port(struct worker *w, struct port *port)
{
	struct pkt *pkts[BURST_SIZE];
	uint16_t room = port->shared->role == PORT_TAP_TWIN ? budget(w) : data_budget(w);
	uint16_t n = room ? port->driver->rx(port, w, pkts, room) : 0;

	return received(w, port, pkts, n);
}

static uint32_t receive_handoff(struct worker *w)
{
	uint64_t words[BURST_SIZE];
	uint32_t sum = 0;

	for (uint32_t from = 0; from < w->dp->n_workers; from++) {
		if (from == w->id)
			continue;
		uint32_t n = spsc_pop(w->dp->handoff[from][w->id], words, budget(w));
		for (uint32_t i = 0; i < n; i++) /* they are in the other worker's cache */
			__builtin_prefetch((const void *)(uintptr_t)words[i], 1);
		for (uint32_t i = 0; i < n; i++) {
			struct pkt *p = (struct pkt *)(uintptr_t)words[i];
			graph_enter(w, p->handoff_node, &p, 1);
		}
		sum += n;
	}
	return sum;
}

static struct ring *ring_of(const struct worker *w, enum ring_kind kind)
{
	return &w->t->ring[w->id * RINGS_PER_GROUP + kind];
}

static bool ring_has(const struct worker *w, enum ring_kind kind)
{
	const struct ring *ring = ring_of(w, kind);
	return __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) !=
	       __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
}

/* Records of bngd, up to position `end`, become packets whose bytes are the record. */
static uint32_t receive_inject(struct worker *w, uint64_t end)
{
	struct ring *ring = ring_of(w, RING_INJECT);
	const uint8_t *bytes = ring_bytes(w->t, ring);
	uint16_t room = budget(w);
	uint32_t taken = 0;

	for (; taken < room && ring->tail != end; taken++) {
		uint32_t len;
		const void *record = ring_peek(ring, bytes, &len);
		if (!record) {
			w->shared->command_errors += ring_mend(ring, bytes);
			break;
		}
		struct pkt *p = pkt_alloc(w);
		if (!p)
			break;
		if (len < sizeof(struct inject_record) || len > PKT_DATA_ROOM) {
			w->shared->command_errors++;
			pkt_free(w, p);
		} else {
			memcpy(pkt_data(p), record, len);
			p->len = (uint16_t)len;
			graph_enter(w, w->engine->inject, &p, 1);
		}
		ring_consume(ring, len);
	}
	return taken;
}

static void tick(struct worker *w)
{
	const struct graph *g = w->engine->graph;

	if (w->now_ms == w->engine->ticked_ms)
		return;
	w->engine->ticked_ms = w->now_ms;
	for (uint16_t id = 0; id < g->n_nodes; id++)
		if (g->node[id]->tick)
			g->node[id]->tick(w);
	w->shared->buffers_free = w->n_free;
}

uint32_t worker_turn(struct worker *w)
{
	struct engine *e = w->engine;
	/* A frame never overtakes the commands that bngd pushed before it. */
	uint64_t injected = __atomic_load_n(&ring_of(w, RING_INJECT)->head, __ATOMIC_ACQUIRE);
	uint32_t taken = command_run(w);

	worker_collect(w);
	tick(w);
	if (!ring_has(w, RING_COMMAND))
		taken += receive_inject(w, injected);
	for (uint16_t i = 0; i < e->n_rx; i++)
		taken += receive_control(w, e->rx[i]);
	taken += receive_handoff(w);
	for (uint16_t i = 0; i < e->n_rx; i++)
		taken += receive_port(w, e->rx[i]);
	graph_run(w);
	worker_flush(w);
	e->sweeping = nat44_sweep(w, !taken);
	worker_wake(w);
	w->shared->loops++;
	w->shared->idle_loops += !taken;
	__atomic_store_n(&w->shared->epoch, w->shared->epoch + 1, __ATOMIC_RELEASE);
	return taken;
}

static bool watch(int epoll_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	return !epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int worker_prepare_sleep(struct worker *w)
{
	struct engine *e = w->engine;

	e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (e->epoll_fd < 0 || !watch(e->epoll_fd, w->dp->group_fd[w->id]))
		return -errno;
	for (uint16_t i = 0; i < e->n_rx; i++) {
		struct port *port = e->rx[i];
		int fd = port->driver->rx_fd(port, w);
		if (fd < 0)
			e->must_poll = true;
		else if (!watch(e->epoll_fd, fd))
			return -errno;
		for (unsigned q = 0; q < CONTROL_QUEUES && port->driver->control_fd; q++) {
			fd = port->driver->control_fd(port, w, q);
			if (fd >= 0 && !watch(e->epoll_fd, fd))
				return -errno;
		}
	}
	return 0;
}

static bool has_work(const struct worker *w)
{
	if (!w->engine->unanswerable && (ring_has(w, RING_COMMAND) || ring_has(w, RING_INJECT)))
		return true;
	for (uint32_t from = 0; from < w->dp->n_workers; from++)
		if (from != w->id && (!spsc_empty(w->dp->handoff[from][w->id]) ||
					     !spsc_empty(w->dp->home[from][w->id])))
			return true;
	return __atomic_load_n(&w->dp->stop, __ATOMIC_RELAXED);
}

/* A device that went down leaves an error on its socket, a TAP that was deleted a dead descriptor:
 * either would end every sleep at once. */
static void clear_error(const struct worker *w, int fd)
{
	int error;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
		(void)epoll_ctl(w->engine->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void sleep_until_work(struct worker *w)
{
	struct epoll_event events[MAX_WAIT_EVENTS];
	int fd = w->dp->group_fd[w->id];

	__atomic_store_n(&w->shared->sleeping, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* with the fence of who fills a ring */
	bool soon = w->engine->unanswerable || w->engine->sweeping || w->engine->unsent;
	int timeout = has_work(w) ? 0 : soon ? SHORT_MS : SLEEP_MS;
	int n = epoll_wait(w->engine->epoll_fd, events, MAX_WAIT_EVENTS, timeout);
	__atomic_store_n(&w->shared->sleeping, 0, __ATOMIC_RELAXED);
	for (int i = 0; i < n; i++)
		if (events[i].data.fd == fd)
			eventfd_clear(fd);
		else if (events[i].events & (EPOLLERR | EPOLLHUP))
			clear_error(w, events[i].data.fd);
}

static void pin(const struct worker *w)
{
	int cpu = w->dp->options.cpu[w->id];
	cpu_set_t set;

	w->shared->cpu = cpu < 0 ? UINT32_MAX : (uint32_t)cpu;
	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	int error = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	if (error)
		fprintf(stderr, "event=worker-not-pinned worker=%u cpu=%d error=\"%s\"\n", w->id,
			cpu, strerror(error));
}

void *worker_thread(void *arg)
{
	struct worker *w = arg;
	uint64_t spin = w->t->arena->tsc_hz / 1000000 * SPIN_US;
	uint64_t busy_tsc = 0; /* when there was work last */
	bool busy = false;

	pin(w);
	while (!__atomic_load_n(&w->dp->stop, __ATOMIC_RELAXED)) {
		uint64_t turned = w->now_tsc;
		worker_clock(w, monotonic_ns());
		if (busy)
			w->shared->busy_clocks += w->now_tsc - turned;
		busy = worker_turn(w);
		if (busy)
			busy_tsc = w->now_tsc;
		else if (w->now_tsc - busy_tsc > spin && !w->engine->must_poll)
			sleep_until_work(w);
		else
			_mm_pause();
	}
	return NULL;
}
