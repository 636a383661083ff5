/* Fragments, as both NAT44 nodes see them. */
#include "node/nat44_packet.h"

/* RFC 3128: a fragment of TCP that starts at byte 8 could write over flags of the first one, after
 * these were looked at. */
enum { TCP_OVERLAP = 1 };

enum nat44_kind nat44_parse_fragment(
	const struct ip4_hdr *ip, uint16_t room, bool local_is_source, struct nat44_packet *out)
{
	uint16_t offset = ntoh16(ip->fragment) & IP4_OFFSET_MASK;
	if (!offset) {
		enum nat44_kind kind = nat44_parse_transport(ip, room, local_is_source, out);
		return kind == NAT44_FLOW ? NAT44_FIRST : kind;
	}
	switch (ip->protocol) {
	case IPPROTO_TCP4:
		return offset == TCP_OVERLAP ? NAT44_OVERLAP : NAT44_LATER;
	case IPPROTO_UDP4:
	case IPPROTO_ICMP4:
		return NAT44_LATER;
	default:
		return nat44_has_no_ports(ip->protocol) ? NAT44_PORTLESS : NAT44_PROTOCOL;
	}
}
