/*
 * The NAT44 nodes, packet after packet against the same table. Each step is a control byte, a
 * length and an IPv4 packet; the control byte says which node takes it and what is put right in it
 * first, so that the fuzzer gets behind addresses and checksums. Outbound the last two bits of TOS
 * say which session it comes from: two share an address, the third one's ports are deterministic.
 *
 * After each step: no buffer is lost, but for fragments that wait; lengths are as before, the node
 * chose an edge of its own, and what it passed on has a right IPv4 checksum if it had one before.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "embedded.h"
#include "graph.h"
#include "hdr/checksum.h"
#include "hdr/ip4.h"
#include "ring.h"
#include "table/fib4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum control {
	STEP_IN = 1,	    /* to nat44_out2in, else nat44_in2out */
	STEP_ADDRESS = 2,   /* outer address that the node looks at */
	STEP_QUOTE = 4,	    /* the same of a quoted packet, and both its checksums */
	STEP_PORT = 8,	    /* inbound: a port that was handed out before */
	STEP_TIME = 16,	    /* the first byte of the packet, in tens of seconds, passes first */
	STEP_CHECKSUM = 32, /* of the IPv4 header */
	STEP_MANY = 64,	    /* MANY packets, each from (or to) the next port */
	STEP_STRICT = 128,  /* address-dependent filtering, limits on mappings, which are logged */
};

enum {
	MANY = 80,	/* more than a block has ports */
	MOST_HELD = 64, /* of 512 buffers */
	HELD_MS = 2000,
	DETERMINISTIC = 2, /* session */
};

static struct embedded *e;
static struct arena_header *arena;
static uint64_t now_ns;
static be32 inner[3], outer;
static uint32_t pool_leaf;
static be16 last_port;
static uint16_t to_fragment; /* edge of nat44_out2in */

static void *section(enum arena_section_id id)
{
	return (uint8_t *)arena + arena->section[id].offset;
}

/* To the only worker, group 0, or the control thread, 1. */
static void command(uint32_t group, const struct command *c)
{
	struct ring *ring =
		(struct ring *)section(SECTION_RING) + group * RINGS_PER_GROUP + RING_COMMAND;
	uint8_t *bytes = (uint8_t *)arena + ring->offset;
	void *room = ring_reserve(ring, bytes, sizeof(*c));
	assert(room);
	memcpy(room, c, sizeof(*c));
	ring_publish(ring, bytes, sizeof(*c));
	embedded_run(e);
}

static uint16_t find_edge(const char *from, const char *to)
{
	const struct node_name *node = section(SECTION_NODE);
	while (strcmp(node->name, from))
		node++;
	for (uint16_t edge = 0; edge < node->n_edges; edge++)
		if (!strcmp(node->edge[edge].next, to))
			return edge;
	abort();
}

static void find_pool(void)
{
	const struct adjacency *adjacency = section(SECTION_ADJACENCY);
	for (uint32_t i = 0; i < arena->max_adjacencies; i++)
		if (adjacency[i].kind == ADJ_NAT_POOL && adjacency[i].index == 0)
			pool_leaf = leaf_make(LEAF_ADJACENCY, i);
	assert(pool_leaf);
}

/* A translated session that is LIVE. */
static void connect(uint32_t session, uint32_t address, uint16_t first_block)
{
	inner[session] = hton32(0x64400001 + session);
	struct command c = {.type = CMD_SESSION_BIND, .session = session, .generation = 1};
	c.u.bind.session_id = (uint16_t)(session + 1);
	c.u.bind.mac[0] = 2;
	command(0, &c);
	c = (struct command){.type = CMD_SESSION_UP, .session = session, .generation = 1};
	c.u.up = (struct session_up){
		.ip4 = inner[session],
		.nat_address = address,
		.nat_block = first_block,
		.nat_blocks = first_block ? 2 : 0,
		.features_in = 1 << FEATURE_IN_NAT44,
		.mtu_in = 1500,
		.mtu_out = 1492,
	};
	command(0, &c);
	const struct session_in *in = section(SECTION_SESSION_IN);
	assert(in[session].state == SESSION_LIVE && in[session].nat_block);
}

static void start(void)
{
	static const char *const options[] = {"fuzz", "--port",
		"name=acc0,driver=gen,role=access,mtu=1508", "--port",
		"name=wan0,driver=gen,role=routed,mtu=1500", "--access",
		"port=acc0,outer=none,inner=none", "--sessions", "64", "--buffers", "512",
		"--workers", "-", "--hugepages", "off", "--nat-address", "203.0.113.1",
		"--nat-address", "203.0.113.2,deterministic", "--nat-block-size", "64",
		"--nat-blocks", "2", "--nat-remotes", "64", "--nat-protocol-flows", "64"};
	enum { N = sizeof(options) / sizeof(options[0]) };
	char *argv[N + 1] = {0};
	for (int i = 0; i < N; i++)
		argv[i] = strdup(options[i]); /* parsing cuts them */
	e = embedded_create(N, argv);
	for (int i = 0; i < N; i++)
		free(argv[i]);
	assert(e);
	arena = embedded_arena(e);
	outer = hton32(0xcb007101);
	find_pool();
	to_fragment = find_edge("nat44_out2in", "nat44_fragment");
	connect(0, 1, 0);
	connect(1, 1, 0);
	connect(DETERMINISTIC, 2, 21);
	now_ns = UINT64_C(1000000000000);
}

/* Makes the quote of an ICMP error be about the subscriber, and both checksums right. */
static void mend_quote(uint8_t *icmp, uint16_t len, bool inbound, be32 local)
{
	if (len >= ICMP4_LEN + IP4_LEN) {
		struct ip4_hdr *ip = (struct ip4_hdr *)(icmp + ICMP4_LEN);
		uint16_t header = ip4_header_len(ip);
		if (inbound)
			ip->source = outer;
		else
			ip->destination = local;
		if (header >= IP4_LEN && header + ICMP4_LEN <= len) {
			ip->checksum = 0;
			ip->checksum = checksum(ip, header);
		}
	}
	memset(icmp + 2, 0, 2);
	be16 sum = checksum(icmp, len);
	memcpy(icmp + 2, &sum, 2);
}

static void mend(uint8_t *bytes, uint16_t len, uint8_t control, be32 local)
{
	struct ip4_hdr *ip = (struct ip4_hdr *)bytes;
	bool inbound = control & STEP_IN;
	uint16_t header = len < IP4_LEN ? 0 : ip4_header_len(ip);
	if (header < IP4_LEN || len < header + ICMP4_LEN)
		return;
	if (control & STEP_ADDRESS && !inbound)
		ip->source = local;
	if (control & STEP_ADDRESS && inbound)
		ip->destination = outer;
	if (control & STEP_PORT && inbound)
		memcpy(bytes + header + (ip->protocol == IPPROTO_ICMP4 ? 4 : 2), &last_port, 2);
	if (control & STEP_QUOTE && ip->protocol == IPPROTO_ICMP4)
		mend_quote(bytes + header, (uint16_t)(len - header), inbound, local);
	if (control & STEP_CHECKSUM) {
		ip->checksum = 0;
		ip->checksum = checksum(ip, header);
	}
}

static bool has_right_checksum(const uint8_t *bytes, uint16_t len)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)bytes;
	return len >= IP4_LEN && ip4_header_len(ip) >= IP4_LEN && ip4_header_len(ip) <= len &&
	       !checksum(ip, ip4_header_len(ip));
}

static void remember_port(const struct embedded_frame *f)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)f->bytes;
	uint16_t header = ip4_header_len(ip);
	if (ip->source == outer && f->len >= header + ICMP4_LEN)
		memcpy(&last_port, f->bytes + header + (ip->protocol == IPPROTO_ICMP4 ? 4 : 0), 2);
}

/* Moves the source port on, or the identifier of an echo. */
static void move_port(uint8_t *bytes, uint16_t len, uint8_t by)
{
	uint16_t at = len < IP4_LEN ? 0 : ip4_header_len((const struct ip4_hdr *)bytes);
	if (at < IP4_LEN || len < at + ICMP4_LEN)
		return;
	if (((const struct ip4_hdr *)bytes)->protocol == IPPROTO_ICMP4)
		at = (uint16_t)(at + 4);
	bytes[at + 1] = (uint8_t)(bytes[at + 1] + by);
}

/* Tells the control thread when it changes. */
static void set_strict(bool strict)
{
	static bool now;
	if (strict == now)
		return;
	now = strict;
	const struct command c = {.type = CMD_NAT_SET,
		.flags = CMD_FLAG_QUIET,
		.u.nat = {.filtering = strict ? NAT_ADDRESS_DEPENDENT : NAT_ENDPOINT_INDEPENDENT,
			.remotes_per_session = 4096,
			.mappings_per_session = strict ? 100 : 0,
			.mappings_per_s = strict ? 60 : 0,
			.log_mappings = strict}};
	command(1, &c);
}

static void run_packet(uint8_t control, const uint8_t *data, uint16_t len, uint8_t nth)
{
	static struct embedded_frame f;
	bool inbound = control & STEP_IN;
	uint8_t tos = len > 1 ? data[1] : 0;
	uint32_t session = tos & 2 ? DETERMINISTIC : tos & 1;
	f.session = inbound ? NO_SESSION : session;
	f.leaf = pool_leaf;
	f.skip = 0;
	f.arc = 1 << FEATURE_IN_NAT44;
	f.flags = 0;
	f.len = len;
	memcpy(f.bytes, data, len);
	move_port(f.bytes, len, nth);
	mend(f.bytes, len, control, inner[session]);
	bool right = has_right_checksum(f.bytes, len);

	set_strict(control & STEP_STRICT);
	int error = embedded_run_node(e, 0, inbound ? "nat44_out2in" : "nat44_in2out", &f, 1);
	assert(!error && f.len == len && f.edge < ARC_EDGES + 16);
	if (inbound && f.edge == to_fragment)
		error = embedded_run_node(e, 0, "nat44_fragment", &f, 1);
	assert(!error && f.len == len && embedded_buffers_in_use(e) <= MOST_HELD);
	if (f.edge != 0) /* only edge 0 of either node passes on */
		return;
	assert(!right || has_right_checksum(f.bytes, len));
	if (inbound)
		assert(f.session < 2 &&
			((struct ip4_hdr *)f.bytes)->destination == inner[f.session]);
	else
		remember_port(&f);
}

static void pass_time(uint32_t ms)
{
	now_ns += (uint64_t)ms * 1000000;
	embedded_set_time(e, now_ns);
}

static void run_step(uint8_t control, const uint8_t *data, uint16_t len)
{
	if (control & STEP_TIME && len)
		pass_time(data[0] * 10000u);
	for (uint8_t i = 0; i < (control & STEP_MANY ? MANY : 1); i++)
		run_packet(control, data, len, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!e)
		start();
	while (size >= 2) {
		uint16_t len = data[1];
		if (len > size - 2)
			len = (uint16_t)(size - 2);
		run_step(data[0], data + 2, len);
		data += 2 + len;
		size -= 2 + len;
	}
	pass_time(HELD_MS);
	assert(!embedded_run(e) && !embedded_buffers_in_use(e));
	return 0;
}
