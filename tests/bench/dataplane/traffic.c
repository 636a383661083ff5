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

static uint32_t random_below(uint32_t n)
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

static void put_udp(
	uint8_t *at, uint32_t from, uint32_t to, uint16_t from_port, uint16_t to_port, uint16_t len)
{
	struct ip4_hdr ip = {.version_ihl = 0x45,
		.total_length = hton16(len),
		.ttl = 64,
		.protocol = IPPROTO_UDP4,
		.source = hton32(from),
		.destination = hton32(to)};
	struct udp_hdr udp = {.source = hton16(from_port),
		.destination = hton16(to_port),
		.length = hton16((uint16_t)(len - IP4_LEN))};

	ip.checksum = checksum(&ip, sizeof(ip));
	udp.checksum = hton16(1); /* some checksum: it is updated, not verified */
	memcpy(at, &ip, sizeof(ip));
	memcpy(at + sizeof(ip), &udp, sizeof(udp));
}

void make_upstream_frame(struct bench *b, uint32_t frame, uint32_t session, uint16_t port)
{
	uint8_t mac[6];
	uint8_t *at = b->frames[frame];
	struct pppoe_hdr pppoe = {.ver_type = PPPOE_VER_TYPE,
		.session_id = hton16((uint16_t)(session + 1)),
		.length = hton16(FRAME_LEN - ETH_LEN - PPPOE_LEN)};
	be16 protocol = hton16(PPP_IP4);

	mac_of(session, mac);
	at = put_ethernet(at, b->dp->tables.port[ACC].mac, mac, ETHERTYPE_PPPOE_SESSION);
	memcpy(at, &pppoe, sizeof(pppoe));
	memcpy(at + sizeof(pppoe), &protocol, sizeof(protocol));
	put_udp(at + 8, CLIENTS + session, SERVER, port, SERVER_PORT, FRAME_LEN - ETH_LEN - 8);
}

void make_upstream(struct bench *b)
{
	for (uint32_t i = 0; i < frames_of(b); i++)
		make_upstream_frame(b, i, i / b->flows, (uint16_t)(CLIENT_PORT + i % b->flows));
}

void shuffle(struct bench *b, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++) {
		b->order[i] = b->frames[i];
		b->lens[i] = FRAME_LEN;
	}
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = first + random_below(i);
		const uint8_t *swap = b->order[first + i - 1];
		b->order[first + i - 1] = b->order[j];
		b->order[j] = swap;
	}
}

/* Sends each upstream frame once and makes the answers from what leaves. */
void make_downstream(struct bench *b)
{
	static const uint8_t peer[6] = {2, 9, 9, 9, 9, 9};
	uint8_t frame[128];

	gen_keep(&b->dp->port[WAN], true);
	for (uint32_t i = 0; i < frames_of(b); i++)
		gen_receive(&b->dp->port[ACC], b->frames[i], FRAME_LEN);
	while (gen_pending(&b->dp->port[ACC])) {
		worker_turn(b->w);
		if (b->owner != b->w)
			worker_turn(b->owner);
	}
	for (uint32_t i = 0; i < frames_of(b); i++) {
		struct ip4_hdr ip;
		struct udp_hdr udp;
		uint16_t len = gen_transmitted(&b->dp->port[WAN], frame, sizeof(frame));
		assert(len == ETH_LEN + FRAME_LEN - ETH_LEN - 8);
		memcpy(&ip, frame + ETH_LEN, sizeof(ip));
		memcpy(&udp, frame + ETH_LEN + sizeof(ip), sizeof(udp));
		uint8_t *at = put_ethernet(
			b->frames[i], b->dp->tables.port[WAN].mac, peer, ETHERTYPE_IP4);
		put_udp(at, SERVER, ntoh32(ip.source), SERVER_PORT, ntoh16(udp.source),
			FRAME_LEN - ETH_LEN);
	}
	gen_keep(&b->dp->port[WAN], false);
}
