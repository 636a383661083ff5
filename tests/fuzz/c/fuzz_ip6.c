/*
 * IPv6 packets of three sessions, one of them another worker's, and from the world. The input is
 * steps of two bytes and a packet: who sends it, or what happens, and how long it is, in units of
 * eight bytes; what the input is short of is zeros.
 */
#include "bed.h"

enum { IP6_SESSION = 6 }; /* without IPv4; policed and filtered */

enum step {
	STEP_WHO = 3,
	STEP_MEND6 = 4,	    /* length and ICMPv6 checksum are made right */
	STEP_MANY = 8,	    /* more than any share */
	STEP_MINUTE = 16,   /* goes by; no packet */
	STEP_OFF = 32,	    /* IPv6 of the first session is off, or on again; no packet */
	STEP_IP4 = 64,	    /* as what it is sent, whatever it is */
	STEP_ADDRESS = 128, /* the box has no global address, or has it again; no packet */
};

enum { MANY = 64, MOST_MANY = 3 };

static const uint32_t clients[] = {NAT_SESSION, OTHER_SESSION, IP6_SESSION};

static void serve(uint32_t session, bool on)
{
	struct command c = {.type = CMD_SESSION_IP6, .session = session, .generation = 1};
	uint64_t prefix = UINT64_C(0x2a01000000000000) | (uint64_t)session << 32;
	c.u.ip6 = (struct session_ip6_set){
		.link_prefix = prefix | 1,
		.delegated = prefix | 0x100,
		.delegated_mask = ~UINT64_C(0xff),
		.interface_id = 1,
		.on = on,
	};
	bed_push(session == OTHER_SESSION, RING_COMMAND, &c, sizeof(c));
}

static void add_session(void)
{
	bed_session(0, IP6_SESSION, 0, 0);
	struct command c = {.type = CMD_SESSION_UP, .session = IP6_SESSION, .generation = 1};
	c.u.up = (struct session_up){
		.features_in = 1 << FEATURE_IN_IP4_OFF | 1 << FEATURE_IN_MSS_CLAMP,
		.features_out = 1 << FEATURE_OUT_IP4_OFF | 1 << FEATURE_OUT_MSS_CLAMP,
		.mtu_in = 1500,
		.mtu_out = 1280,
		.mss = 460,
	};
	bed_push(0, RING_COMMAND, &c, sizeof(c));
	bed_policers(0, IP6_SESSION, POLICER_SRTCM);
	bed_acl(IP6_SESSION);
}

/* 2a01:0:SESSION::/48 are sessions' in 2a01::/16 as a whole; 2a02::/16 and so on are one of each
 * kind, 2a0c::/16 the last session's. */
static void routes(void)
{
	uint32_t *root = bed_section(SECTION_FIB6_ROOT);
	uint32_t *root4 = bed_section(SECTION_FIB4_ROOT);
	root[0x2a01] = leaf_make(LEAF_SESSION, NAT_SESSION);
	root[0x2a00] = leaf_make(LEAF_SESSION, OTHER_SESSION);
	root[0x2a02] = root4[0xc000];
	for (uint32_t i = 1; i < 9; i++)
		root[0x2a02 + i] = root4[0x0a00 + i];
	root[0x2a0b] = root4[0x0a0c];
	root[0x2a0c] = leaf_make(LEAF_SESSION, IP6_SESSION);
	root[0x2a0d] = leaf_make(LEAF_SESSION, PAUSED_SESSION);
	root4[0xc637] = leaf_make(LEAF_SESSION, IP6_SESSION);
}

static void set_address(bool on)
{
	struct port_shared *port = bed_section(SECTION_PORT);
	port[WAN0].ip6_prefix = on ? UINT64_C(0x2a03000000000000) : 0;
	port[WAN0].ip6_interface_id = 1;
}

static void open_bed(void)
{
	bool first = !bed.embedded;
	bed_open();
	if (!first)
		return;
	set_address(true);
	routes();
	add_session();
	for (int i = 0; i < 3; i++)
		serve(clients[i], true);
	embedded_run(bed.embedded);
	const struct session_in *in = bed_section(SECTION_SESSION_IN);
	for (int i = 0; i < 3; i++)
		assert(in[clients[i]].features & 1 << FEATURE_IN_ANTISPOOF6);
	bed_empty_rings();
}

static void mend(uint8_t *bytes, uint16_t len)
{
	struct ip6_hdr *ip = (struct ip6_hdr *)bytes;
	if (len < IP6_LEN)
		return;
	uint16_t payload = (uint16_t)(len - IP6_LEN);
	ip->payload_length = hton16(payload);
	const struct ip6_upper upper = ip6_find_upper(ip, len);
	if (upper.protocol != IPPROTO_ICMP6 || upper.place != IP6_UPPER_HERE ||
		len < upper.offset + ICMP6_LEN)
		return;
	uint16_t size = (uint16_t)(len - upper.offset);
	memset(bytes + upper.offset + 2, 0, 2);
	uint64_t sum = checksum_add(0, ip->source, 2 * IP6_ADDRESS_LEN);
	sum = checksum_add(sum + hton16(size) + hton16(IPPROTO_ICMP6), bytes + upper.offset, size);
	be16 field = (be16)~checksum_fold(sum);
	memcpy(bytes + upper.offset + 2, &field, 2);
}

/* Puts the frame's header in front; returns its length. */
static uint16_t frame_it(uint8_t *at, uint8_t step, uint16_t len)
{
	uint32_t who = step & STEP_WHO;
	uint16_t ppp = step & STEP_IP4 ? PPP_IP4 : PPP_IP6;
	uint16_t payload = (uint16_t)(len + PPP_PROTOCOL_LEN);
	if (who == STEP_WHO) {
		const uint8_t routed[] = {2, 0, 0x5e, 0, 0, WAN0, 2, 0, 0, 0, 1, 1,
			step & STEP_IP4 ? 0x08 : 0x86, step & STEP_IP4 ? 0x00 : 0xdd};
		memcpy(at, routed, sizeof(routed));
		return sizeof(routed);
	}
	uint8_t id = (uint8_t)(clients[who] + 1);
	const uint8_t session[] = {2, 0, 0x5e, 0, 0, ACC0, 2, 0, 0, 0, 0, id, 0x88, 0x64, 0x11, 0,
		0, id, (uint8_t)(payload >> 8), (uint8_t)payload, 0, (uint8_t)ppp};
	memcpy(at, session, sizeof(session));
	return sizeof(session);
}

static void send(uint8_t step, const uint8_t *data, size_t size, uint16_t len, int times)
{
	static struct embedded_frame frames[MANY];
	uint8_t *bytes = frames[0].bytes;
	uint16_t header = frame_it(bytes, step, len);
	memset(bytes + header, 0, len);
	memcpy(bytes + header, data, size);
	if (step & STEP_MEND6 && step & STEP_IP4)
		bed_mend_ip4(bytes + header, len);
	else if (step & STEP_MEND6)
		mend(bytes + header, len);
	frames[0].len = (uint16_t)(header + len);
	for (int i = 1; i < times; i++)
		frames[i] = frames[0];
	uint32_t port = (step & STEP_WHO) == STEP_WHO ? WAN0 : ACC0;
	embedded_receive(bed.embedded, port, frames, (uint32_t)times);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int many = 0;
	bool on = true, here = true;
	open_bed();
	while (size >= 2) {
		uint8_t step = data[0];
		uint16_t len = (uint16_t)(data[1] * 8);
		size_t there = len < size - 2 ? len : size - 2;
		if (len > 1500)
			len = 1500;
		if (there > len)
			there = len;
		data += 2;
		size -= 2;
		if (step & STEP_MINUTE) {
			bed_pass_time(60000);
			continue;
		}
		if (step & STEP_OFF) {
			serve(NAT_SESSION, on = !on);
			embedded_run(bed.embedded);
			continue;
		}
		if (step & STEP_ADDRESS) {
			set_address(here = !here);
			continue;
		}
		send(step, data, there, len, step & STEP_MANY && many++ < MOST_MANY ? MANY : 1);
		data += there;
		size -= there;
	}
	serve(NAT_SESSION, true);
	set_address(true);
	bed_finish(true);
	return 0;
}
