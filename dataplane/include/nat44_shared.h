/*
 * What NAT44 keeps in the shared arena, its commands and its log records. A part of dataplane.h,
 * which see; read by build_ffi.py in front of it.
 */
#ifndef BNG_NAT44_SHARED_H
#define BNG_NAT44_SHARED_H

#include <stdint.h>

#include "types.h"

/* cdef begin */

enum nat_filtering { NAT_ENDPOINT_INDEPENDENT, NAT_ADDRESS_DEPENDENT }; /* RFC 4787 REQ-8 */
enum nat_plane { NAT_TCP, NAT_UDP, NAT_ICMP, NAT_PLANES };

enum nat_mode {
	NAT_PORT_BLOCKS,   /* subscribers share the address, and take blocks as they need them */
	NAT_DETERMINISTIC, /* the inner address says which ports (RFC 7422) */
};

struct nat_config {
	uint32_t n_addresses; /* that there is room for */
	uint32_t block_size;  /* ports, power of two, 64..4096 */
	uint32_t block_shift;
	uint32_t blocks_per_address; /* 65536 / block_size; those under port_min are never given out
				      */
	uint32_t blocks_per_session; /* limit */
	uint32_t port_min;
	uint32_t udp_timeout_s;
	uint32_t tcp_established_s;
	uint32_t tcp_transitory_s; /* opening */
	uint32_t icmp_timeout_s;
	uint32_t hash_key[4];
	uint32_t filtering;	       /* enum nat_filtering */
	uint32_t remotes_per_worker;   /* power of two */
	uint32_t remotes_per_session;  /* limit */
	uint32_t mappings_per_session; /* limit, 0: none but the ports */
	uint32_t mappings_per_s;     /* new ones of a session, and how many at once, 0: no limit */
	uint32_t quarantine_s;	     /* a block given back rests */
	uint32_t quarantine_percent; /* of an address's blocks at most rest */
	uint32_t log_mappings; /* 1: begin and end of each are on record, beside those of blocks */
	uint32_t protocol_flows_per_worker; /* power of two */
	uint32_t protocol_timeout_s;
	uint32_t tcp_closing_s;
	uint32_t forward_low, forward_high;  /* ports kept for forwards, inclusive; 0: none */
	uint32_t forwards_per_worker;	     /* power of two */
	uint32_t protocol_flows_per_session; /* limit */
	uint32_t reserved[3];
};

struct nat_address {
	be32 address;	/* 0: this entry is nobody's */
	uint32_t owner; /* worker */
	uint32_t free_blocks;
	uint32_t free_first;  /* block index + 1, chained by next: the one that rested longest */
	uint32_t free_last;   /* block index + 1 */
	uint32_t used_blocks; /* subscribers', and those that wait for room in the log */
	uint32_t live[NAT_PLANES];
	uint32_t resting_blocks;
	uint32_t resting_first; /* block index + 1, chained by next: the one that rested longest */
	uint32_t resting_last;
	uint32_t mode;		 /* enum nat_mode */
	uint32_t protocol_flows; /* live entries in nat_protocol */
	uint32_t reserved[2];
};

struct nat_block {
	uint32_t session; /* session index + 1, 0: free */
	uint32_t generation;
	uint32_t next; /* next block of this subscriber, or free one, + 1, 0: last */
	uint16_t live[NAT_PLANES];
	uint16_t overflow[NAT_PLANES]; /* live mappings in the later blocks of this subscriber */
	uint32_t freed_s;	       /* at rest; in use, deterministic: 1 once it is on record */
	be32 inner;		       /* the subscriber's address */
};

/* nat_block.next of a block that is given back but waits for room in the log */
enum { NAT_BLOCK_UNLOGGED = -1 };

/* Why a mapping or block was not given. */
enum nat_refusal {
	NAT_GRANTED,
	NAT_LIMIT,     /* the subscriber has all the blocks it may have */
	NAT_EXHAUSTED, /* no free block on the address */
	NAT_LOG_FULL,  /* what cannot be logged is not given */
	NAT_MAPPINGS,  /* as many mappings as the subscriber may have */
	NAT_RATE,      /* too many new mappings a second */
	NAT_TAKEN,     /* GRE, ESP: another subscriber on the address talks to the remote */
	NAT_NO_ROOM,   /* GRE, ESP: the table is full */
	NAT_REFUSALS
};

enum nat_slot_flags {
	NAT_LIVE = 1,
	NAT_MULTI = 2, /* several remotes: they and their TCP states are nat_remote entries */
	NAT_SYN_OUT = 4,
	NAT_SYN_IN = 8,
	NAT_FIN_OUT = 16,
	NAT_FIN_IN = 32,
	NAT_RST = 64, /* with MULTI: no connection is open */
	NAT_TCP_ESTABLISHED = 128,
};

/* What the four slots of a line hold of it, one each. */
enum nat_line_state {
	NAT_LINE_PASSED, /* live mappings that probed past this line */
	NAT_LINE_AWAY,	 /* live mappings that start here and stand in a later line */
	NAT_LINE_FILTER, /* two words: a bit for the port of each of those, and of some before */
};

/* A mapping: its index in the plane is its external port (RFC 4787). Four to a cache line. */
struct nat_slot {
	be16 inner_port;     /* or ICMP identifier */
	uint8_t flags;	     /* enum nat_slot_flags */
	uint8_t lost;	     /* with MULTI: 1: remotes for which there was no room */
	be32 remote;	     /* the first one; with MULTI: first nat_remote + 1 */
	be16 remote_port;    /* with MULTI: how many connections are not closed */
	uint16_t line_state; /* its line's, not the slot's: see enum nat_line_state */
	uint32_t last_s;     /* worker's coarse clock: last outbound packet that refreshes it */
};

/* A remote of a mapping that has several: for filtering, and one TCP connection's state. */
struct nat_remote {
	uint32_t slot; /* index of the mapping's nat_slot + 1, 0: free */
	be32 address;
	be16 port;     /* 0 but for TCP */
	uint8_t flags; /* enum nat_slot_flags, of this connection */
	uint8_t reserved0;
	uint32_t last_s;	 /* last packet */
	uint32_t next, previous; /* of this mapping, index + 1 */
	uint32_t reserved[2];
};

/* A protocol without ports (GRE, ESP) between a public address and a remote: one subscriber's. */
struct nat_protocol {
	uint32_t session; /* session index + 1, 0: free */
	uint32_t generation;
	uint32_t address; /* index of the nat_address */
	be32 remote;
	uint32_t last_s;	 /* last outbound packet */
	uint32_t next, previous; /* of this session, index + 1 */
	uint8_t protocol;	 /* of IP */
	uint8_t reserved[3];
};

/* A public port that always leads to the same port of a session. Found by a hash of both ends. */
struct nat_forward {
	uint32_t session; /* session index + 1, 0: free */
	uint32_t address; /* index of the nat_address */
	be16 external;
	be16 inner;
	uint32_t head; /* of the chain that belongs to this place: index + 1 */
	uint32_t next; /* in the chain that this forward is in */
	uint32_t next_of_session;
	uint8_t plane; /* enum nat_plane: NAT_TCP or NAT_UDP */
	uint8_t reserved[7];
};

enum { NAT_FORWARDS_PER_SESSION = 32 };

/* CMD_SESSION_FORWARD. Ports in host order. */
struct session_forward {
	uint16_t external;
	uint16_t inner;
	uint8_t protocol; /* of IP: TCP or UDP */
	uint8_t on;	  /* 1: from now on, 0: no more */
	uint8_t reserved[34];
};

/* CMD_NAT_SET: what changes live, all as in nat_config. */
struct nat_set {
	uint32_t filtering, remotes_per_session;
	uint32_t mappings_per_session, mappings_per_s;
	uint32_t quarantine_s, quarantine_percent;
	uint32_t log_mappings;
	uint8_t reserved[12];
};

/* CMD_SESSION_BYPASS: what an ACL permits is not translated. */
struct session_bypass {
	uint16_t acl; /* ACL index + 1, 0: none */
	uint8_t reserved[38];
};

/* CMD_SESSION_STATIC: one-to-one NAT. */
struct session_static {
	be32 address; /* public, 0: none from now on */
	be32 inner;   /* the session's own, as in session_up */
	uint8_t reserved[32];
};

/* CMD_NAT_ADDRESS: an entry of the address table, to the worker that owns it; its route, to the
 * control thread. It is removed when nothing uses it, the route first. */
struct nat_address_set {
	be32 address;
	uint32_t index;
	uint32_t mode; /* enum nat_mode */
	uint32_t on;   /* 1: added, 0: removed */
	uint8_t reserved[24];
};

enum nat_log_type {
	NAT_LOG_BLOCK_ALLOCATED = 1,
	NAT_LOG_BLOCK_RELEASED, /* and with it ends every mapping in the block */
	NAT_LOG_MAPPING_CREATED,
	NAT_LOG_MAPPING_DELETED,
	NAT_LOG_FORWARD_ADDED, /* a port that is always open to a session */
	NAT_LOG_FORWARD_REMOVED,
	NAT_LOG_STATIC_ADDED, /* a public address that is one session's alone */
	NAT_LOG_STATIC_REMOVED,
	NAT_LOG_TYPES /* one more than the last */
};

/* Ports in host order. */
struct nat_log_record {
	uint64_t sequence; /* of this worker: 0, 1, ... */
	uint64_t wall_ns;  /* CLOCK_REALTIME */
	uint8_t type;	   /* enum nat_log_type */
	uint8_t protocol;  /* of IP, 0: all */
	uint16_t inner_port;
	uint32_t session;
	uint32_t generation;
	be32 inner;
	be32 outer;
	uint16_t port_first, port_last; /* the same for one port; 0 and 65535: all */
};

/* cdef end */

_Static_assert(sizeof(struct nat_slot) == 16, "four to a cache line");
_Static_assert(sizeof(struct nat_remote) == 32, "two to a cache line");
_Static_assert(sizeof(struct nat_protocol) == 32, "two to a cache line");
_Static_assert(sizeof(struct nat_set) == 40, "the body of a command");
_Static_assert(sizeof(struct nat_forward) == 32, "two to a cache line");
_Static_assert(sizeof(struct session_forward) == 40, "the body of a command");
_Static_assert(sizeof(struct session_bypass) == 40, "the body of a command");
_Static_assert(sizeof(struct session_static) == 40, "the body of a command");
_Static_assert(sizeof(struct nat_address_set) == 40, "the body of a command");
_Static_assert(sizeof(struct nat_block) == 32, "two to a cache line");
_Static_assert(sizeof(struct nat_log_record) == 40, "fixed");
_Static_assert(sizeof(struct nat_config) == 128, "two cache lines");
_Static_assert(sizeof(struct nat_address) == 64, "one cache line");

#endif
