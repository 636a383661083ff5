/*
 * Numbered UDP packets for drills: who lost what, on which side.
 *
 *   traffic echo ADDRESS PORT
 *	echoes every datagram (ADDRESS may be an IPv6 address); SIGTERM prints what came.
 *   traffic pppoe INTERFACE SESSIONS ADDRESS PORT PPS SECONDS SIZE
 *	sends from PPPoE sessions (file SESSIONS: frame head length, head through the session id,
 *	IPv4 address), round robin, and prints what came back.
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

#define BATCH 64
#define FRAME_BYTES 2048
#define MAX_FLOWS 65536
#define MAX_HEAD 26
#define WINDOW 1024
#define NUMBERED_BYTES 16
#define IGNORE_OUTGOING 23 /* PACKET_IGNORE_OUTGOING, newer than some C libraries */

static const char magic[4] = {'B', 'N', 'G', 'T'};

struct flow {
	uint64_t next;
	uint64_t seen[WINDOW / 64];
	uint32_t address; /* network order; 0: not checked */
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

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint64_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
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

static uint32_t sum16(const uint8_t *p, size_t len, uint32_t sum)
{
	for (; len > 1; p += 2, len -= 2)
		sum += get16(p);
	return len ? sum + (uint32_t)(p[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* UDP over IPv4: pseudo header and datagram (RFC 768). */
static uint16_t udp_sum(const uint8_t *ip, size_t ip_len)
{
	return fold(sum16(ip + 12, ip_len - 12, (uint32_t)(17 + ip_len - 20)));
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

static int run_echo(const char *address, const char *port)
{
	int fd = open_echo(address, port), size = 1 << 25;
	uint64_t echoed = 0, refused = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	puts("{\"event\": \"ready\"}");
	fflush(stdout);
	while (!stop) {
		struct pollfd waiting = {.fd = fd, .events = POLLIN};
		int got = poll(&waiting, 1, 100) > 0 ? receive(fd, true) : 0;

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

			refused += sent < 0;
			echoed += sent < 0 ? 0 : (uint64_t)sent;
			done += sent < 0 ? 1 : sent;
		}
	}
	print_tally(echoed, refused);
	return 0;
}

/* --- pppoe --- */

static uint32_t read_sessions(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t length[2];
	uint32_t n = 0;

	if (!file)
		die(path);
	while (n < MAX_FLOWS && fread(length, 1, 2, file) == 2) {
		struct flow *flow = &flows[n];

		flow->head_len = (uint8_t)get16(length);
		if (get16(length) > MAX_HEAD || fread(flow->head, 1, flow->head_len, file) == 0 ||
			fread(&flow->address, 1, 4, file) != 4) {
			fprintf(stderr, "%s: bad record %u\n", path, n);
			exit(1);
		}
		n++;
	}
	fclose(file);
	if (n == 0) {
		fprintf(stderr, "%s: no sessions\n", path);
		exit(1);
	}
	return n;
}

static size_t build(
	uint8_t *frame, uint32_t id, uint64_t number, uint32_t to, uint16_t port, size_t size)
{
	const struct flow *flow = &flows[id];
	uint8_t *ip = frame + flow->head_len + 4;

	memcpy(frame, flow->head, flow->head_len);
	put16(ip - 4, size + 2);
	put16(ip - 2, 0x0021);
	memset(ip, 0, size);
	ip[0] = 0x45;
	put16(ip + 2, size);
	ip[6] = 0x40; /* DF */
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, &flow->address, 4);
	memcpy(ip + 16, &to, 4);
	put16(ip + 10, (uint16_t)~fold(sum16(ip, 20, 0)));
	put16(ip + 20, 40000);
	put16(ip + 22, port);
	put16(ip + 24, size - 20);
	memcpy(ip + 28, magic, 4);
	put_be(ip + 32, id, 4);
	put_be(ip + 36, number, 8);
	uint16_t sum = (uint16_t)~udp_sum(ip, size);
	put16(ip + 26, sum ? sum : 0xffff);
	return flow->head_len + 4u + size;
}

/* Take one frame from the wire; other traffic is not ours to judge. */
static void take(const uint8_t *frame, size_t len, uint32_t sessions)
{
	size_t at = 12;

	while (at + 4 < len && (get16(frame + at) == 0x8100 || get16(frame + at) == 0x88a8 ||
				       get16(frame + at) == 0x9100))
		at += 4;
	if (len < at + 10 + 44 || get16(frame + at) != 0x8864 || get16(frame + at + 8) != 0x0021)
		return;
	const uint8_t *ip = frame + at + 10;
	size_t size = get16(ip + 2);

	if (ip[0] != 0x45 || ip[9] != 17 || size < 44 || size > len - at - 10 ||
		memcmp(ip + 28, magic, 4))
		return;
	uint64_t id = get_be(ip + 32, 4);
	bool checked = fold(sum16(ip, 20, 0)) == 0xffff &&
		       (get16(ip + 26) == 0 || udp_sum(ip, size) == 0xffff);
	if (!checked)
		tally.bad_checksum++;
	else if (id >= sessions || memcmp(&flows[id].address, ip + 16, 4))
		tally.misdelivered++;
	else
		count(&flows[id], get_be(ip + 36, 8));
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

static void drain(int fd, uint32_t sessions)
{
	for (int got = BATCH; got == BATCH;) {
		got = receive(fd, false);
		for (int i = 0; i < got; i++)
			take(buffers[i], messages[i].msg_len, sessions);
	}
}

static int run_pppoe(char **arg)
{
	uint32_t sessions = read_sessions(arg[1]), to;
	int fd = open_port(arg[0]);
	uint16_t port = (uint16_t)atoi(arg[3]);
	double pps = atof(arg[4]), seconds = atof(arg[5]);
	size_t size = (size_t)atoi(arg[6]);
	uint64_t sent = 0, refused = 0, number = 0;

	if (inet_pton(AF_INET, arg[2], &to) != 1 || size < 44 || size > 1500)
		die("arguments");
	uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
	for (uint64_t now = start; !stop && now < end + 500000000u; now = now_ns()) {
		uint64_t due = (uint64_t)((double)((now < end ? now : end) - start) / 1e9 * pps);
		int n = due - number > BATCH ? BATCH : (int)(due - number);

		prepare(false);
		for (int i = 0; i < n; i++, number++) {
			uint32_t id = (uint32_t)(number % sessions);

			vectors[i].iov_len =
				build(buffers[i], id, number / sessions, to, port, size);
		}
		int done = send_batch(fd, n);
		sent += (uint64_t)done;
		refused += (uint64_t)(n - done);
		drain(fd, sessions);
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
	if (argc == 4 && !strcmp(argv[1], "echo"))
		return run_echo(argv[2], argv[3]);
	if (argc == 9 && !strcmp(argv[1], "pppoe"))
		return run_pppoe(argv + 2);
	fputs("usage: traffic echo ADDRESS PORT\n"
	      "       traffic pppoe INTERFACE SESSIONS ADDRESS PORT PPS SECONDS SIZE\n",
		stderr);
	return 2;
}
