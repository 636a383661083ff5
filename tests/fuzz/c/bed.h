/*
 * The bed that the node fuzzers lie on: two workers in embedded mode, an access port, a routed port
 * with its twin, routed ports in VLANs of both, sessions in every state and routes of every kind.
 * After each input everything that was sent is looked at, and no buffer may be missing.
 *
 * Which edges of which nodes were taken goes to the file that FUZZ_EDGES names, at the end.
 */
#ifndef BNG_FUZZ_BED_H
#define BNG_FUZZ_BED_H

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embedded.h"
#include "hdr/checksum.h"
#include "hdr/ethernet.h"
#include "hdr/ip4.h"
#include "hdr/ip6.h"
#include "hdr/pppoe.h"
#include "node/session_header.h"
#include "ring.h"
#include "table/fib4.h"

enum { ACC0, WAN0, TAP0, VLAN0, VTAP0, ARM0, ATAP0, PORTS };
enum { SESSIONS = 16 };
enum {
	NAT_SESSION,
	PUBLIC_SESSION,
	NEGOTIATING_SESSION,
	PAUSED_SESSION,
	OTHER_SESSION, /* of the second worker, which receives nothing itself */
	OWN_SESSION,   /* with a public address of its own */
};
/* A step of an input starts with two bytes: these flags, of which the first that is set counts, and
 * a length. */
enum { STEP_TIME = 0x8000, STEP_REPEAT = 0x2000, STEP_MEND = 0x4000, STEP_LEN = 0x1fff };
enum { MOST_REPEATS = 128 }; /* in one input */

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

static inline void bed_push(uint32_t group, enum ring_kind kind, const void *record, uint32_t len)
{
	struct ring *ring = bed_ring(group, kind);
	void *room = ring_reserve(ring, (uint8_t *)bed.arena + ring->offset, len);
	if (!room)
		return;
	memcpy(room, record, len);
	ring_publish(ring, (uint8_t *)bed.arena + ring->offset, len);
}

static inline void bed_session(
	uint32_t worker, uint32_t session, uint16_t outer_vid, uint16_t inner_vid)
{
	struct command c = {.type = CMD_SESSION_BIND, .session = session, .generation = 1};
	c.u.bind = (struct session_bind){
		.outer_tpid = outer_vid ? TPID_8021AD : 0,
		.outer_vid = outer_vid,
		.inner_tpid = inner_vid ? TPID_8021Q : 0,
		.inner_vid = inner_vid,
		.domain = outer_vid ? 1 : 0,
		.domain_page = outer_vid ? 1 : 0,
		.session_id = (uint16_t)(session + 1),
		.mac = {2, 0, 0, 0, 0, (uint8_t)(session + 1)},
		.port = ACC0,
	};
	bed_push(worker, RING_COMMAND, &c, sizeof(c));
	c.type = CMD_SESSION_ECHO;
	c.u.echo = (struct session_echo){0x11111111, 0x22222222, 1000, 3, {0}};
	bed_push(worker, RING_COMMAND, &c, sizeof(c));
}

static inline void bed_up(uint32_t worker, uint32_t session, be32 address, uint32_t nat_address)
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
		.idle_timeout_ms = 5000,
	};
	bed_push(worker, RING_COMMAND, &c, sizeof(c));
}

/* Both ways; the committed burst takes one large frame or a few small ones. */
static inline void bed_policers(uint32_t worker, uint32_t session, enum policer_mode mode)
{
	struct command c = {.type = CMD_SESSION_POLICER, .session = session, .generation = 1};
	c.u.policer = (struct session_policer){
		.cir_bps = 100000000,
		.pir_bps = mode == POLICER_TRTCM ? 200000000 : 0,
		.cbs_bytes = 2000,
		.ebs_bytes = 4000,
		.mode = (uint8_t)mode,
	};
	for (c.arg = DIRECTION_IN; c.arg <= DIRECTION_OUT; c.arg++)
		bed_push(worker, RING_COMMAND, &c, sizeof(c));
}

/* Ports 1 to 7 are denied, GRE is rejected, all else passes; for a session of the first worker. */
static inline void bed_acl(uint32_t session)
{
	static const struct {
		struct acl_head head;
		struct acl_address zero;
		uint64_t all[2], but_ports[2][2], but_gre[2][2];
		uint32_t bounds[1], ports[3], protocols[3];
		uint16_t class[1], port_class[3], protocol_class[3];
		uint8_t actions[3];
		_Alignas(ACL_ALIGN) struct acl_counter counters[2][8]; /* whole lines */
	} acl = {
#define AT(member) offsetof(__typeof__(acl), member)
#define ANY {1, AT(bounds), AT(class), 1, AT(all)}
#define ANY6                                                                                       \
	{                                                                                          \
		1, AT(zero), AT(class), 1, AT(all)                                                 \
	}
		.head = {3, 1, AT(actions), AT(counters), 0,
			{ANY, ANY, ANY, {3, AT(ports), AT(port_class), 2, AT(but_ports)},
				{3, AT(protocols), AT(protocol_class), 2, AT(but_gre)}, ANY6,
				ANY6}},
#undef ANY6
#undef ANY
#undef AT
		.all = {1, 7},
		.but_ports = {{1, 6}, {1, 7}},
		.but_gre = {{1, 5}, {1, 7}},
		.ports = {0, 1, 8},
		.protocols = {0, 47, 48},
		.port_class = {0, 1, 0},
		.protocol_class = {0, 1, 0},
		.actions = {ACL_DENY, ACL_REJECT, ACL_PERMIT},
	};
	memcpy(bed_section(SECTION_ACL_MEMORY), &acl, sizeof(acl));
	struct command c = {.type = CMD_ACL_SET};
	c.u.acl_set.size = sizeof(acl);
	bed_push(bed.arena->n_workers, RING_COMMAND, &c, sizeof(c));
	c = (struct command){.type = CMD_SESSION_ACL, .session = session, .generation = 1};
	c.u.acl = (struct session_acl){.in = 1, .out = 1};
	bed_push(0, RING_COMMAND, &c, sizeof(c));
}

/* Public ports 80, of TCP and of UDP, lead to 8080. */
static inline void bed_forward(uint32_t session)
{
	struct command c = {.type = CMD_SESSION_FORWARD, .session = session, .generation = 1};
	c.u.forward = (struct session_forward){80, 8080, IPPROTO_TCP4, 1, {0}};
	bed_push(0, RING_COMMAND, &c, sizeof(c));
	c.u.forward.protocol = IPPROTO_UDP4;
	bed_push(0, RING_COMMAND, &c, sizeof(c));
}

/* To ports 1 to 7, and GRE, is translated, all else is not. */
static inline void bed_own_address(uint32_t session, be32 inner, be32 address)
{
	struct command c = {.type = CMD_SESSION_STATIC, .session = session, .generation = 1};
	c.u.nat_static = (struct session_static){.address = address, .inner = inner};
	bed_push(0, RING_COMMAND, &c, sizeof(c));
	c = (struct command){.type = CMD_SESSION_BYPASS, .session = session, .generation = 1};
	c.u.bypass.acl = 1; /* that of bed_acl() */
	bed_push(0, RING_COMMAND, &c, sizeof(c));
}

static inline void bed_sessions(void)
{
	bed_session(0, NAT_SESSION, 0, 0);
	bed_session(0, PUBLIC_SESSION, 100, 200);
	bed_session(0, NEGOTIATING_SESSION, 0, 0);
	bed_session(0, PAUSED_SESSION, 0, 0);
	bed_session(1, OTHER_SESSION, 0, 0);
	bed_session(0, OWN_SESSION, 0, 0);
	bed_up(0, NAT_SESSION, hton32(0x64400001), 1);
	bed_up(0, PUBLIC_SESSION, hton32(0xc6330002), 0);
	bed_up(0, PAUSED_SESSION, hton32(0xc6340003), 0);
	bed_up(1, OTHER_SESSION, hton32(0x64410001), 2);
	bed_up(0, OWN_SESSION, hton32(0xc6350001), 0);
	bed_forward(NAT_SESSION);
	bed_own_address(OWN_SESSION, hton32(0xc6350001), hton32(0xc6357107));
	bed_policers(0, PUBLIC_SESSION, POLICER_SRTCM);
	bed_policers(1, OTHER_SESSION, POLICER_TRTCM);
	bed_acl(PUBLIC_SESSION);
	const struct command pause = {
		.type = CMD_SESSION_PAUSE, .session = PAUSED_SESSION, .generation = 1};
	bed_push(0, RING_COMMAND, &pause, sizeof(pause));
	embedded_run(bed.embedded);
	const struct session_in *in = bed_section(SECTION_SESSION_IN);
	assert(in[NAT_SESSION].state == SESSION_LIVE && in[PUBLIC_SESSION].state == SESSION_LIVE);
	assert(in[OTHER_SESSION].state == SESSION_LIVE && in[OTHER_SESSION].owner == 1);
	assert(in[PAUSED_SESSION].state == SESSION_PAUSED);
	assert(in[NAT_SESSION].features & 1 << FEATURE_IN_NAT44_FORWARD);
	assert(in[OWN_SESSION].features & 1 << FEATURE_IN_NAT44_STATIC);
	assert(in[PUBLIC_SESSION].features & 1 << FEATURE_IN_ACL);
	assert(*(const uint64_t *)bed_section(SECTION_ACL));
}

/* 100.64/16, 100.65/16, and 198.51/16 to 198.53/16 are sessions', 203.0/16 and 203.1/16 the NAT
 * pool, 10.0/16 and so on one of each kind, 10.12/16 a group of them; all else is behind the
 * neighbour. 2a0b::/16 is the box's.
 */
static inline void bed_routes(void)
{
	static const uint8_t kinds[] = {ADJ_NEIGHBOUR, ADJ_LOCAL, ADJ_GATEWAY, ADJ_UNREACHABLE,
		ADJ_BLACKHOLE, ADJ_GLEAN, ADJ_PROHIBIT, ADJ_FREE, ADJ_NEIGHBOUR, ADJ_NAT_POOL,
		ADJ_NAT_POOL};
	enum { KINDS = sizeof(kinds) };
	uint32_t *root = bed_section(SECTION_FIB4_ROOT);
	uint32_t first = bed.arena->max_adjacencies - KINDS;
	struct adjacency *adjacency = bed_section(SECTION_ADJACENCY);
	for (uint32_t i = 0; i < KINDS; i++)
		adjacency[first + i] = (struct adjacency){
			.kind = kinds[i],
			.port = WAN0,
			.mtu = 1000,
			.rewrite = {2, 0, 0, 0, 1, 1, 2, 0, 0x5e, 0, 0, WAN0, 8, 0},
		};
	adjacency[first + 1].defended_s = 0; /* the local one */
	for (uint32_t i = 0; i < 65536; i++)
		root[i] = leaf_make(LEAF_ADJACENCY, first);
	for (uint32_t i = 1; i < KINDS; i++)
		root[0x0a00 + i] = leaf_make(LEAF_ADJACENCY, first + i);
	root[0x0aff] = 0;
	((uint32_t *)bed_section(SECTION_FIB6_ROOT))[0x2a0b] = leaf_make(LEAF_ADJACENCY, first + 1);
	adjacency[first - 2] = adjacency[first];
	adjacency[first - 2].port = VLAN0;
	root[0x0a0d] = leaf_make(LEAF_ADJACENCY, first - 2);
	adjacency[first - 1] = (struct adjacency){.kind = ADJ_GROUP};
	for (uint32_t i = 0; i < GROUP_SLOTS; i++)
		adjacency[first - 1].member[i] = (uint16_t)(first + i % KINDS);
	root[0x0a0c] = leaf_make(LEAF_ADJACENCY, first - 1);
	adjacency[first + KINDS - 3].port = PORTS; /* that is none */
	adjacency[first + KINDS - 1].index = 1;
	root[0xcb00] = leaf_make(LEAF_ADJACENCY, first + KINDS - 2);
	root[0xcb01] = leaf_make(LEAF_ADJACENCY, first + KINDS - 1);
	root[0x6440] = leaf_make(LEAF_SESSION, NAT_SESSION);
	root[0x6441] = leaf_make(LEAF_SESSION, OTHER_SESSION);
	root[0xc633] = leaf_make(LEAF_SESSION, PUBLIC_SESSION);
	root[0xc634] = leaf_make(LEAF_SESSION, PAUSED_SESSION);
	root[0xc635] = leaf_make(LEAF_SESSION, OWN_SESSION);
}

static inline void bed_empty_rings(void)
{
	for (uint32_t group = 0; group <= bed.arena->n_workers; group++)
		for (int kind = 0; kind < RINGS_PER_GROUP; kind++)
			bed_ring(group, (enum ring_kind)kind)->tail =
				bed_ring(group, (enum ring_kind)kind)->head;
}

/* One line for each edge that was taken: node, next node, packets. */
static inline void bed_report(void)
{
	const struct node_name *node = bed_section(SECTION_NODE);
	const uint64_t *count = bed_section(SECTION_EDGE_COUNTER);
	FILE *f = fopen(getenv("FUZZ_EDGES"), "w");
	assert(f);
	for (uint32_t w = 0; w < bed.arena->n_workers; w++)
		for (uint32_t n = 0; n < bed.arena->n_nodes; n++)
			for (uint32_t e = 0; e < node[n].n_edges; e++)
				fprintf(f, "%s %s %" PRIu64 "\n", node[n].name,
					node[n].edge[e].next,
					count[(w * MAX_NODES + n) * MAX_EDGES + e]);
	fclose(f);
}

enum { BED_NAT_ADDRESSES = 3 }; /* there is room for two more */

static inline void bed_create(void)
{
	static char args[][88] = {"fuzz", "--sessions=16", "--buffers=1024", "--hugepages=off",
		"--workers=-,-", "--fib4-pages=64", "--adjacencies=64",
		"--port=name=acc0,driver=gen,role=access,mtu=1508,pbit=6",
		"--port=name=wan0,driver=gen,role=routed,mtu=1500,tap=tap0,tap-driver=gen",
		"--port=name=vlan0,role=routed,parent=wan0,outer=300,tap=tap1,tap-driver=gen",
		"--port=name=arm0,role=routed,parent=acc0,outer=200,inner=7,tap=t2,tap-driver=gen",
		"--access=port=acc0,outer=any,inner=any", "--nat-address=203.0.113.1",
		"--nat-address=203.1.113.2", "--nat-address=203.0.113.3,deterministic",
		"--nat-max-addresses=5"};
	enum { ARGS = sizeof(args) / sizeof(args[0]) };
	char *argv[ARGS + 1] = {NULL};
	for (int i = 0; i < ARGS; i++)
		argv[i] = args[i];
	bed.embedded = embedded_create(ARGS, argv);
	assert(bed.embedded);
	bed.arena = embedded_arena(bed.embedded);
	bed.now_ns = UINT64_C(1000000000000);
	if (getenv("FUZZ_EDGES"))
		atexit(bed_report);
}

/* Packets are traced: records hold what may be read only. All of them, those of a session, and for
 * a short time those of a filter, in turn. */
static inline void bed_trace(void)
{
	static uint32_t number;
	number = number % TRACE_MAX + 1;
	struct command c = {
		.type = CMD_TRACE, .session = NO_SESSION, .generation = 1, .arg = number};
	c.u.trace = (struct trace_filter){
		.port = TRACE_ANY, .count = TRACE_MAX_COUNT, .lease_ms = TRACE_MAX_LEASE};
	if (number % 3 == 1)
		c.session = number & 1 ? NAT_SESSION : OTHER_SESSION;
	if (number % 12 == 5) { /* 2a00::/13 */
		c.u.trace.prefix6[0] = 0x2a;
		c.u.trace.length6 = 13;
	} else if (number % 3 == 2) {
		c.u.trace.mask = hton32(0x80000000);
		c.u.trace.l4_port = number & 1 ? hton16(53) : 0;
		c.u.trace.protocol = number & 1 ? IPPROTO_UDP4 : 0;
		c.u.trace.port = number & 2 ? TRACE_ANY : ACC0;
		c.u.trace.lease_ms = 20;
	}
	for (uint32_t worker = 0; worker < bed.arena->n_workers; worker++)
		bed_push(worker, RING_COMMAND, &c, sizeof(c));
}

static inline void bed_open(void)
{
	if (bed.embedded) {
		bed_trace();
		return;
	}
	bed_create();
	struct port_shared *port = bed_section(SECTION_PORT);
	port[ACC0].ip4 = hton32(0x0a020001);
	port[WAN0].ip4 = hton32(0x0a010001);
	bed_routes();
	bed_sessions();
	bed_empty_rings();
	bed_trace();
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

/* An IPv6 packet that we send has the length it says, and somewhere to go. */
static inline void bed_check_ip6(const uint8_t *bytes, size_t len)
{
	const struct ip6_hdr *ip = (const struct ip6_hdr *)bytes;
	assert(len >= IP6_LEN && bytes[0] >> 4 == 6);
	assert(ntoh16(ip->payload_length) == len - IP6_LEN);
	assert(ip->hop_limit > 0);
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
	if ((f->bytes[at] << 8 | f->bytes[at + 1]) == PPP_IP6)
		bed_check_ip6(f->bytes + at + 2, f->len - at - 2);
}

/* Frames between the routed port and its twin are whatever came in; ours are IP. */
static inline void bed_check_routed(const struct embedded_frame *f)
{
	static const uint8_t neighbour[6] = {2, 0, 0, 0, 1, 1};
	size_t at = ETH_LEN;
	if (f->bytes[12] == 0x81 && f->bytes[13] == 0)
		at += VLAN_LEN; /* vlan0's */
	if (memcmp(f->bytes, neighbour, 6) != 0)
		return;
	if (f->bytes[at - 2] == ETHERTYPE_IP6 >> 8)
		bed_check_ip6(f->bytes + at, f->len - at);
	else
		bed_check_ip4(f->bytes + at, f->len - at);
}

static inline void bed_pass_time(uint32_t ms)
{
	bed.now_ns += (uint64_t)ms * 1000000;
	embedded_set_time(bed.embedded, bed.now_ns);
	assert(embedded_run(bed.embedded) == 0);
}

/* Fragments that wait for a first one do so no longer than this. */
enum { BED_HELD_MS = 2000 };

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
	if (embedded_buffers_in_use(bed.embedded))
		bed_pass_time(BED_HELD_MS);
	assert(embedded_buffers_in_use(bed.embedded) == 0);
	bed_empty_rings();
	bed_pass_time(7);
}

/* Makes lengths and checksums right, so that the fuzzer gets behind them. */
static inline void bed_mend_ip4(uint8_t *bytes, size_t len)
{
	struct ip4_hdr *ip = (struct ip4_hdr *)bytes;
	if (len < IP4_LEN || ip4_header_len(ip) < IP4_LEN || ip4_header_len(ip) > len)
		return;
	size_t header = ip4_header_len(ip);
	ip->total_length = hton16((uint16_t)len);
	ip->checksum = 0;
	ip->checksum = checksum(ip, header);
	if (ip->protocol != IPPROTO_ICMP4 || len < header + ICMP4_LEN)
		return;
	memset(bytes + header + 2, 0, 2);
	be16 sum = checksum(bytes + header, len - header);
	memcpy(bytes + header + 2, &sum, 2);
}

static inline void bed_mend(uint8_t *bytes, size_t len)
{
	size_t at = 12;
	while (at + 4 <= len && is_tpid((uint16_t)(bytes[at] << 8 | bytes[at + 1])))
		at += VLAN_LEN;
	if (at + 2 > len)
		return;
	uint16_t type = (uint16_t)(bytes[at] << 8 | bytes[at + 1]);
	at += 2;
	if (type == ETHERTYPE_PPPOE_SESSION && at + PPPOE_LEN + PPP_PROTOCOL_LEN <= len) {
		be16 length = hton16((uint16_t)(len - at - PPPOE_LEN));
		memcpy(bytes + at + 4, &length, 2);
		at += PPPOE_LEN + PPP_PROTOCOL_LEN;
	}
	if (type == ETHERTYPE_PPPOE_SESSION || type == ETHERTYPE_IP4)
		bed_mend_ip4(bytes + at, len - at);
}

/* The input is steps: a frame of that length, mended or not; the frame before once more, that many
 * times; or that many milliseconds. */
static inline void bed_receive(uint32_t port, const uint8_t *data, size_t size)
{
	static struct embedded_frame frame;
	uint32_t repeats = 0;
	frame.len = 0;
	while (size > 2) {
		uint32_t word = (uint32_t)(data[0] << 8 | data[1]);
		size_t len = word & STEP_LEN;
		data += 2;
		size -= 2;
		if (word & STEP_TIME) {
			bed_pass_time((uint32_t)len);
			continue;
		}
		if (word & STEP_REPEAT) {
			for (; len && repeats < MOST_REPEATS; len--, repeats++)
				embedded_receive(bed.embedded, port, &frame, 1);
			continue;
		}
		if (len > size)
			len = size;
		if (len > sizeof(frame.bytes))
			return;
		frame.len = (uint16_t)len;
		memcpy(frame.bytes, data, len);
		if (word & STEP_MEND)
			bed_mend(frame.bytes, len);
		embedded_receive(bed.embedded, port, &frame, 1);
		data += len;
		size -= len;
	}
}

#endif
