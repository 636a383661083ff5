/*
 * The packets of flows: UDP of either family, each with its number; one in SIZES is as long as the
 * session lets through, one of any length, the others as short as can be. What arrives must be
 * what a router makes of what was sent, in every byte: hop limit one less, addresses and port
 * translated or not, both checksums right, the payload as it was.
 */
#include "soak_flow.h"

#include "udp_packet.h"

enum {
	SHORTEST_FRAME = 60,
	SIZES = 16,
	PPP_AT = ETH_LEN + PPPOE_LEN,
	PPP_LEN = 2,
	PATTERNS = 512,
};

_Static_assert((int)SOAK_IP4 == (int)UDP_IP4 && (int)SOAK_IP6 == (int)UDP_IP6, "one index");

/* What a family is to the box. */
static const struct family {
	bool translated;
	uint8_t link_len;
	uint8_t link[8]; /* of our routed port: what goes there is the kernel's */
} families[SOAK_FAMILIES] = {
	[SOAK_IP4] = {.translated = true, .link_len = 3, .link = {192, 0, 2}},
	[SOAK_IP6] = {.link_len = 8, .link = {0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0}},
};

static uint8_t pattern[SOAK_FRAME_ROOM + PATTERNS];

__attribute__((constructor)) static void make_pattern(void)
{
	uint32_t x = 7009;

	for (size_t i = 0; i < sizeof(pattern); i++) {
		x = x * 1664525 + 1013904223;
		pattern[i] = (uint8_t)(x >> 24);
	}
}

/* ---- what leaves ---- */

static bool leaves_by_access(int direction)
{
	return direction == SOAK_DOWN;
}

/* The IP packet in a frame that leaves, as far as its header is there; NULL: no IP. */
static const uint8_t *find(
	int direction, const uint8_t *frame, uint16_t len, enum udp_family *family)
{
	bool access = leaves_by_access(direction);
	uint16_t at = access ? PPP_AT + PPP_LEN : ETH_LEN;

	if (len < at || (access && udp_get16(frame + 12) != ETHERTYPE_PPPOE_SESSION))
		return NULL;
	for (*family = 0; *family < UDP_FAMILIES; ++*family) {
		const struct udp_format *f = &udp_formats[*family];
		if (access ? udp_get16(frame + PPP_AT) == f->ppp
			   : udp_get16(frame + 12) == f->ethertype)
			return len >= at + f->head_len ? frame + at : NULL;
	}
	return NULL;
}

static bool is_of_a_link(const uint8_t *address)
{
	return ip6_is_link_local(address) || ip6_is_multicast(address);
}

static bool is_control(enum udp_family family, const uint8_t *source, const uint8_t *destination)
{
	return !memcmp(destination, families[family].link, families[family].link_len) ||
	       (family == UDP_IP6 && (ip6_is_link_local(source) || is_of_a_link(destination)));
}

static bool is_inner(enum udp_family family, const uint8_t *source)
{
	return families[family].translated && source[0] == 100 && source[1] >> 6 == 1;
}

enum soak_sort soak_sort(int direction, const uint8_t *frame, uint16_t len, struct soak_mark *mark)
{
	enum udp_family family;
	const uint8_t *ip = find(direction, frame, len, &family);

	if (!ip)
		return SOAK_CONTROL;
	const struct udp_format *f = &udp_formats[family];
	const uint8_t *source = ip + f->addresses_at, *udp = ip + f->head_len;
	if (is_control(family, source, source + f->address_len))
		return SOAK_CONTROL;
	if (udp_size(f, ip, (size_t)(frame + len - ip)) >= f->head_len + UDP_LEN + sizeof(*mark) &&
		udp_get16(udp + (direction == SOAK_UP ? 2 : 0)) == SOAK_MARK) {
		memcpy(mark, udp + UDP_LEN, sizeof(*mark));
		return SOAK_OURS;
	}
	return direction == SOAK_UP && is_inner(family, source) ? SOAK_INNER : SOAK_OTHER;
}

void soak_learn(struct soak_flow *flow, const uint8_t *frame)
{
	const struct udp_format *f = &udp_formats[flow->family];
	bool translated = families[flow->family].translated;
	const uint8_t *ip = frame + ETH_LEN;
	const uint8_t *source = translated ? ip + f->addresses_at : flow->inner;

	if (translated && !memcmp(source, flow->inner, f->address_len))
		return; /* which makes the packet a wrong one */
	memcpy(flow->outer, source, f->address_len);
	flow->outer_port = flow->inner_port;
	if (translated)
		memcpy(&flow->outer_port, ip + f->head_len, 2);
	__atomic_store_n(&flow->learned, flow->incarnation, __ATOMIC_RELEASE);
}

/* ---- the bytes of a packet ---- */

static uint16_t size_of(const struct soak_packet *packet, const struct udp_format *f)
{
	const struct soak_mark *mark = &packet->mark;
	uint16_t shortest = (uint16_t)(f->head_len + UDP_LEN + sizeof(*mark));
	uint16_t most = packet->flow->mtu;

	switch ((mark->flow + mark->number) % SIZES) {
	case 0:
		return most;
	case 1:
		return (uint16_t)(shortest + (mark->number * 2654435761u >> 8) %
						     (uint32_t)(most - shortest + 1));
	default:
		return shortest;
	}
}

static uint16_t write_link(const struct soak_header *area, const struct soak_packet *packet,
	const uint8_t mac[6], uint16_t size, uint8_t *frame)
{
	const struct soak_flow *flow = packet->flow;
	const struct udp_format *f = &udp_formats[flow->family];
	bool sent = packet->place == SOAK_SENT;
	bool access = (packet->direction == SOAK_UP) == sent;
	const uint8_t *other = access ? flow->mac : area->router_mac;
	uint8_t *pppoe = frame + ETH_LEN;

	memcpy(frame, sent ? mac : other, 6);
	memcpy(frame + 6, sent ? other : mac, 6);
	udp_put16(frame + 12, access ? ETHERTYPE_PPPOE_SESSION : f->ethertype);
	if (!access)
		return ETH_LEN;
	pppoe[0] = PPPOE_VER_TYPE;
	pppoe[1] = 0;
	memcpy(pppoe + 2, &flow->session_id, 2);
	udp_put16(pppoe + 4, (uint16_t)(size + PPP_LEN));
	udp_put16(frame + PPP_AT, f->ppp);
	return PPP_AT + PPP_LEN;
}

static void write_ip(const struct soak_header *area, const struct soak_packet *packet,
	uint16_t size, uint8_t *ip)
{
	const struct soak_flow *flow = packet->flow;
	const struct udp_format *f = &udp_formats[flow->family];
	const struct soak_mark *mark = &packet->mark;
	bool up = packet->direction == SOAK_UP, sent = packet->place == SOAK_SENT;
	const uint8_t *near = up == sent ? flow->inner : flow->outer;
	const uint8_t *far = area->remote[flow->family][mark->number & 1];
	be16 near_port = up == sent ? flow->inner_port : flow->outer_port;
	be16 far_port = hton16(SOAK_MARK);
	struct udp_ends ends = up ? (struct udp_ends){near, far, near_port, far_port}
				  : (struct udp_ends){far, near, far_port, near_port};
	uint8_t *payload = ip + f->head_len + UDP_LEN;

	memcpy(payload, mark, sizeof(*mark));
	memcpy(payload + sizeof(*mark), pattern + mark->number % PATTERNS,
		(size_t)(size - f->head_len - UDP_LEN) - sizeof(*mark));
	udp_write(f, &ends, size, sent ? UDP_HOPS : UDP_HOPS - 1, ip);
}

uint16_t soak_write(const struct soak_header *area, const struct soak_packet *packet,
	const uint8_t mac[6], uint8_t *frame)
{
	uint16_t size = size_of(packet, &udp_formats[packet->flow->family]);
	uint16_t at = write_link(area, packet, mac, size, frame);
	uint16_t len = (uint16_t)(at + size);

	write_ip(area, packet, size, frame + at);
	if (packet->place == SOAK_ARRIVED || len >= SHORTEST_FRAME)
		return len;
	memset(frame + len, 0, (size_t)(SHORTEST_FRAME - len));
	return SHORTEST_FRAME;
}
