/*
 * The ends of the benchmark on veths, and its ceiling; all of it AF_XDP in copy mode.
 *
 *   veth_bench blast INTERFACE SINK-NETNS SINK-INTERFACE FRAMES SECONDS
 *	sends the frames of a file (length, 16 bits in network order, and bytes) round robin,
 *receives them in another namespace, and never has more than a window of them under way: full load
 *	without loss. Prints packets, packets lost, and how long the processors were busy meanwhile.
 *   veth_bench forward INTERFACE INTERFACE
 *	forwards from the first to the second, as a BNG that does nothing would, until SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/if_xdp.h>
#include <xdp/xsk.h>

#include "../../../dataplane/src/io/xdp_program.h"

enum {
	RING = 2048,
	CHUNK = 2048,
	CHUNKS = 3 * RING,
	BATCH = 64,
	WINDOW = 512,
	SPIN_NS = 50000, /* as the dataplane's workers do before they sleep */
	STALL_NS = 200000000,
	WARM_NS = 500000000,
	TX_BUDGET = 9, /* XDP_MAX_TX_SKB_BUDGET, Linux 6.17 */
	MAX_FRAMES = 4096,
	MAX_FRAME = 1514,
};

struct end {
	const char *interface;
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct xsk_ring_cons rx, completion;
	struct xsk_ring_prod tx, fill;
	int fd;
};

static volatile sig_atomic_t stop;
static uint8_t *area; /* the umem of all ends */

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

static void check(int status, const char *what)
{
	if (!status)
		return;
	fprintf(stderr, "veth_bench: %s: %s\n", what, strerror(status < 0 ? -status : status));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- sockets ---- */

static void open_end(struct end *e, const char *interface, bool receives)
{
	const struct xsk_umem_config memory = {
		.fill_size = RING, .comp_size = RING, .frame_size = CHUNK};
	const struct xsk_socket_config config = {.rx_size = RING,
		.tx_size = RING,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP};
	int room = 16 << 20, burst = 256, map = -1;
	uint32_t key = 0;

	e->interface = interface;
	if (receives) {
		map = xdp_program_attach((int)if_nametoindex(interface), 1, XDP_PORT_NATIVE, false);
		check(map < 0 ? map : 0, "XDP program");
	}
	check(xsk_umem__create(&e->umem, area, CHUNKS * CHUNK, &e->fill, &e->completion, &memory),
		"umem");
	check(xsk_socket__create(
		      &e->socket, interface, 0, e->umem, receives ? &e->rx : NULL, &e->tx, &config),
		interface);
	e->fd = xsk_socket__fd(e->socket);
	setsockopt(e->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	setsockopt(e->fd, SOL_XDP, TX_BUDGET, &burst, sizeof(burst));
	if (receives)
		check(bpf_map_update_elem(map, &key, &e->fd, BPF_ANY), "socket map");
}

static void close_end(struct end *e, bool receives)
{
	if (receives)
		check(xdp_program_detach((int)if_nametoindex(e->interface)), "detach");
	xsk_socket__delete(e->socket);
	xsk_umem__delete(e->umem);
}

static void make_area(void)
{
	area = mmap(NULL, CHUNKS * CHUNK, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	check(area == MAP_FAILED ? errno : 0, "memory");
}

static void give(struct end *e, const uint64_t *chunks, uint32_t n)
{
	uint32_t at;

	while (n && xsk_ring_prod__reserve(&e->fill, n, &at) != n)
		;
	for (uint32_t i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&e->fill, at + i) = chunks[i];
	xsk_ring_prod__submit(&e->fill, n);
}

static void give_first(struct end *e, uint32_t first, uint32_t n)
{
	uint64_t chunk;

	for (uint32_t i = 0; i < n; i++) {
		chunk = (uint64_t)(first + i) * CHUNK;
		give(e, &chunk, 1);
	}
}

static void kick(const struct end *e)
{
	for (int tries = 0; tries < 16; tries++)
		if (!sendto(e->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) ||
			(errno != EAGAIN && errno != EBUSY && errno != ENOBUFS))
			return;
}

static uint32_t take_sent(struct end *e, uint64_t *chunks, uint32_t max)
{
	uint32_t at, n = xsk_ring_cons__peek(&e->completion, max, &at);

	for (uint32_t i = 0; i < n; i++)
		chunks[i] = *xsk_ring_cons__comp_addr(&e->completion, at + i);
	xsk_ring_cons__release(&e->completion, n);
	return n;
}

/* ---- forward ---- */

static uint32_t forward_some(struct end *from, struct end *to)
{
	uint64_t chunks[RING];
	uint32_t in, out, n;

	give(from, chunks, take_sent(to, chunks, RING));
	n = xsk_ring_cons__peek(&from->rx, 256, &in);
	if (!n || xsk_ring_prod__reserve(&to->tx, n, &out) != n) {
		xsk_ring_cons__cancel(&from->rx, n);
		return 0;
	}
	for (uint32_t i = 0; i < n; i++)
		*xsk_ring_prod__tx_desc(&to->tx, out + i) =
			*xsk_ring_cons__rx_desc(&from->rx, in + i);
	xsk_ring_prod__submit(&to->tx, n);
	xsk_ring_cons__release(&from->rx, n);
	kick(to);
	return n;
}

static int run_forward(const char *first, const char *second)
{
	struct end from = {0}, to = {0};
	uint64_t busy_at = 0;

	make_area();
	open_end(&from, first, true);
	open_end(&to, second, true);
	give_first(&from, 0, RING);
	puts("ready");
	fflush(stdout);
	while (!stop) {
		uint64_t now = now_ns();

		if (forward_some(&from, &to)) {
			busy_at = now;
		} else if (now - busy_at > SPIN_NS) {
			struct pollfd waiting = {.fd = from.fd, .events = POLLIN};
			poll(&waiting, 1, 20);
		}
	}
	close_end(&from, true);
	close_end(&to, true);
	return 0;
}

/* ---- blast ---- */

static uint16_t lens[MAX_FRAMES];
static uint8_t frames[MAX_FRAMES][MAX_FRAME];

static uint32_t read_frames(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint16_t len;
	uint32_t n = 0;

	check(file ? 0 : errno, path);
	while (n < MAX_FRAMES && fread(&len, sizeof(len), 1, file) == 1) {
		lens[n] = ntohs(len);
		if (lens[n] > MAX_FRAME || fread(frames[n], lens[n], 1, file) != 1)
			check(EINVAL, path);
		n++;
	}
	fclose(file);
	check(n ? 0 : EINVAL, path);
	return n;
}

/* Busy time of all processors: everything but idle, waiting for I/O, and stolen. */
static double busy_s(void)
{
	unsigned long long v[8] = {0};
	FILE *file = fopen("/proc/stat", "r");

	if (!file || fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", v, v + 1, v + 2,
			     v + 3, v + 4, v + 5, v + 6, v + 7) != 8)
		check(EINVAL, "/proc/stat");
	fclose(file);
	return (double)(v[0] + v[1] + v[2] + v[5] + v[6]) / (double)sysconf(_SC_CLK_TCK);
}

struct blast {
	struct end out, in;
	uint32_t n_frames, turn;
	uint64_t free_chunks[RING];
	uint32_t n_free;
	uint64_t sent, received;
	uint64_t lost; /* given up; some may come late */
};

static uint32_t send_some(struct blast *b)
{
	int64_t under_way = (int64_t)(b->sent - b->received - b->lost); /* late ones: negative */
	uint32_t at, n = under_way + BATCH > WINDOW ? 0 : BATCH;

	b->n_free += take_sent(&b->out, b->free_chunks + b->n_free, RING - b->n_free);
	if (b->n_free < n || !n || xsk_ring_prod__reserve(&b->out.tx, n, &at) != n)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t chunk = b->free_chunks[--b->n_free];
		uint32_t which = b->turn++ % b->n_frames;
		memcpy(area + chunk, frames[which], lens[which]);
		*xsk_ring_prod__tx_desc(&b->out.tx, at + i) =
			(struct xdp_desc){.addr = chunk, .len = lens[which]};
	}
	xsk_ring_prod__submit(&b->out.tx, n);
	kick(&b->out);
	b->sent += n;
	return n;
}

/* UDP over IPv4, plain or in a PPPoE session. */
static bool is_udp(const uint8_t *frame, uint32_t len)
{
	static const uint8_t plain[] = {8, 0}, session[] = {0x88, 0x64};

	if (len > 34 && !memcmp(frame + 12, plain, 2))
		return frame[23] == 17;
	return len > 42 && !memcmp(frame + 12, session, 2) && frame[20] == 0 && frame[21] == 0x21 &&
	       frame[31] == 17;
}

/* Counts UDP, and gives every buffer back. */
static uint32_t receive_some(struct blast *b)
{
	uint64_t chunks[BATCH];
	uint32_t at, n = xsk_ring_cons__peek(&b->in.rx, BATCH, &at);

	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&b->in.rx, at + i);
		b->received += is_udp(area + d->addr, d->len);
		chunks[i] = d->addr / CHUNK * CHUNK;
	}
	xsk_ring_cons__release(&b->in.rx, n);
	give(&b->in, chunks, n);
	return n;
}

/* Until `end`; then waits for what is under way. */
static void blast_until(struct blast *b, uint64_t end)
{
	uint64_t progress_at = now_ns(), now = progress_at;

	for (; !stop && (now < end || b->sent > b->received + b->lost); now = now_ns()) {
		uint32_t done = receive_some(b);

		if (now < end)
			done += send_some(b);
		if (done) {
			progress_at = now;
		} else if (now - progress_at > STALL_NS) {
			b->lost = b->sent - b->received;
		} else if (now - progress_at > SPIN_NS) {
			struct pollfd waiting = {.fd = b->in.fd, .events = POLLIN};
			poll(&waiting, 1, 1);
		}
	}
}

static void enter(const char *netns)
{
	char path[128];

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd < 0 || setns(fd, CLONE_NEWNET) ? errno : 0, path);
	close(fd);
}

static int run_blast(char **arg)
{
	static struct blast b;
	double seconds = atof(arg[4]);

	b.n_frames = read_frames(arg[3]);
	make_area();
	open_end(&b.out, arg[0], false);
	enter(arg[1]);
	open_end(&b.in, arg[2], true);
	give_first(&b.in, 0, RING);
	for (b.n_free = 0; b.n_free < RING; b.n_free++)
		b.free_chunks[b.n_free] = (uint64_t)(RING + b.n_free) * CHUNK;
	blast_until(&b, now_ns() + WARM_NS);
	uint64_t received = b.received, missing = b.sent - b.received, start = now_ns();
	double busy = busy_s();
	blast_until(&b, start + (uint64_t)(seconds * 1e9));
	printf("{\"packets\": %lu, \"lost\": %ld, \"seconds\": %.3f, \"busy_s\": %.2f}\n",
		b.received - received, (long)(b.sent - b.received - missing),
		(double)(now_ns() - start) / 1e9, busy_s() - busy);
	close_end(&b.in, true);
	return 0;
}

int main(int argc, char **argv)
{
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	if (argc == 7 && !strcmp(argv[1], "blast"))
		return run_blast(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "forward"))
		return run_forward(argv[2], argv[3]);
	fputs("usage: veth_bench blast INTERFACE SINK-NETNS SINK-INTERFACE FRAMES SECONDS\n"
	      "       veth_bench forward INTERFACE INTERFACE\n",
		stderr);
	return 2;
}
