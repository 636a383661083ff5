/*
 * rtnetlink messages of any content, through a mirror with one routed port, one in a VLAN of it,
 * their TAP twins and no sockets. Input: messages with their length fields put right. At the end
 * all routes and nexthop objects go: only the box's own state may be left.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "mirror_state.h"

enum {
	MAX_PAGES = 64,
	FIB6_NODES = 256,
	MAX_ADJACENCIES = 64,
	PORT_IFINDEX = 2,
	TAP_IFINDEX = 3,
	VTAP_IFINDEX = 4
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct arena_header arena = {.max_fib4_pages = MAX_PAGES,
	.max_fib6_nodes = FIB6_NODES,
	.max_adjacencies = MAX_ADJACENCIES};
static struct port_shared ports[] = {
	{.role = PORT_ROUTED, .twin = 1, .parent = NO_PORT, .mtu = 1500, .ifindex = PORT_IFINDEX},
	{.role = PORT_TAP_TWIN, .twin = 0, .parent = NO_PORT, .mtu = 1500, .ifindex = TAP_IFINDEX},
	{.role = PORT_ROUTED, .twin = 3, .parent = 0, .mtu = 1400},
	{.role = PORT_TAP_TWIN,
		.twin = 2,
		.parent = NO_PORT,
		.mtu = 1400,
		.ifindex = VTAP_IFINDEX}};
static uint32_t root[65536], pages[MAX_PAGES * 256];
static uint32_t root6[65536], slots6[FIB6_NODES * FIB6_SLOTS];
static struct fib6_head heads6[FIB6_NODES];
static struct adjacency adjacencies[MAX_ADJACENCIES];
static struct mirror_shared shared;
static struct tables tables = {.arena = &arena,
	.port = ports,
	.fib4_root = root,
	.fib4_page = pages,
	.fib6 = {.root = root6, .head = heads6, .slot = slots6},
	.adjacency = adjacencies,
	.mirror = &shared,
	.n_ports = sizeof(ports) / sizeof(ports[0])};

/* The first bytes are a struct nlmsghdr whose type is folded into what the mirror handles. */
static size_t message(struct mirror *m, const uint8_t *data, size_t size)
{
	struct nlmsghdr header;
	memcpy(&header, data, sizeof(header));
	if (header.nlmsg_type != RTM_NEWNEXTHOP && header.nlmsg_type != RTM_DELNEXTHOP)
		header.nlmsg_type = (uint16_t)(RTM_BASE + header.nlmsg_type % 16);
	header.nlmsg_len = (uint32_t)sizeof(header) + header.nlmsg_len % 128;
	if (header.nlmsg_len > size)
		header.nlmsg_len = (uint32_t)size;
	uint8_t *exact = calloc(1, (header.nlmsg_len + 3u) & ~3u); /* padded, as in a socket */
	memcpy(exact, data, header.nlmsg_len);
	memcpy(exact, &header, sizeof(header));
	mirror_kernel_message((const struct nlmsghdr *)(const void *)exact, m);
	free(exact);
	while (mirror_busy(m))
		mirror_work(m);
	return header.nlmsg_len;
}

static bool all(void *context, uint32_t adjacency, enum fib_source source, bool seen)
{
	(void)source;
	(void)context;
	(void)adjacency;
	(void)seen;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mirror *m;
	static uint32_t own_routes6, own_adjacencies, nodes_free;
	if (!m) {
		m = mirror_create(&tables, (struct session_reserve){0}, false);
		own_routes6 = fib_routes(m->fib6);
		own_adjacencies = adjacency_in_use(m->adjacencies);
		nodes_free = fib_parts_free(m->fib6);
	}
	m->usable[0] = m->usable[2] = true;
	while (size >= sizeof(struct nlmsghdr)) {
		size_t used = message(m, data, size);
		data += used;
		size -= used;
	}
	mirror_tick(m, m->now_ms + 1000);
	uint32_t at = 0;
	assert(rib_visit(m->rib, &at, RIB_MAX, all, NULL));
	at = 0;
	assert(rib_visit(m->rib6, &at, RIB_MAX, all, NULL));
	mirror_nexthops_begin(m);
	mirror_nexthops_sweep(m);
	assert(rib_routes(m->rib) == 0 && rib_waiting(m->rib) == 0);
	assert(rib_routes(m->rib6) == 0 && rib_waiting(m->rib6) == 0);
	assert(fib_routes(m->fib) == 0 && fib_routes(m->fib6) == own_routes6);
	assert(adjacency_in_use(m->adjacencies) == own_adjacencies);
	mirror_tick(m, m->now_ms);
	mirror_tick(m, m->now_ms);
	assert(fib_parts_free(m->fib) == MAX_PAGES && fib_parts_free(m->fib6) == nodes_free);
	return 0;
}
