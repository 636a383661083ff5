/*
 * icmp6_error: ICMPv6 errors about packets that cannot go on (RFC 4443 sections 2.4 and 3). The
 * error is built around the offending packet in its own buffer. Never about an ICMPv6 error, a
 * Redirect, or a packet of our own making; groups and sources that are nobody's never come this
 * far.
 *
 * It comes from a global address, since it may have to pass the subscriber's router: that of the
 * port the packet came in by, or of the first port that has one; where there is none at all, a
 * subscriber gets it from the link-local address of his gateway.
 *
 * Type in cause, code and MTU in arg; the current header is the IPv6 header.
 */
#include "node/answer.h"
#include "node/icmp6.h"
#include "table/fib6.h"

enum {
	EDGE_IP6_LOOKUP,
	EDGE_SESSION6_OUTPUT,
	EDGE_OWN_PACKET,
	EDGE_ABOUT_ERROR,
	EDGE_NO_ADDRESS,
	EDGE_REFUSED, /* by answer_refused() */
};

enum { ERROR_LEN = IP6_LEN + ICMP6_LEN };

static struct node node_icmp6_error;

static int init(struct worker *w)
{
	return answers_init(w, &node_icmp6_error, &error_limits);
}

/* RFC 4443 section 2.4 (e.1) and (e.2); too short to tell is one, too. */
static bool is_icmp_error(struct pkt *p, const struct ip6_hdr *ip)
{
	const struct ip6_upper upper = ip6_find_upper(ip, p->len);
	if (upper.place != IP6_UPPER_HERE || upper.protocol != IPPROTO_ICMP6)
		return false;
	if (upper.offset >= p->len)
		return true;
	uint8_t type = pkt_data(p)[upper.offset];
	return type < ICMP6_INFORMATIONAL || type == ICMP6_REDIRECT;
}

/* A source that is not his own is no way to the subscriber: the session is. */
static bool is_about_source(const struct pkt *p)
{
	return p->cause == ICMP6_UNREACHABLE && (uint8_t)p->arg == ICMP6_CODE_SOURCE_POLICY;
}

static bool take_address(const struct port_shared *port, uint8_t from[IP6_ADDRESS_LEN])
{
	uint64_t prefix = __atomic_load_n(&port->ip6_prefix, __ATOMIC_ACQUIRE);
	if (prefix)
		ip6_put(from, prefix, __atomic_load_n(&port->ip6_interface_id, __ATOMIC_RELAXED));
	return prefix;
}

static bool find_address(const struct tables *t, const struct pkt *p, const struct ip6_hdr *ip,
	uint8_t from[IP6_ADDRESS_LEN])
{
	if (take_address(&t->port[p->rx_port], from))
		return true;
	for (uint32_t i = 0; i < t->n_ports; i++)
		if (take_address(&t->port[i], from))
			return true;
	uint32_t leaf = fib6_lookup(&t->fib6, ip->source);
	uint32_t session = is_about_source(p) ? p->session : leaf_index(leaf);
	if (!is_about_source(p) && leaf_kind(leaf) != LEAF_SESSION)
		return false;
	ip6_put(from, IP6_LINK_LOCAL, t->ip6[session].interface_id);
	return true;
}

static void make_error(struct pkt *p, const uint8_t from[IP6_ADDRESS_LEN])
{
	uint8_t to[IP6_ADDRESS_LEN];
	memcpy(to, ((const struct ip6_hdr *)pkt_data(p))->source, IP6_ADDRESS_LEN);
	if (p->len > IP6_MIN_MTU - ERROR_LEN)
		p->len = IP6_MIN_MTU - ERROR_LEN;
	struct ip6_hdr *ip = pkt_push(p, ERROR_LEN);
	struct icmp6_hdr *icmp = (struct icmp6_hdr *)(ip + 1);
	uint16_t payload = (uint16_t)(p->len - IP6_LEN);
	ip6_write(ip, payload, ICMP6_HOP_LIMIT);
	memcpy(ip->source, from, IP6_ADDRESS_LEN);
	memcpy(ip->destination, to, IP6_ADDRESS_LEN);
	*icmp = (struct icmp6_hdr){
		.type = p->cause,
		.code = (uint8_t)p->arg,
		.body = hton32(p->arg >> 8),
	};
	icmp->checksum = icmp6_checksum(ip, icmp, payload);
}

static uint16_t error(struct worker *w, struct pkt *p)
{
	const struct ip6_hdr *ip = (const struct ip6_hdr *)pkt_data(p);
	uint8_t from[IP6_ADDRESS_LEN];
	bool to_session = is_about_source(p);
	if (p->flags & PKT_ICMP_MADE)
		return EDGE_OWN_PACKET;
	if (is_icmp_error(p, ip))
		return EDGE_ABOUT_ERROR;
	if (!find_address(w->t, p, ip, from))
		return EDGE_NO_ADDRESS;
	/* A network of 64 bits is one source, a session that forges them, too. */
	uint64_t source = to_session ? p->session : ip6_prefix(ip->source);
	uint16_t refused =
		answer_refused(w, &node_icmp6_error, &error_limits, source, EDGE_REFUSED);
	if (refused)
		return refused;
	make_error(p, from);
	p->flags = PKT_ICMP_MADE | PKT_IP6;
	if (to_session)
		return EDGE_SESSION6_OUTPUT;
	p->session = NO_SESSION;
	return EDGE_IP6_LOOKUP;
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = error(w, pkts[i]);
}

NODE(icmp6_error) = {
	.name = "icmp6_error",
	.process = process,
	.init = init,
	.edges =
		{
			[EDGE_IP6_LOOKUP] = {.next = "ip6_lookup"},
			[EDGE_SESSION6_OUTPUT] = {.next = "session6_output"},
			[EDGE_OWN_PACKET] = DROP("about-own-packet"),
			[EDGE_ABOUT_ERROR] = DROP("about-icmp-error"),
			[EDGE_NO_ADDRESS] = DROP("no-source-address"),
			ANSWER_EDGES(EDGE_REFUSED),
		},
};
