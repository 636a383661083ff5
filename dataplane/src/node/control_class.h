/*
 * What a frame between a routed port and its TAP is to the box: of which routing protocol, of ARP
 * or ND, or anything else. Frames are as they came: nothing about them has been checked.
 */
#ifndef BNG_NODE_CONTROL_CLASS_H
#define BNG_NODE_CONTROL_CLASS_H

#include <stdbool.h>

#include "hdr/ethernet.h"
#include "hdr/ip4.h"
#include "hdr/ip6.h"
#include "node/l2.h"
#include "pkt.h"

enum {
	LLC_LEN = 3,
	LLC_SAP_OSI = 0xfe,	  /* IS-IS: ISO 10589 */
	LENGTH_FIELD_MAX = 0x5ff, /* IEEE 802.3: below, no EtherType but a length */
	ETHERTYPE_ARP = 0x0806,
	PROTOCOL_RSVP = 46,
	PROTOCOL_EIGRP = 88,
	PROTOCOL_OSPF = 89,
	PROTOCOL_PIM = 103,
	PROTOCOL_VRRP = 112,
	PORT_BGP = 179,
	PORT_RIP = 520,
	PORT_RIPNG = 521,
	PORT_LDP = 646,
	PORT_BFD = 3784, /* RFC 5881 */
	PORT_BFD_ECHO = 3785,
	PORT_BFD_MULTIHOP = 4784, /* RFC 5883 */
	PORT_BFD_LAG = 6784,	  /* RFC 7130 */
	PORTS_LEN = 4,
	TTL_MAX = 255,
};

struct control {
	enum control_class class;
	bool on_link;	 /* of a routing protocol: nobody beyond the link can have sent it */
	bool redirect;	 /* of ICMP or ND */
	bool handshake;	 /* TCP with SYN or RST: says nothing of whom the kernel talks with */
	uint64_t source; /* addresses of IPv4 and IPv6, folded; of all else, of Ethernet */
	uint64_t destination;
};

/* All that follow are classes of routing protocols, the stranger's apart. */
static inline bool control_is_routing(enum control_class class)
{
	return class > CONTROL_STRANGER;
}

static inline enum control_class class_of_port(be16 wire)
{
	switch (ntoh16(wire)) {
	case PORT_BGP:
		return CONTROL_BGP;
	case PORT_BFD:
	case PORT_BFD_ECHO:
	case PORT_BFD_MULTIHOP:
	case PORT_BFD_LAG:
		return CONTROL_BFD;
	case PORT_RIP:
	case PORT_RIPNG:
	case PORT_LDP:
		return CONTROL_ROUTING;
	default:
		return CONTROL_OTHER;
	}
}

/* RFC 5881 section 5, RFC 5082: a TTL of 255 has passed no router; groups of the link none either.
 */
static inline void classify_ip(
	struct control *c, uint8_t protocol, uint8_t ttl, const uint8_t *payload, uint16_t len)
{
	const struct udp_hdr *ports = (const struct udp_hdr *)payload;
	const struct tcp_hdr *tcp = (const struct tcp_hdr *)payload;
	c->on_link |= ttl == TTL_MAX;
	switch (protocol) {
	case IPPROTO_ICMP4:
		c->redirect = len && payload[0] == ICMP4_REDIRECT;
		return;
	case PROTOCOL_OSPF:
		c->class = CONTROL_OSPF;
		return;
	case PROTOCOL_RSVP:
	case PROTOCOL_EIGRP:
	case PROTOCOL_PIM:
	case PROTOCOL_VRRP:
		c->class = CONTROL_ROUTING;
		return;
	case IPPROTO_TCP4:
	case IPPROTO_UDP4:
		if (len < PORTS_LEN)
			return;
		c->class = class_of_port(ports->destination);
		if (c->class == CONTROL_OTHER)
			c->class = class_of_port(ports->source);
		c->handshake = protocol == IPPROTO_TCP4 &&
			       (len < TCP_LEN || tcp->flags & (TCP_SYN | TCP_RST));
		return;
	default:
		return;
	}
}

static inline void classify_ip4(struct control *c, const uint8_t *bytes, uint16_t len)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)bytes;
	if (len < IP4_LEN || ip4_header_len(ip) < IP4_LEN || ip4_header_len(ip) > len)
		return;
	uint16_t header = ip4_header_len(ip);
	c->source = ip->source;
	c->destination = ip->destination;
	if (!(ip->fragment & hton16(IP4_OFFSET_MASK)))
		classify_ip(c, ip->protocol, ip->ttl, bytes + header, (uint16_t)(len - header));
}

static inline uint64_t fold(const uint8_t address[IP6_ADDRESS_LEN])
{
	uint64_t half[2];
	memcpy(half, address, sizeof(half));
	return half[0] * 0x9e3779b97f4a7c15ull ^ half[1];
}

static inline void classify_ip6(struct control *c, const uint8_t *bytes, uint16_t len)
{
	const struct ip6_hdr *ip = (const struct ip6_hdr *)bytes;
	if (len < IP6_LEN)
		return;
	c->source = fold(ip->source);
	c->destination = fold(ip->destination);
	const uint8_t *payload = bytes + IP6_LEN;
	uint16_t left = (uint16_t)(len - IP6_LEN);
	if (ip->next_header != IPPROTO_ICMP6)
		classify_ip(c, ip->next_header, ip->hop_limit, payload, left);
	else if (left && ip->hop_limit == TTL_MAX && payload[0] >= ICMP6_ROUTER_SOLICITATION &&
		 payload[0] <= ICMP6_REDIRECT) /* RFC 4861 */
		c->class = CONTROL_NEIGHBOUR;
	c->redirect = ip->next_header == IPPROTO_ICMP6 && left && payload[0] == ICMP6_REDIRECT;
}

/* The current header is the Ethernet header; no tag follows it. */
static inline struct control control_classify(struct pkt *p)
{
	struct control c = {.class = CONTROL_OTHER};
	const struct eth_hdr *eth = pkt_header(p, ETH_LEN);
	if (!eth)
		return c;
	const uint8_t *payload = (const uint8_t *)(eth + 1);
	uint16_t len = (uint16_t)(p->len - ETH_LEN), type = ntoh16(eth->type);
	c.source = mac_word(eth->source);
	c.destination = mac_word(eth->destination);
	c.on_link = mac_is_multicast(eth->destination);
	if (type == ETHERTYPE_IP4) {
		classify_ip4(&c, payload, len);
	} else if (type == ETHERTYPE_IP6) {
		classify_ip6(&c, payload, len);
	} else if (type == ETHERTYPE_ARP) {
		c.class = CONTROL_NEIGHBOUR;
	} else if (type <= LENGTH_FIELD_MAX && len >= LLC_LEN && payload[0] == LLC_SAP_OSI) {
		c.class = CONTROL_ISIS;
		c.on_link = true;
	}
	return c;
}

#endif
