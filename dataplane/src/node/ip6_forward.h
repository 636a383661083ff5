/*
 * The last steps of forwarding an IPv6 packet, whatever link it leaves by: hop limit (RFC 8200
 * section 3), MTU (RFC 8200 section 5: nobody fragments on the way). Shared by ip6_rewrite and
 * session6_output.
 */
#ifndef BNG_NODE_IP6_FORWARD_H
#define BNG_NODE_IP6_FORWARD_H

#include "hdr/ip6.h"
#include "node/ip_verdict.h"

/* Decrements the hop limit of a packet that may go, else says what it is answered. */
static inline enum ip_verdict ip6_forward(struct pkt *p, uint16_t mtu)
{
	struct ip6_hdr *ip = (struct ip6_hdr *)pkt_data(p);
	if (__builtin_expect(ip->hop_limit <= 1, 0)) {
		icmp_error_set(p, ICMP6_TIME_EXCEEDED, 0, 0);
		return IP_ERROR;
	}
	if (__builtin_expect(p->len > mtu, 0)) {
		icmp_error_set(p, ICMP6_PACKET_TOO_BIG, 0, mtu);
		return IP_ERROR;
	}
	ip->hop_limit--;
	return IP_SEND;
}

#endif
