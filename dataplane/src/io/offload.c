/*
 * Checksum completion and segmentation in software, for TCP over IPv4 and IPv6 (RFC 9293) and for
 * UDP datagrams sent as one block, behind VLAN tags and a PPPoE header too. Does not take UDP that
 * waits for IP fragmentation (no kernel since 4.14 makes it).
 */
#include "offload.h"

#include <errno.h>
#include <string.h>

#include "../hdr/checksum.h"
#include "../hdr/ethernet.h"
#include "../hdr/ip4.h"
#include "../hdr/pppoe.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum { MAX_TAGS = 3, IP6_LEN = 40, TCP_PSH = 8, TCP_CWR = 128 };

static uint16_t load16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void store16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static uint16_t min_payload(const struct offload *o)
{
	uint32_t left = o->len - o->header_len - o->done;
	return left < o->mss ? (uint16_t)left : o->mss;
}

/* Steps over Ethernet, tags and PPPoE. False: no IP header there. */
static bool find_l3(struct offload *o)
{
	uint32_t at = ETH_LEN;
	if (o->len < at)
		return false;
	uint16_t type = load16(o->frame + at - 2);
	for (int tags = 0; is_tpid(type); tags++) {
		if (tags == MAX_TAGS || o->len < at + VLAN_LEN)
			return false;
		type = load16(o->frame + at + 2);
		at += VLAN_LEN;
	}
	if (type == ETHERTYPE_PPPOE_SESSION) {
		if (o->len < at + PPPOE_LEN + 2)
			return false;
		uint16_t protocol = load16(o->frame + at + PPPOE_LEN);
		type = protocol == PPP_IP4   ? ETHERTYPE_IP4
		       : protocol == PPP_IP6 ? ETHERTYPE_IP6
					     : 0;
		o->pppoe = (uint16_t)at;
		at += PPPOE_LEN + 2;
	}
	o->l3 = (uint16_t)at;
	o->ip6 = type == ETHERTYPE_IP6;
	return type == ETHERTYPE_IP4 || type == ETHERTYPE_IP6;
}

/* Where the transport header starts; its end in header_len. False: not what the header said. */
static bool find_l4(struct offload *o, const struct virtio_net_hdr *header)
{
	const uint8_t *ip = o->frame + o->l3;
	uint32_t at = o->l3 + (o->ip6 ? (uint32_t)IP6_LEN : (uint32_t)IP4_LEN);
	if (o->len < at || ip[0] >> 4 != (o->ip6 ? 6 : 4))
		return false;
	if (!o->ip6) {
		at = o->l3 + (ip[0] & 15u) * 4;
		if (at < o->l3 + (uint32_t)IP4_LEN || ip[9] != o->protocol)
			return false;
	} else if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && header->csum_start > at) {
		if ((header->csum_start - at) % 8) /* extension headers, RFC 8200 section 4 */
			return false;
		at = header->csum_start;
	}
	uint32_t size = UDP_LEN;
	if (o->protocol == IPPROTO_TCP4) {
		if (o->len < at + TCP_LEN)
			return false;
		size = (o->frame[at + 12] >> 4) * 4u;
		if (size < TCP_LEN)
			return false;
	}
	if (o->len < at + size || at + size > UINT16_MAX)
		return false;
	o->l4 = (uint16_t)at;
	o->header_len = (uint16_t)(at + size);
	return true;
}

static int start_segments(struct offload *o, const struct virtio_net_hdr *header, uint32_t room)
{
	uint8_t type = header->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	bool tcp = type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6;
	if (!tcp && type != VIRTIO_NET_HDR_GSO_UDP_L4)
		return -EINVAL;
	o->protocol = tcp ? IPPROTO_TCP4 : IPPROTO_UDP4;
	o->mss = header->gso_size;
	if (!o->mss || !find_l3(o) || (tcp && o->ip6 != (type == VIRTIO_NET_HDR_GSO_TCPV6)) ||
		!find_l4(o, header))
		return -EINVAL;
	return (uint32_t)o->header_len + min_payload(o) > room ? -EMSGSIZE : 0;
}

int offload_start(struct offload *o, const struct virtio_net_hdr *header, const uint8_t *frame,
	uint32_t len, uint32_t room)
{
	*o = (struct offload){.frame = frame, .len = len};
	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return start_segments(o, header, room);
	if (len > room)
		return -EMSGSIZE;
	if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return 0;
	uint32_t field = (uint32_t)header->csum_start + header->csum_offset;
	if (header->csum_start < ETH_LEN || field + 2 > len)
		return -EINVAL;
	o->checksum_start = header->csum_start;
	o->checksum_field = (uint16_t)field;
	return 0;
}

/* The field holds the sum of the pseudo header. 0 would mean "no checksum" in UDP (RFC 768). */
static void complete_checksum(const struct offload *o, uint8_t *out)
{
	be16 sum = checksum(out + o->checksum_start, o->len - o->checksum_start);
	if (!sum)
		sum = 0xffff;
	memcpy(out + o->checksum_field, &sum, sizeof(sum));
}

/* Lengths, and in IPv4 identification and header checksum, of the segment of `len` bytes. */
static void finish_l3(const struct offload *o, uint8_t *out, uint32_t len)
{
	uint8_t *ip = out + o->l3;
	if (o->pppoe)
		store16(out + o->pppoe + 4, len - o->pppoe - PPPOE_LEN);
	if (o->ip6) {
		store16(ip + 4, len - o->l3 - IP6_LEN);
		return;
	}
	store16(ip + 2, len - o->l3);
	store16(ip + 4, (uint32_t)load16(ip + 4) + o->segment);
	memset(ip + 10, 0, 2);
	be16 sum = checksum(ip, (size_t)(o->l4 - o->l3));
	memcpy(ip + 10, &sum, sizeof(sum));
}

/* The transport checksum over the pseudo header of either IP version. */
static be16 transport_checksum(const struct offload *o, const uint8_t *out, uint32_t len)
{
	const uint8_t *ip = out + o->l3;
	uint32_t l4_len = len - o->l4;
	uint64_t sum = o->ip6 ? checksum_add(0, ip + 8, 32) : checksum_add(0, ip + 12, 8);
	sum += hton16(o->protocol);
	sum += hton16((uint16_t)l4_len);
	return (be16)~checksum_fold(checksum_add(sum, out + o->l4, l4_len));
}

static void finish_tcp(const struct offload *o, uint8_t *out, uint32_t len, bool last)
{
	struct tcp_hdr *tcp = (struct tcp_hdr *)(void *)(out + o->l4);
	tcp->sequence = hton32(ntoh32(tcp->sequence) + o->done);
	if (!last)
		tcp->flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (o->segment) /* RFC 3168 section 6.1.2: once per window */
		tcp->flags &= (uint8_t)~TCP_CWR;
	tcp->checksum = 0;
	tcp->checksum = transport_checksum(o, out, len);
}

static void finish_udp(const struct offload *o, uint8_t *out, uint32_t len)
{
	struct udp_hdr *udp = (struct udp_hdr *)(void *)(out + o->l4);
	udp->length = hton16((uint16_t)(len - o->l4));
	if (!udp->checksum)
		return; /* the sender wants none */
	udp->checksum = 0;
	be16 sum = transport_checksum(o, out, len);
	udp->checksum = sum ? sum : 0xffff;
}

void offload_skip(struct offload *o)
{
	if (o->mss)
		o->done += min_payload(o);
	o->segment++;
	o->finished = !o->mss || o->header_len + o->done >= o->len;
}

uint16_t offload_next(struct offload *o, uint8_t *out)
{
	if (o->finished)
		return 0;
	uint32_t len = o->len;
	if (!o->mss) {
		memcpy(out, o->frame, len);
		if (o->checksum_field)
			complete_checksum(o, out);
	} else {
		uint16_t payload = min_payload(o);
		len = (uint32_t)o->header_len + payload;
		memcpy(out, o->frame, o->header_len);
		memcpy(out + o->header_len, o->frame + o->header_len + o->done, payload);
		finish_l3(o, out, len);
		if (o->protocol == IPPROTO_TCP4)
			finish_tcp(o, out, len, len + o->done == o->len);
		else
			finish_udp(o, out, len);
	}
	offload_skip(o);
	return (uint16_t)len;
}
