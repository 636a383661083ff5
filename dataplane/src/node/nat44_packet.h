/*
 * What both NAT44 nodes see of a packet: which mapping it asks for, and how its address, port and
 * checksums are rewritten (RFC 1624). The packet has passed ip4_validate: data stands at the IP
 * header and len is its total length.
 */
#ifndef BNG_NODE_NAT44_PACKET_H
#define BNG_NODE_NAT44_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "hdr/checksum.h"
#include "hdr/ip4.h"
#include "node/hints.h"
#include "pkt.h"
#include "table/nat44_map.h"
#include "table/nat44_protocol.h"

enum nat44_kind {
	NAT44_FLOW,	   /* TCP, UDP, ICMP query: flow is filled */
	NAT44_ICMP_ERROR,  /* speaks of another packet */
	NAT44_BYPASS,	   /* not to be translated, or not here */
	NAT44_FIRST,	   /* NAT44_FLOW that has more fragments */
	NAT44_LATER,	   /* another fragment of one: without ports */
	NAT44_OVERLAP,	   /* a fragment that could overwrite the first one's header */
	NAT44_FRAGMENT,	   /* of an ICMP error, or such an error about a later fragment */
	NAT44_PORTLESS,	   /* GRE, ESP, and any fragment of them */
	NAT44_PROTOCOL,	   /* none of these */
	NAT44_ICMP_OTHER,  /* redirect, router discovery, ... */
	NAT44_TRUNCATED,   /* ends within its transport header */
	NAT44_NO_MAPPING,  /* quote of an ICMP error: not ours */
	NAT44_BAD_CHECKSUM /* of an ICMP error or of what it quotes */
};

struct nat44_packet {
	struct nat_slot *slot;	/* where the search starts */
	struct nat_slot *found; /* the mapping in that line, or NULL */
	uint8_t *l4;
	struct nat44_flow flow;
	uint8_t kind; /* enum nat44_kind */
};

/* Packets parsed, and their lines prefetched, before the first of them is translated. */
enum { NAT44_GROUP = 32 };

/* How many of n packets are in the group that starts at `done`. */
static inline uint16_t nat44_group(uint16_t n, uint16_t done)
{
	return (uint16_t)(n - done < NAT44_GROUP ? n - done : NAT44_GROUP);
}

enum {
	ICMP4_TIMESTAMP = 13,
	ICMP4_TIMESTAMP_REPLY = 14,
	TCP_CHECKSUM = 16, /* offset in the header */
	UDP_CHECKSUM = 6,
	ICMP4_CHECKSUM = 2,
	ICMP4_ID = 4,
};

static inline be16 load16(const uint8_t *p)
{
	be16 v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void store16(uint8_t *p, be16 v)
{
	memcpy(p, &v, sizeof(v));
}

static inline bool icmp4_is_query(uint8_t type)
{
	return type == ICMP4_ECHO_REQUEST || type == ICMP4_TIMESTAMP;
}

static inline bool icmp4_is_reply(uint8_t type)
{
	return type == ICMP4_ECHO_REPLY || type == ICMP4_TIMESTAMP_REPLY;
}

/* RFC 5508 section 2; source quench and redirect do not pass. */
static inline bool icmp4_is_error(uint8_t type)
{
	return type == ICMP4_UNREACHABLE || type == ICMP4_TIME_EXCEEDED ||
	       type == ICMP4_PARAMETER_PROBLEM;
}

/* Where the subscriber's own port or identifier stands. */
static inline uint32_t nat44_port_offset(uint32_t plane, bool local_is_source)
{
	return plane == NAT_ICMP ? ICMP4_ID : local_is_source ? 0 : 2;
}

static inline void nat44_load_flow(
	struct nat44_flow *flow, const struct ip4_hdr *ip, const uint8_t *l4, bool local_is_source)
{
	flow->remote = local_is_source ? ip->destination : ip->source;
	flow->port = load16(l4 + nat44_port_offset(flow->plane, local_is_source));
	flow->remote_port = flow->plane == NAT_ICMP ? 0 : load16(l4 + (local_is_source ? 2 : 0));
}

static inline enum nat44_kind nat44_parse_icmp(
	const uint8_t *l4, uint16_t room, be16 fragment, struct nat44_packet *out)
{
	if (room < ICMP4_LEN)
		return NAT44_TRUNCATED;
	out->flow.plane = NAT_ICMP;
	if (icmp4_is_query(l4[0]) || icmp4_is_reply(l4[0]))
		return NAT44_FLOW;
	if (!icmp4_is_error(l4[0]))
		return NAT44_ICMP_OTHER;
	/* the checksum of an error is checked, which takes all of it */
	return fragment & hton16(IP4_MF) ? NAT44_FRAGMENT : NAT44_ICMP_ERROR;
}

/* Fills flow, with `room` bytes at l4; a first fragment that is cut within its ports or flags does
 * not pass (RFC 1858). */
static inline enum nat44_kind nat44_parse_transport(
	const struct ip4_hdr *ip, uint16_t room, bool local_is_source, struct nat44_packet *out)
{
	enum nat44_kind kind = NAT44_FLOW;
	const uint8_t *l4 = out->l4;
	if (ip->protocol == IPPROTO_TCP4) {
		out->flow.plane = NAT_TCP;
		kind = room < TCP_LEN ? NAT44_TRUNCATED : NAT44_FLOW;
	} else if (ip->protocol == IPPROTO_UDP4) {
		out->flow.plane = NAT_UDP;
		kind = room < UDP_LEN ? NAT44_TRUNCATED : NAT44_FLOW;
	} else if (ip->protocol == IPPROTO_ICMP4) {
		kind = nat44_parse_icmp(l4, room, ip->fragment, out);
	} else {
		return nat44_has_no_ports(ip->protocol) ? NAT44_PORTLESS : NAT44_PROTOCOL;
	}
	if (kind == NAT44_FLOW)
		nat44_load_flow(&out->flow, ip, l4, local_is_source);
	return kind;
}

/* The same of a fragment, first or later. */
enum nat44_kind nat44_parse_fragment(
	const struct ip4_hdr *ip, uint16_t room, bool local_is_source, struct nat44_packet *out);

/* Fills l4 and flow; local_is_source: the subscriber, or what stands for him, is the source. */
static inline enum nat44_kind nat44_parse(
	struct pkt *p, bool local_is_source, struct nat44_packet *out)
{
	const struct ip4_hdr *ip = pkt_header(p, IP4_LEN);
	if (!ip)
		return NAT44_TRUNCATED;
	uint16_t header_len = ip4_header_len(ip);
	if (header_len < IP4_LEN || header_len > p->len)
		return NAT44_TRUNCATED;
	uint16_t room = (uint16_t)(p->len - header_len);
	out->l4 = pkt_data(p) + header_len;
	if (unlikely(ip->fragment & hton16(IP4_MF | IP4_OFFSET_MASK)))
		return nat44_parse_fragment(ip, room, local_is_source, out);
	return nat44_parse_transport(ip, room, local_is_source, out);
}

/* p->arg, for nat44_fragment, of a later fragment */
enum { NAT44_FRAGMENT_ARRIVED };

/* What replacing `from` by `to` adds to a checksum (RFC 1624 equation 3). */
static inline uint64_t checksum_delta32(be32 from, be32 to)
{
	return (uint64_t)(uint32_t)~from + to;
}

static inline uint64_t checksum_delta16(be16 from, be16 to)
{
	return (uint64_t)(uint16_t)~from + to;
}

static inline be16 checksum_apply(be16 sum, uint64_t delta)
{
	return (be16)~checksum_fold((uint16_t)~sum + delta);
}

/* A transport checksum; that of UDP is 0 when there is none, and never becomes 0 (RFC 768). */
static inline void nat44_fix_checksum(uint8_t *field, uint32_t plane, uint64_t delta)
{
	be16 sum = load16(field);
	if (plane == NAT_UDP && !sum)
		return;
	sum = checksum_apply(sum, delta);
	store16(field, plane == NAT_UDP && !sum ? 0xffff : sum);
}

static inline uint32_t nat44_checksum_offset(uint32_t plane)
{
	return plane == NAT_TCP ? TCP_CHECKSUM : plane == NAT_UDP ? UDP_CHECKSUM : ICMP4_CHECKSUM;
}

/* Replaces one address of the IP header; returns what that adds to a sum over it. */
static inline uint64_t nat44_set_address(struct ip4_hdr *ip, bool source, be32 address)
{
	uint64_t delta = checksum_delta32(source ? ip->source : ip->destination, address);
	if (source)
		ip->source = address;
	else
		ip->destination = address;
	ip->checksum = checksum_apply(ip->checksum, delta);
	return delta;
}

/* Replaces the local address and port of a packet of which `room` bytes of transport are there
 * (in a quote that may be 8). */
static inline void nat44_rewrite(struct ip4_hdr *ip, uint8_t *l4, uint32_t room, uint32_t plane,
	bool local_is_source, be32 address, be16 port)
{
	uint64_t address_delta = nat44_set_address(ip, local_is_source, address);
	uint8_t *port_field = l4 + nat44_port_offset(plane, local_is_source);
	uint64_t delta = checksum_delta16(load16(port_field), port);
	uint32_t checksum_offset = nat44_checksum_offset(plane);
	store16(port_field, port);
	if (plane != NAT_ICMP) /* no pseudo-header there */
		delta += address_delta;
	if (room >= checksum_offset + sizeof(be16))
		nat44_fix_checksum(l4 + checksum_offset, plane, delta);
}

/* What an ICMP error quotes: a packet that went the other way. */
struct nat44_quote {
	struct ip4_hdr *ip;
	uint8_t *l4;
	struct nat44_flow flow; /* its local side; without ports, only the remote */
	be32 local;		/* its address there */
	uint16_t room;		/* bytes of transport quoted */
};

/* Finds the quote of the error at `icmp`, after checking both checksums (RFC 5508 REQ-3).
 * NAT44_ICMP_ERROR, NAT44_PORTLESS when it speaks of such a packet, or why it cannot be translated.
 * local_is_source: of the error itself. */
enum nat44_kind nat44_quote_parse(
	struct pkt *p, uint8_t *icmp, bool local_is_source, struct nat44_quote *quote);
/* Gives the quote the form it has on the other side, the error the outer address, and both right
 * checksums (RFC 5508 REQ-4, REQ-5); type, code and MTU stay. Without ports `port` is not used. */
void nat44_quote_rewrite(struct pkt *p, uint8_t *icmp, bool local_is_source,
	const struct nat44_quote *quote, be32 address, be16 port);

#endif
