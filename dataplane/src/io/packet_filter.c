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
	AT_9100 = 7,
	AT_TWICE = 11,
	AT_TAGGED = 16,
	AT_TYPE = 18,
	AT_LLC = 21,
	AT_IP4 = 24,
	AT_IP6 = 41,
	AT_PAYLOAD = 50,
	AT_TCP = 62,
	AT_PORTS = 64,
	AT_ICMP6 = 82,
	AT_PORT = 87,
	AT_DATA = 89,
	AT_ROUTING,
	AT_NEIGHBOUR,
	AT_STREAM,
	PLACES
};

enum { MEM_PROTOCOL, MEM_LENGTH };

enum {
	TAGGED_LEN = ETH_LEN + VLAN_LEN,
	TWICE_TAGGED_LEN = TAGGED_LEN + VLAN_LEN,
	SHORTEST_PAYLOAD = 14, /* up to the flags of TCP */
	WHOLE = -1,	       /* of the frame, to the ring */
};

#define LOAD(size, mode, at) BPF_STMT(BPF_LD | (size) | (mode), at)
#define ALU(op, k) BPF_STMT(BPF_ALU | (op) | BPF_K, k)
#define JUMP(at, op, k, yes, no) [at] = BPF_JUMP(BPF_JMP | (op), k, (yes) - (at)-1, (no) - (at)-1)
#define EQUAL(at, k, yes, no) JUMP(at, BPF_JEQ | BPF_K, k, yes, no)
#define PORT(at, k, no) EQUAL(at, k, AT_PORT, no)
#define VERDICT BPF_STMT(BPF_RET | BPF_K, 0)

/* clang-format off */
static const struct sock_filter sorting[PLACES] = {
	LOAD(BPF_W, BPF_LEN, 0),
	JUMP(1, BPF_JGE | BPF_K, TAGGED_LEN + 1, AT_TAGS, AT_DATA),
	[AT_TAGS] = BPF_STMT(BPF_LDX | BPF_IMM, ETH_LEN), /* the kernel took the outer tag out */
	LOAD(BPF_H, BPF_ABS, 2 * MAC_LEN),
	EQUAL(4, TPID_8021Q, AT_TAGGED, 5),
	EQUAL(5, TPID_8021AD, AT_TAGGED, 6),
	EQUAL(6, TPID_9100, AT_9100, AT_TYPE),
	[AT_9100] = LOAD(BPF_H, BPF_ABS, 2 * MAC_LEN + VLAN_LEN), /* which it does not know */
	EQUAL(8, TPID_8021Q, AT_TWICE, 9),
	EQUAL(9, TPID_8021AD, AT_TWICE, 10),
	EQUAL(10, TPID_9100, AT_TWICE, AT_TAGGED),
	[AT_TWICE] = LOAD(BPF_W, BPF_LEN, 0),
	JUMP(12, BPF_JGE | BPF_K, TWICE_TAGGED_LEN + 1, 13, AT_DATA),
	BPF_STMT(BPF_LDX | BPF_IMM, TWICE_TAGGED_LEN),
	LOAD(BPF_H, BPF_ABS, 2 * MAC_LEN + 2 * VLAN_LEN),
	BPF_STMT(BPF_JMP | BPF_JA, AT_TYPE - 15 - 1),
	[AT_TAGGED] = BPF_STMT(BPF_LDX | BPF_IMM, TAGGED_LEN),
	LOAD(BPF_H, BPF_ABS, 2 * MAC_LEN + VLAN_LEN),

	EQUAL(AT_TYPE, ETHERTYPE_IP4, AT_IP4, 19),
	EQUAL(19, ETHERTYPE_IP6, AT_IP6, 20),
	EQUAL(20, ETHERTYPE_ARP, AT_NEIGHBOUR, AT_LLC),
	JUMP(AT_LLC, BPF_JGT | BPF_K, LENGTH_FIELD_MAX, AT_DATA, 22),
	LOAD(BPF_B, BPF_IND, 0),
	EQUAL(23, LLC_SAP_OSI, AT_ROUTING, AT_DATA),

	[AT_IP4] = LOAD(BPF_W, BPF_LEN, 0),
	BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0),
	JUMP(26, BPF_JGE | BPF_K, IP4_LEN, 27, AT_DATA),
	LOAD(BPF_H, BPF_IND, 6),
	JUMP(28, BPF_JSET | BPF_K, IP4_OFFSET_MASK, AT_DATA, 29),
	LOAD(BPF_B, BPF_IND, 9),
	BPF_STMT(BPF_ST, MEM_PROTOCOL),
	LOAD(BPF_B, BPF_IND, 0),
	ALU(BPF_AND, 15),
	ALU(BPF_LSH, 2),
	JUMP(34, BPF_JGE | BPF_K, IP4_LEN, 35, AT_DATA),
	BPF_STMT(BPF_ST, MEM_LENGTH),
	BPF_STMT(BPF_MISC | BPF_TXA, 0),
	BPF_STMT(BPF_LDX | BPF_MEM, MEM_LENGTH),
	BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
	BPF_STMT(BPF_MISC | BPF_TAX, 0),
	BPF_STMT(BPF_JMP | BPF_JA, AT_PAYLOAD - 40 - 1),

	[AT_IP6] = LOAD(BPF_W, BPF_LEN, 0),
	BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0),
	JUMP(43, BPF_JGE | BPF_K, IP6_LEN + 1, 44, AT_DATA),
	LOAD(BPF_B, BPF_IND, 6),
	EQUAL(45, IPPROTO_ICMP6, AT_ICMP6, 46),
	BPF_STMT(BPF_ST, MEM_PROTOCOL),
	BPF_STMT(BPF_MISC | BPF_TXA, 0),
	ALU(BPF_ADD, IP6_LEN),
	BPF_STMT(BPF_MISC | BPF_TAX, 0),

	[AT_PAYLOAD] = LOAD(BPF_W, BPF_LEN, 0),
	JUMP(51, BPF_JGE | BPF_X, 0, 52, AT_DATA),
	BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0),
	JUMP(53, BPF_JGE | BPF_K, SHORTEST_PAYLOAD, 54, AT_DATA),
	BPF_STMT(BPF_LD | BPF_MEM, MEM_PROTOCOL),
	EQUAL(55, IPPROTO_UDP4, AT_PORTS, 56),
	EQUAL(56, IPPROTO_TCP4, AT_TCP, 57),
	EQUAL(57, PROTOCOL_OSPF, AT_ROUTING, 58),
	EQUAL(58, PROTOCOL_PIM, AT_ROUTING, 59),
	EQUAL(59, PROTOCOL_VRRP, AT_ROUTING, 60),
	EQUAL(60, PROTOCOL_RSVP, AT_ROUTING, 61),
	EQUAL(61, PROTOCOL_EIGRP, AT_ROUTING, AT_DATA),

	[AT_TCP] = LOAD(BPF_B, BPF_IND, 13),
	JUMP(63, BPF_JSET | BPF_K, TCP_SYN | TCP_RST, AT_DATA, AT_PORTS),

	[AT_PORTS] = LOAD(BPF_H, BPF_IND, 2), /* destination */
	PORT(65, PORT_BGP, 66),
	PORT(66, PORT_BFD, 67),
	PORT(67, PORT_BFD_ECHO, 68),
	PORT(68, PORT_BFD_MULTIHOP, 69),
	PORT(69, PORT_BFD_LAG, 70),
	PORT(70, PORT_LDP, 71),
	PORT(71, PORT_RIP, 72),
	PORT(72, PORT_RIPNG, 73),
	LOAD(BPF_H, BPF_IND, 0), /* source */
	PORT(74, PORT_BGP, 75),
	PORT(75, PORT_BFD, 76),
	PORT(76, PORT_BFD_ECHO, 77),
	PORT(77, PORT_BFD_MULTIHOP, 78),
	PORT(78, PORT_BFD_LAG, 79),
	PORT(79, PORT_LDP, 80),
	PORT(80, PORT_RIP, 81),
	PORT(81, PORT_RIPNG, AT_DATA),

	[AT_ICMP6] = LOAD(BPF_B, BPF_IND, 7), /* hop limit */
	EQUAL(83, TTL_MAX, 84, AT_DATA),
	LOAD(BPF_B, BPF_IND, IP6_LEN),
	JUMP(85, BPF_JGE | BPF_K, ICMP6_ROUTER_SOLICITATION, 86, AT_DATA),
	JUMP(86, BPF_JGT | BPF_K, ICMP6_REDIRECT, AT_DATA, AT_NEIGHBOUR),

	[AT_PORT] = BPF_STMT(BPF_LD | BPF_MEM, MEM_PROTOCOL),
	EQUAL(88, IPPROTO_TCP4, AT_STREAM, AT_ROUTING),

	[AT_DATA] = VERDICT,
	[AT_ROUTING] = VERDICT,
	[AT_NEIGHBOUR] = VERDICT,
	[AT_STREAM] = VERDICT,
};
/* clang-format on */

int packet_filter_set(int fd, unsigned sorts)
{
	static const struct {
		enum place at;
		enum packet_sort sort;
	} verdicts[] = {{AT_DATA, SORT_DATA}, {AT_ROUTING, SORT_ROUTING},
		{AT_NEIGHBOUR, SORT_NEIGHBOUR}, {AT_STREAM, SORT_STREAM}};
	struct sock_filter program[PLACES];
	const struct sock_fprog attached = {.len = PLACES, .filter = program};
	if (sorts == SORTS_ALL)
		return 0;
	memcpy(program, sorting, sizeof(program));
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(*verdicts); i++)
		if (sorts & verdicts[i].sort)
			program[verdicts[i].at].k = (uint32_t)WHOLE;
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &attached, sizeof(attached)) ? -errno
											 : 0;
}
