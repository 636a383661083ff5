/*
 * The packets of flows: UDP of either family, each with its number, one in SIZES as long as the
 * session lets through and one of any length, the others as short as can be. What arrives must be
 * what a router makes of what was sent, in every byte: hop limit one less, addresses and port
 * translated or not, both checksums right, the payload as it was.
 */
#include "soak_flow.h"

#include <stdbool.h>
#include <string.h>

#include "hdr/checksum.h"
#include "hdr/ethernet.h"
#include "hdr/ip4.h"
#include "hdr/ip6.h"
#include "hdr/pppoe.h"

enum {
	SHORTEST_FRAME = 60,
	SIZES = 16,
	PPP_AT = ETH_LEN + PPPOE_LEN,
	PPP_LEN = 2,
	PATTERNS = 512,
	HOPS = 64,
	EXPEDITED = 0xb8, /* traffic class: to be left alone, as the flow label */
};

struct family {
	uint16_t ethertype, ppp;
	uint8_t head_len, length_at, protocol_at, hops_at, addresses_at, address_len;
	uint8_t checksum_at; /* 0: none */
	bool translated;
	uint16_t length_less; /* the length field does not count so many */
	uint8_t link_len;
	uint8_t link[8]; /* of our routed port: what goes there is the kernel's */
	uint8_t head[IP6_LEN];
};

static const struct family families[SOAK_FAMILIES] = {
	[SOAK_IP4] = {ETHERTYPE_IP4, PPP_IP4, .head_len = IP4_LEN, .length_at = 2, .protocol_at = 9,
		.hops_at = 8, .addresses_at = 12, .address_len = 4, .checksum_at = 10,
		.translated = true, .link_len = 3, .link = {192, 0, 2},
		.head = {0x45, EXPEDITED, [6] = IP4_DF >> 8, [8] = HOPS, IPPROTO_UDP4}},
	[SOAK_IP6] = {ETHERTYPE_IP6, PPP_IP6, .head_len = IP6_LEN, .length_at = 4, .protocol_at = 6,
		.hops_at = 7, .addresses_at = 8, .address_len = IP6_ADDRESS_LEN,
		.length_less = IP6_LEN, .link_len = 8, .link = {0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0},
		.head = {0x60 | EXPEDITED >> 4, (EXPEDITED & 15) << 4 | 1, 2, 3, [6] = IPPROTO_UDP6,
			HOPS}},
};

static uint8_t pattern[SOAK_FRAME_ROOM + PATTERNS];

__attribute__((constructor)) static void make_pattern(void)
{
	uint32_t x = 7009;

	for (size_t i = 0; i < sizeof(pattern); i++) {
		x = x * 1664525 + 1013904223;
		pattern[i] = (uint8_t)(x >> 24);
	}
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* ---- what leaves ---- */

static bool leaves_by_access(int direction)
{
	return direction == SOAK_DOWN;
}

/* The IP packet in a frame that leaves, as far as its header is there; NULL: no IP. */
static const uint8_t *find(
	int direction, const uint8_t *frame, uint16_t len, const struct family **found)
{
	bool access = leaves_by_access(direction);
	uint16_t at = access ? PPP_AT + PPP_LEN : ETH_LEN;

	if (len < at || (access && get16(frame + 12) != ETHERTYPE_PPPOE_SESSION))
		return NULL;
	for (const struct family *f = families; f < families + SOAK_FAMILIES; f++) {
		if (access ? get16(frame + PPP_AT) != f->ppp : get16(frame + 12) != f->ethertype)
			continue;
		*found = f;
		return len >= at + f->head_len ? frame + at : NULL;
	}
	return NULL;
}

static bool is_of_a_link(const uint8_t *address)
{
	return ip6_is_link_local(address) || ip6_is_multicast(address);
}

static bool is_control(const struct family *f, const uint8_t *source, const uint8_t *destination)
{
	return !memcmp(destination, f->link, f->link_len) ||
	       (f->address_len == IP6_ADDRESS_LEN &&
		       (ip6_is_link_local(source) || is_of_a_link(destination)));
}

static bool is_inner(const struct family *f, const uint8_t *source)
{
	return f->translated && source[0] == 100 && source[1] >> 6 == 1;
}

enum soak_sort soak_sort(int direction, const uint8_t *frame, uint16_t len, struct soak_mark *mark)
{
	const struct family *f;
	const uint8_t *ip = find(direction, frame, len, &f);

	if (!ip)
		return SOAK_CONTROL;
	const uint8_t *source = ip + f->addresses_at, *udp = ip + f->head_len;
	if (is_control(f, source, source + f->address_len))
		return SOAK_CONTROL;
	if (udp + UDP_LEN + sizeof(*mark) <= frame + len && ip[0] == f->head[0] &&
		ip[f->protocol_at] == f->head[f->protocol_at] &&
		get16(udp + (direction == SOAK_UP ? 2 : 0)) == SOAK_MARK) {
		memcpy(mark, udp + UDP_LEN, sizeof(*mark));
		return SOAK_OURS;
	}
	return direction == SOAK_UP && is_inner(f, source) ? SOAK_INNER : SOAK_OTHER;
}

void soak_learn(struct soak_flow *flow, const uint8_t *frame)
{
	const struct family *f = &families[flow->family];
	const uint8_t *ip = frame + ETH_LEN;
	const uint8_t *source = f->translated ? ip + f->addresses_at : flow->inner;

	if (f->translated && !memcmp(source, flow->inner, f->address_len))
		return; /* which makes the packet a wrong one */
	memcpy(flow->outer, source, f->address_len);
	flow->outer_port = flow->inner_port;
	if (f->translated)
		memcpy(&flow->outer_port, ip + f->head_len, 2);
	__atomic_store_n(&flow->learned, flow->incarnation, __ATOMIC_RELEASE);
}

/* ---- the bytes of a packet ---- */

static uint16_t size_of(const struct soak_packet *packet, const struct family *f)
{
	const struct soak_mark *mark = &packet->mark;
	uint16_t shortest = (uint16_t)(f->head_len + UDP_LEN + sizeof(*mark));
	uint16_t most = packet->flow->mtu;

	switch ((mark->flow + mark->number) % SIZES) {
	case 0:
		return most;
	case 1:
		return (uint16_t)(shortest + (mark->number * 2654435761u >> 8) %
						     (uint32_t)(most - shortest + 1));
	default:
		return shortest;
	}
}

static uint16_t write_link(const struct soak_header *area, const struct soak_packet *packet,
	const uint8_t mac[6], uint16_t size, uint8_t *frame)
{
	const struct soak_flow *flow = packet->flow;
	const struct family *f = &families[flow->family];
	bool sent = packet->place == SOAK_SENT;
	bool access = (packet->direction == SOAK_UP) == sent;
	const uint8_t *other = access ? flow->mac : area->router_mac;
	uint8_t *pppoe = frame + ETH_LEN;

	memcpy(frame, sent ? mac : other, 6);
	memcpy(frame + 6, sent ? other : mac, 6);
	put16(frame + 12, access ? ETHERTYPE_PPPOE_SESSION : f->ethertype);
	if (!access)
		return ETH_LEN;
	pppoe[0] = PPPOE_VER_TYPE;
	pppoe[1] = 0;
	memcpy(pppoe + 2, &flow->session_id, 2);
	put16(pppoe + 4, (uint16_t)(size + PPP_LEN));
	put16(frame + PPP_AT, f->ppp);
	return PPP_AT + PPP_LEN;
}

static void write_ip(const struct soak_header *area, const struct soak_packet *packet,
	uint16_t size, uint8_t *ip)
{
	const struct soak_flow *flow = packet->flow;
	const struct family *f = &families[flow->family];
	bool up = packet->direction == SOAK_UP;
	bool inside = up == (packet->place == SOAK_SENT);
	const uint8_t *near = inside ? flow->inner : flow->outer;
	const uint8_t *far = area->remote[flow->family][packet->mark.number & 1];
	uint8_t *addresses = ip + f->addresses_at;

	memcpy(ip, f->head, f->head_len);
	put16(ip + f->length_at, (uint16_t)(size - f->length_less));
	ip[f->hops_at] = packet->place == SOAK_SENT ? HOPS : HOPS - 1;
	memcpy(addresses, up ? near : far, f->address_len);
	memcpy(addresses + f->address_len, up ? far : near, f->address_len);
	if (f->checksum_at) {
		be16 sum = checksum(ip, f->head_len);
		memcpy(ip + f->checksum_at, &sum, 2);
	}
}

static void write_udp(const struct soak_packet *packet, uint16_t size, uint8_t *ip)
{
	const struct soak_flow *flow = packet->flow;
	const struct family *f = &families[flow->family];
	bool up = packet->direction == SOAK_UP;
	bool inside = up == (packet->place == SOAK_SENT);
	uint16_t len = (uint16_t)(size - f->head_len);
	uint8_t *udp = ip + f->head_len, *payload = udp + UDP_LEN;

	memcpy(udp + (up ? 0 : 2), inside ? &flow->inner_port : &flow->outer_port, 2);
	put16(udp + (up ? 2 : 0), SOAK_MARK);
	put16(udp + 4, len);
	put16(udp + 6, 0);
	memcpy(payload, &packet->mark, sizeof(packet->mark));
	memcpy(payload + sizeof(packet->mark), pattern + packet->mark.number % PATTERNS,
		len - UDP_LEN - sizeof(packet->mark));
	uint64_t pseudo = checksum_add(
		hton16(IPPROTO_UDP4), ip + f->addresses_at, 2 * (size_t)f->address_len);
	be16 sum = (be16)~checksum_fold(checksum_add(pseudo + hton16(len), udp, len));
	sum = sum ? sum : 0xffff;
	memcpy(udp + 6, &sum, 2);
}

uint16_t soak_write(const struct soak_header *area, const struct soak_packet *packet,
	const uint8_t mac[6], uint8_t *frame)
{
	uint16_t size = size_of(packet, &families[packet->flow->family]);
	uint16_t at = write_link(area, packet, mac, size, frame);
	uint16_t len = (uint16_t)(at + size);

	write_ip(area, packet, size, frame + at);
	write_udp(packet, size, frame + at);
	if (packet->place == SOAK_ARRIVED || len >= SHORTEST_FRAME)
		return len;
	memset(frame + len, 0, (size_t)(SHORTEST_FRAME - len));
	return SHORTEST_FRAME;
}
