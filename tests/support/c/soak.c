/*
 * bng-dataplane with ports that make their own subscribers' traffic: every af_packet port becomes
 * one of driver "soak". Discovery, PPP control, ARP and what the kernel sends go through the device
 * as ever, so real clients dial in and the real bngd serves them; the data of their sessions is
 * made and checked here, in memory, at any rate, each packet by its number.
 *
 * acc0 sends what subscribers send; where it leaves wan0, translated, it is checked, and answers to
 * the public port found there are what wan0 sends. BNG_SOAK names the file of struct soak_header.
 */
#include "soak.h"

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
#include "hdr/checksum.h"
#include "hdr/ethernet.h"
#include "hdr/ip4.h"
#include "hdr/ip6.h"
#include "hdr/pppoe.h"
#include "worker.h"

enum {
	UNDER_WAY = 3072, /* buffers of a worker: no hand-off ring overflows */
	UNDER_WAY_IN_FLOOD = 1024,
	SKIP_MOST = 512, /* inactive flows passed over in one call */
	NAP_NS = 50000,
	GATHER = 64,	     /* packets sent together, as a card moderates its interrupts, ... */
	GATHER_PER_S = 1000, /* ... but those of a millisecond at most */
	FRAME = 60,
	IP_TOTAL = IP4_LEN + UDP_LEN + 10,
	PPPOE_AT = ETH_LEN,
	DATA_AT = ETH_LEN + PPPOE_LEN + 2,
};

struct mark {
	uint32_t flow;
	uint32_t number;
	uint16_t incarnation;
} __attribute__((packed));

struct packet { /* what is behind Ethernet, or PPP */
	struct ip4_hdr ip;
	struct udp_hdr udp;
	struct mark mark;
} __attribute__((packed, aligned(2)));

_Static_assert(sizeof(struct packet) == IP_TOTAL, "60 bytes with PPPoE");

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

static void fill(struct packet *to, const struct soak_flow *flow, be32 from, be32 remote,
	be16 from_port, be16 to_port, uint32_t number)
{
	struct packet packet = {
		.ip = {.version_ihl = 0x45,
			.total_length = hton16(IP_TOTAL),
			.ttl = 64,
			.protocol = IPPROTO_UDP4,
			.source = from,
			.destination = remote},
		.udp = {.source = from_port,
			.destination = to_port,
			.length = hton16(IP_TOTAL - IP4_LEN)},
		.mark = {.flow = (uint32_t)(flow - flows),
			.number = number,
			.incarnation = (uint16_t)flow->incarnation},
	};
	uint64_t pseudo = (uint64_t)from + remote + hton16(IPPROTO_UDP4) + packet.udp.length;

	packet.ip.checksum = checksum(&packet.ip, IP4_LEN);
	be16 sum = (be16)~checksum_fold(checksum_add(pseudo, &packet.udp, IP_TOTAL - IP4_LEN));
	packet.udp.checksum = sum ? sum : 0xffff;
	memcpy(to, &packet, sizeof(packet));
}

static void make_up(const struct port *port, uint8_t *frame, struct soak_flow *flow)
{
	struct eth_hdr eth = {.type = hton16(ETHERTYPE_PPPOE_SESSION)};
	struct pppoe_hdr pppoe = {.ver_type = PPPOE_VER_TYPE,
		.session_id = flow->session_id,
		.length = hton16(IP_TOTAL + 2)};
	be16 protocol = hton16(PPP_IP4);
	uint32_t number = (uint32_t)flow->up_sent;

	memcpy(eth.destination, port->shared->mac, 6);
	memcpy(eth.source, flow->mac, 6);
	memcpy(frame, &eth, sizeof(eth));
	memcpy(frame + PPPOE_AT, &pppoe, sizeof(pppoe));
	memcpy(frame + PPPOE_AT + PPPOE_LEN, &protocol, 2);
	fill((struct packet *)(void *)(frame + DATA_AT), flow, flow->inner,
		flow->remote[number & 1], flow->inner_port, hton16(SOAK_MARK), number);
	__atomic_store_n(&flow->up_sent, flow->up_sent + 1, __ATOMIC_RELAXED);
}

static void make_down(const struct port *port, uint8_t *frame, struct soak_flow *flow)
{
	struct eth_hdr eth = {.source = {2, 9, 9, 9, 9, 9}, .type = hton16(ETHERTYPE_IP4)};
	uint32_t number = (uint32_t)flow->down_sent;
	/* The second remote may answer when it has heard of the flow: filtering. */
	uint32_t heard = __atomic_load_n(&flow->arrived[SOAK_UP].next, __ATOMIC_RELAXED);
	be32 remote = flow->remote[heard > 1 ? number & 1 : 0];

	memcpy(eth.destination, port->shared->mac, 6);
	memcpy(frame, &eth, sizeof(eth));
	fill((struct packet *)(void *)(frame + ETH_LEN), flow, remote, flow->outer,
		hton16(SOAK_MARK), flow->outer_port, number);
	memset(frame + ETH_LEN + IP_TOTAL, 0, FRAME - ETH_LEN - IP_TOTAL);
	__atomic_store_n(&flow->down_sent, flow->down_sent + 1, __ATOMIC_RELAXED);
}

static bool ready(const struct soak_flow *flow, int direction)
{
	return __atomic_load_n(&flow->active, __ATOMIC_ACQUIRE) &&
	       (direction == SOAK_UP ||
		       __atomic_load_n(&flow->learned, __ATOMIC_ACQUIRE) == flow->incarnation);
}

/* Packets due by the clock; more than a second's worth is given up, and counted. */
static uint64_t due(struct generator *g, int direction, uint64_t now_ns)
{
	uint32_t rate = __atomic_load_n(&area->rate[direction], __ATOMIC_RELAXED);
	const uint64_t second = 1000000000;
	uint64_t passed = now_ns - g->stamp_ns;

	g->stamp_ns = now_ns;
	if (rate == SOAK_UNLIMITED)
		g->credit = VECTOR_SIZE * second;
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
		p->len = FRAME;
		(direction == SOAK_UP ? make_up : make_down)(port, pkt_data(p), flow);
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

static bool sums_hold(const struct packet *p)
{
	uint64_t pseudo =
		(uint64_t)p->ip.source + p->ip.destination + hton16(IPPROTO_UDP4) + p->udp.length;
	return !checksum(&p->ip, IP4_LEN) && ntoh16(p->ip.total_length) == IP_TOTAL &&
	       checksum_fold(checksum_add(pseudo, &p->udp, IP_TOTAL - IP4_LEN)) == 0xffff;
}

static bool up_is_right(struct soak_flow *flow, const struct packet *p)
{
	if (flow->learned != flow->incarnation) {
		flow->outer = p->ip.source;
		flow->outer_port = p->udp.source;
		__atomic_store_n(&flow->learned, flow->incarnation, __ATOMIC_RELEASE);
	}
	return flow->outer == p->ip.source && flow->outer_port == p->udp.source &&
	       p->ip.source != flow->inner && p->ip.destination == flow->remote[p->mark.number & 1];
}

static bool down_is_right(
	const struct soak_flow *flow, const uint8_t *frame, const struct packet *p)
{
	const struct pppoe_hdr *pppoe = (const void *)(frame + PPPOE_AT);
	return !memcmp(frame, flow->mac, 6) && pppoe->session_id == flow->session_id &&
	       ntoh16(pppoe->length) == IP_TOTAL + 2 && p->ip.destination == flow->inner &&
	       p->udp.destination == flow->inner_port;
}

static void take(
	const struct worker *w, int direction, const uint8_t *frame, const struct packet *p)
{
	struct soak_seen *seen = &area->seen[w->id];
	struct soak_flow *flow = p->mark.flow < area->n_flows ? &flows[p->mark.flow] : NULL;

	if (!flow || (uint16_t)flow->incarnation != p->mark.incarnation) {
		seen->stray++;
		return;
	}
	struct soak_arrived *arrived = &flow->arrived[direction];
	if (!flow->owner)
		flow->owner = (uint8_t)(w->id + 1);
	bool right = direction == SOAK_UP ? up_is_right(flow, p) : down_is_right(flow, frame, p);
	arrived->damaged += !right || !sums_hold(p) || flow->owner != w->id + 1;
	arrived->late += p->mark.number < arrived->next;
	if (p->mark.number >= arrived->next)
		__atomic_store_n(&arrived->next, p->mark.number + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&arrived->received, arrived->received + 1, __ATOMIC_RELAXED);
	seen->received[direction]++;
}

/* IPv6 that is no control: not to the lab's 2001:db8:2::/64, nor what its routers and we say on
 * the link. */
static bool is_data6(int direction, const uint8_t *frame, uint16_t len)
{
	uint16_t at = direction == SOAK_UP ? ETH_LEN : DATA_AT;
	const struct ip6_hdr *ip = (const void *)(frame + at);

	if (len < at + IP6_LEN)
		return false;
	if (direction == SOAK_DOWN)
		return !ip6_is_link_local(ip->source);
	return !ip6_is_link_local(ip->destination) && ip->destination[0] != 0xff &&
	       ip6_prefix(ip->destination) != 0x20010db800020000;
}

static bool is_ip6(int direction, const uint8_t *frame)
{
	uint16_t type = (uint16_t)(frame[12] << 8 | frame[13]);
	return direction == SOAK_UP
		       ? type == ETHERTYPE_IP6
		       : type == ETHERTYPE_PPPOE_SESSION && frame[20] == 0 && frame[21] == PPP_IP6;
}

/* The packet in an IPv4 frame that leaves; NULL: control, and what the kernel sends to the lab's
 * 192.0.2.0/24, for the device. */
static const struct packet *data_of(int direction, const uint8_t *frame, uint16_t len)
{
	uint16_t at = direction == SOAK_UP ? ETH_LEN : DATA_AT;
	uint16_t type = (uint16_t)(frame[12] << 8 | frame[13]);
	bool data = direction == SOAK_UP ? type == ETHERTYPE_IP4
					 : type == ETHERTYPE_PPPOE_SESSION && frame[20] == 0 &&
						   frame[21] == PPP_IP4;

	const struct packet *p = (const void *)(frame + at);
	return data && len >= at + IP4_LEN && ntoh32(p->ip.destination) >> 8 != 0xc00002 ? p : NULL;
}

static bool is_flow(int direction, const struct packet *p, const uint8_t *end)
{
	return (const uint8_t *)(p + 1) <= end && p->ip.version_ihl == 0x45 &&
	       p->ip.protocol == IPPROTO_UDP4 &&
	       (direction == SOAK_UP ? p->udp.destination : p->udp.source) == hton16(SOAK_MARK);
}

/* Inner addresses are those of RFC 6598. */
static void take_other(struct soak_seen *seen, int direction, const struct packet *p)
{
	seen->other++;
	seen->inner += direction == SOAK_UP && ntoh32(p->ip.source) >> 22 == 0x64400000u >> 22;
}

static uint16_t soak_tx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t n)
{
	int direction = direction_from(port) == SOAK_UP ? SOAK_DOWN : SOAK_UP;
	struct pkt *control[VECTOR_SIZE];
	uint16_t n_control = 0;

	for (uint16_t i = 0; i < n; i++) {
		const uint8_t *frame = pkt_data(pkts[i]);
		const struct packet *p = data_of(direction, frame, pkts[i]->len);
		bool data6 = is_ip6(direction, frame) && is_data6(direction, frame, pkts[i]->len);
		if (!p && !data6) {
			control[n_control++] = pkts[i];
			continue;
		}
		if (data6) {
			area->seen[w->id].other++;
			pkt_free(w, pkts[i]);
			continue;
		}
		if (is_flow(direction, p, frame + pkts[i]->len))
			take(w, direction, frame, p);
		else
			take_other(&area->seen[w->id], direction, p);
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
