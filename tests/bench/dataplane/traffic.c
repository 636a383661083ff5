/* The frames of the benchmark: UDP flows of each session, in shuffled order. */
#include <assert.h>
#include <string.h>

#include "bench.h"
#include "hdr/checksum.h"
#include "hdr/ethernet.h"
#include "hdr/ip4.h"
#include "hdr/pppoe.h"
#include "io/gen.h"

static uint64_t lcg = 1;

uint32_t bench_random(uint32_t n)
{
	lcg = lcg * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((lcg >> 32) * n >> 32);
}

void mac_of(uint32_t session, uint8_t mac[6])
{
	be32 low = hton32(session);
	mac[0] = 2;
	mac[1] = 0;
	memcpy(mac + 2, &low, 4);
}

static uint8_t *put_ethernet(uint8_t *at, const uint8_t *to, const uint8_t *from, uint16_t type)
{
	struct eth_hdr eth = {.type = hton16(type)};
	memcpy(eth.destination, to, 6);
	memcpy(eth.source, from, 6);
	memcpy(at, &eth, sizeof(eth));
	return at + sizeof(eth);
}

/* A UDP datagram or, with flags, a TCP segment; its checksum is updated, not verified. */
static void put_ip(uint8_t *at, uint32_t from, uint32_t to, uint16_t from_port, uint16_t to_port,
	uint16_t len, uint8_t tcp_flags)
{
	struct ip4_hdr ip = {.version_ihl = 0x45,
		.total_length = hton16(len),
		.ttl = 64,
		.protocol = tcp_flags ? IPPROTO_TCP4 : IPPROTO_UDP4,
		.source = hton32(from),
		.destination = hton32(to)};
	struct udp_hdr udp = {.source = hton16(from_port),
		.destination = hton16(to_port),
		.length = hton16((uint16_t)(len - IP4_LEN)),
		.checksum = hton16(1)};
	struct tcp_hdr tcp = {.source = hton16(from_port),
		.destination = hton16(to_port),
		.offset = 5 << 4,
		.flags = tcp_flags,
		.checksum = hton16(1)};

	ip.checksum = checksum(&ip, sizeof(ip));
	memcpy(at, &ip, sizeof(ip));
	if (tcp_flags)
		memcpy(at + sizeof(ip), &tcp, sizeof(tcp));
	else
		memcpy(at + sizeof(ip), &udp, sizeof(udp));
}

uint32_t client_of(const struct bench *b, uint32_t session)
{
	return CLIENTS + (b->scattered ? session * 2654435761u & 0x3fffff : session);
}

/* IP bytes of a packet that fills the smallest frame with PPPoE; TCP takes 2 bytes more. */
static uint16_t ip_len(const struct bench *b)
{
	return b->tcp_flags ? IP4_LEN + TCP_LEN : FRAME_LEN - ETH_LEN - 8;
}

void make_upstream_frame(struct bench *b, uint32_t frame, uint32_t session, uint16_t port)
{
	uint8_t mac[6];
	uint8_t *at = b->frames[frame];
	uint16_t len = ip_len(b);
	uint32_t server = b->server    ? b->server[frame]
			  : b->remotes ? SERVER + frame % b->remotes
				       : SERVER;
	struct pppoe_hdr pppoe = {.ver_type = PPPOE_VER_TYPE,
		.session_id = hton16((uint16_t)(session + 1)),
		.length = hton16((uint16_t)(len + 2))};
	be16 protocol = hton16(PPP_IP4);

	mac_of(session, mac);
	at = put_ethernet(at, b->dp->tables.port[ACC].mac, mac, ETHERTYPE_PPPOE_SESSION);
	memcpy(at, &pppoe, sizeof(pppoe));
	memcpy(at + sizeof(pppoe), &protocol, sizeof(protocol));
	put_ip(at + 8, client_of(b, session), server, port, SERVER_PORT, len, b->tcp_flags);
	b->frame_len = (uint16_t)(ETH_LEN + 8 + len);
}

static uint16_t port_of(const struct bench *b, uint32_t flow)
{
	uint16_t first = b->port ? b->port : CLIENT_PORT;
	return (uint16_t)(first + (b->remotes ? 0 : flow));
}

void make_upstream(struct bench *b)
{
	for (uint32_t i = 0; i < frames_of(b); i++)
		if (b->ip6)
			bench_upstream_ip6(b, i);
		else
			make_upstream_frame(b, i, i / b->flows, port_of(b, i % b->flows));
}

void shuffle(struct bench *b, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++) {
		b->order[i] = b->frames[i];
		b->lens[i] = b->frame_len;
	}
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = first + bench_random(i);
		const uint8_t *swap = b->order[first + i - 1];
		b->order[first + i - 1] = b->order[j];
		b->order[j] = swap;
	}
}

static uint8_t answer_flags(const struct bench *b)
{
	return b->tcp_flags == TCP_SYN ? TCP_SYN | TCP_ACK : b->tcp_flags;
}

static uint16_t tag_len(const struct bench *b)
{
	return b->vlan ? VLAN_LEN : 0;
}

/* From the network. */
static uint8_t *put_wan(const struct bench *b, uint8_t *at)
{
	static const uint8_t peer[6] = {2, 9, 9, 9, 9, 9};
	const struct vlan_hdr tag = {hton16(VLAN_VID), hton16(ETHERTYPE_IP4)};

	at = put_ethernet(
		at, b->dp->tables.port[WAN].mac, peer, b->vlan ? TPID_8021Q : ETHERTYPE_IP4);
	memcpy(at, &tag, tag_len(b));
	return at + tag_len(b);
}

/* Sends each upstream frame once and makes the answers from what leaves. */
void make_downstream(struct bench *b)
{
	uint8_t frame[128];

	if (b->ip6) {
		bench_downstream_ip6(b);
		return;
	}
	gen_keep(&b->dp->port[WAN], true);
	for (uint32_t i = 0; i < frames_of(b); i++)
		gen_receive(&b->dp->port[ACC], b->frames[i], b->frame_len);
	while (gen_pending(&b->dp->port[ACC])) {
		worker_turn(b->w);
		if (b->owner != b->w)
			worker_turn(b->owner);
	}
	for (uint32_t i = 0; i < frames_of(b); i++) {
		struct ip4_hdr ip;
		struct udp_hdr udp; /* a TCP header begins alike */
		uint16_t len = gen_transmitted(&b->dp->port[WAN], frame, sizeof(frame));
		uint16_t head = (uint16_t)(ETH_LEN + tag_len(b));
		assert(len == head + ip_len(b));
		memcpy(&ip, frame + head, sizeof(ip));
		memcpy(&udp, frame + head + sizeof(ip), sizeof(udp));
		put_ip(put_wan(b, b->frames[i]), ntoh32(ip.destination), ntoh32(ip.source),
			SERVER_PORT, ntoh16(udp.source), FRAME_LEN - ETH_LEN, answer_flags(b));
	}
	b->frame_len = (uint16_t)(FRAME_LEN + tag_len(b));
	gen_keep(&b->dp->port[WAN], false);
}
