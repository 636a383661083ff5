/*
 * The bed that the node fuzzers lie on: one worker in embedded mode, an access port, a routed port
 * with its twin, three sessions and routes of every kind. After each input everything that was sent
 * is looked at, and no buffer may be missing.
 */
#ifndef BNG_FUZZ_BED_H
#define BNG_FUZZ_BED_H

#include <assert.h>
#include <string.h>

#include "embedded.h"
#include "hdr/checksum.h"
#include "hdr/ethernet.h"
#include "hdr/ip4.h"
#include "hdr/pppoe.h"
#include "ring.h"
#include "table/fib4.h"

enum { ACC0, WAN0, TAP0, PORTS };
enum { SESSIONS = 16, NAT_SESSION = 0, PUBLIC_SESSION = 1, NEGOTIATING_SESSION = 2 };

struct bed {
	struct embedded *embedded;
	struct arena_header *arena;
	uint64_t now_ns;
};

static struct bed bed;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void *bed_section(enum arena_section_id id)
{
	return (uint8_t *)bed.arena + bed.arena->section[id].offset;
}

static inline struct ring *bed_ring(uint32_t group, enum ring_kind kind)
{
	return (struct ring *)bed_section(SECTION_RING) + group * RINGS_PER_GROUP + kind;
}

static inline void bed_push(enum ring_kind kind, const void *record, uint32_t len)
{
	struct ring *ring = bed_ring(0, kind);
	void *room = ring_reserve(ring, (uint8_t *)bed.arena + ring->offset, len);
	if (!room)
		return;
	memcpy(room, record, len);
	ring_publish(ring, (uint8_t *)bed.arena + ring->offset, len);
}

static inline void bed_session(uint32_t session, uint16_t outer_vid, uint16_t inner_vid)
{
	struct command c = {.type = CMD_SESSION_BIND, .session = session, .generation = 1};
	c.u.bind = (struct session_bind){
		.outer_tpid = outer_vid ? TPID_8021AD : 0,
		.outer_vid = outer_vid,
		.inner_tpid = inner_vid ? TPID_8021Q : 0,
		.inner_vid = inner_vid,
		.domain = session,
		.domain_page = session,
		.session_id = (uint16_t)(session + 1),
		.mac = {2, 0, 0, 0, 0, (uint8_t)(session + 1)},
		.port = ACC0,
	};
	bed_push(RING_COMMAND, &c, sizeof(c));
	c.type = CMD_SESSION_ECHO;
	c.u.echo = (struct session_echo){0x11111111, 0x22222222, 1000, 3, {0}};
	bed_push(RING_COMMAND, &c, sizeof(c));
}

static inline void bed_up(uint32_t session, be32 address, uint32_t nat_address)
{
	struct command c = {.type = CMD_SESSION_UP, .session = session, .generation = 1};
	c.u.up = (struct session_up){
		.ip4 = address,
		.nat_address = nat_address,
		.features_in = 1 << FEATURE_IN_MSS_CLAMP | 1 << FEATURE_IN_NAT44,
		.features_out = 1 << FEATURE_OUT_MSS_CLAMP,
		.mtu_in = 1500,
		.mtu_out = 500,
		.mss = 460,
	};
	bed_push(RING_COMMAND, &c, sizeof(c));
}

/* 198.51/16 is a session's, 203.0/16 the NAT pool, 10.0/16 and so on one of each kind; all else
 * is behind the neighbour. */
static inline void bed_routes(void)
{
	static const uint8_t kinds[] = {ADJ_NEIGHBOUR, ADJ_LOCAL, ADJ_GATEWAY, ADJ_UNREACHABLE,
		ADJ_BLACKHOLE, ADJ_GLEAN, ADJ_PROHIBIT, ADJ_FREE, ADJ_NAT_POOL};
	uint32_t *root = bed_section(SECTION_FIB4_ROOT);
	uint32_t first = bed.arena->max_adjacencies - (uint32_t)sizeof(kinds);
	struct adjacency *adjacency = bed_section(SECTION_ADJACENCY);
	for (uint32_t i = 0; i < sizeof(kinds); i++)
		adjacency[first + i] = (struct adjacency){
			.kind = kinds[i],
			.port = WAN0,
			.rewrite_len = ETH_LEN,
			.mtu = 1000,
			.rewrite = {2, 0, 0, 0, 1, 1, 2, 0, 0x5e, 0, 0, WAN0, 8, 0},
		};
	for (uint32_t i = 0; i < 65536; i++)
		root[i] = leaf_make(LEAF_ADJACENCY, first);
	for (uint32_t i = 1; i < sizeof(kinds); i++)
		root[0x0a00 + i] = leaf_make(LEAF_ADJACENCY, first + i);
	root[0x0aff] = 0;
	root[0xcb00] = leaf_make(LEAF_ADJACENCY, first + (uint32_t)sizeof(kinds) - 1);
	root[0x6440] = leaf_make(LEAF_SESSION, NAT_SESSION);
	root[0xc633] = leaf_make(LEAF_SESSION, PUBLIC_SESSION);
}

static inline void bed_empty_rings(void)
{
	for (uint32_t group = 0; group <= bed.arena->n_workers; group++)
		for (int kind = 0; kind < RINGS_PER_GROUP; kind++)
			bed_ring(group, (enum ring_kind)kind)->tail =
				bed_ring(group, (enum ring_kind)kind)->head;
}

static inline void bed_open(void)
{
	static char args[][88] = {"fuzz", "--sessions=16", "--buffers=2048", "--hugepages=off",
		"--port=name=acc0,driver=gen,role=access,mtu=1508,pbit=6",
		"--port=name=wan0,driver=gen,role=routed,mtu=1500,tap=tap0,tap-driver=gen",
		"--access=port=acc0,outer=any,inner=any", "--nat-address=203.0.113.1"};
	enum { ARGS = sizeof(args) / sizeof(args[0]) };
	char *argv[ARGS + 1] = {NULL};
	if (bed.embedded)
		return;
	for (int i = 0; i < ARGS; i++)
		argv[i] = args[i];
	bed.embedded = embedded_create(ARGS, argv);
	assert(bed.embedded);
	bed.arena = embedded_arena(bed.embedded);
	bed.now_ns = UINT64_C(1000000000000);
	struct port_shared *port = bed_section(SECTION_PORT);
	port[ACC0].ip4 = hton32(0x0a020001);
	port[WAN0].ip4 = hton32(0x0a010001);
	bed_routes();
	bed_session(NAT_SESSION, 0, 0);
	bed_session(PUBLIC_SESSION, 100, 200);
	bed_session(NEGOTIATING_SESSION, 0, 0);
	bed_up(NAT_SESSION, hton32(0x64400001), 1);
	bed_up(PUBLIC_SESSION, hton32(0xc6330002), 0);
	embedded_run(bed.embedded);
	const struct session_in *in = bed_section(SECTION_SESSION_IN);
	assert(in[NAT_SESSION].state == SESSION_LIVE && in[PUBLIC_SESSION].state == SESSION_LIVE);
	bed_empty_rings();
}

/* An IPv4 packet that we send has a right header, and the length it says. */
static inline void bed_check_ip4(const uint8_t *bytes, size_t len)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)bytes;
	assert(len >= IP4_LEN && ip->version_ihl >> 4 == 4);
	assert(ip4_header_len(ip) >= IP4_LEN && ip4_header_len(ip) <= len);
	assert(ntoh16(ip->total_length) == len);
	assert(checksum(ip, ip4_header_len(ip)) == 0);
	assert(ip->ttl > 0);
}

static inline void bed_check_access(const struct embedded_frame *f)
{
	size_t at = 12;
	while (at + 4 <= f->len && is_tpid((uint16_t)(f->bytes[at] << 8 | f->bytes[at + 1])))
		at += VLAN_LEN;
	uint16_t type = (uint16_t)(f->bytes[at] << 8 | f->bytes[at + 1]);
	at += 2;
	assert(type == ETHERTYPE_PPPOE_DISCOVERY || type == ETHERTYPE_PPPOE_SESSION);
	assert(!(f->bytes[0] & 1) && f->len >= at + PPPOE_LEN);
	if (type != ETHERTYPE_PPPOE_SESSION)
		return;
	assert(f->bytes[at] == PPPOE_VER_TYPE && f->bytes[at + 1] == PPPOE_CODE_SESSION);
	assert((f->bytes[at + 4] << 8 | f->bytes[at + 5]) == f->len - (int)at - PPPOE_LEN);
	at += PPPOE_LEN;
	if ((f->bytes[at] << 8 | f->bytes[at + 1]) == PPP_IP4)
		bed_check_ip4(f->bytes + at + 2, f->len - at - 2);
}

/* Frames between the routed port and its twin are whatever came in; ours are IPv4. */
static inline void bed_check_routed(const struct embedded_frame *f)
{
	static const uint8_t neighbour[6] = {2, 0, 0, 0, 1, 1};
	if (!memcmp(f->bytes, neighbour, 6))
		bed_check_ip4(f->bytes + ETH_LEN, f->len - (size_t)ETH_LEN);
}

static inline void bed_finish(bool ours_only)
{
	static struct embedded_frame frames[64];
	assert(embedded_run(bed.embedded) == 0);
	for (uint32_t port = 0; port < PORTS; port++) {
		int n;
		while ((n = embedded_transmitted(bed.embedded, port, frames, 64)) > 0)
			for (int i = 0; i < n; i++)
				if (port == ACC0 && ours_only)
					bed_check_access(&frames[i]);
				else if (port == WAN0 && ours_only)
					bed_check_routed(&frames[i]);
	}
	assert(embedded_buffers_in_use(bed.embedded) == 0);
	bed_empty_rings();
	bed.now_ns += 7000000;
	embedded_set_time(bed.embedded, bed.now_ns);
}

/* The input is frames, each after its length in two bytes. */
static inline void bed_receive(uint32_t port, const uint8_t *data, size_t size)
{
	static struct embedded_frame frame;
	while (size > 2) {
		size_t len = (size_t)(data[0] << 8 | data[1]);
		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		if (len > sizeof(frame.bytes))
			return;
		frame.len = (uint16_t)len;
		memcpy(frame.bytes, data, len);
		embedded_receive(bed.embedded, port, &frame, 1);
		data += len;
		size -= len;
	}
}

#endif
