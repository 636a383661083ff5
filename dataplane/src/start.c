/* Start and stop of the dataplane, threads aside: the same in the process and in embedded mode. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine.h"
#include "table/nat44.h"

static int failed(const char *what, const char *name, int error)
{
	fprintf(stderr, "event=start-failed what=%s name=%s error=\"%s\"\n", what, name,
		strerror(-error));
	return error;
}

static int make_eventfds(struct dataplane *dp)
{
	for (uint32_t group = 0; group <= dp->n_workers; group++) {
		dp->group_fd[group] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (dp->group_fd[group] < 0)
			return failed("eventfd", "group", -errno);
	}
	dp->bngd_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return dp->bngd_fd < 0 ? failed("eventfd", "bngd", -errno) : 0;
}

static int make_rings(struct dataplane *dp)
{
	uint32_t buffers = 1u << (32 - __builtin_clz(dp->options.buffers - 1));

	for (uint32_t from = 0; from < dp->n_workers; from++) {
		dp->resolve[from] = spsc_create(RESOLVE_SIZE);
		if (!dp->resolve[from])
			return failed("memory", "rings", -ENOMEM);
		for (uint32_t to = 0; to < dp->n_workers; to++) {
			if (from == to)
				continue;
			dp->handoff[from][to] = spsc_create(HANDOFF_SIZE);
			dp->home[from][to] = spsc_create(buffers);
			if (!dp->handoff[from][to] || !dp->home[from][to])
				return failed("memory", "rings", -ENOMEM);
		}
	}
	return 0;
}

/* One piece of memory for all: a driver may share it with the kernel. */
static int make_pool(struct dataplane *dp)
{
	uint64_t size = (uint64_t)dp->n_workers * dp->options.buffers * sizeof(struct pkt);

	dp->pool_hugepages = dp->arena.hugepages;
	dp->pool = memory_map(size, &dp->pool_hugepages, &dp->pool_mapped);
	return dp->pool ? 0 : failed("memory", "buffers", -ENOMEM);
}

static int make_workers(struct dataplane *dp)
{
	for (uint8_t id = 0; id < dp->n_workers; id++) {
		struct worker *w = dp->worker[id] = worker_create(dp, id);
		if (!w)
			return failed("memory", "worker", -ENOMEM);
		for (uint16_t node = 0; node < dp->graph->n_nodes; node++) {
			int error =
				dp->graph->node[node]->init ? dp->graph->node[node]->init(w) : 0;
			if (error)
				return failed("node", dp->graph->node[node]->name, error);
		}
	}
	return 0;
}

static void describe_port(struct dataplane *dp, uint32_t i)
{
	const struct port_options *o = &dp->options.port[i];
	struct port_shared *s = &dp->tables.port[i];

	memcpy(s->name, o->name, sizeof(s->name));
	memcpy(s->interface, o->interface, sizeof(s->interface));
	memcpy(s->driver, o->driver, sizeof(s->driver));
	s->role = o->role;
	s->mtu = o->mtu;
	s->twin = o->twin;
	s->parent = o->parent;
	s->outer_tpid = o->outer_tpid;
	s->outer_vid = o->outer_vid;
	s->inner_tpid = o->inner_tpid;
	s->inner_vid = o->inner_vid;
	s->control_pbit = o->pbit;
	s->rx_worker = o->worker;
	s->n_access_ranges = o->n_access;
	memcpy(&dp->tables.access[i * MAX_ACCESS_RANGES], o->access, sizeof(o->access));
	dp->port[i] = (struct port){.shared = s, .index = (uint8_t)i};
	memcpy(dp->port[i].options, o->extra, sizeof(dp->port[i].options));
	dp->ports[i] = &dp->port[i];
}

/* Where frames of a routed port come in: on its own device, untagged, or on its parent's. */
static void place_port(struct dataplane *dp, const struct port *port)
{
	const struct port_shared *s = port->shared;
	bool is_vlan = s->parent != NO_PORT;
	uint8_t device = is_vlan ? (uint8_t)s->parent : port->index;

	if (s->role != PORT_ROUTED)
		return;
	dp->port[device].has_vlans |= is_vlan;
	lines_add(&dp->lines, port->index,
		line_key(device, s->outer_tpid, s->outer_vid, s->inner_tpid, s->inner_vid));
}

static bool has_option(const struct driver *driver, const char *key, size_t len)
{
	for (int i = 0; i < MAX_DRIVER_OPTIONS && driver->options[i]; i++)
		if (strlen(driver->options[i]) == len && !strncmp(driver->options[i], key, len))
			return true;
	return false;
}

static int check_options(const struct port *port)
{
	const char *at = port->options;

	while (*at) {
		size_t len = strcspn(at, ",");
		int key = (int)strcspn(at, "=");
		if (!has_option(port->driver, at, (size_t)key)) {
			fprintf(stderr, "bng-dataplane: port %s: %s has no option %.*s\n",
				port->shared->name, port->driver->name, key, at);
			return -EINVAL;
		}
		at += len + (at[len] == ',');
	}
	return 0;
}

/* What the kernel sends comes first: it is little, and sessions of routing protocols hang on it. */
static void add_rx(struct engine *e, struct port *port)
{
	uint16_t at = e->n_rx++;

	if (port->shared->role == PORT_TAP_TWIN) {
		e->rx[at] = e->rx[e->n_taps];
		at = e->n_taps++;
	}
	e->rx[at] = port;
}

static int open_port(struct dataplane *dp, struct port *port)
{
	port->driver = driver_find(port->shared->driver);
	if (!port->driver)
		return failed("driver", port->shared->driver, -ENOENT);
	int error = check_options(port);
	if (!error)
		error = port->driver->open(port);
	if (error)
		return failed("port", port->shared->name, error);
	dp->opened++;
	for (uint32_t id = 0; id < dp->n_workers; id++) {
		struct worker *w = dp->worker[id];
		error = port->driver->open_queue(port, w);
		if (error)
			return failed("port", port->shared->name, error);
		if (id == port->shared->rx_worker && port->driver->rx)
			add_rx(w->engine, port);
	}
	dp->last_flags[port->index] = port->shared->flags;
	return 0;
}

static int open_ports(struct dataplane *dp)
{
	lines_init(&dp->lines);
	dp->tables.lines = &dp->lines;
	for (uint32_t i = 0; i < dp->options.n_ports; i++)
		describe_port(dp, i);
	for (uint32_t i = 0; i < dp->options.n_ports; i++)
		place_port(dp, &dp->port[i]);
	for (uint32_t i = 0; i < dp->options.n_ports; i++) {
		int error = open_port(dp, &dp->port[i]);
		if (error)
			return error;
	}
	return 0;
}

static int start(struct dataplane *dp)
{
	struct tables *t = &dp->tables;
	int error = make_eventfds(dp);

	if (!error)
		error = make_rings(dp);
	if (!error)
		error = make_pool(dp);
	if (!error)
		error = make_workers(dp);
	if (!error)
		error = open_ports(dp);
	if (error)
		return error;
	nat44_init(t, dp->options.nat_address, dp->options.n_nat_addresses, dp->n_workers);
	struct session_reserve reserve = {.fib4_pages = dp->options.fib4_session_pages,
		.fib6_nodes = dp->options.fib6_session_nodes};
	dp->mirror = mirror_create(t, reserve, dp->threads);
	return dp->mirror ? 0 : failed("mirror", "netlink", -EIO);
}

int dataplane_start(struct dataplane *dp, bool threads)
{
	int error;

	dp->threads = threads;
	dp->n_workers = dp->options.n_workers;
	dp->bngd_fd = -1;
	memset(dp->group_fd, -1, sizeof(dp->group_fd));
	dp->graph = graph_build();
	error = arena_create(&dp->arena, &dp->options, dp->graph->n_nodes);
	if (error)
		return error;
	arena_tables(&dp->arena, &dp->tables);
	graph_describe(dp->graph,
		(void *)(dp->arena.base + dp->tables.arena->section[SECTION_NODE].offset));
	error = start(dp);
	if (error)
		dataplane_stop(dp);
	return error;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void dataplane_stop(struct dataplane *dp)
{
	if (dp->mirror)
		mirror_destroy(dp->mirror);
	for (uint32_t i = 0; i < dp->opened; i++)
		dp->port[i].driver->close(&dp->port[i]);
	for (uint32_t from = 0; from < dp->n_workers; from++) {
		for (uint32_t to = 0; to < dp->n_workers; to++) {
			free(dp->handoff[from][to]);
			free(dp->home[from][to]);
		}
		free(dp->resolve[from]);
		if (dp->worker[from])
			worker_destroy(dp->worker[from]);
		close_fd(dp->group_fd[from]);
	}
	if (dp->pool) {
		ASAN_UNPOISON_MEMORY_REGION(dp->pool, dp->pool_mapped);
		munmap(dp->pool, dp->pool_mapped);
	}
	close_fd(dp->group_fd[dp->n_workers]);
	close_fd(dp->bngd_fd);
	arena_destroy(&dp->arena);
}
