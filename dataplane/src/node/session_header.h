/* Puts a session's prebuilt Ethernet, VLAN, PPPoE and PPP header in front of a packet. */
#ifndef BNG_NODE_SESSION_HEADER_H
#define BNG_NODE_SESSION_HEADER_H

#include "hdr/ethernet.h"
#include "hdr/pppoe.h"
#include "pkt.h"

enum {
	PPP_PROTOCOL_LEN = 2,
	SESSION_HEADER_UNTAGGED = ETH_LEN + PPPOE_LEN + PPP_PROTOCOL_LEN,
	SESSION_HEADER_ONE_TAG = SESSION_HEADER_UNTAGGED + VLAN_LEN,
	SESSION_HEADER_TWO_TAGS = SESSION_HEADER_ONE_TAG + VLAN_LEN,
};

_Static_assert((int)SESSION_HEADER_TWO_TAGS == (int)SESSION_HEADER_LEN, "room for both tags");

/* In front of an IPv4 packet. Constant lengths: the copies become a few moves. */
static inline void session_header_push(struct pkt *p, const struct session_out *out)
{
	be16 length = hton16((uint16_t)(p->len + PPP_PROTOCOL_LEN));
	uint8_t *header = pkt_push(p, out->header_len);
	if (out->header_len == SESSION_HEADER_TWO_TAGS)
		memcpy(header, out->header, SESSION_HEADER_TWO_TAGS);
	else if (out->header_len == SESSION_HEADER_ONE_TAG)
		memcpy(header, out->header, SESSION_HEADER_ONE_TAG);
	else
		memcpy(header, out->header, SESSION_HEADER_UNTAGGED);
	memcpy(header + out->header_len - 4, &length, 2);
}

/* The last thing that is done to an IPv4 packet to a session, and the first of an IPv6 packet. */
static inline void session_send(struct session_out *out, struct pkt *p)
{
	out->packets++;
	out->bytes += p->len;
	session_header_push(p, out);
	p->tx_port = out->port;
}

/* In front of a PPP protocol field that is there already; tags carry the control priority. */
static inline void session_control_push(
	struct pkt *p, const struct session_out *out, uint8_t control_pbit)
{
	be16 length = hton16(p->len);
	uint16_t len = (uint16_t)(out->header_len - PPP_PROTOCOL_LEN);
	uint8_t priority = (uint8_t)(control_pbit << 5);
	uint8_t *header = pkt_push(p, len);
	memcpy(header, out->header, len);
	memcpy(header + len - 2, &length, 2);
	if (out->header_len >= SESSION_HEADER_ONE_TAG)
		header[ETH_LEN] |= priority;
	if (out->header_len >= SESSION_HEADER_TWO_TAGS)
		header[ETH_LEN + VLAN_LEN] |= priority;
	p->tx_port = out->port;
}

#endif
