/*
 * IPv6: each session has a /64 of its own, from one aggregate, and sends from one address in it.
 * Packets are of the same length as the frames of IPv4 have room for: no upper layer but two bytes.
 */
#include <assert.h>
#include <string.h>

#include "bench.h"
#include "hdr/ethernet.h"
#include "hdr/ip6.h"
#include "hdr/pppoe.h"
#include "table/fib4.h"

enum { DATA_LEN = 2, NO_NEXT_HEADER = 59 };

#define CLIENTS6 UINT64_C(0x20010db800000000) /* 2001:db8::/48, a /64 each */
#define SERVER6 UINT64_C(0x2a02000000000000)  /* 2a02::/16 */

static uint64_t prefix_of(uint32_t session)
{
	return CLIENTS6 + session;
}

static void serve(struct bench *b, uint32_t session)
{
	struct command on = {.type = CMD_SESSION_IP6, .session = session, .generation = 1};
	struct command route = {.type = CMD_ROUTE6_ADD, .session = session, .generation = 1};

	on.u.ip6 = (struct session_ip6_set){
		.link_prefix = prefix_of(session), .interface_id = 1, .on = 1};
	route.u.route6.length = 64;
	ip6_put(route.u.route6.prefix, prefix_of(session), 0);
	bench_command(b, b->owner->id, &on);
	bench_command(b, b->dp->n_workers, &route);
}

void bench_set_ip6(struct bench *b)
{
	b->ip6 = true;
}

void bench_begin_ip6(struct bench *b)
{
	uint32_t *root = b->dp->tables.fib6.root;
	uint32_t next_hop = b->dp->options.adjacencies - 1;

	for (uint32_t i = 0; i < b->sessions; i++)
		serve(b, i);
	root[SERVER6 >> 48] = leaf_make(LEAF_ADJACENCY, next_hop);
}

static void put_ip6(uint8_t *at, uint64_t from, uint64_t to)
{
	struct ip6_hdr ip = {.version_class_flow = hton32(6u << 28),
		.payload_length = hton16(DATA_LEN),
		.next_header = NO_NEXT_HEADER,
		.hop_limit = 64};

	ip6_put(ip.source, from, 1);
	ip6_put(ip.destination, to, 1);
	memcpy(at, &ip, sizeof(ip));
	memset(at + sizeof(ip), 0, DATA_LEN);
}

void bench_upstream_ip6(struct bench *b, uint32_t session)
{
	uint16_t length = IP6_LEN + DATA_LEN + 2;
	struct pppoe_hdr pppoe = {.ver_type = PPPOE_VER_TYPE,
		.session_id = hton16((uint16_t)(session + 1)),
		.length = hton16(length)};
	be16 protocol = hton16(PPP_IP6);
	struct eth_hdr eth = {.type = hton16(ETHERTYPE_PPPOE_SESSION)};
	uint8_t *at = b->frames[session];

	memcpy(eth.destination, b->dp->tables.port[ACC].mac, 6);
	mac_of(session, eth.source);
	memcpy(at, &eth, sizeof(eth));
	memcpy(at + ETH_LEN, &pppoe, sizeof(pppoe));
	memcpy(at + ETH_LEN + PPPOE_LEN, &protocol, sizeof(protocol));
	put_ip6(at + ETH_LEN + PPPOE_LEN + 2, prefix_of(session), SERVER6);
	b->frame_len = (uint16_t)(ETH_LEN + PPPOE_LEN + length);
	assert(b->frame_len <= sizeof(b->frames[0]));
}

void bench_downstream_ip6(struct bench *b)
{
	struct eth_hdr eth = {.source = {2, 9, 9, 9, 9, 9}, .type = hton16(ETHERTYPE_IP6)};

	memcpy(eth.destination, b->dp->tables.port[WAN].mac, 6);
	for (uint32_t i = 0; i < b->sessions; i++) {
		memcpy(b->frames[i], &eth, sizeof(eth));
		put_ip6(b->frames[i] + ETH_LEN, SERVER6, prefix_of(i));
	}
	b->frame_len = FRAME_LEN;
}
