/*
 * Which packets a trace takes. Looked at as they enter, before any node: so a packet from outside
 * is a session's when the FIB or the NAT block of its destination leads there.
 */
#include "hdr/checksum.h"
#include "hdr/ethernet.h"
#include "hdr/ip4.h"
#include "hdr/ip6.h"
#include "hdr/pppoe.h"
#include "node/l2.h"
#include "table/fib4.h"
#include "table/fib6.h"
#include "table/line.h"
#include "table/session.h"
#include "trace.h"
#include "worker.h"

enum { TYPE_OFFSET = 12, MAX_TAGS = 2, PORTS_LEN = 4, PPP_HEADER_LEN = 4 };

struct frame {
	const uint8_t *ip; /* NULL: not IP */
	uint16_t room;
	uint16_t tpid[MAX_TAGS], vid[MAX_TAGS]; /* outer, inner; 0: no tag */
	uint16_t session_id;			/* PPPoE, 0: none */
	uint16_t ppp;				/* offset behind the PPP protocol field, 0: none */
	uint16_t protocol;			/* PPP */
};

static be16 read16(const uint8_t *at)
{
	be16 value;
	memcpy(&value, at, sizeof(value));
	return value;
}

static bool is_query(uint8_t type)
{
	return type == ICMP4_ECHO_REQUEST || type == ICMP4_ECHO_REPLY;
}

static bool read_tuple6(const uint8_t *bytes, uint16_t room, struct trace_tuple *tuple)
{
	const struct ip6_hdr *ip = (const struct ip6_hdr *)bytes;

	if (room < IP6_LEN || bytes[0] >> 4 != 6)
		return false;
	const struct ip6_upper upper = ip6_find_upper(ip, room);
	*tuple = (struct trace_tuple){
		.is_ip6 = true, .protocol = upper.protocol, .ttl = ip->hop_limit};
	memcpy(tuple->ip6, ip->source, TRACE_IP6_LEN);
	if (upper.place != IP6_UPPER_HERE || room < upper.offset + ICMP6_LEN)
		return true;
	const uint8_t *l4 = bytes + upper.offset;
	if (upper.protocol == IPPROTO_TCP6 || upper.protocol == IPPROTO_UDP6) {
		tuple->source_port = read16(l4);
		tuple->destination_port = read16(l4 + 2);
	} else if (upper.protocol == IPPROTO_ICMP6) {
		bool query = l4[0] == ICMP6_ECHO_REQUEST || l4[0] == ICMP6_ECHO_REPLY;
		tuple->source_port = query ? read16(l4 + PORTS_LEN) : 0;
		tuple->destination_port = read16(l4);
	}
	return true;
}

static bool read_tuple4(const uint8_t *bytes, uint16_t room, struct trace_tuple *tuple)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)bytes;

	if (room < IP4_LEN || ip->version_ihl >> 4 != 4 || ip4_header_len(ip) < IP4_LEN)
		return false;
	*tuple = (struct trace_tuple){
		.source = ip->source,
		.destination = ip->destination,
		.protocol = ip->protocol,
		.ttl = ip->ttl,
	};
	uint16_t header = ip4_header_len(ip);
	if (ip->fragment & hton16(IP4_OFFSET_MASK) || room < header + ICMP4_LEN)
		return true;
	const uint8_t *l4 = bytes + header;
	if (ip->protocol == IPPROTO_TCP4 || ip->protocol == IPPROTO_UDP4) {
		tuple->source_port = read16(l4);
		tuple->destination_port = read16(l4 + 2);
	} else if (ip->protocol == IPPROTO_ICMP4) {
		tuple->source_port = is_query(l4[0]) ? read16(l4 + PORTS_LEN) : 0;
		tuple->destination_port = read16(l4);
	}
	return true;
}

static bool read_tuple(const uint8_t *bytes, uint16_t room, struct trace_tuple *tuple)
{
	return read_tuple4(bytes, room, tuple) || read_tuple6(bytes, room, tuple);
}

static struct frame look(const uint8_t *bytes, uint16_t len)
{
	struct frame frame = {0};
	uint16_t at = TYPE_OFFSET;

	for (int tags = 0; tags < MAX_TAGS && len >= at + 2 + VLAN_LEN; tags++) {
		uint16_t tpid = ntoh16(read16(bytes + at));
		if (!is_tpid(tpid))
			break;
		frame.tpid[tags] = tpid;
		frame.vid[tags] = ntoh16(read16(bytes + at + 2)) & VID_MASK;
		at += VLAN_LEN;
	}
	if (len < at + 2)
		return frame;
	uint16_t type = ntoh16(read16(bytes + at));
	at += 2;
	if (type == ETHERTYPE_PPPOE_SESSION && len >= at + PPPOE_LEN + 2) {
		frame.session_id = ntoh16(read16(bytes + at + 2));
		at += PPPOE_LEN + 2;
		frame.ppp = at;
		frame.protocol = ntoh16(read16(bytes + at - 2));
		type = frame.protocol == PPP_IP4   ? ETHERTYPE_IP4
		       : frame.protocol == PPP_IP6 ? ETHERTYPE_IP6
						   : 0;
	}
	if (type == ETHERTYPE_IP4 || type == ETHERTYPE_IP6) {
		frame.ip = bytes + at;
		frame.room = (uint16_t)(len - at);
	}
	return frame;
}

/* What a client's frame is, or, seen from behind its Ethernet header, was. */
static struct frame look_at_ppp(const uint8_t *bytes, uint16_t len)
{
	struct frame frame = {0};

	/* No frame to us begins like that: it would be to a group. */
	if (len < PPPOE_LEN + 2 || bytes[0] != PPPOE_VER_TYPE || bytes[1] != PPPOE_CODE_SESSION)
		return look(bytes, len);
	frame.ppp = PPPOE_LEN + 2;
	frame.protocol = ntoh16(read16(bytes + PPPOE_LEN));
	return frame;
}

uint16_t trace_keep(const uint8_t *bytes, uint16_t len)
{
	struct frame frame = look_at_ppp(bytes, len);
	uint16_t most = frame.protocol == PPP_PAP ? frame.ppp + PPP_HEADER_LEN : TRACE_BYTES;

	return len < most ? len : most;
}

/* Nothing but an IPv4 header has its length and its checksum. */
static bool is_ip4(const uint8_t *bytes, uint16_t len)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)bytes;

	return len >= IP4_LEN && ip->version_ihl >> 4 == 4 && ip4_header_len(ip) >= IP4_LEN &&
	       ntoh16(ip->total_length) == len && ip4_header_len(ip) <= len &&
	       checksum(ip, ip4_header_len(ip)) == 0;
}

/* No checksum, but the length: a frame to a MAC that happens to look like both is mistaken for it.
 */
static bool is_ip6(const uint8_t *bytes, uint16_t len)
{
	const struct ip6_hdr *ip = (const struct ip6_hdr *)bytes;

	return len >= IP6_LEN && bytes[0] >> 4 == 6 && ntoh16(ip->payload_length) == len - IP6_LEN;
}

bool trace_read(const uint8_t *bytes, uint16_t len, struct trace_tuple *tuple)
{
	if (is_ip4(bytes, len) || is_ip6(bytes, len))
		return read_tuple(bytes, len, tuple);
	struct frame frame = look(bytes, len);
	return frame.ip && read_tuple(frame.ip, frame.room, tuple);
}

/* The session that a packet goes to: by its address, or by the NAT block of its port. */
static uint32_t session_of(const struct tables *t, const struct trace_tuple *tuple)
{
	uint32_t leaf =
		tuple->is_ip6 ? fib6_lookup(&t->fib6, tuple->ip6 + IP6_ADDRESS_LEN)
			      : fib4_lookup(t->fib4_root, t->fib4_page, ntoh32(tuple->destination));

	if (leaf_kind(leaf) == LEAF_SESSION)
		return leaf_index(leaf);
	if (leaf_kind(leaf) != LEAF_ADJACENCY || tuple->is_ip6)
		return NO_SESSION;
	const struct adjacency *adjacency = &t->adjacency[leaf_index(leaf)];
	if (adjacency->kind != ADJ_NAT_POOL || adjacency->index >= t->nat->n_addresses)
		return NO_SESSION;
	be16 port = tuple->protocol == IPPROTO_ICMP4 ? tuple->source_port : tuple->destination_port;
	uint32_t block = (uint32_t)ntoh16(port) >> t->nat->block_shift;
	return t->nat_block[adjacency->index * t->nat->blocks_per_address + block].session - 1;
}

static bool is_in_prefix(const struct trace_filter *f, const uint8_t address[IP6_ADDRESS_LEN])
{
	uint8_t bytes = f->length6 / 8, bits = f->length6 % 8;

	if (memcmp(address, f->prefix6, bytes) != 0)
		return false;
	return !bits || !((address[bytes] ^ f->prefix6[bytes]) >> (8 - bits));
}

static bool fits_address(const struct trace_filter *f, const struct trace_tuple *tuple)
{
	if (f->length6)
		return tuple->is_ip6 && (is_in_prefix(f, tuple->ip6) ||
						is_in_prefix(f, tuple->ip6 + IP6_ADDRESS_LEN));
	if (!f->mask)
		return true;
	return !tuple->is_ip6 && ((tuple->source & f->mask) == (f->address & f->mask) ||
					 (tuple->destination & f->mask) == (f->address & f->mask));
}

static bool fits_tuple(const struct trace_filter *f, const struct trace_tuple *tuple)
{
	if (!fits_address(f, tuple))
		return false;
	if (f->protocol && f->protocol != tuple->protocol)
		return false;
	if (!f->l4_port || f->l4_port == tuple->source_port)
		return true;
	return tuple->protocol != IPPROTO_ICMP4 && tuple->protocol != IPPROTO_ICMP6 &&
	       f->l4_port == tuple->destination_port;
}

bool trace_is_narrow(const struct trace_filter *f)
{
	return f->mask || f->length6 || f->l4_port || f->protocol || f->port != TRACE_ANY;
}

static bool fits_injected(const struct trace_filter *f, uint32_t session, struct pkt *p)
{
	struct inject_record record;

	memcpy(&record, pkt_data(p), sizeof(record));
	if (trace_is_narrow(f))
		return false;
	return session == NO_SESSION ||
	       (record.kind == INJECT_SESSION && record.session == session);
}

/* By the port that has the device, or by a routed one in a VLAN of it. */
static bool came_by(const struct tables *t, uint8_t port, uint8_t device, const struct frame *f)
{
	uint64_t line = line_of(device, f->tpid[0], f->vid[0], f->tpid[1], f->vid[1]);

	return device == port || (!f->ppp && line_find(t->lines, line) == port);
}

bool trace_fits(const struct worker *w, const struct trace_filter *f, uint32_t session,
	struct pkt *p, bool injected)
{
	struct trace_tuple tuple = {0};

	if (injected)
		return fits_injected(f, session, p);
	struct frame frame = look(pkt_data(p), p->len);
	if (f->port != TRACE_ANY && !came_by(w->t, f->port, p->rx_port, &frame))
		return false;
	bool has_tuple = frame.ip && read_tuple(frame.ip, frame.room, &tuple);
	if (session != NO_SESSION &&
		session_lookup(w->t, p->rx_port, frame.vid[0], frame.session_id) != session &&
		!(has_tuple && session_of(w->t, &tuple) == session))
		return false;
	if (f->mask || f->length6 || f->l4_port || f->protocol)
		return has_tuple && fits_tuple(f, &tuple);
	return true;
}
