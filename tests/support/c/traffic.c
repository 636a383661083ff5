/*
 * Numbered UDP packets for drills: who lost what, on which side.
 *
 *   traffic echo PORT ADDRESS...
 *	echoes every datagram to these addresses, of any family; SIGTERM prints what came.
 *   traffic pppoe INTERFACE SESSIONS PORT PPS SECONDS SIZE LONG ADDRESS...
 *	sends from PPPoE sessions, round robin, to the address of the same family, and prints what
 *	came back. Packets are of SIZE bytes, one in 16 of LONG (0: none). File SESSIONS, for each
 *	flow: length of the frame head, head through the session id, length of the address, address.
 *
 * A datagram is "BNGT", flow (32 bits), number (64 bits), padding. Results are one JSON line.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "udp_packet.h"

#define BATCH 64
#define FRAME_BYTES 2048
#define MAX_FLOWS 65536
#define MAX_HEAD 26
#define MAX_ADDRESSES 4
#define LONG_EVERY 16
#define WINDOW 1024
#define NUMBERED_BYTES 16
#define IGNORE_OUTGOING 23 /* PACKET_IGNORE_OUTGOING, newer than some C libraries */

static const char magic[4] = {'B', 'N', 'G', 'T'};

struct flow {
	uint64_t next;
	uint64_t seen[WINDOW / 64];
	uint8_t address[IP6_ADDRESS_LEN];
	uint8_t family; /* enum udp_family */
	uint8_t head_len;
	uint8_t head[MAX_HEAD];
};

struct tally {
	uint64_t received, gaps, duplicated, reordered, misdelivered, bad_checksum;
	uint64_t last_ns, silence_ns;
};

static struct flow flows[MAX_FLOWS];
static struct tally tally;
static uint8_t buffers[BATCH][FRAME_BYTES];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];
static struct sockaddr_in6 peers[BATCH]; /* room for both families */
static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t get_be(const uint8_t *p, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++)
		value = value << 8 | p[i];
	return value;
}

static void put_be(uint8_t *p, uint64_t value, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--, value >>= 8)
		p[i] = (uint8_t)value;
}

/* Count datagram `number` of `flow`: new, late or seen before. */
static void count(struct flow *flow, uint64_t number)
{
	uint64_t now = now_ns();
	uint64_t bit = number % WINDOW;

	if (tally.last_ns && now - tally.last_ns > tally.silence_ns)
		tally.silence_ns = now - tally.last_ns;
	tally.last_ns = now;
	if (number >= flow->next) {
		uint64_t fresh = number - flow->next;

		for (uint64_t n = 0; n < fresh && n < WINDOW; n++)
			flow->seen[(number - 1 - n) % WINDOW / 64] &=
				~(1ull << (number - 1 - n) % 64);
		tally.gaps += fresh;
		flow->next = number + 1;
	} else if (flow->next - number > WINDOW || flow->seen[bit / 64] & 1ull << bit % 64) {
		tally.duplicated++;
		return;
	} else {
		tally.reordered++;
		tally.gaps--;
	}
	flow->seen[bit / 64] |= 1ull << bit % 64;
	tally.received++;
}

static void print_tally(uint64_t sent, uint64_t refused)
{
	printf("{\"sent\": %llu, \"refused\": %llu, \"received\": %llu, \"gaps\": %llu, "
	       "\"duplicated\": %llu, \"reordered\": %llu, \"misdelivered\": %llu, "
	       "\"bad_checksum\": %llu, \"silence_ms\": %.1f}\n",
		(unsigned long long)sent, (unsigned long long)refused,
		(unsigned long long)tally.received, (unsigned long long)tally.gaps,
		(unsigned long long)tally.duplicated, (unsigned long long)tally.reordered,
		(unsigned long long)tally.misdelivered, (unsigned long long)tally.bad_checksum,
		(double)tally.silence_ns / 1e6);
	fflush(stdout);
}

static void prepare(bool with_peers)
{
	for (int i = 0; i < BATCH; i++) {
		vectors[i].iov_base = buffers[i];
		vectors[i].iov_len = FRAME_BYTES;
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
		messages[i].msg_hdr.msg_name = with_peers ? &peers[i] : NULL;
		messages[i].msg_hdr.msg_namelen = with_peers ? sizeof(peers[i]) : 0;
	}
}

static int receive(int fd, bool with_peers)
{
	prepare(with_peers);
	int got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
	return got < 0 ? 0 : got;
}

/* --- echo --- */

static int open_echo(const char *address, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST};
	struct addrinfo *self;

	if (getaddrinfo(address, port, &hints, &self) != 0)
		die("echo");
	int fd = socket(self->ai_family, SOCK_DGRAM, 0);
	if (fd < 0 || bind(fd, self->ai_addr, self->ai_addrlen) < 0)
		die("echo");
	freeaddrinfo(self);
	return fd;
}

static void echo(int fd, uint64_t *echoed, uint64_t *refused)
{
	int got = receive(fd, true);

	for (int i = 0; i < got; i++) {
		const uint8_t *data = buffers[i];

		vectors[i].iov_len = messages[i].msg_len;
		if (messages[i].msg_len < NUMBERED_BYTES || memcmp(data, magic, 4))
			continue;
		uint64_t flow = get_be(data + 4, 4);
		if (flow < MAX_FLOWS)
			count(&flows[flow], get_be(data + 8, 8));
	}
	for (int done = 0; done < got;) {
		int sent = sendmmsg(fd, messages + done, (unsigned)(got - done), 0);

		*refused += sent < 0;
		*echoed += sent < 0 ? 0 : (uint64_t)sent;
		done += sent < 0 ? 1 : sent;
	}
}

static int run_echo(const char *port, char **addresses, int n)
{
	struct pollfd waiting[MAX_ADDRESSES];
	int size = 1 << 25;
	uint64_t echoed = 0, refused = 0;

	for (int i = 0; i < n; i++) {
		int fd = open_echo(addresses[i], port);

		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
		waiting[i] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	puts("{\"event\": \"ready\"}");
	fflush(stdout);
	while (!stop) {
		if (poll(waiting, (nfds_t)n, 100) <= 0)
			continue;
		for (int i = 0; i < n; i++)
			if (waiting[i].revents & POLLIN)
				echo(waiting[i].fd, &echoed, &refused);
	}
	print_tally(echoed, refused);
	return 0;
}

/* --- pppoe --- */

struct plan {
	uint32_t flows;
	const uint8_t *to[UDP_FAMILIES]; /* NULL: no address of this family */
	be16 port;
	uint16_t size, long_size;
};

static bool read_flow(FILE *file, struct flow *flow)
{
	uint8_t length[2], address_len;

	if (fread(length, 1, 2, file) != 2)
		return false;
	flow->head_len = (uint8_t)udp_get16(length);
	if (udp_get16(length) > MAX_HEAD || fread(flow->head, 1, flow->head_len, file) == 0 ||
		fread(&address_len, 1, 1, file) != 1 ||
		(address_len != 4 && address_len != IP6_ADDRESS_LEN) ||
		fread(flow->address, 1, address_len, file) != address_len)
		die("a flow that is none");
	flow->family = address_len == 4 ? UDP_IP4 : UDP_IP6;
	return true;
}

static void read_sessions(const char *path, struct plan *plan)
{
	FILE *file = fopen(path, "rb");

	if (!file)
		die(path);
	while (plan->flows < MAX_FLOWS && read_flow(file, &flows[plan->flows]))
		if (!plan->to[flows[plan->flows++].family])
			die("a flow of a family without an address");
	fclose(file);
	if (!plan->flows) {
		fprintf(stderr, "%s: no sessions\n", path);
		exit(1);
	}
}

static size_t build(uint8_t *frame, const struct plan *plan, uint32_t id, uint64_t number)
{
	const struct flow *flow = &flows[id];
	const struct udp_format *f = &udp_formats[flow->family];
	struct udp_ends ends = {flow->address, plan->to[flow->family], hton16(40000), plan->port};
	bool is_long = plan->long_size && (id + number) % LONG_EVERY == 0;
	uint16_t size = is_long ? plan->long_size : plan->size;
	uint8_t *ip = frame + flow->head_len + 4;
	uint8_t *data = ip + f->head_len + UDP_LEN;

	memcpy(frame, flow->head, flow->head_len);
	udp_put16(ip - 4, (uint16_t)(size + 2));
	udp_put16(ip - 2, f->ppp);
	memset(data, (uint8_t)number, (size_t)(size - f->head_len - UDP_LEN));
	memcpy(data, magic, 4);
	put_be(data + 4, id, 4);
	put_be(data + 8, number, 8);
	udp_write(f, &ends, size, UDP_HOPS, ip);
	return flow->head_len + 4u + size;
}

static const struct udp_format *format_of(uint16_t ppp)
{
	for (const struct udp_format *f = udp_formats; f < udp_formats + UDP_FAMILIES; f++)
		if (f->ppp == ppp)
			return f;
	return NULL;
}

/* Take one frame from the wire; other traffic is not ours to judge. */
static void take(const uint8_t *frame, size_t len, const struct plan *plan)
{
	size_t at = 12;

	while (at + 4 < len &&
		(udp_get16(frame + at) == 0x8100 || udp_get16(frame + at) == 0x88a8 ||
			udp_get16(frame + at) == 0x9100))
		at += 4;
	if (len < at + 10 || udp_get16(frame + at) != ETHERTYPE_PPPOE_SESSION)
		return;
	const struct udp_format *f = format_of(udp_get16(frame + at + 8));
	const uint8_t *ip = frame + at + 10;
	uint16_t size = f ? udp_size(f, ip, len - at - 10) : 0;
	const uint8_t *data = ip + (f ? f->head_len : 0) + UDP_LEN;

	if (!size || ip + size < data + NUMBERED_BYTES || memcmp(data, magic, 4))
		return;
	uint64_t id = get_be(data + 4, 4);
	if (!udp_sums_hold(f, ip, size))
		tally.bad_checksum++;
	else if (id >= plan->flows || &udp_formats[flows[id].family] != f ||
		 memcmp(flows[id].address, ip + f->addresses_at + f->address_len, f->address_len))
		tally.misdelivered++;
	else
		count(&flows[id], get_be(data + 8, 8));
}

static int open_port(const char *interface)
{
	struct sockaddr_ll self = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), size = 1 << 26, one = 1;

	self.sll_ifindex = (int)if_nametoindex(interface);
	if (fd < 0 || setsockopt(fd, SOL_PACKET, IGNORE_OUTGOING, &one, sizeof(one)) < 0 ||
		bind(fd, (struct sockaddr *)&self, sizeof(self)) < 0)
		die(interface);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return fd;
}

static int send_batch(int fd, int n)
{
	int done = 0;

	while (done < n) {
		int sent = sendmmsg(fd, messages + done, (unsigned)(n - done), 0);

		if (sent < 0 && errno != EINTR && errno != ENOBUFS && errno != EAGAIN)
			break;
		done += sent < 0 ? 0 : sent;
	}
	return done;
}

static void drain(int fd, const struct plan *plan)
{
	for (int got = BATCH; got == BATCH;) {
		got = receive(fd, false);
		for (int i = 0; i < got; i++)
			take(buffers[i], messages[i].msg_len, plan);
	}
}

static struct plan plan_of(char **arg, int n_addresses)
{
	static uint8_t addresses[UDP_FAMILIES][IP6_ADDRESS_LEN];
	struct plan plan = {.port = hton16((uint16_t)atoi(arg[2])),
		.size = (uint16_t)atoi(arg[5]),
		.long_size = (uint16_t)atoi(arg[6])};

	for (int i = 0; i < n_addresses; i++) {
		int family = strchr(arg[7 + i], ':') ? UDP_IP6 : UDP_IP4;

		if (inet_pton(family == UDP_IP6 ? AF_INET6 : AF_INET, arg[7 + i],
			    addresses[family]) != 1)
			die(arg[7 + i]);
		plan.to[family] = addresses[family];
	}
	uint16_t least = plan.to[UDP_IP6] ? 64 : 44;
	if (plan.size < least || plan.size > 1500 || plan.long_size > 1500 ||
		(plan.long_size && plan.long_size < least))
		die("arguments");
	read_sessions(arg[1], &plan);
	return plan;
}

static int run_pppoe(char **arg, int n_addresses)
{
	struct plan plan = plan_of(arg, n_addresses);
	int fd = open_port(arg[0]);
	double pps = atof(arg[3]), seconds = atof(arg[4]);
	uint64_t sent = 0, refused = 0, number = 0;

	uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
	for (uint64_t now = start; !stop && now < end + 500000000u; now = now_ns()) {
		uint64_t due = (uint64_t)((double)((now < end ? now : end) - start) / 1e9 * pps);
		int n = due - number > BATCH ? BATCH : (int)(due - number);

		prepare(false);
		for (int i = 0; i < n; i++, number++) {
			uint32_t id = (uint32_t)(number % plan.flows);

			vectors[i].iov_len = build(buffers[i], &plan, id, number / plan.flows);
		}
		int done = send_batch(fd, n);
		sent += (uint64_t)done;
		refused += (uint64_t)(n - done);
		drain(fd, &plan);
		if (n < BATCH) {
			struct pollfd waiting = {.fd = fd, .events = POLLIN};
			struct timespec nap = {.tv_nsec = 200000};

			ppoll(&waiting, 1, &nap, NULL);
		}
	}
	print_tally(sent, refused);
	return 0;
}

int main(int argc, char **argv)
{
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	if (argc > 3 && argc <= 3 + MAX_ADDRESSES && !strcmp(argv[1], "echo"))
		return run_echo(argv[2], argv + 3, argc - 3);
	if (argc > 9 && argc <= 9 + UDP_FAMILIES && !strcmp(argv[1], "pppoe"))
		return run_pppoe(argv + 2, argc - 9);
	fputs("usage: traffic echo PORT ADDRESS...\n"
	      "       traffic pppoe INTERFACE SESSIONS PORT PPS SECONDS SIZE LONG ADDRESS...\n",
		stderr);
	return 2;
}
