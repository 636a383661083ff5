/*
 * address_claim: hosts on the link of a routed port that claim an address of the box. It is counted
 * who did; the box keeps the address and says so, once in 10 s (RFC 5227 section 2.4 (c)): by an
 * ARP Announcement, or an unsolicited Neighbor Advertisement (RFC 4861 section 7.2.6). The kernel
 * does neither, and has no use for the claim.
 *
 * The current header is the Ethernet header, p->leaf is the address's.
 */
#include "node/address_claim.h"
#include "graph.h"

enum { EDGE_CONTROL_OUTPUT, EDGE_CLAIMED };

enum { DEFEND_INTERVAL_S = 10, ROUTER_OVERRIDE = 0xa0 };

/* What is learned of the sender: who he says he is. */
static uint64_t claimant(const struct eth_hdr *eth, uint16_t len)
{
	if (eth->type != hton16(ETHERTYPE_IP6))
		return mac_word(((const struct arp_hdr *)(eth + 1))->sender_mac);
	return advertised_mac(eth, len);
}

/* RFC 5227 section 1.1: a request, sender and target both the address. */
static void announce4(struct pkt *p, struct eth_hdr *eth, const uint8_t mac[MAC_LEN])
{
	struct arp_hdr *arp = (struct arp_hdr *)(eth + 1);
	memset(eth->destination, 0xff, MAC_LEN);
	arp->operation = hton16(ARP_REQUEST);
	memcpy(arp->sender_mac, mac, MAC_LEN);
	memset(arp->target_mac, 0, MAC_LEN);
	memcpy(arp->target, arp->sender, sizeof(arp->target));
	p->len = ETH_LEN + ARP_LEN;
}

static void announce6(struct pkt *p, struct eth_hdr *eth, const uint8_t mac[MAC_LEN])
{
	static const uint8_t all_nodes_mac[] = {0x33, 0x33, 0, 0, 0, 1};
	static const uint8_t all_nodes[] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
	struct ip6_hdr *ip = (struct ip6_hdr *)(eth + 1);
	struct nd_advertisement *nd = (struct nd_advertisement *)(ip + 1);
	pkt_fence_none(p);
	memcpy(eth->destination, all_nodes_mac, MAC_LEN);
	ip6_write(ip, sizeof(*nd), ND_HOP_LIMIT);
	memcpy(ip->source, nd->target, IP6_ADDRESS_LEN);
	memcpy(ip->destination, all_nodes, IP6_ADDRESS_LEN);
	nd->icmp = (struct icmp6_hdr){.type = ICMP6_NEIGHBOR_ADVERTISEMENT,
		.body = hton32((uint32_t)ROUTER_OVERRIDE << 24)};
	nd->option = ND_TARGET_LINK_LAYER;
	nd->option_len = 1;
	memcpy(nd->mac, mac, MAC_LEN);
	nd->icmp.checksum = icmp6_checksum(ip, nd, sizeof(*nd));
	p->len = ETH_LEN + IP6_LEN + sizeof(*nd);
}

/* True: for this worker, and for now. */
static bool may_defend(struct adjacency *a, uint32_t now_s)
{
	uint32_t last = __atomic_load_n(&a->defended_s, __ATOMIC_RELAXED);
	return (!last || now_s - last >= DEFEND_INTERVAL_S) &&
	       __atomic_compare_exchange_n(
		       &a->defended_s, &last, now_s, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static uint16_t claim(struct worker *w, struct pkt *p)
{
	struct adjacency *a = &w->t->adjacency[leaf_index(p->leaf)];
	struct eth_hdr *eth = (struct eth_hdr *)pkt_data(p);
	const uint8_t *mac = w->t->port[p->rx_port].mac;
	__atomic_store_n(&a->claimed_by, claimant(eth, p->len), __ATOMIC_RELAXED);
	__atomic_fetch_add(&a->claims, 1, __ATOMIC_RELAXED);
	if (!may_defend(a, w->now_s))
		return EDGE_CLAIMED;
	if (eth->type == hton16(ETHERTYPE_IP6))
		announce6(p, eth, mac);
	else
		announce4(p, eth, mac);
	memcpy(eth->source, mac, MAC_LEN);
	p->flags |= PKT_CONTROL;
	p->tx_port = p->rx_port;
	return EDGE_CONTROL_OUTPUT;
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = claim(w, pkts[i]);
}

NODE(address_claim) = {
	.name = "address_claim",
	.process = process,
	.edges =
		{
			[EDGE_CONTROL_OUTPUT] = {.next = "control_output"},
			[EDGE_CLAIMED] = DROP("address-claimed"),
		},
};
