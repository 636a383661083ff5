/*
 * ethernet_input: the first node of every frame. Parses up to two VLAN tags, keeps what is not for
 * us out, and sorts by role and EtherType (RFC 2516 section 4, IEEE 802.1Q). PPPoE is an access
 * port's; anything else may be a routed port's that stands in a VLAN of this one: it goes on as an
 * untagged frame of that port.
 */
#include "graph.h"
#include "hdr/ethernet.h"
#include "node/access.h"
#include "node/hints.h"
#include "node/l2.h"
#include "table/line.h"
#include "worker.h"

enum {
	EDGE_PPPOE_INPUT,
	EDGE_IP4_INPUT,
	EDGE_IP6_INPUT,
	EDGE_PUNT,
	EDGE_TWIN_OUTPUT,
	EDGE_TRUNCATED,
	EDGE_TOO_MANY_TAGS,
	EDGE_ETHERTYPE_UNKNOWN,
	EDGE_DESTINATION_NOT_OURS,
	EDGE_SOURCE_MULTICAST,
	EDGE_SOURCE_OURS,
	EDGE_VLAN_NOT_SERVED,
	EDGE_PORT_NOT_IN_USE,
};

/* Reads tags into the packet's metadata and steps over them and the Ethernet header; returns the
 * EtherType, 0 when the frame ends too early. A third tag is left as the EtherType. */
static inline uint16_t parse_tags(struct pkt *p)
{
	const struct eth_hdr *eth = (const struct eth_hdr *)pkt_data(p);
	const struct vlan_hdr *tag = (const struct vlan_hdr *)(eth + 1);
	uint16_t type = ntoh16(eth->type);
	uint16_t len = ETH_LEN;
	if (is_tpid(type)) {
		len += VLAN_LEN;
		if (p->len < len)
			return 0;
		p->outer_tpid = type;
		p->outer_vid = ntoh16(tag->tci) & VID_MASK;
		type = ntoh16(tag->type);
		if (is_tpid(type)) {
			len += VLAN_LEN;
			if (p->len < len)
				return 0;
			tag++;
			p->inner_tpid = type;
			p->inner_vid = ntoh16(tag->tci) & VID_MASK;
			type = ntoh16(tag->type);
		}
	}
	pkt_pull(p, len);
	return type;
}

/* RFC 2516 section 5: a PADI is broadcast, all else unicast; which is which bngd looks at. */
static uint16_t discovery(
	const struct tables *t, const uint8_t *mac, struct pkt *p, const struct eth_hdr *eth)
{
	if (mac_word(eth->destination) != mac_word(mac) && !mac_is_broadcast(eth->destination))
		return EDGE_DESTINATION_NOT_OURS;
	if (!access_allowed(t, p))
		return EDGE_VLAN_NOT_SERVED;
	p->cause = PUNT_DISCOVERY;
	return EDGE_PUNT;
}

/* Which way a frame goes that is a routed port's, without tags: to the stack of its family when it
 * is unicast to us, else to the kernel: ARP, multicast, ... */
static inline uint16_t routed_edge(const struct port_shared *port, const struct eth_hdr *eth)
{
	if (unlikely(mac_is_multicast(eth->destination)))
		return EDGE_TWIN_OUTPUT;
	if (unlikely(mac_word(eth->destination) != mac_word(port->mac)))
		return EDGE_DESTINATION_NOT_OURS;
	if (likely(eth->type == hton16(ETHERTYPE_IP4)))
		return EDGE_IP4_INPUT;
	return eth->type == hton16(ETHERTYPE_IP6) ? EDGE_IP6_INPUT : EDGE_TWIN_OUTPUT;
}

/* These begin at the header behind Ethernet, all others at the frame. */
static inline bool begins_behind(uint16_t edge)
{
	return edge == EDGE_IP4_INPUT || edge == EDGE_IP6_INPUT;
}

/* Tags are stepped over, EtherType `type` follows. They go: the addresses move up against it. */
static uint16_t vlan_input(const struct tables *t, struct pkt *p, uint16_t type)
{
	if (type == 0)
		return EDGE_TRUNCATED;
	if (is_tpid(type))
		return EDGE_TOO_MANY_TAGS;
	uint8_t routed = line_find(t->lines,
		line_of(p->rx_port, p->outer_tpid, p->outer_vid, p->inner_tpid, p->inner_vid));
	if (routed == LINE_NONE)
		return access_allowed(t, p) ? EDGE_ETHERTYPE_UNKNOWN : EDGE_VLAN_NOT_SERVED;
	struct port_shared *port = &t->port[routed];
	uint8_t *eth = pkt_data(p) - ETH_LEN;
	l2_move_addresses(eth, pkt_data(p) - l2_len(p));
	p->outer_tpid = p->inner_tpid = 0;
	p->outer_vid = p->inner_vid = 0;
	if (routed != p->rx_port) {
		p->rx_port = routed;
		port->rx_packets++; /* by the worker that receives for the parent: the only one */
		port->rx_bytes += (uint64_t)p->len + ETH_LEN;
	}
	uint16_t edge = routed_edge(port, (const struct eth_hdr *)eth);
	if (unlikely(!begins_behind(edge)))
		pkt_push(p, ETH_LEN);
	return edge;
}

static inline uint16_t access_input(
	const struct tables *t, const struct port_shared *port, struct pkt *p)
{
	const struct eth_hdr *eth = (const struct eth_hdr *)pkt_data(p);
	uint16_t type = parse_tags(p);
	if (unlikely(mac_is_multicast(eth->source)))
		return EDGE_SOURCE_MULTICAST;
	if (unlikely(mac_word(eth->source) == mac_word(port->mac)))
		return EDGE_SOURCE_OURS;
	if (likely(type == ETHERTYPE_PPPOE_SESSION)) {
		if (unlikely(mac_word(eth->destination) != mac_word(port->mac)))
			return EDGE_DESTINATION_NOT_OURS;
		return EDGE_PPPOE_INPUT;
	}
	if (type == ETHERTYPE_PPPOE_DISCOVERY)
		return discovery(t, port->mac, p, eth);
	return vlan_input(t, p, type);
}

static inline uint16_t routed_input(
	const struct tables *t, const struct port_shared *port, struct pkt *p)
{
	const struct eth_hdr *eth = (const struct eth_hdr *)pkt_data(p);
	if (unlikely(eth->type != hton16(ETHERTYPE_IP4) && is_tpid(ntoh16(eth->type))))
		return vlan_input(t, p, parse_tags(p));
	uint16_t edge = routed_edge(port, eth);
	if (likely(begins_behind(edge)))
		pkt_pull(p, ETH_LEN);
	return edge;
}

static inline uint16_t input(const struct tables *t, struct pkt *p)
{
	const struct port_shared *port = &t->port[p->rx_port];
	p->session = NO_SESSION;
	p->outer_tpid = p->inner_tpid = 0;
	p->outer_vid = p->inner_vid = 0;
	if (unlikely(p->len < ETH_LEN))
		return EDGE_TRUNCATED;
	switch (port->role) {
	case PORT_ACCESS:
		return access_input(t, port, p);
	case PORT_ROUTED:
		return routed_input(t, port, p);
	case PORT_TAP_TWIN:
		return EDGE_TWIN_OUTPUT;
	default:
		return EDGE_PORT_NOT_IN_USE;
	}
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n) {
			prefetch_write(pkts[i + PREFETCH_AHEAD]);
			prefetch_write(pkts[i + PREFETCH_AHEAD]->buf + PKT_HEADROOM);
		}
		next[i] = input(w->t, pkts[i]);
	}
}

NODE(ethernet_input) = {
	.name = "ethernet_input",
	.process = process,
	.edges =
		{
			[EDGE_PPPOE_INPUT] = {.next = "pppoe_input"},
			[EDGE_IP4_INPUT] = {.next = "ip4_input"},
			[EDGE_IP6_INPUT] = {.next = "ip6_input"},
			[EDGE_PUNT] = {.next = "punt"},
			[EDGE_TWIN_OUTPUT] = {.next = "twin_output"},
			[EDGE_TRUNCATED] = DROP("truncated"),
			[EDGE_TOO_MANY_TAGS] = DROP("too-many-tags"),
			[EDGE_ETHERTYPE_UNKNOWN] = DROP("ethertype-unknown"),
			[EDGE_DESTINATION_NOT_OURS] = DROP("destination-not-ours"),
			[EDGE_SOURCE_MULTICAST] = DROP("source-multicast"),
			[EDGE_SOURCE_OURS] = DROP("source-ours"),
			[EDGE_VLAN_NOT_SERVED] = DROP("vlan-not-served"),
			[EDGE_PORT_NOT_IN_USE] = DROP("port-not-in-use"),
		},
};
