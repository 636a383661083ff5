/* The BPF program that knows control frames; see packet_filter.h. */
#include "packet_filter.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>

#include <linux/filter.h>

#include "../node/control_class.h"

/*
 * Where parts of the program begin. X is where the header stands that is looked at. A load beyond
 * the end of a frame would end the program, and the frame would be nobody's: lengths are checked
 * before.
 */
enum place {
	AT_TAGS = 2,
	AT_TAGGED = 7,
	AT_TYPE = 9,
	AT_LLC = 12,
	AT_IP4 = 15,
	AT_IP6 = 31,
	AT_PAYLOAD = 39,
	AT_TCP = 51,
	AT_PORTS = 53,
	AT_ICMP6 = 71,
	AT_DATA = 76,
	AT_CONTROL,
	PLACES
};

enum { MEM_PROTOCOL, MEM_LENGTH };

enum {
	TAGGED_LEN = ETH_LEN + VLAN_LEN,
	SHORTEST_PAYLOAD = 14, /* up to the flags of TCP */
	WHOLE = -1,	       /* of the frame, to the ring */
};

#define LOAD(size, mode, at) BPF_STMT(BPF_LD | (size) | (mode), at)
#define ALU(op, k) BPF_STMT(BPF_ALU | (op) | BPF_K, k)
#define JUMP(at, op, k, yes, no) [at] = BPF_JUMP(BPF_JMP | (op), k, (yes) - (at)-1, (no) - (at)-1)
#define EQUAL(at, k, yes, no) JUMP(at, BPF_JEQ | BPF_K, k, yes, no)
#define PORT(at, k, no) EQUAL(at, k, AT_CONTROL, no)

/* clang-format off */
static const struct sock_filter control[PLACES] = {
	LOAD(BPF_W, BPF_LEN, 0),
	JUMP(1, BPF_JGE | BPF_K, TAGGED_LEN + 1, AT_TAGS, AT_DATA),
	[AT_TAGS] = BPF_STMT(BPF_LDX | BPF_IMM, ETH_LEN), /* the kernel took the outer tag out */
	LOAD(BPF_H, BPF_ABS, 2 * MAC_LEN),
	EQUAL(4, TPID_8021Q, AT_TAGGED, 5),
	EQUAL(5, TPID_8021AD, AT_TAGGED, 6),
	EQUAL(6, TPID_9100, AT_TAGGED, AT_TYPE),
	[AT_TAGGED] = BPF_STMT(BPF_LDX | BPF_IMM, TAGGED_LEN),
	LOAD(BPF_H, BPF_ABS, 2 * MAC_LEN + VLAN_LEN),

	EQUAL(AT_TYPE, ETHERTYPE_IP4, AT_IP4, 10),
	EQUAL(10, ETHERTYPE_IP6, AT_IP6, 11),
	EQUAL(11, ETHERTYPE_ARP, AT_CONTROL, AT_LLC),
	JUMP(AT_LLC, BPF_JGT | BPF_K, LENGTH_FIELD_MAX, AT_DATA, 13),
	LOAD(BPF_B, BPF_IND, 0),
	EQUAL(14, LLC_SAP_OSI, AT_CONTROL, AT_DATA),

	[AT_IP4] = LOAD(BPF_W, BPF_LEN, 0),
	JUMP(16, BPF_JGE | BPF_K, TAGGED_LEN + IP4_LEN, 17, AT_DATA),
	LOAD(BPF_H, BPF_IND, 6),
	JUMP(18, BPF_JSET | BPF_K, IP4_OFFSET_MASK, AT_DATA, 19),
	LOAD(BPF_B, BPF_IND, 9),
	BPF_STMT(BPF_ST, MEM_PROTOCOL),
	LOAD(BPF_B, BPF_IND, 0),
	ALU(BPF_AND, 15),
	ALU(BPF_LSH, 2),
	JUMP(24, BPF_JGE | BPF_K, IP4_LEN, 25, AT_DATA),
	BPF_STMT(BPF_ST, MEM_LENGTH),
	BPF_STMT(BPF_MISC | BPF_TXA, 0),
	BPF_STMT(BPF_LDX | BPF_MEM, MEM_LENGTH),
	BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
	BPF_STMT(BPF_MISC | BPF_TAX, 0),
	BPF_STMT(BPF_JMP | BPF_JA, AT_PAYLOAD - 30 - 1),

	[AT_IP6] = LOAD(BPF_W, BPF_LEN, 0),
	JUMP(32, BPF_JGE | BPF_K, TAGGED_LEN + IP6_LEN + 1, 33, AT_DATA),
	LOAD(BPF_B, BPF_IND, 6),
	EQUAL(34, IPPROTO_ICMP6, AT_ICMP6, 35),
	BPF_STMT(BPF_ST, MEM_PROTOCOL),
	BPF_STMT(BPF_MISC | BPF_TXA, 0),
	ALU(BPF_ADD, IP6_LEN),
	BPF_STMT(BPF_MISC | BPF_TAX, 0),

	[AT_PAYLOAD] = LOAD(BPF_W, BPF_LEN, 0),
	JUMP(40, BPF_JGE | BPF_X, 0, 41, AT_DATA),
	BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0),
	JUMP(42, BPF_JGE | BPF_K, SHORTEST_PAYLOAD, 43, AT_DATA),
	BPF_STMT(BPF_LD | BPF_MEM, MEM_PROTOCOL),
	EQUAL(44, IPPROTO_UDP4, AT_PORTS, 45),
	EQUAL(45, IPPROTO_TCP4, AT_TCP, 46),
	EQUAL(46, PROTOCOL_OSPF, AT_CONTROL, 47),
	EQUAL(47, PROTOCOL_PIM, AT_CONTROL, 48),
	EQUAL(48, PROTOCOL_VRRP, AT_CONTROL, 49),
	EQUAL(49, PROTOCOL_RSVP, AT_CONTROL, 50),
	EQUAL(50, PROTOCOL_EIGRP, AT_CONTROL, AT_DATA),

	[AT_TCP] = LOAD(BPF_B, BPF_IND, 13),
	JUMP(52, BPF_JSET | BPF_K, TCP_SYN | TCP_RST, AT_DATA, AT_PORTS),

	[AT_PORTS] = LOAD(BPF_H, BPF_IND, 2), /* destination */
	PORT(54, PORT_BGP, 55),
	PORT(55, PORT_BFD, 56),
	PORT(56, PORT_BFD_ECHO, 57),
	PORT(57, PORT_BFD_MULTIHOP, 58),
	PORT(58, PORT_BFD_LAG, 59),
	PORT(59, PORT_LDP, 60),
	PORT(60, PORT_RIP, 61),
	PORT(61, PORT_RIPNG, 62),
	LOAD(BPF_H, BPF_IND, 0), /* source */
	PORT(63, PORT_BGP, 64),
	PORT(64, PORT_BFD, 65),
	PORT(65, PORT_BFD_ECHO, 66),
	PORT(66, PORT_BFD_MULTIHOP, 67),
	PORT(67, PORT_BFD_LAG, 68),
	PORT(68, PORT_LDP, 69),
	PORT(69, PORT_RIP, 70),
	PORT(70, PORT_RIPNG, AT_DATA),

	[AT_ICMP6] = LOAD(BPF_B, BPF_IND, 7), /* hop limit */
	EQUAL(72, TTL_MAX, 73, AT_DATA),
	LOAD(BPF_B, BPF_IND, IP6_LEN),
	JUMP(74, BPF_JGE | BPF_K, ICMP6_ROUTER_SOLICITATION, 75, AT_DATA),
	JUMP(75, BPF_JGT | BPF_K, ICMP6_REDIRECT, AT_DATA, AT_CONTROL),

	[AT_DATA] = BPF_STMT(BPF_RET | BPF_K, 0),
	[AT_CONTROL] = BPF_STMT(BPF_RET | BPF_K, (uint32_t)WHOLE),
};
/* clang-format on */

int packet_filter_set(int fd, enum packet_filter filter)
{
	struct sock_filter program[PLACES];
	const struct sock_fprog attached = {.len = PLACES, .filter = program};
	if (filter == PACKET_ALL)
		return 0;
	memcpy(program, control, sizeof(program));
	if (filter == PACKET_DATA) {
		program[AT_DATA].k = (uint32_t)WHOLE;
		program[AT_CONTROL].k = 0;
	}
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &attached, sizeof(attached)) ? -errno
											 : 0;
}
