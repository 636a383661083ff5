/*
 * Memory of the arena. A tmpfs file without a name (O_TMPFILE), or a hugetlb memfd: nothing is
 * left behind when the last process that maps it is gone. All of it is allocated at start, so
 * that too little memory is an error then and not a SIGBUS later.
 */
#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { ALIGN_SECTION = 4096, HUGEPAGE = 2 << 20, KIB = 1024, MIB = 1024 * 1024, VIDS = 4096 };

static const char *const section_names[N_SECTIONS] = {
	[SECTION_WORKER] = "worker",
	[SECTION_NODE] = "node",
	[SECTION_EDGE_COUNTER] = "edge-counter",
	[SECTION_NODE_RUNTIME] = "node-runtime",
	[SECTION_PORT] = "port",
	[SECTION_ACCESS_RANGE] = "access-range",
	[SECTION_DOMAIN_DIRECTORY] = "domain-directory",
	[SECTION_DOMAIN] = "domain",
	[SECTION_DOMAIN_PAGE] = "domain-page",
	[SECTION_SESSION_IN] = "session-in",
	[SECTION_SESSION_OUT] = "session-out",
	[SECTION_SESSION_COLD] = "session-cold",
	[SECTION_SESSION_IP6] = "session-ip6",
	[SECTION_CONTROL] = "control",
	[SECTION_POLICER] = "policer",
	[SECTION_ACL] = "acl",
	[SECTION_ACL_MEMORY] = "acl-memory",
	[SECTION_FIB4_ROOT] = "fib4-root",
	[SECTION_FIB4_PAGE] = "fib4-page",
	[SECTION_FIB6_ROOT] = "fib6-root",
	[SECTION_FIB6_HEAD] = "fib6-head",
	[SECTION_FIB6_SLOT] = "fib6-slot",
	[SECTION_ADJACENCY] = "adjacency",
	[SECTION_MIRROR] = "mirror",
	[SECTION_NAT_CONFIG] = "nat-config",
	[SECTION_NAT_ADDRESS] = "nat-address",
	[SECTION_NAT_BLOCK] = "nat-block",
	[SECTION_NAT_REMOTE] = "nat-remote",
	[SECTION_NAT_PROTOCOL] = "nat-protocol",
	[SECTION_NAT_FORWARD] = "nat-forward",
	[SECTION_NAT_SLOT] = "nat-slot",
	[SECTION_RING] = "ring",
	[SECTION_RING_DATA] = "ring-data",
};

static const uint64_t worker_ring_size[RINGS_PER_GROUP] = {
	[RING_COMMAND] = MIB,
	[RING_COMPLETION] = 512 * KIB,
	[RING_PUNT] = 4 * MIB,
	[RING_INJECT] = 4 * MIB,
	[RING_EVENT] = 256 * KIB,
	[RING_NAT_LOG] = 0, /* an option: see ring_size */
	[RING_TRACE] = MIB,
};

static const uint64_t control_ring_size[RINGS_PER_GROUP] = {
	[RING_COMMAND] = 2 * MIB,
	[RING_COMPLETION] = 512 * KIB,
	[RING_EVENT] = 256 * KIB,
};

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static uint64_t ring_size(const struct options *o, uint32_t group, int kind)
{
	if (group >= o->n_workers)
		return control_ring_size[kind];
	return kind == RING_NAT_LOG ? o->nat_log_mib * MIB : worker_ring_size[kind];
}

static uint64_t ring_data_size(const struct options *o)
{
	uint64_t sum = 0;
	for (uint32_t group = 0; group <= o->n_workers; group++)
		for (int kind = 0; kind < RINGS_PER_GROUP; kind++)
			sum += ring_size(o, group, kind);
	return sum;
}

static void section(
	struct arena_header *h, enum arena_section_id id, uint64_t stride, uint64_t count)
{
	h->section[id] =
		(struct arena_section){.offset = h->size, .stride = stride, .count = count};
	h->size += round_up(stride * count, ALIGN_SECTION);
}

/* One for each outer VID of each access port: PPPoE ids never run out for want of a domain. */
static uint32_t count_domains(const struct options *o)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < o->n_ports; i++)
		n += o->port[i].role == PORT_ACCESS;
	return (n ? n : 1) * VIDS;
}

static void plan_limits(const struct options *o, uint32_t n_nodes, struct arena_header *h)
{
	h->n_workers = o->n_workers;
	h->n_ports = o->n_ports;
	h->n_nodes = n_nodes;
	h->max_sessions = o->sessions;
	h->max_domains = count_domains(o);
	h->max_domain_pages = o->sessions / DOMAIN_PAGE_IDS + h->max_domains + 64;
	h->max_fib4_pages = o->fib4_pages;
	h->max_fib6_nodes = o->fib6_nodes;
	h->max_adjacencies = o->adjacencies;
	h->n_nat_addresses = o->nat.n_addresses;
}

void arena_plan(const struct options *o, uint32_t n_nodes, struct arena_header *h)
{
	memset(h, 0, sizeof(*h));
	plan_limits(o, n_nodes, h);
	h->size = round_up(sizeof(*h), ALIGN_SECTION);
	section(h, SECTION_WORKER, sizeof(struct worker_shared), h->n_workers);
	section(h, SECTION_NODE, sizeof(struct node_name), n_nodes);
	section(h, SECTION_EDGE_COUNTER, MAX_NODES * MAX_EDGES * sizeof(uint64_t), h->n_workers);
	section(h, SECTION_NODE_RUNTIME, MAX_NODES * sizeof(struct node_runtime), h->n_workers);
	section(h, SECTION_PORT, sizeof(struct port_shared), h->n_ports);
	section(h, SECTION_ACCESS_RANGE, MAX_ACCESS_RANGES * sizeof(struct access_range),
		h->n_ports);
	section(h, SECTION_DOMAIN_DIRECTORY, VIDS * sizeof(uint32_t), h->n_ports);
	section(h, SECTION_DOMAIN, DOMAIN_PAGES * sizeof(uint32_t), h->max_domains);
	section(h, SECTION_DOMAIN_PAGE, DOMAIN_PAGE_IDS * sizeof(uint32_t), h->max_domain_pages);
	section(h, SECTION_SESSION_IN, sizeof(struct session_in), h->max_sessions);
	section(h, SECTION_SESSION_OUT, sizeof(struct session_out), h->max_sessions);
	section(h, SECTION_SESSION_COLD, sizeof(struct session_cold), h->max_sessions);
	section(h, SECTION_SESSION_IP6, sizeof(struct session_ip6), h->max_sessions);
	section(h, SECTION_CONTROL, sizeof(struct control_record), h->max_sessions);
	section(h, SECTION_POLICER, 2 * sizeof(struct policer), h->max_sessions);
	section(h, SECTION_ACL, sizeof(uint64_t), MAX_ACLS);
	section(h, SECTION_ACL_MEMORY, 1, ACL_MEMORY);
	section(h, SECTION_FIB4_ROOT, sizeof(uint32_t), 65536);
	section(h, SECTION_FIB4_PAGE, 256 * sizeof(uint32_t), h->max_fib4_pages);
	section(h, SECTION_FIB6_ROOT, sizeof(uint32_t), 65536);
	section(h, SECTION_FIB6_HEAD, sizeof(struct fib6_head), h->max_fib6_nodes);
	section(h, SECTION_FIB6_SLOT, 16 * sizeof(uint32_t), h->max_fib6_nodes);
	section(h, SECTION_ADJACENCY, sizeof(struct adjacency), h->max_adjacencies);
	section(h, SECTION_MIRROR, sizeof(struct mirror_shared), 1);
	section(h, SECTION_NAT_CONFIG, sizeof(struct nat_config), 1);
	section(h, SECTION_NAT_ADDRESS, sizeof(struct nat_address), h->n_nat_addresses);
	section(h, SECTION_NAT_BLOCK, sizeof(struct nat_block),
		(uint64_t)h->n_nat_addresses * o->nat.blocks_per_address);
	section(h, SECTION_NAT_REMOTE, o->nat.remotes_per_worker * sizeof(struct nat_remote),
		h->n_nat_addresses ? h->n_workers : 0);
	section(h, SECTION_NAT_PROTOCOL,
		o->nat.protocol_flows_per_worker * sizeof(struct nat_protocol),
		h->n_nat_addresses ? h->n_workers : 0);
	section(h, SECTION_NAT_FORWARD, o->nat.forwards_per_worker * sizeof(struct nat_forward),
		h->n_nat_addresses ? h->n_workers : 0);
	section(h, SECTION_NAT_SLOT, sizeof(struct nat_slot),
		(uint64_t)h->n_nat_addresses * NAT_PLANES << 16);
	section(h, SECTION_RING, sizeof(struct ring), (h->n_workers + 1) * RINGS_PER_GROUP);
	section(h, SECTION_RING_DATA, 1, ring_data_size(o));
}

/* Bytes of one item in each section from `first` to `last`. */
static uint64_t per_item(
	const struct arena_header *h, enum arena_section_id first, enum arena_section_id last)
{
	uint64_t sum = 0;
	for (int id = (int)first; id <= (int)last; id++)
		sum += h->section[id].stride;
	return sum;
}

/* Bytes of one public address with its blocks and slots. */
static uint64_t nat_address_size(const struct arena_header *h)
{
	uint64_t sum = 0;
	const enum arena_section_id ids[] = {
		SECTION_NAT_ADDRESS, SECTION_NAT_BLOCK, SECTION_NAT_SLOT};
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
		sum += h->section[ids[i]].stride * h->section[ids[i]].count;
	return h->n_nat_addresses ? sum / h->n_nat_addresses : 0;
}

void arena_print(const struct arena_header *h, FILE *out)
{
	for (int id = 0; id < N_SECTIONS; id++)
		fprintf(out, "section=%s count=%lu stride=%lu bytes=%lu\n", section_names[id],
			h->section[id].count, h->section[id].stride,
			h->section[id].count * h->section[id].stride);
	fprintf(out, "session=%lu session-ip6=%lu control-record=%lu nat-address=%lu\n",
		per_item(h, SECTION_SESSION_IN, SECTION_SESSION_COLD) +
			per_item(h, SECTION_POLICER, SECTION_POLICER),
		per_item(h, SECTION_SESSION_IP6, SECTION_SESSION_IP6),
		per_item(h, SECTION_CONTROL, SECTION_CONTROL), nat_address_size(h));
	fprintf(out, "total=%lu MiB=%lu\n", h->size, round_up(h->size, MIB) / MIB);
}

/* A descriptor with `size` bytes allocated, or -errno. */
static int back_with_hugepages(uint64_t size)
{
	int fd = memfd_create("bng-arena", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) || fallocate(fd, 0, 0, (off_t)size)) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

static int back_with_tmpfs(const char *dir, uint64_t size)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (fallocate(fd, 0, 0, (off_t)size)) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

static int back(struct arena *arena, const struct options *o)
{
	uint64_t size = arena->size;

	arena->fd = -ENOMEM;
	if (o->hugepages != HUGEPAGES_OFF) {
		arena->fd = back_with_hugepages(round_up(size, HUGEPAGE));
		arena->hugepages = arena->fd >= 0;
	}
	if (arena->hugepages)
		arena->size = round_up(size, HUGEPAGE);
	else if (o->hugepages != HUGEPAGES_ON)
		arena->fd = back_with_tmpfs(o->arena_dir, size);
	if (arena->fd >= 0)
		return 0;
	fprintf(stderr, "event=arena-failed bytes=%lu where=%s error=\"%s\"\n", size,
		o->hugepages == HUGEPAGES_ON ? "hugepages" : o->arena_dir, strerror(-arena->fd));
	return arena->fd;
}

/* TSC ticks per second, measured over 2 ms. */
static uint64_t measure_tsc_hz(void)
{
	struct timespec t0;
	struct timespec t1;
	uint64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &t0);
	uint64_t c0 = __rdtsc();
	do {
		clock_gettime(CLOCK_MONOTONIC, &t1);
		ns = (uint64_t)(t1.tv_sec - t0.tv_sec) * 1000000000u + (uint64_t)t1.tv_nsec -
		     (uint64_t)t0.tv_nsec;
	} while (ns < 2000000);
	return (__rdtsc() - c0) * 1000000000u / ns;
}

static void make_rings(const struct arena *arena, const struct options *o, struct arena_header *h)
{
	struct ring *rings = (struct ring *)(void *)(arena->base + h->section[SECTION_RING].offset);
	uint64_t offset = h->section[SECTION_RING_DATA].offset;

	for (uint32_t group = 0; group <= h->n_workers; group++) {
		for (int kind = 0; kind < RINGS_PER_GROUP; kind++) {
			struct ring *ring = &rings[group * RINGS_PER_GROUP + (uint32_t)kind];
			ring->offset = offset;
			ring->size = ring_size(o, group, kind);
			offset += ring->size;
		}
	}
}

static int fill(struct arena *arena, const struct options *o, struct arena_header *h)
{
	struct timespec now;

	memcpy(arena->base, h, sizeof(*h));
	h = (struct arena_header *)(void *)arena->base;
	h->layout_version = ARENA_LAYOUT_VERSION;
	h->layout_hash = arena_layout_hash();
	h->size = arena->size;
	snprintf(h->build_id, sizeof(h->build_id), "%s", BNG_BUILD_ID);
	h->hugepages = arena->hugepages;
	h->dataplane_pid = (uint32_t)getpid();
	clock_gettime(CLOCK_REALTIME, &now);
	h->boot_wall_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	h->tsc_hz = measure_tsc_hz();
	make_rings(arena, o, h);

	struct nat_config *nat =
		(struct nat_config *)(void *)(arena->base + h->section[SECTION_NAT_CONFIG].offset);
	*nat = o->nat;
	if (getrandom(nat->hash_key, sizeof(nat->hash_key), 0) != sizeof(nat->hash_key) ||
		getrandom(h->secret, sizeof(h->secret), 0) != sizeof(h->secret))
		return -EIO; /* no ports and no cookies that can be guessed */
	__atomic_store_n(&h->magic, ARENA_MAGIC, __ATOMIC_RELEASE);
	return 0;
}

int arena_create(struct arena *arena, const struct options *o, uint32_t n_nodes)
{
	struct arena_header header;

	arena_plan(o, n_nodes, &header);
	*arena = (struct arena){.size = header.size, .fd = -1};
	int error = back(arena, o);
	if (error)
		return error;
	int flags = MAP_SHARED | (o->lazy ? 0 : MAP_POPULATE);
	void *base = mmap(NULL, arena->size, PROT_READ | PROT_WRITE, flags, arena->fd, 0);
	if (base == MAP_FAILED) {
		error = -errno;
		fprintf(stderr, "event=arena-failed bytes=%lu error=\"%s\"\n", arena->size,
			strerror(errno));
		close(arena->fd);
		return error;
	}
	arena->base = base;
	error = fill(arena, o, &header);
	if (error)
		arena_destroy(arena);
	return error;
}

void arena_destroy(struct arena *arena)
{
	munmap(arena->base, arena->size);
	close(arena->fd);
}

void arena_tables(const struct arena *arena, struct tables *t)
{
	struct arena_header *h = (struct arena_header *)(void *)arena->base;
#define AT(id) ((void *)(arena->base + h->section[id].offset))
	*t = (struct tables){
		.arena = h,
		.worker = AT(SECTION_WORKER),
		.port = AT(SECTION_PORT),
		.access = AT(SECTION_ACCESS_RANGE),
		.directory = AT(SECTION_DOMAIN_DIRECTORY),
		.domain = AT(SECTION_DOMAIN),
		.domain_page = AT(SECTION_DOMAIN_PAGE),
		.in = AT(SECTION_SESSION_IN),
		.out = AT(SECTION_SESSION_OUT),
		.cold = AT(SECTION_SESSION_COLD),
		.ip6 = AT(SECTION_SESSION_IP6),
		.policer = AT(SECTION_POLICER),
		.acl = AT(SECTION_ACL),
		.acl_memory = AT(SECTION_ACL_MEMORY),
		.fib4_root = AT(SECTION_FIB4_ROOT),
		.fib4_page = AT(SECTION_FIB4_PAGE),
		.fib6 = {.root = AT(SECTION_FIB6_ROOT),
			.head = AT(SECTION_FIB6_HEAD),
			.slot = AT(SECTION_FIB6_SLOT)},
		.adjacency = AT(SECTION_ADJACENCY),
		.mirror = AT(SECTION_MIRROR),
		.nat = AT(SECTION_NAT_CONFIG),
		.nat_address = AT(SECTION_NAT_ADDRESS),
		.nat_block = AT(SECTION_NAT_BLOCK),
		.nat_remote = AT(SECTION_NAT_REMOTE),
		.nat_protocol = AT(SECTION_NAT_PROTOCOL),
		.nat_forward = AT(SECTION_NAT_FORWARD),
		.nat_slot = AT(SECTION_NAT_SLOT),
		.ring = AT(SECTION_RING),
		.base = arena->base,
		.max_sessions = h->max_sessions,
		.n_workers = h->n_workers,
		.n_ports = h->n_ports,
	};
#undef AT
}

void *memory_map(uint64_t size, bool *hugepages, uint64_t *mapped)
{
	const int prot = PROT_READ | PROT_WRITE;
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
	void *base = MAP_FAILED;

	*mapped = round_up(size, HUGEPAGE);
	if (*hugepages)
		base = mmap(NULL, *mapped, prot, flags | MAP_HUGETLB, -1, 0);
	*hugepages = base != MAP_FAILED;
	if (base == MAP_FAILED) {
		base = mmap(NULL, *mapped, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (base == MAP_FAILED)
			return NULL;
		madvise(base, *mapped, MADV_HUGEPAGE); /* transparent ones, where allowed */
		madvise(base, *mapped, MADV_POPULATE_WRITE);
	}
	return base;
}
