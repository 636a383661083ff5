/*
 * bng-dataplane with ports that make their own subscribers' traffic: every af_packet port becomes
 * one of driver "soak". Discovery, PPP control, ARP and what the kernel sends go through the device
 * as ever, so real clients dial in and the real bngd serves them; the data of their sessions is
 * made and checked here, in memory, at any rate, each packet by its number.
 *
 * acc0 sends what subscribers send, of either family; where it leaves wan0, translated or not, it
 * is checked, and answers to whoever sent it there are what wan0 sends: see soak_flow.c. BNG_SOAK
 * names the file of struct soak_header.
 */
#include "soak_flow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "driver.h"
#include "worker.h"

enum {
	UNDER_WAY = 3072, /* buffers of a worker: no hand-off ring overflows */
	UNDER_WAY_IN_FLOOD = 1024,
	SKIP_MOST = 512, /* inactive flows passed over in one call */
	NAP_NS = 50000,
	GATHER = 64,	     /* packets sent together, as a card moderates its interrupts, ... */
	GATHER_PER_S = 1000, /* ... but those of a millisecond at most */
};

struct generator { /* one for each direction: the receiving worker's */
	uint32_t at;
	uint32_t hostile_at;
	uint64_t credit; /* packets due, in 1e-9 */
	uint64_t stamp_ns;
};

static struct soak_header *area;
static struct soak_flow *flows;
static struct soak_frame *frames;
static struct generator generators[SOAK_DIRECTIONS];
static const struct driver *real;

static int direction_from(const struct port *port)
{
	return port->shared->role == PORT_ACCESS ? SOAK_UP : SOAK_DOWN;
}

/* ---- open: the device, and the area ---- */

static int map_area(void)
{
	const char *path = getenv("BNG_SOAK");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	struct stat status;

	if (fd < 0 || fstat(fd, &status)) {
		fprintf(stderr, "soak: BNG_SOAK names no file\n");
		return -1;
	}
	void *base = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_POPULATE, fd, 0);
	close(fd);
	if (base == MAP_FAILED)
		return -1;
	area = base;
	flows = (struct soak_flow *)(void *)(area + 1);
	frames = (struct soak_frame *)(void *)(flows + area->n_flows);
	return area->magic == SOAK_MAGIC ? 0 : -1;
}

static int soak_open(struct port *port)
{
	real = driver_find("af_packet");
	if (!area && map_area())
		return -EINVAL;
	return real->open(port);
}

static int soak_open_queue(struct port *port, struct worker *w)
{
	return real->open_queue(port, w);
}

/* ---- what subscribers and servers send ---- */

static uint64_t *sent_of(struct soak_flow *flow, int direction)
{
	return direction == SOAK_UP ? &flow->up_sent : &flow->down_sent;
}

static uint16_t make(const struct port *port, uint8_t *frame, struct soak_flow *flow, int direction)
{
	uint64_t *sent = sent_of(flow, direction);
	struct soak_packet packet = {.flow = flow,
		.mark = {(uint32_t)(flow - flows), (uint32_t)*sent, (uint16_t)flow->incarnation},
		.direction = direction,
		.place = SOAK_SENT};

	__atomic_store_n(sent, *sent + 1, __ATOMIC_RELAXED);
	return soak_write(area, &packet, port->shared->mac, frame);
}

/* Remotes answer when both have heard of the flow: filtering. */
static bool ready(const struct soak_flow *flow, int direction)
{
	return __atomic_load_n(&flow->active, __ATOMIC_ACQUIRE) &&
	       (direction == SOAK_UP ||
		       (__atomic_load_n(&flow->learned, __ATOMIC_ACQUIRE) == flow->incarnation &&
			       __atomic_load_n(&flow->arrived[SOAK_UP].next, __ATOMIC_RELAXED) >=
				       SOAK_REMOTES));
}

/* Packets due by the clock; more than a second's worth is given up, and counted. */
static uint64_t due(struct generator *g, int direction, uint64_t now_ns)
{
	uint32_t rate = __atomic_load_n(&area->rate[direction], __ATOMIC_RELAXED);
	const uint64_t second = 1000000000;
	uint64_t passed = now_ns - g->stamp_ns;

	g->stamp_ns = now_ns;
	if (rate == SOAK_UNLIMITED)
		g->credit = BURST_SIZE * second;
	else if (!rate)
		g->credit = 0;
	else
		g->credit += (passed < second ? passed : second) * rate;
	if (g->credit > rate * second && rate != SOAK_UNLIMITED) {
		area->offered[direction].behind += g->credit / second - rate;
		g->credit = rate * second;
	}
	return g->credit / second;
}

static uint16_t put_flows(
	struct port *port, struct worker *w, struct pkt **pkts, uint16_t max, int direction)
{
	struct generator *g = &generators[direction];
	uint64_t left = due(g, direction, w->now_ns);
	uint32_t skipped = 0;
	uint16_t n = 0;

	if (left < GATHER && left <= area->rate[direction] / GATHER_PER_S)
		return 0;
	while (n < max && n < left && skipped < SKIP_MOST) {
		struct soak_flow *flow = &flows[g->at];
		g->at = g->at + 1 < area->n_flows ? g->at + 1 : 0;
		__builtin_prefetch(&flows[g->at]);
		if (!ready(flow, direction)) {
			skipped++;
			continue;
		}
		struct pkt *p = pkt_alloc(w);
		if (!p)
			break;
		p->len = make(port, pkt_data(p), flow, direction);
		pkt_fence_end(p);
		pkts[n++] = p;
	}
	g->credit -= n * UINT64_C(1000000000);
	area->offered[direction].sent += n;
	return n;
}

static uint16_t put_hostile(struct worker *w, struct pkt **pkts, uint16_t max, int direction)
{
	struct generator *g = &generators[direction];
	uint32_t count = __atomic_load_n(&area->hostile_count[direction], __ATOMIC_ACQUIRE);
	uint16_t n = 0;

	for (; count && n < max; n++) {
		g->hostile_at = g->hostile_at + 1 < count ? g->hostile_at + 1 : 0;
		const struct soak_frame *f =
			&frames[area->hostile_first[direction] + g->hostile_at];
		struct pkt *p = pkt_alloc(w);
		if (!p)
			break;
		p->len = f->len;
		memcpy(pkt_data(p), f->bytes, f->len);
		pkt_fence_end(p);
		pkts[n] = p;
	}
	area->offered[direction].hostile += n;
	return n;
}

/* Nothing due: the processor is somebody else's for a moment, as between frames of a line. */
static void nap(int direction)
{
	const struct timespec moment = {.tv_nsec = NAP_NS};

	if (__atomic_load_n(&area->rate[direction], __ATOMIC_RELAXED) != SOAK_UNLIMITED)
		nanosleep(&moment, NULL);
}

static uint16_t soak_rx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t max)
{
	int direction = direction_from(port);
	uint32_t under_way = w->n_buffers - w->n_free;
	uint16_t n = real->rx(port, w, pkts, max);
	bool flood = area->hostile_count[SOAK_UP] || area->hostile_count[SOAK_DOWN];
	uint32_t window = flood ? UNDER_WAY_IN_FLOOD : UNDER_WAY;

	if (under_way + n >= window)
		return n;
	uint32_t room = window - under_way - n;
	uint16_t most = room < (uint32_t)(max - n) ? (uint16_t)room : (uint16_t)(max - n);
	uint16_t ours = put_flows(port, w, pkts + n, most, direction);
	ours = (uint16_t)(ours +
			  put_hostile(w, pkts + n + ours, (uint16_t)(most - ours), direction));
	if (!n && !ours)
		nap(direction);
	return (uint16_t)(n + ours);
}

/* ---- what arrives ---- */

/* What the frame must be, byte by byte. */
static bool is_right(const struct port *port, const struct soak_packet *packet,
	const uint8_t *frame, uint16_t len)
{
	static _Thread_local uint8_t due[SOAK_FRAME_ROOM] __attribute__((aligned(8)));

	return soak_write(area, packet, port->shared->mac, due) == len && !memcmp(frame, due, len);
}

static void take(const struct worker *w, const struct port *port, struct soak_packet *packet,
	const uint8_t *frame, uint16_t len)
{
	struct soak_flow *flow = &flows[packet->mark.flow];
	struct soak_arrived *arrived = &flow->arrived[packet->direction];
	uint32_t number = packet->mark.number;

	if (!flow->owner)
		flow->owner = (uint8_t)(w->id + 1);
	if (packet->direction == SOAK_UP && flow->learned != flow->incarnation)
		soak_learn(flow, frame);
	bool right = flow->owner == w->id + 1 && is_right(port, packet, frame, len);
	arrived->damaged += !right;
	arrived->late += number < arrived->next;
	if (number >= arrived->next)
		__atomic_store_n(&arrived->next, number + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&arrived->received, arrived->received + 1, __ATOMIC_RELAXED);
	area->seen[w->id].received[packet->direction]++;
}

/* What is to be done to this packet, which may be the one. */
static enum soak_harm harm_of(const struct soak_packet *packet)
{
	struct soak_fault *fault = &area->fault;
	uint32_t harm = __atomic_load_n(&fault->harm, __ATOMIC_ACQUIRE);

	if (!harm || fault->flow != packet->mark.flow || fault->direction != packet->direction)
		return SOAK_NO_HARM;
	__atomic_store_n(&fault->harm, SOAK_NO_HARM, __ATOMIC_RELEASE);
	return harm;
}

static void arrive(const struct worker *w, const struct port *port, int direction,
	const struct soak_mark *mark, struct pkt *p)
{
	struct soak_flow *flow = mark->flow < area->n_flows ? &flows[mark->flow] : NULL;
	struct soak_packet packet = {
		.flow = flow, .mark = *mark, .direction = direction, .place = SOAK_ARRIVED};
	uint8_t *frame = pkt_data(p);

	if (!flow || (uint16_t)flow->incarnation != mark->incarnation) {
		area->seen[w->id].stray++;
		return;
	}
	enum soak_harm harm = harm_of(&packet);
	if (harm == SOAK_LOSE)
		return;
	if (harm == SOAK_FLIP)
		frame[area->fault.at] ^= 1;
	take(w, port, &packet, frame, p->len);
	if (harm == SOAK_REPEAT)
		take(w, port, &packet, frame, p->len);
}

static uint16_t soak_tx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t n)
{
	int direction = direction_from(port) == SOAK_UP ? SOAK_DOWN : SOAK_UP;
	struct soak_seen *seen = &area->seen[w->id];
	struct pkt *control[BURST_SIZE];
	uint16_t n_control = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct soak_mark mark;
		enum soak_sort sort = soak_sort(direction, pkt_data(pkts[i]), pkts[i]->len, &mark);
		if (sort == SOAK_CONTROL) {
			control[n_control++] = pkts[i];
			continue;
		}
		if (sort == SOAK_OURS)
			arrive(w, port, direction, &mark, pkts[i]);
		seen->other += sort != SOAK_OURS;
		seen->inner += sort == SOAK_INNER;
		pkt_free(w, pkts[i]);
	}
	return n_control ? real->tx(port, w, control, n_control) : 0;
}

/* The device has a queue for control frames, which no data of ours comes near. */
static uint16_t soak_rx_control(
	struct port *port, struct worker *w, struct pkt **pkts, uint16_t max)
{
	return real->rx_control ? real->rx_control(port, w, pkts, max) : 0;
}

/* Data is in no device: the worker polls. */
static int soak_rx_fd(struct port *port, struct worker *w)
{
	(void)port, (void)w;
	return -1;
}

static void soak_close(struct port *port)
{
	real->close(port);
}

DRIVER(soak) = {
	.name = "soak",
	.open = soak_open,
	.open_queue = soak_open_queue,
	.close = soak_close,
	.rx = soak_rx,
	.rx_control = soak_rx_control,
	.tx = soak_tx,
	.rx_fd = soak_rx_fd,
};

/* Before main() reads them, the command line's ports become ours. */
__attribute__((constructor)) static void take_ports(int argc, char **argv)
{
	const char device[] = "driver=af_packet", ours[] = "driver=soak";

	for (int i = 1; i < argc; i++) {
		char *at = strstr(argv[i], device);
		if (!at)
			continue;
		char *rest = at + strlen(device);
		memcpy(at, ours, strlen(ours));
		memmove(at + strlen(ours), rest, strlen(rest) + 1);
	}
}
