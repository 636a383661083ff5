/* Ethernet II, IEEE 802.1Q and 802.1ad tags. */
#ifndef BNG_HDR_ETHERNET_H
#define BNG_HDR_ETHERNET_H

#include "byteorder.h"

enum {
	ETH_LEN = 14,
	VLAN_LEN = 4,
	ETHERTYPE_IP4 = 0x0800,
	ETHERTYPE_IP6 = 0x86dd,
	ETHERTYPE_PPPOE_DISCOVERY = 0x8863,
	ETHERTYPE_PPPOE_SESSION = 0x8864,
	TPID_8021Q = 0x8100,
	TPID_8021AD = 0x88a8,
	TPID_9100 = 0x9100,
};

struct eth_hdr {
	uint8_t destination[6];
	uint8_t source[6];
	be16 type;
} __attribute__((packed));

struct vlan_hdr { /* what follows a TPID */
	be16 tci;
	be16 type;
} __attribute__((packed));

_Static_assert(sizeof(struct eth_hdr) == ETH_LEN, "wire");
_Static_assert(sizeof(struct vlan_hdr) == VLAN_LEN, "wire");

static inline int is_tpid(uint16_t type)
{
	return type == TPID_8021Q || type == TPID_8021AD || type == TPID_9100;
}

#endif
