/* Ethernet header with up to two VLAN tags (IEEE 802.1Q, 802.1ad), in and out. */
#ifndef BNG_NODE_L2_H
#define BNG_NODE_L2_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "hdr/ethernet.h"
#include "pkt.h"

enum { L2_MAX_LEN = ETH_LEN + 2 * VLAN_LEN, VID_MASK = 0x0fff, MAC_LEN = 6 };

/* A MAC as a number that can be compared; byte order is of no matter. */
static inline uint64_t mac_word(const uint8_t mac[MAC_LEN])
{
	uint32_t high;
	uint16_t low;
	memcpy(&high, mac, 4);
	memcpy(&low, mac + 4, 2);
	return (uint64_t)high << 16 | low;
}

static inline bool mac_is_multicast(const uint8_t mac[MAC_LEN])
{
	return mac[0] & 1;
}

static inline bool mac_is_broadcast(const uint8_t mac[MAC_LEN])
{
	return mac_word(mac) == 0xffffffffffffull;
}

/* Bytes of the Ethernet header and tags that p was received with. */
static inline uint16_t l2_len(const struct pkt *p)
{
	return (uint16_t)(ETH_LEN + (p->outer_tpid ? VLAN_LEN : 0) +
			  (p->inner_tpid ? VLAN_LEN : 0));
}

/* The Ethernet header, while the current header is the one right behind it and its tags. */
static inline struct eth_hdr *l2_header(struct pkt *p)
{
	return (struct eth_hdr *)(pkt_data(p) - l2_len(p));
}

/* client_key() of the frame's source; one load, for the EtherType follows the source address. */
static inline uint64_t l2_client_key(const struct eth_hdr *eth, uint16_t session_id)
{
	uint64_t word;
	memcpy(&word, eth->source, 8);
	return (uint64_t)session_id << 48 | __builtin_bswap64(word) >> 16;
}

/* Both addresses of a frame, a few bytes up or down. */
static inline void l2_move_addresses(uint8_t *to, const uint8_t *from)
{
	uint8_t both[2 * MAC_LEN]; /* registers, where memmove would be called */
	memcpy(both, from, sizeof(both));
	memcpy(to, both, sizeof(both));
}

struct l2_tags {
	uint16_t outer_tpid, outer_vid; /* TPID 0: no tag */
	uint16_t inner_tpid, inner_vid;
	uint8_t pbit; /* IEEE 802.1p priority, in every tag */
};

static inline uint8_t *l2_put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
	return at + 2;
}

/* Writes addresses, tags and EtherType, at most L2_MAX_LEN bytes; returns the first byte behind. */
static inline uint8_t *l2_build(uint8_t *at, const uint8_t destination[MAC_LEN],
	const uint8_t source[MAC_LEN], const struct l2_tags *tags, uint16_t type)
{
	uint16_t priority = (uint16_t)(tags->pbit << 13);
	memcpy(at, destination, MAC_LEN);
	memcpy(at + MAC_LEN, source, MAC_LEN);
	at += 2 * MAC_LEN;
	if (tags->outer_tpid) {
		at = l2_put16(at, tags->outer_tpid);
		at = l2_put16(at, priority | (tags->outer_vid & VID_MASK));
	}
	if (tags->inner_tpid) {
		at = l2_put16(at, tags->inner_tpid);
		at = l2_put16(at, priority | (tags->inner_vid & VID_MASK));
	}
	return l2_put16(at, type);
}

#endif
