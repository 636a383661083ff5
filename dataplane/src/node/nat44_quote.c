/* ICMP errors through NAT44 (RFC 5508 section 4, RFC 792): they carry the packet they speak of. */
#include "node/nat44_packet.h"

/* RFC 792: an error quotes the header and at least 64 bits of the data. */
enum { QUOTE_TRANSPORT_LEN = 8 };

static enum nat44_kind quote_plane(const struct ip4_hdr *ip, const uint8_t *l4, uint8_t *plane)
{
	if (ip->protocol == IPPROTO_TCP4)
		*plane = NAT_TCP;
	else if (ip->protocol == IPPROTO_UDP4)
		*plane = NAT_UDP;
	else if (ip->protocol == IPPROTO_ICMP4 && (icmp4_is_query(l4[0]) || icmp4_is_reply(l4[0])))
		*plane = NAT_ICMP;
	else
		return nat44_has_no_ports(ip->protocol) ? NAT44_PORTLESS : NAT44_NO_MAPPING;
	return NAT44_ICMP_ERROR;
}

enum nat44_kind nat44_quote_parse(
	struct pkt *p, uint8_t *icmp, bool local_is_source, struct nat44_quote *quote)
{
	uint16_t icmp_len = (uint16_t)(pkt_data(p) + p->len - icmp);
	uint16_t len = (uint16_t)(icmp_len - ICMP4_LEN);
	struct ip4_hdr *ip = (struct ip4_hdr *)(icmp + ICMP4_LEN);
	if (checksum(icmp, icmp_len))
		return NAT44_BAD_CHECKSUM;
	if (len < IP4_LEN)
		return NAT44_TRUNCATED;
	uint16_t header_len = ip4_header_len(ip);
	if (ip->version_ihl >> 4 != 4 || header_len < IP4_LEN ||
		len < header_len + QUOTE_TRANSPORT_LEN)
		return NAT44_TRUNCATED;
	if (checksum(ip, header_len))
		return NAT44_BAD_CHECKSUM;
	if (ip->fragment & hton16(IP4_OFFSET_MASK))
		return NAT44_FRAGMENT;
	quote->ip = ip;
	quote->l4 = icmp + ICMP4_LEN + header_len;
	quote->room = (uint16_t)(len - header_len);
	enum nat44_kind kind = quote_plane(ip, quote->l4, &quote->flow.plane);
	quote->local = local_is_source ? ip->destination : ip->source;
	if (kind == NAT44_ICMP_ERROR) {
		nat44_load_flow(&quote->flow, ip, quote->l4, !local_is_source);
	} else {
		quote->flow.plane = NAT_PLANES;
		quote->flow.remote = local_is_source ? ip->source : ip->destination;
	}
	return kind;
}

void nat44_quote_rewrite(struct pkt *p, uint8_t *icmp, bool local_is_source,
	const struct nat44_quote *quote, be32 address, be16 port)
{
	size_t icmp_len = (size_t)(pkt_data(p) + p->len - icmp);
	if (quote->flow.plane == NAT_PLANES)
		nat44_set_address(quote->ip, !local_is_source, address);
	else
		nat44_rewrite(quote->ip, quote->l4, quote->room, quote->flow.plane,
			!local_is_source, address, port);
	/* it was right before, so it may be made anew */
	store16(icmp + ICMP4_CHECKSUM, 0);
	store16(icmp + ICMP4_CHECKSUM, checksum(icmp, icmp_len));
	nat44_set_address((struct ip4_hdr *)pkt_data(p), local_is_source, address);
}
