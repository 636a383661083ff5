/*
 * Which packets a trace takes. Looked at as they enter, before any node: so a packet from outside
 * is a session's when the FIB or the NAT block of its destination leads there.
 */
#include "hdr/checksum.h"
#include "hdr/ethernet.h"
#include "hdr/ip4.h"
#include "hdr/pppoe.h"
#include "node/l2.h"
#include "table/fib4.h"
#include "table/line.h"
#include "table/session.h"
#include "trace.h"
#include "worker.h"

enum { TYPE_OFFSET = 12, MAX_TAGS = 2, PORTS_LEN = 4, PPP_HEADER_LEN = 4 };

struct frame {
	const uint8_t *ip; /* NULL: not IPv4 */
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

static bool read_tuple(const uint8_t *bytes, uint16_t room, struct trace_tuple *tuple)
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
		type = frame.protocol == PPP_IP4 ? ETHERTYPE_IP4 : 0;
	}
	if (type == ETHERTYPE_IP4) {
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

bool trace_read(const uint8_t *bytes, uint16_t len, struct trace_tuple *tuple)
{
	if (is_ip4(bytes, len))
		return read_tuple(bytes, len, tuple);
	struct frame frame = look(bytes, len);
	return frame.ip && read_tuple(frame.ip, frame.room, tuple);
}

/* The session that a packet goes to: by its address, or by the NAT block of its port. */
static uint32_t session_of(const struct tables *t, const struct trace_tuple *tuple)
{
	uint32_t leaf = fib4_lookup(t->fib4_root, t->fib4_page, ntoh32(tuple->destination));

	if (leaf_kind(leaf) == LEAF_SESSION)
		return leaf_index(leaf);
	if (leaf_kind(leaf) != LEAF_ADJACENCY)
		return NO_SESSION;
	const struct adjacency *adjacency = &t->adjacency[leaf_index(leaf)];
	if (adjacency->kind != ADJ_NAT_POOL || adjacency->index >= t->nat->n_addresses)
		return NO_SESSION;
	be16 port = tuple->protocol == IPPROTO_ICMP4 ? tuple->source_port : tuple->destination_port;
	uint32_t block = (uint32_t)ntoh16(port) >> t->nat->block_shift;
	return t->nat_block[adjacency->index * t->nat->blocks_per_address + block].session - 1;
}

static bool fits_tuple(const struct trace_filter *f, const struct trace_tuple *tuple)
{
	if ((tuple->source & f->mask) != (f->address & f->mask) &&
		(tuple->destination & f->mask) != (f->address & f->mask))
		return false;
	if (f->protocol && f->protocol != tuple->protocol)
		return false;
	if (!f->l4_port || f->l4_port == tuple->source_port)
		return true;
	return tuple->protocol != IPPROTO_ICMP4 && f->l4_port == tuple->destination_port;
}

bool trace_is_narrow(const struct trace_filter *f)
{
	return f->mask || f->l4_port || f->protocol || f->port != TRACE_ANY;
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
	if (f->mask || f->l4_port || f->protocol)
		return has_tuple && fits_tuple(f, &tuple);
	return true;
}
