/*
 * ip6_control: what a subscriber sends to the link: to our link-local address or to a group. Router
 * Solicitations (RFC 4861 section 6.2.6) and DHCPv6 (RFC 8415 section 7.2) are bngd's. Neighbor
 * Solicitations for our address (RFC 4861 section 7.2.4) and pings are answered here, as long as
 * the session's share lasts. Nothing else is anybody's: there is no multicast, and no other host.
 *
 * The current header is the IPv6 header; before it are PPP protocol and PPPoE header.
 */
#include "graph.h"
#include "hdr/pppoe.h"
#include "node/account.h"
#include "node/icmp6.h"
#include "node/ip6_source.h"
#include "node/session_header.h"
#include "node/share.h"

enum {
	EDGE_PUNT,
	EDGE_PORT_OUTPUT,
	EDGE_SPOOFED,
	EDGE_MALFORMED,
	EDGE_FRAGMENT,
	EDGE_MULTICAST_LISTENER,
	EDGE_MULTICAST,
	EDGE_NOT_SERVED,
	EDGE_NOT_OURS,
	EDGE_SESSION_SHARE,
};

enum { UDP_LEN6 = 8, DHCPV6_SERVER = 547, ND_LEN = 24, ROUTER = 0x80, SOLICITED = 0x40 };

struct nd_hdr { /* Neighbor Solicitation and Advertisement, RFC 4861 sections 4.3 and 4.4 */
	struct icmp6_hdr icmp;
	uint8_t target[IP6_ADDRESS_LEN];
} __attribute__((packed, aligned(2)));

_Static_assert(sizeof(struct nd_hdr) == ND_LEN, "wire");

static const uint8_t all_nodes[] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
static const uint8_t all_routers[] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
static const uint8_t all_dhcp[] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2};
static const uint8_t solicited_node[] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};

static bool is(const uint8_t address[IP6_ADDRESS_LEN], const uint8_t other[IP6_ADDRESS_LEN])
{
	return !memcmp(address, other, IP6_ADDRESS_LEN);
}

static bool is_ours(const struct session_ip6 *ip6, const uint8_t address[IP6_ADDRESS_LEN])
{
	return ip6_prefix(address) == IP6_LINK_LOCAL &&
	       ip6_interface_id(address) == ip6->interface_id;
}

static uint16_t not_served(const struct worker *w, const struct pkt *p, uint16_t edge)
{
	return refused_in(w->t, p, IN_DROP_NOT_SERVED, edge);
}

static bool is_his_own(const struct tables *t, const struct pkt *p, const struct ip6_hdr *ip)
{
	if (ip6_is_link_local(ip->source))
		return !is_ours(&t->ip6[p->session], ip->source);
	return ip6_is_unspecified(ip->source) || ip6_source_is_right(t, p->session, ip);
}

static uint16_t punt(struct pkt *p)
{
	pkt_push(p, PPPOE_LEN + PPP_PROTOCOL_LEN);
	p->cause = PUNT_IP6_CONTROL;
	return EDGE_PUNT;
}

/* Our answer stands at the current header. Neither it nor the question is charged. */
static uint16_t answer(struct worker *w, struct pkt *p)
{
	const struct session_out *out = &w->t->out[p->session];
	uint8_t *protocol = pkt_push(p, PPP_PROTOCOL_LEN);
	protocol[0] = PPP_IP6 >> 8;
	protocol[1] = PPP_IP6 & 0xff;
	session_control_push(p, out, w->t->port[out->port].control_pbit);
	return EDGE_PORT_OUTPUT;
}

static bool take_share(struct worker *w, const struct pkt *p)
{
	struct session_in *in = &w->t->in[p->session];
	if (!session_share_ready(in, w->now_ms))
		return false;
	session_share_spend(in);
	return true;
}

static uint16_t ping(struct worker *w, struct pkt *p, struct ip6_hdr *ip)
{
	if (!is_echo6_request(ip) || icmp6_checksum(ip, ip + 1, (uint16_t)(p->len - IP6_LEN)))
		return refused_in(w->t, p, IN_DROP_MALFORMED, EDGE_MALFORMED);
	if (p->len > w->t->out[p->session].mtu)
		return refused_in(w->t, p, IN_DROP_TOO_BIG, EDGE_MALFORMED);
	if (!take_share(w, p))
		return EDGE_SESSION_SHARE;
	echo6_reply(ip);
	return answer(w, p);
}

/* RFC 4861 section 7.1.1. */
static bool is_solicitation(const struct ip6_hdr *ip, const struct nd_hdr *nd, uint16_t len)
{
	return len >= ND_LEN && ip->hop_limit == ND_HOP_LIMIT && nd->icmp.code == 0 &&
	       !icmp6_checksum(ip, nd, len);
}

/* PPP has no link-layer addresses: there is no option, so Override stays 0 (RFC 4861 section 7.2.4,
 * RFC 5072 section 5). */
static uint16_t neighbour(struct worker *w, struct pkt *p, struct ip6_hdr *ip)
{
	struct nd_hdr *nd = (struct nd_hdr *)(ip + 1);
	bool known = !ip6_is_unspecified(ip->source);
	if (!is_solicitation(ip, nd, (uint16_t)(p->len - IP6_LEN)))
		return refused_in(w->t, p, IN_DROP_MALFORMED, EDGE_MALFORMED);
	if (!is_ours(&w->t->ip6[p->session], nd->target))
		return not_served(w, p, EDGE_NOT_OURS);
	if (!take_share(w, p))
		return EDGE_SESSION_SHARE;
	p->len = IP6_LEN + ND_LEN;
	ip6_write(ip, ND_LEN, ND_HOP_LIMIT);
	memcpy(ip->destination, known ? ip->source : all_nodes, IP6_ADDRESS_LEN);
	memcpy(ip->source, nd->target, IP6_ADDRESS_LEN);
	nd->icmp = (struct icmp6_hdr){
		.type = ICMP6_NEIGHBOR_ADVERTISEMENT,
		.body = hton32((uint32_t)(known ? ROUTER | SOLICITED : ROUTER) << 24),
	};
	nd->icmp.checksum = icmp6_checksum(ip, nd, ND_LEN);
	return answer(w, p);
}

/* To a group that is nobody's here, or to us. */
static uint16_t nobodys(const struct worker *w, const struct pkt *p, const struct ip6_hdr *ip)
{
	return not_served(
		w, p, ip6_is_multicast(ip->destination) ? EDGE_MULTICAST : EDGE_NOT_SERVED);
}

static uint16_t icmp6(
	struct worker *w, struct pkt *p, struct ip6_hdr *ip, uint16_t offset, bool ours)
{
	if (p->len < offset + ICMP6_LEN)
		return refused_in(w->t, p, IN_DROP_MALFORMED, EDGE_MALFORMED);
	uint8_t type = pkt_data(p)[offset];
	if ((type >= ICMP6_MLD_QUERY && type <= ICMP6_MLD_DONE) || type == ICMP6_MLD2_REPORT)
		return not_served(w, p, EDGE_MULTICAST_LISTENER);
	if (offset != IP6_LEN) /* nothing that we serve comes with extension headers */
		return nobodys(w, p, ip);
	if (type == ICMP6_ROUTER_SOLICITATION && (ours || is(ip->destination, all_routers)))
		return punt(p);
	bool asked = ours || !memcmp(ip->destination, solicited_node, sizeof(solicited_node));
	if (type == ICMP6_NEIGHBOR_SOLICITATION && asked)
		return neighbour(w, p, ip);
	if (type == ICMP6_ECHO_REQUEST && ours)
		return ping(w, p, ip);
	return nobodys(w, p, ip);
}

static uint16_t udp(
	struct worker *w, struct pkt *p, const struct ip6_hdr *ip, uint16_t offset, bool ours)
{
	if (p->len < offset + UDP_LEN6)
		return refused_in(w->t, p, IN_DROP_MALFORMED, EDGE_MALFORMED);
	const uint8_t *port = pkt_data(p) + offset + 2;
	if ((port[0] << 8 | port[1]) == DHCPV6_SERVER && (ours || is(ip->destination, all_dhcp)))
		return punt(p);
	return nobodys(w, p, ip);
}

static uint16_t control(struct worker *w, struct pkt *p)
{
	struct ip6_hdr *ip = (struct ip6_hdr *)pkt_data(p);
	bool ours = is_ours(&w->t->ip6[p->session], ip->destination);
	if (!is_his_own(w->t, p, ip))
		return refused_in(w->t, p, IN_DROP_SPOOFED, EDGE_SPOOFED);
	if (!ours && !ip6_is_multicast(ip->destination))
		return not_served(w, p, EDGE_NOT_OURS);
	const struct ip6_upper upper = ip6_find_upper(ip, p->len);
	if (upper.fragment) /* RFC 6980 */
		return not_served(w, p, EDGE_FRAGMENT);
	if (upper.place != IP6_UPPER_HERE)
		return refused_in(w->t, p, IN_DROP_MALFORMED, EDGE_MALFORMED);
	if (upper.protocol == IPPROTO_ICMP6)
		return icmp6(w, p, ip, upper.offset, ours);
	if (upper.protocol == IPPROTO_UDP6 && upper.offset == IP6_LEN)
		return udp(w, p, ip, upper.offset, ours);
	return nobodys(w, p, ip);
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = control(w, pkts[i]);
}

NODE(ip6_control) = {
	.name = "ip6_control",
	.process = process,
	.edges =
		{
			[EDGE_PUNT] = {.next = "punt"},
			[EDGE_PORT_OUTPUT] = {.next = "port_output"},
			[EDGE_SPOOFED] = DROP("source-spoofed"),
			[EDGE_MALFORMED] = DROP("malformed"),
			[EDGE_FRAGMENT] = DROP("fragment"),
			[EDGE_MULTICAST_LISTENER] = DROP("multicast-listener"),
			[EDGE_MULTICAST] = DROP("multicast"),
			[EDGE_NOT_SERVED] = DROP("not-served"),
			[EDGE_NOT_OURS] = DROP("not-our-address"),
			[EDGE_SESSION_SHARE] = DROP("session-share-used-up"),
		},
};
