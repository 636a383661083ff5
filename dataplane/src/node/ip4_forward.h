/*
 * The last steps of forwarding an IPv4 packet, whatever link it leaves by: TTL (RFC 1812 section
 * 5.3.1), MTU (RFC 791, RFC 1191). Shared by ip4_rewrite and session_output.
 */
#ifndef BNG_NODE_IP4_FORWARD_H
#define BNG_NODE_IP4_FORWARD_H

#include <stdbool.h>

#include "hdr/checksum.h"
#include "hdr/ip4.h"
#include "node/ip_verdict.h"

/* Why a packet cannot be sent as it is. `node` is where its fragments enter again. */
static inline enum ip_verdict ip4_obstacle(
	struct pkt *p, const struct ip4_hdr *ip, uint16_t mtu, uint16_t node)
{
	if (ip->ttl <= 1) {
		icmp_error_set(p, ICMP4_TIME_EXCEEDED, 0, 0);
		return IP_ERROR;
	}
	if (ip->fragment & hton16(IP4_DF)) {
		icmp_error_set(p, ICMP4_UNREACHABLE, ICMP4_CODE_FRAG_NEEDED, mtu);
		return IP_ERROR;
	}
	p->arg = mtu;
	p->handoff_node = (uint8_t)node;
	return IP_FRAGMENT;
}

/* RFC 1624 section 4: a sum of 0xffff stands for 0. */
static inline void ip4_decrement_ttl(struct ip4_hdr *ip)
{
	uint32_t sum = (uint32_t)ip->checksum + 1;
	ip->checksum = (be16)(sum + (sum >= 0xffff));
	ip->ttl--;
}

/* Decrements the TTL of a packet that may go, else says what has to be done with it. */
static inline enum ip_verdict ip4_forward(struct pkt *p, uint16_t mtu, uint16_t node)
{
	struct ip4_hdr *ip = (struct ip4_hdr *)pkt_data(p);
	if (__builtin_expect(ip->ttl <= 1 || p->len > mtu, 0))
		return ip4_obstacle(p, ip, mtu, node);
	ip4_decrement_ttl(ip);
	return IP_SEND;
}

#endif
