/*
 * The XDP program, put together here: no compiler for BPF is needed, neither to build nor to start.
 *
 * R2 is where the Ethernet header, less its tags, is; later the header behind it. R3 is the end of
 * the frame, R4 how far a check reaches, R5 what was read.
 */
#include "xdp_insns.h"

#include <assert.h>
#include <stdint.h>

#include "../node/control_class.h"

/* Where jumps lead whose place is not known yet: to the end of the program. */
enum { TO_DATA = -1, TO_CONTROL = -2 };

enum { R0, R1, R2, R3, R4, R5 };

enum { MAX_TAGS = 2 };

struct program {
	struct bpf_insn *insn;
	size_t n;
};

/* Returns where it stands. */
static size_t emit(struct program *p, int code, int to, int from, int off, int32_t imm)
{
	assert(p->n < XDP_INSNS_MAX);
	p->insn[p->n] = (struct bpf_insn){.code = (uint8_t)code,
		.dst_reg = (uint32_t)to & 15,
		.src_reg = (uint32_t)from & 15,
		.off = (int16_t)off,
		.imm = imm};
	return p->n++;
}

static void load(struct program *p, int size, int off)
{
	emit(p, BPF_LDX | BPF_MEM | size, R5, R2, off, 0);
}

static void step(struct program *p, int len)
{
	emit(p, BPF_ALU64 | BPF_ADD | BPF_K, R2, 0, 0, len);
}

static size_t jump(struct program *p, int op, int32_t value, int where)
{
	return emit(p, BPF_JMP | op | BPF_K, R5, 0, where, value);
}

/* A jump that was emitted leads here. */
static void land(struct program *p, size_t at)
{
	p->insn[at].off = (int16_t)(p->n - at - 1);
}

/* That many bytes from R2 on can be read; else it is data. */
static void need(struct program *p, int len)
{
	emit(p, BPF_ALU64 | BPF_MOV | BPF_X, R4, R2, 0, 0);
	emit(p, BPF_ALU64 | BPF_ADD | BPF_K, R4, 0, 0, len);
	emit(p, BPF_JMP | BPF_JGT | BPF_X, R4, R3, TO_DATA, 0);
}

/* R5 is a field of 16 bits as it was read: it is compared as it stands on the wire. */
static int32_t wire(uint16_t value)
{
	return hton16(value);
}

/* Steps over up to two tags; R5 is the EtherType then, R2 where Ethernet's would end with it. */
static void tags(struct program *p)
{
	static const uint16_t tpids[] = {TPID_8021Q, TPID_8021AD, TPID_9100};
	for (int tag = 0; tag < MAX_TAGS; tag++) {
		size_t found[3];
		load(p, BPF_H, 2 * MAC_LEN);
		for (size_t i = 0; i < 3; i++)
			found[i] = jump(p, BPF_JEQ, wire(tpids[i]), 0);
		size_t none = emit(p, BPF_JMP | BPF_JA, 0, 0, 0, 0);
		for (size_t i = 0; i < 3; i++)
			land(p, found[i]);
		step(p, VLAN_LEN);
		need(p, ETH_LEN);
		land(p, none);
	}
	load(p, BPF_H, 2 * MAC_LEN);
}

/* R5 is the number of a protocol of IP, R2 the header, which is `len` bytes long. */
static void protocol(struct program *p, int len)
{
	static const uint8_t routing[] = {
		PROTOCOL_OSPF, PROTOCOL_PIM, PROTOCOL_VRRP, PROTOCOL_RSVP, PROTOCOL_EIGRP};
	static const uint16_t ports[] = {PORT_BGP, PORT_BFD, PORT_BFD_ECHO, PORT_BFD_MULTIHOP,
		PORT_BFD_LAG, PORT_LDP, PORT_RIP, PORT_RIPNG};
	for (size_t i = 0; i < sizeof(routing); i++)
		jump(p, BPF_JEQ, routing[i], TO_CONTROL);
	size_t udp = jump(p, BPF_JEQ, IPPROTO_UDP4, 0);
	jump(p, BPF_JNE, IPPROTO_TCP4, TO_DATA);
	need(p, len + TCP_LEN);
	load(p, BPF_B, len + 13); /* flags */
	jump(p, BPF_JSET, TCP_SYN | TCP_RST, TO_DATA);
	land(p, udp);
	need(p, len + PORTS_LEN);
	for (int field = 0; field < PORTS_LEN; field += 2) {
		load(p, BPF_H, len + field);
		for (size_t i = 0; i < sizeof(ports) / sizeof(*ports); i++)
			jump(p, BPF_JEQ, wire(ports[i]), TO_CONTROL);
	}
	emit(p, BPF_JMP | BPF_JA, 0, 0, TO_DATA, 0);
}

/* Those with options are data. */
static void ip4(struct program *p)
{
	need(p, IP4_LEN);
	load(p, BPF_B, 0);
	jump(p, BPF_JNE, 0x45, TO_DATA);
	load(p, BPF_H, 6);
	jump(p, BPF_JSET, wire(IP4_OFFSET_MASK), TO_DATA);
	load(p, BPF_B, 9);
	protocol(p, IP4_LEN);
}

static void ip6(struct program *p)
{
	need(p, IP6_LEN + 1);
	load(p, BPF_B, 6);
	size_t other = jump(p, BPF_JNE, IPPROTO_ICMP6, 0);
	load(p, BPF_B, 7); /* hop limit */
	jump(p, BPF_JNE, TTL_MAX, TO_DATA);
	load(p, BPF_B, IP6_LEN);
	jump(p, BPF_JLT, ICMP6_ROUTER_SOLICITATION, TO_DATA);
	jump(p, BPF_JGT, ICMP6_REDIRECT, TO_DATA);
	emit(p, BPF_JMP | BPF_JA, 0, 0, TO_CONTROL, 0);
	land(p, other);
	protocol(p, IP6_LEN);
}

static void classify(struct program *p)
{
	emit(p, BPF_LDX | BPF_MEM | BPF_W, R2, R1, offsetof(struct xdp_md, data), 0);
	emit(p, BPF_LDX | BPF_MEM | BPF_W, R3, R1, offsetof(struct xdp_md, data_end), 0);
	need(p, ETH_LEN);
	tags(p);
	step(p, ETH_LEN);
	jump(p, BPF_JEQ, wire(ETHERTYPE_ARP), TO_CONTROL);
	size_t not_ip4 = jump(p, BPF_JNE, wire(ETHERTYPE_IP4), 0);
	ip4(p);
	land(p, not_ip4);
	size_t not_ip6 = jump(p, BPF_JNE, wire(ETHERTYPE_IP6), 0);
	ip6(p);
	land(p, not_ip6);
	emit(p, BPF_ALU | BPF_END | BPF_TO_BE, R5, 0, 0, 16);
	jump(p, BPF_JGT, LENGTH_FIELD_MAX, TO_DATA);
	need(p, LLC_LEN);
	load(p, BPF_B, 0);
	jump(p, BPF_JNE, LLC_SAP_OSI, TO_DATA);
	emit(p, BPF_JMP | BPF_JA, 0, 0, TO_CONTROL, 0);
}

static void resolve(struct program *p, int where, size_t to)
{
	for (size_t i = 0; i < to; i++)
		if (BPF_CLASS(p->insn[i].code) == BPF_JMP && p->insn[i].off == where)
			p->insn[i].off = (int16_t)(to - i - 1);
}

/* return XDP_PASS; */
static void pass(struct program *p)
{
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, R0, 0, 0, XDP_PASS);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP); */
static void redirect(struct program *p, int map_fd)
{
	emit(p, BPF_LDX | BPF_MEM | BPF_W, R2, R1, offsetof(struct xdp_md, rx_queue_index), 0);
	emit(p, BPF_LD | BPF_IMM | BPF_DW, R1, BPF_PSEUDO_MAP_FD, 0, map_fd);
	emit(p, 0, 0, 0, 0, 0); /* upper half of the one before */
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, R3, 0, 0, XDP_DROP);
	emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

size_t xdp_insns(struct bpf_insn insns[XDP_INSNS_MAX], int map_fd, bool control_passes)
{
	struct program p = {.insn = insns};
	if (control_passes) {
		classify(&p);
		resolve(&p, TO_CONTROL, p.n);
		pass(&p);
		resolve(&p, TO_DATA, p.n);
	}
	redirect(&p, map_fd);
	return p.n;
}
