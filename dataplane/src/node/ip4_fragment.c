/*
 * ip4_fragment: a packet larger than the MTU that may be fragmented (RFC 791 section 3.2). The
 * fragments enter the node again that found it too large: handoff_node, with the MTU in arg. The
 * current header is the IPv4 header.
 */
#include "graph.h"
#include "hdr/checksum.h"
#include "hdr/ip4.h"
#include "worker.h"

enum { EDGE_FRAGMENTED, EDGE_MTU_TOO_SMALL, EDGE_NO_BUFFER, EDGE_GRAPH_FULL };

enum {
	IP4_MAX_HEADER = 60,
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_COPIED = 0x80,
	FRAGMENT_UNIT = 8, /* bytes */
};

/* Header of all fragments but the first: only options with the copied flag, padded. */
static uint16_t later_header(const struct ip4_hdr *ip, uint8_t header[IP4_MAX_HEADER])
{
	const uint8_t *option = (const uint8_t *)ip;
	uint16_t end = ip4_header_len(ip), len = IP4_LEN;
	memset(header, OPTION_END, IP4_MAX_HEADER);
	memcpy(header, ip, IP4_LEN);
	for (uint16_t at = IP4_LEN; at < end && option[at] != OPTION_END;) {
		uint8_t size = 1;
		if (option[at] != OPTION_NOP) {
			size = at + 1 < end ? option[at + 1] : 0;
			if (size < 2 || at + size > end)
				break;
		}
		if (option[at] & OPTION_COPIED) {
			memcpy(header + len, option + at, size);
			len = (uint16_t)(len + size);
		}
		at = (uint16_t)(at + size);
	}
	len = (len + 3) & (uint16_t)~3;
	header[0] = (uint8_t)(0x40 | len / 4);
	return len;
}

struct piece {
	const uint8_t *header;
	uint16_t header_len;
	const uint8_t *payload;
	uint16_t payload_len;
	uint16_t fragment; /* flags and offset, host order */
};

static struct pkt *make_piece(struct worker *w, const struct pkt *whole, const struct piece *piece)
{
	struct pkt *p = pkt_alloc(w);
	if (!p)
		return NULL;
	p->session = whole->session;
	p->generation = whole->generation;
	p->leaf = whole->leaf;
	p->rx_port = whole->rx_port;
	p->flags = whole->flags;
	p->trace = whole->trace ? whole->trace | PKT_TRACE_COPY : 0;
	p->len = (uint16_t)(piece->header_len + piece->payload_len);
	struct ip4_hdr *ip = (struct ip4_hdr *)pkt_data(p);
	memcpy(ip, piece->header, piece->header_len);
	memcpy(pkt_data(p) + piece->header_len, piece->payload, piece->payload_len);
	ip->total_length = hton16(p->len);
	ip->fragment = hton16(piece->fragment);
	ip->checksum = 0;
	ip->checksum = checksum(ip, piece->header_len);
	return p;
}

static uint16_t fragment(struct worker *w, struct pkt *whole)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(whole);
	uint8_t later[IP4_MAX_HEADER];
	uint16_t mtu = (uint16_t)whole->arg;
	uint16_t flags = ntoh16(ip->fragment);
	struct piece piece = {
		.header = pkt_data(whole),
		.header_len = ip4_header_len(ip),
		.payload = pkt_data(whole) + ip4_header_len(ip),
		.fragment = flags,
	};
	uint16_t left = (uint16_t)(whole->len - piece.header_len);
	if (mtu < piece.header_len + FRAGMENT_UNIT)
		return EDGE_MTU_TOO_SMALL;
	while (left) {
		uint16_t room = (uint16_t)((mtu - piece.header_len) & ~(FRAGMENT_UNIT - 1));
		bool last = left <= mtu - piece.header_len;
		piece.payload_len = last ? left : room;
		piece.fragment = (uint16_t)(piece.fragment | IP4_MF);
		if (last && !(flags & IP4_MF))
			piece.fragment = (uint16_t)(piece.fragment & ~IP4_MF);
		struct pkt *p = make_piece(w, whole, &piece);
		if (!p)
			return EDGE_NO_BUFFER;
		if (!graph_enqueue(w, whole->handoff_node, p))
			return EDGE_GRAPH_FULL;
		left = (uint16_t)(left - piece.payload_len);
		piece.payload += piece.payload_len;
		piece.fragment = (uint16_t)(piece.fragment + piece.payload_len / FRAGMENT_UNIT);
		piece.header_len = later_header(ip, later);
		piece.header = later;
	}
	pkt_free(w, whole);
	return EDGE_FRAGMENTED;
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = fragment(w, pkts[i]);
}

NODE(ip4_fragment) = {
	.name = "ip4_fragment",
	.process = process,
	.edges =
		{
			[EDGE_FRAGMENTED] = CONSUMED,
			[EDGE_MTU_TOO_SMALL] = DROP("mtu-too-small"),
			[EDGE_NO_BUFFER] = DROP("no-buffer"),
			[EDGE_GRAPH_FULL] = DROP("graph-full"),
		},
};
