/* UDP packets of either family, as one table says: for programs that make traffic and check it. */
#ifndef UDP_PACKET_H
#define UDP_PACKET_H

#include <stdbool.h>
#include <string.h>

#include "hdr/checksum.h"
#include "hdr/ethernet.h"
#include "hdr/ip4.h"
#include "hdr/ip6.h"
#include "hdr/pppoe.h"

enum udp_family { UDP_IP4, UDP_IP6, UDP_FAMILIES };

struct udp_format {
	uint16_t ethertype, ppp;
	uint8_t head_len, length_at, protocol_at, hops_at, addresses_at, address_len;
	uint8_t checksum_at;  /* 0: none */
	uint16_t length_less; /* the length field does not count so many */
	uint8_t head[IP6_LEN];
};

enum {
	UDP_HOPS = 64,
	UDP_CLASS = 0xb8, /* traffic class: to be left alone, as the flow label */
};

static const struct udp_format udp_formats[UDP_FAMILIES] = {
	[UDP_IP4] = {ETHERTYPE_IP4, PPP_IP4, .head_len = IP4_LEN, .length_at = 2, .protocol_at = 9,
		.hops_at = 8, .addresses_at = 12, .address_len = 4, .checksum_at = 10,
		.head = {0x45, UDP_CLASS, [6] = IP4_DF >> 8, [8] = UDP_HOPS, IPPROTO_UDP4}},
	[UDP_IP6] = {ETHERTYPE_IP6, PPP_IP6, .head_len = IP6_LEN, .length_at = 4, .protocol_at = 6,
		.hops_at = 7, .addresses_at = 8, .address_len = IP6_ADDRESS_LEN,
		.length_less = IP6_LEN,
		.head = {0x60 | UDP_CLASS >> 4, (UDP_CLASS & 15) << 4 | 1, 2, 3, [6] = IPPROTO_UDP6,
			UDP_HOPS}},
};

struct udp_ends {
	const uint8_t *source, *destination;
	be16 source_port, destination_port;
};

static inline uint16_t udp_get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline void udp_put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* The sum of pseudo-header and datagram, which is 0xffff when its checksum is right. */
static inline uint16_t udp_sum(const struct udp_format *f, const uint8_t *ip, uint16_t size)
{
	uint16_t len = (uint16_t)(size - f->head_len);
	uint64_t pseudo = (uint64_t)hton16(IPPROTO_UDP4) + hton16(len);

	pseudo = checksum_add(pseudo, ip + f->addresses_at, 2 * (size_t)f->address_len);
	return checksum_fold(checksum_add(pseudo, ip + f->head_len, len));
}

/* Puts headers in front of the payload that is there already; `size` is that of the packet. */
static inline void udp_write(const struct udp_format *f, const struct udp_ends *ends, uint16_t size,
	uint8_t hops, uint8_t *ip)
{
	uint8_t *addresses = ip + f->addresses_at, *udp = ip + f->head_len;

	memcpy(ip, f->head, f->head_len);
	udp_put16(ip + f->length_at, (uint16_t)(size - f->length_less));
	ip[f->hops_at] = hops;
	memcpy(addresses, ends->source, f->address_len);
	memcpy(addresses + f->address_len, ends->destination, f->address_len);
	if (f->checksum_at) {
		be16 sum = checksum(ip, f->head_len);
		memcpy(ip + f->checksum_at, &sum, 2);
	}
	memcpy(udp, &ends->source_port, 2);
	memcpy(udp + 2, &ends->destination_port, 2);
	udp_put16(udp + 4, (uint16_t)(size - f->head_len));
	udp_put16(udp + 6, 0);
	be16 sum = (be16)~udp_sum(f, ip, size);
	sum = sum ? sum : 0xffff;
	memcpy(udp + 6, &sum, 2);
}

/* The length of a UDP packet by its header; 0: it is none, or not whole in `len` bytes. */
static inline uint16_t udp_size(const struct udp_format *f, const uint8_t *ip, size_t len)
{
	if (len < (size_t)f->head_len + UDP_LEN || ip[0] >> 4 != f->head[0] >> 4 ||
		(f->checksum_at && ip[0] != f->head[0]) ||
		ip[f->protocol_at] != f->head[f->protocol_at])
		return 0;
	size_t size = (size_t)udp_get16(ip + f->length_at) + f->length_less;
	return size >= (size_t)f->head_len + UDP_LEN && size <= len ? (uint16_t)size : 0;
}

/* Whether its checksums are right; none is right for IPv4. */
static inline bool udp_sums_hold(const struct udp_format *f, const uint8_t *ip, uint16_t size)
{
	if (f->checksum_at && checksum(ip, f->head_len))
		return false;
	return (f->checksum_at && !udp_get16(ip + f->head_len + 6)) ||
	       udp_sum(f, ip, size) == 0xffff;
}

#endif
