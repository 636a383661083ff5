/*
 * Frames by which another host claims an address of the box on its link: ARP whose sender has it
 * (RFC 5227 section 2.4), a Neighbor Advertisement for it (RFC 4861 section 4.4). Probes of hosts
 * that would like to have it (section 2.1.1; RFC 4862 section 5.4.2) are none: the kernel answers.
 */
#ifndef BNG_NODE_ADDRESS_CLAIM_H
#define BNG_NODE_ADDRESS_CLAIM_H

#include <stdbool.h>

#include "node/control_class.h"
#include "node/icmp6.h"
#include "table/adjacency.h"
#include "table/fib4.h"
#include "table/fib6.h"
#include "table/leaf.h"
#include "worker.h"

enum {
	ARP_LEN = 28,
	ARP_REQUEST = 1,
	ND_TARGET_LEN = 24,
	ND_LINK_LAYER_LEN = 8,
	ND_TARGET_LINK_LAYER = 2,
};

struct arp_hdr { /* RFC 826, of IPv4 over Ethernet */
	be16 hardware, protocol;
	uint8_t hardware_len, protocol_len;
	be16 operation;
	uint8_t sender_mac[MAC_LEN];
	uint8_t sender[4];
	uint8_t target_mac[MAC_LEN];
	uint8_t target[4];
} __attribute__((packed, aligned(2)));

struct nd_advertisement { /* with one Target Link-Layer Address option */
	struct icmp6_hdr icmp;
	uint8_t target[IP6_ADDRESS_LEN];
	uint8_t option, option_len; /* in units of 8 bytes */
	uint8_t mac[MAC_LEN];
} __attribute__((packed, aligned(2)));

_Static_assert(sizeof(struct arp_hdr) == ARP_LEN, "wire");
_Static_assert(sizeof(struct nd_advertisement) == ND_TARGET_LEN + ND_LINK_LAYER_LEN, "wire");

static inline bool arp_is_of_ip4(const struct arp_hdr *arp)
{
	return arp->hardware == hton16(1) && arp->protocol == hton16(ETHERTYPE_IP4) &&
	       arp->hardware_len == MAC_LEN && arp->protocol_len == sizeof(arp->sender);
}

/* RFC 4861 section 7.1.2. */
static inline bool is_advertisement(const struct ip6_hdr *ip, uint16_t len)
{
	const struct icmp6_hdr *icmp = (const struct icmp6_hdr *)(ip + 1);
	return len >= IP6_LEN + ND_TARGET_LEN && ip->next_header == IPPROTO_ICMP6 &&
	       ip->hop_limit == ND_HOP_LIMIT && icmp->type == ICMP6_NEIGHBOR_ADVERTISEMENT &&
	       !icmp6_checksum(ip, icmp, (uint16_t)(len - IP6_LEN));
}

/* The MAC of a host by its advertisement; the frame has `len` bytes. */
static inline uint64_t advertised_mac(const struct eth_hdr *eth, uint16_t len)
{
	const struct ip6_hdr *ip = (const struct ip6_hdr *)(eth + 1);
	const struct nd_advertisement *nd = (const struct nd_advertisement *)(ip + 1);
	bool has_mac = len >= ETH_LEN + IP6_LEN + sizeof(*nd) &&
		       nd->option == ND_TARGET_LINK_LAYER && nd->option_len == 1;
	return mac_word(has_mac ? nd->mac : eth->source);
}

/* Who says to all that he has an address may have answered Duplicate Address Detection: the kernel
 * will not tell who it was (RFC 4862 section 5.4.4). */
static inline void note_advertisement(struct port_control *counts, struct pkt *p)
{
	const struct eth_hdr *eth = (const struct eth_hdr *)pkt_data(p);
	const struct ip6_hdr *ip = (const struct ip6_hdr *)(eth + 1);
	if (eth->type != hton16(ETHERTYPE_IP6) || !ip6_is_multicast(ip->destination) ||
		!is_advertisement(ip, (uint16_t)(p->len - ETH_LEN)))
		return;
	const struct nd_advertisement *nd = (const struct nd_advertisement *)(ip + 1);
	__atomic_store_n(&counts->advertised_by, 0, __ATOMIC_RELEASE);
	memcpy(counts->advertised, nd->target, IP6_ADDRESS_LEN);
	__atomic_store_n(&counts->advertised_by, advertised_mac(eth, p->len), __ATOMIC_RELEASE);
}

/* The leaf of the address that a frame of ARP or ND says is its sender's, or LEAF_NONE. The current
 * header is the Ethernet header. */
static inline uint32_t claimed_leaf(const struct tables *t, struct pkt *p)
{
	const struct eth_hdr *eth = (const struct eth_hdr *)pkt_data(p);
	uint16_t len = (uint16_t)(p->len - ETH_LEN);
	if (eth->type == hton16(ETHERTYPE_IP6)) {
		const struct ip6_hdr *ip = (const struct ip6_hdr *)(eth + 1);
		const struct nd_advertisement *nd = (const struct nd_advertisement *)(ip + 1);
		return is_advertisement(ip, len) ? fib6_lookup(&t->fib6, nd->target) : LEAF_NONE;
	}
	const struct arp_hdr *arp = (const struct arp_hdr *)(eth + 1);
	uint32_t sender;
	if (len < ARP_LEN || !arp_is_of_ip4(arp))
		return LEAF_NONE;
	memcpy(&sender, arp->sender, sizeof(sender));
	return fib4_lookup(t->fib4_root, t->fib4_page, ntoh32(sender));
}

/* A host that is not the box says that an address of the box on this link is its own: then p->leaf
 * leads to that address. */
static inline bool claims_ours(const struct tables *t, struct pkt *p)
{
	const struct eth_hdr *eth = (const struct eth_hdr *)pkt_data(p);
	uint32_t leaf = claimed_leaf(t, p);
	if (leaf_kind(leaf) != LEAF_ADJACENCY ||
		mac_word(eth->source) == mac_word(t->port[p->rx_port].mac))
		return false;
	const struct adjacency *a = &t->adjacency[leaf_index(leaf)];
	p->leaf = leaf;
	return __atomic_load_n(&a->kind, __ATOMIC_ACQUIRE) == ADJ_LOCAL && a->port == p->rx_port;
}

#endif
