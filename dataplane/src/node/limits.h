/*
 * Every rate that protects the box and bngd, in one place. Rates are per second and worker, bursts
 * in packets.
 */
#ifndef BNG_NODE_LIMITS_H
#define BNG_NODE_LIMITS_H

enum {
	/* punt: discovery, of all; of one S-VLAN (port, outer VID); of one client (line, MAC) */
	DISCOVERY_RATE = 20000,
	DISCOVERY_BURST = 40000,
	DISCOVERY_SVLAN_RATE = 5000,
	DISCOVERY_SVLAN_BURST = 20000,
	DISCOVERY_CLIENT_RATE = 10,
	DISCOVERY_CLIENT_BURST = 20,
	DISCOVERY_CLIENTS = 65536, /* buckets; clients whose keys collide share one */
	/* punt: PPP control, of all; of one session (a dial needs about 12) */
	CONTROL_RATE = 50000,
	CONTROL_BURST = 50000,
	PPP_UNKNOWN_RATE = 1000,
	PPP_UNKNOWN_BURST = 1000,
	PPP_UNKNOWN_LEN = 128, /* bytes punted: enough for a Protocol-Reject */
	SESSION_SHARE_RATE = 40,
	SESSION_SHARE_BURST = 40,
	/* pppoe_padt: of all; of one S-VLAN (port, outer VID); to one client */
	PADT_RATE = 200,
	PADT_BURST = 200,
	PADT_SVLAN_RATE = 50,
	PADT_SVLAN_BURST = 50,
	PADT_CLIENT_RATE = 1,
	PADT_CLIENT_BURST = 1,
	PADT_CLIENTS = 4096,
	/* icmp4_error and icmp6_error, each: of all; to one source (RFC 1812 section 4.3.2.8) */
	ICMP_ERROR_RATE = 1000,
	ICMP_ERROR_BURST = 1000,
	ICMP_ERROR_SOURCE_RATE = 50,
	ICMP_ERROR_SOURCE_BURST = 50,
	ICMP_ERROR_SOURCES = 4096,
	/* ip4_local and ip6_local, each: echoes answered, of all; of one source */
	ECHO_RATE = 5000,
	ECHO_BURST = 5000,
	ECHO_SOURCE_RATE = 50,
	ECHO_SOURCE_BURST = 50,
	ECHO_SOURCES = 4096,
	/* twin_output: what the kernel gets, by class; of all, of one source. Bursts are a second.
	 * Of those that the box talks with, and on the link: a transfer of tables of BGP */
	TWIN_BGP_RATE = 50000,
	TWIN_BGP_SHARE = 20000,
	TWIN_ROUTING_RATE = 10000, /* of each other routing protocol */
	TWIN_ROUTING_SHARE = 4000,
	TWIN_STRANGER_RATE = 500, /* who would talk BGP and the like */
	TWIN_STRANGER_SHARE = 20,
	TWIN_NEIGHBOUR_RATE = 4000, /* ARP, ND */
	TWIN_NEIGHBOUR_SHARE = 200,
	TWIN_OTHER_RATE = 40000, /* RADIUS, SSH, ping, multicast: all else */
	TWIN_OTHER_SHARE = 20000,
	TWIN_SOURCES = 4096,
	TWIN_PEERS = 1024,
	TWIN_PEER_LASTS_S = 600, /* beyond any Hold Time in use */
};

#endif
