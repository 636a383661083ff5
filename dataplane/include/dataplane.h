/*
 * The shared arena: every struct, index and record that bngd and bng-dataplane both see.
 *
 * One mapping holds every table, ring and counter. Nothing in it is a pointer: everything is an
 * index or an offset from its start. Both processes compare magic, layout version and layout hash
 * at attach. Fields are host order but for those typed be16 / be32.
 *
 * The part between the cdef marks is read by build_ffi.py as it stands: plain C declarations,
 * constants as enums, no preprocessor.
 */
#ifndef BNG_DATAPLANE_H
#define BNG_DATAPLANE_H

#include <stddef.h>
#include <stdint.h>

#include "ip6_shared.h"
#include "mirror_shared.h"
#include "nat44_shared.h"
#include "session_features.h"
#include "types.h"

/* cdef begin */

enum {
	ARENA_LAYOUT_VERSION = 1,
	MAX_WORKERS = 16,
	MAX_PORTS = 64, /* VLANs and TAP twins count */
	MAX_NODES = 64,
	MAX_EDGES = 48,		/* per node, arc edges included */
	MAX_ACCESS_RANGES = 64, /* per port */
	PORT_NAME_LEN = 16,
	DOMAIN_PAGES = 256,	 /* pages of ids in a domain */
	DOMAIN_PAGE_IDS = 256,	 /* PPPoE session ids in a page */
	SESSION_HEADER_LEN = 30, /* Ethernet 14 + two VLAN tags 8 + PPPoE 6 + PPP protocol 2 */
	CONTROL_RECORD_LEN = 1000,
	BURST_SIZE = 256,  /* packets that a port gives or takes at once, commands too */
	VECTOR_SIZE = 128, /* packets that a node gets at once: what they need stays in L1 */
};

/* Sections of the arena; each is an array of `count` items of `stride` bytes. */
enum arena_section_id {
	SECTION_WORKER,	      /* struct worker_shared [worker] */
	SECTION_NODE,	      /* struct node_name [node] */
	SECTION_EDGE_COUNTER, /* uint64_t [worker][node][edge]; stride: one worker's */
	SECTION_NODE_RUNTIME, /* struct node_runtime [worker][node]; stride: one worker's */
	SECTION_PORT,	      /* struct port_shared [port] */
	SECTION_ACCESS_RANGE, /* struct access_range [port][MAX_ACCESS_RANGES]; stride: one port's
			       */
	SECTION_DOMAIN_DIRECTORY, /* uint32_t [port][4096]: domain index + 1; stride: one port's */
	SECTION_DOMAIN, /* uint32_t [domain][DOMAIN_PAGES]: page index + 1; stride: one domain's */
	SECTION_DOMAIN_PAGE,  /* uint32_t [page][DOMAIN_PAGE_IDS]: session index + 1 */
	SECTION_SESSION_IN,   /* struct session_in [session] */
	SECTION_SESSION_OUT,  /* struct session_out [session] */
	SECTION_SESSION_COLD, /* struct session_cold [session] */
	SECTION_SESSION_IP6,  /* struct session_ip6 [session] */
	SECTION_CONTROL,      /* struct control_record [session], written by bngd only */
	SECTION_POLICER,      /* struct policer [session][enum direction] */
	SECTION_ACL,	      /* uint64_t place [MAX_ACLS]: see enum acl_limits */
	SECTION_ACL_MEMORY,   /* bytes: compiled ACLs, each a struct acl_head and what it names */
	SECTION_FIB4_ROOT,    /* uint32_t leaf [65536] */
	SECTION_FIB4_PAGE,    /* uint32_t leaf [page][256] */
	SECTION_FIB6_ROOT,    /* uint32_t [65536] */
	SECTION_FIB6_HEAD,    /* struct fib6_head [node] */
	SECTION_FIB6_SLOT,    /* uint32_t [node][16] */
	SECTION_ADJACENCY,    /* struct adjacency [adjacency] */
	SECTION_MIRROR,	      /* struct mirror_shared, one */
	SECTION_NAT_CONFIG,   /* struct nat_config, one */
	SECTION_NAT_ADDRESS,  /* struct nat_address [address] */
	SECTION_NAT_BLOCK,    /* struct nat_block [address * blocks per address + block] */
	SECTION_NAT_REMOTE,   /* struct nat_remote [worker][remote]; stride: one worker's */
	SECTION_NAT_PROTOCOL, /* struct nat_protocol [worker][entry]; stride: one worker's */
	SECTION_NAT_FORWARD,  /* struct nat_forward [worker][entry]; stride: one worker's */
	SECTION_NAT_SLOT,     /* struct nat_slot [(address * NAT_PLANES + plane) << 16 | port] */
	SECTION_RING,	      /* struct ring [ring index]; see ring_index below */
	SECTION_RING_DATA,    /* bytes, all rings one after another */
	N_SECTIONS
};

struct arena_section {
	uint64_t offset; /* from the start of the arena, 4 KiB aligned */
	uint64_t stride;
	uint64_t count;
};

struct arena_header {
	uint64_t magic; /* "BNGARENA" */
	uint32_t layout_version;
	uint32_t layout_hash; /* over the sizes and offsets of all shared structs */
	uint64_t size;
	char build_id[64]; /* shown only */
	uint32_t n_workers;
	uint32_t n_ports;
	uint32_t n_nodes;
	uint32_t max_sessions;
	uint32_t max_domains;
	uint32_t max_domain_pages;
	uint32_t max_fib4_pages;
	uint32_t max_adjacencies;
	uint32_t n_nat_addresses; /* that there is room for */
	uint32_t hugepages;	  /* 1: backed by hugetlbfs */
	uint32_t dataplane_pid;
	uint32_t lease_pid;    /* the bngd that holds the lease, 0: none */
	uint64_t boot_wall_ns; /* CLOCK_REALTIME when this arena was made */
	uint64_t tsc_hz;
	uint32_t consumer_sleeping; /* bngd waits on its eventfd */
	uint32_t ready;		    /* 1 once workers run and ports are open */
	uint8_t secret[32];	    /* random, made with the arena: bngd's AC-Cookies outlive it */
	uint32_t max_fib6_nodes;
	uint32_t reserved0;
	uint64_t reserved[11];
	struct arena_section section[N_SECTIONS];
};

/* ---- workers, nodes, counters ---- */

struct worker_shared {
	uint64_t epoch;	   /* + 1 at every vector boundary; even while sleeping */
	uint32_t sleeping; /* waits on its eventfd */
	uint32_t cpu;
	uint64_t loops;
	uint64_t idle_loops;
	uint64_t rx_packets;
	uint64_t no_buffer; /* times that data found no packet buffer: it waits, or is lost */
	uint64_t commands;
	uint32_t sessions; /* bound, owned by this worker */
	uint32_t buffers_free;
	uint64_t command_errors;
	uint32_t measuring;   /* counts clocks per node */
	uint32_t tracing;     /* number of the trace that is on, 0: none */
	uint64_t busy_clocks; /* TSC, of turns that found something to do */
	uint64_t reserved[5];
};

struct edge_name {
	char next[24];	 /* node the edge leads to */
	char reason[32]; /* drop reason, "" when the edge is no drop */
};

struct node_name {
	char name[24];
	uint32_t n_edges;
	uint32_t reserved;
	struct edge_name edge[MAX_EDGES];
};

struct node_runtime {
	uint64_t calls;
	uint64_t packets;
	uint64_t clocks; /* TSC, only while measuring is on */
};

/* ---- ports and access rules ---- */

enum port_role { PORT_NONE, PORT_ACCESS, PORT_ROUTED, PORT_TAP_TWIN };
enum port_flags { PORT_UP = 1 };

/* A worker's own cache line of a port. */
struct port_tx {
	uint64_t packets;
	uint64_t bytes;
	uint64_t errors; /* ring full, device down */
	/* Control frames (routing protocols, ARP, ND), also in the numbers above and in rx_*. */
	uint64_t control_packets;
	uint64_t control_errors;
	uint64_t control_received; /* by queues of their own */
	uint64_t control_lost;	   /* ... which were full: in rx_errors, too */
	uint64_t rx_lost;	   /* others that found the receive ring full: the same */
};

/* What passes between a routed port and its twin in the kernel. */
enum control_class {
	CONTROL_OTHER,
	CONTROL_NEIGHBOUR, /* ARP, ND */
	CONTROL_STRANGER,  /* routing protocols of whom the box does not talk with */
	CONTROL_BGP,
	CONTROL_BFD,
	CONTROL_OSPF,
	CONTROL_ISIS,
	CONTROL_ROUTING, /* RIP, PIM, VRRP, LDP, ... */
	CONTROL_CLASSES
};

/* A worker's own counts of packets of a routed port, by class. */
struct port_control {
	uint64_t received[CONTROL_CLASSES];
	uint64_t dropped[CONTROL_CLASSES]; /* of those: policed */
	uint64_t sent[CONTROL_CLASSES];
	/* the last address that a host said to all that it has (RFC 4861 section 4.4) */
	uint8_t advertised[16];
	uint64_t advertised_by; /* mac_word(); 0: none, or it is being written */
	uint64_t reserved[5];
};

/* The first line is read for every packet, the second written by the rx worker. */
struct port_shared {
	char name[PORT_NAME_LEN];
	char interface[PORT_NAME_LEN];
	char driver[PORT_NAME_LEN];
	uint8_t mac[6];
	uint8_t role;
	uint8_t flags; /* enum port_flags */
	uint16_t mtu;  /* largest IP or PPPoE payload of an Ethernet frame */
	uint16_t twin; /* routed: port index of its TAP; TAP: of its routed port; else 0xffff */
	uint8_t control_pbit; /* 802.1p of PADx, LCP, echoes */
	uint8_t rx_worker;
	uint16_t n_access_ranges;
	uint32_t ifindex;
	be32 ip4; /* source of our ICMP errors: routed: first address; access: first gateway */
	uint64_t rx_packets;
	uint64_t rx_bytes;
	uint64_t rx_errors; /* frames the driver could not take: counted by the kernel or by us */
	uint64_t ip6_prefix, ip6_interface_id; /* source of our ICMPv6 errors, host order; 0: none.
						  Routed: first global address */
	uint16_t parent; /* routed port in a VLAN: port index of its device; else 0xffff */
	uint16_t outer_tpid, outer_vid; /* of that VLAN; 0: no such tag */
	uint16_t inner_tpid, inner_vid;
	uint16_t reserved[3];
	struct port_tx tx[MAX_WORKERS];
	struct port_control control[MAX_WORKERS];
};

/* Where discovery is accepted. VID 0 stands for "no such tag"; ranges are inclusive. */
struct access_range {
	uint16_t outer_low, outer_high;
	uint16_t inner_low, inner_high;
};

/* ---- sessions: three arrays, one index ---- */

enum session_state {
	SESSION_FREE,
	SESSION_NEGOTIATING, /* bound: control punted, data dropped */
	SESSION_LIVE,	     /* forwards */
	SESSION_PAUSED,	     /* LCP left Opened: control punted, data dropped, no echo */
	SESSION_CLOSED,	     /* counters frozen, nothing forwarded, waits for RELEASE */
};

/*
 * Features on the session arcs; the bit is the order. Bit 0 stays unused: edge 0 of an arc node is
 * the end of the arc.
 */
enum session_in_feature {
	FEATURE_IN_ANTISPOOF4 = 1, /* IPv4 only */
	FEATURE_IN_ANTISPOOF6 = 2, /* IPv6 only; without it IPv6 is not served */
	FEATURE_IN_ACL = 3,
	FEATURE_IN_IP4_OFF = 4, /* IPv4 only: drops it, while IPCP is not open and IPv6 is */
	FEATURE_IN_POLICER = 5,
	FEATURE_IN_NAT44_BYPASS = 6,
	FEATURE_IN_MSS_CLAMP = 7,
	FEATURE_IN_NAT44_FORWARD = 8,
	FEATURE_IN_NAT44 = 9,
	FEATURE_IN_NAT44_STATIC = 10,
	FEATURE_IN_IP6 = 15, /* IPv6 only: the end of its arc, ip6_lookup */
	ARC_EDGES = 16,	     /* a node's own edges start here when it stands on an arc */
};

enum session_out_feature {
	FEATURE_OUT_NAT44_STATIC = 1, /* first: all that follow see the subscriber's own address */
	FEATURE_OUT_NAT44_GUARD = 2,
	FEATURE_OUT_ACL = 3,
	FEATURE_OUT_IP4_OFF = 4,
	FEATURE_OUT_POLICER = 5,
	FEATURE_OUT_MSS_CLAMP = 7,
	FEATURE_OUT_IP6 =
		15, /* IPv6 only: the end of its arc, pppoe6_output; its bit: it is served */
};

/* What packets of each family visit of a session's features. */
enum session_family_features {
	FEATURES_IN_IP4_ONLY = 1 << FEATURE_IN_ANTISPOOF4 | 1 << FEATURE_IN_IP4_OFF |
			       1 << FEATURE_IN_NAT44_BYPASS | 1 << FEATURE_IN_NAT44_FORWARD |
			       1 << FEATURE_IN_NAT44 | 1 << FEATURE_IN_NAT44_STATIC,
	FEATURES_IN_IP6_ONLY = 1 << FEATURE_IN_ANTISPOOF6 | 1 << FEATURE_IN_IP6,
	FEATURES_OUT_IP4_ONLY = 1 << FEATURE_OUT_NAT44_STATIC | 1 << FEATURE_OUT_NAT44_GUARD |
				1 << FEATURE_OUT_IP4_OFF,
	FEATURES_OUT_IP6_ONLY = 1 << FEATURE_OUT_IP6,
};

/* One cache line, all that the upstream path reads and writes. */
struct session_in {
	uint64_t line_key;   /* line_key() of port, TPIDs, VIDs */
	uint64_t client_key; /* client_key() of MAC and PPPoE session id */
	uint32_t generation;
	uint8_t state;	     /* enum session_state */
	uint8_t owner;	     /* worker */
	uint16_t features;   /* bitmap of enum session_in_feature */
	be32 ip4;	     /* the client's address, 0: none */
	uint32_t nat_block;  /* first NAT block + 1, 0: not translated */
	uint64_t packets;    /* at the end of the arc: what no feature dropped (RFC 2866 counts) */
	uint64_t bytes;	     /* IP bytes in the PPP payload */
	uint32_t last_in_ms; /* worker's coarse clock: last data or control from the client */
	uint16_t mss;	     /* TCP MSS clamp, IPv4 */
	uint16_t mtu;
	uint32_t punt_stamp_ms; /* token bucket of this session's share of punts */
	uint16_t punt_tokens;
	uint16_t acl; /* ACL index + 1 */
};

/* One cache line, all that the downstream path reads and writes. */
struct session_out {
	uint8_t header[SESSION_HEADER_LEN]; /* prebuilt; PPPoE length filled per packet */
	uint8_t header_len;		    /* 22, 26 or 30 */
	uint8_t port;			    /* access port */
	uint32_t generation;
	uint8_t state;
	uint8_t owner;
	uint16_t features; /* bitmap of enum session_out_feature */
	uint16_t mtu;	   /* largest IP packet into this session: the peer's MRU, capped */
	uint16_t mss;
	uint16_t acl;	 /* ACL index + 1 */
	uint16_t bypass; /* of NAT: ACL index + 1, 0: none */
	uint64_t packets;
	uint64_t bytes;
};

enum session_flags { /* events are also flags, so that a lost event is found by a scan */
	SESSION_FLAG_ECHO_LOST = 1,
	SESSION_FLAG_IDLE = 2,
	SESSION_FLAG_LOOP = 4, /* our own magic in an Echo-Request */
};

/*
 * Why a packet of a session was dropped: on the way in before or on the session-in arc, on the way
 * out before or on the session-out arc. Red packets are in policed, the edges of the nodes say it
 * more precisely.
 */
enum session_in_drop {
	IN_DROP_NOT_LIVE,   /* negotiating or paused */
	IN_DROP_MALFORMED,  /* IP header, compressed PPP protocol */
	IN_DROP_NOT_SERVED, /* the family */
	IN_DROP_TOO_BIG,
	IN_DROP_SPOOFED,
	IN_DROP_ACL,
	IN_DROP_NAT,
	IN_DROPS
};

enum session_out_drop {
	OUT_DROP_NOT_LIVE, /* paused or closed, or the family is not served */
	OUT_DROP_TTL,
	OUT_DROP_TOO_BIG, /* and not to be fragmented */
	OUT_DROP_ACL,
	OUT_DROP_NAT, /* to an inner address that is translated */
	OUT_DROPS
};

/* Off the packet path: LCP Echo state, drops, what show prints. */
struct session_cold {
	uint32_t our_magic;
	uint32_t peer_magic;
	uint32_t echo_interval_ms; /* 0: this end originates no Echo-Request */
	uint32_t echo_next_ms;
	uint32_t idle_timeout_ms; /* 0: none */
	uint32_t last_data_ms;	  /* upstream data only: what Idle-Timeout looks at */
	uint8_t echo_failures;	  /* misses that make ECHO_LOST */
	uint8_t echo_missed;
	uint8_t echo_id;
	uint8_t flags;			/* enum session_flags */
	uint16_t outer_tpid, outer_vid; /* 0: no tag */
	uint16_t inner_tpid, inner_vid;
	uint16_t session_id; /* PPPoE */
	uint8_t mac[6];
	uint8_t port;
	uint8_t echo_on;	       /* CMD_SESSION_ECHO was given: Echo stays in C while LIVE */
	uint16_t nat_protocol_flows;   /* entries in nat_protocol */
	uint32_t in_drops[IN_DROPS];   /* by enum session_in_drop; they stop at 2^32 - 1 */
	uint32_t out_drops[OUT_DROPS]; /* by enum session_out_drop */
	uint64_t bound_wall_ns;
	uint64_t echo_rx;		    /* Echo-Requests answered */
	uint64_t echo_tx;		    /* Echo-Requests originated */
	uint64_t packets_seen;		    /* session_in.packets when last_data_ms was set */
	struct policer_counters policed[2]; /* by enum direction */
	uint64_t nat_mappings;		    /* live; from here on NAT44's own cache line */
	uint64_t nat_refused;
	/* by plane: when full blocks were last searched for room; then, flows without ports */
	uint32_t nat_scanned_s[4];
	uint32_t nat_remotes;		   /* entries in nat_remote */
	uint32_t nat_told_s;		   /* of EVENT_NAT_REFUSED, last, + 1 */
	uint32_t nat_tokens, nat_stamp_ms; /* bucket of new mappings */
	uint32_t nat_protocol_first;	   /* first entry in nat_protocol + 1 */
	be32 nat_public;		   /* one-to-one NAT: the session's address, 0: none */
	uint32_t domain_page;		   /* page that holds our id */
	uint32_t nat_forwards;		   /* first entry in nat_forward + 1 */
};

/*
 * bngd's own record of a session, two slots and a sequence number: slot seq & 1 is valid. A reader
 * that finds a bad checksum in it falls back to the other slot.
 */
struct control_slot {
	uint32_t sequence;
	uint32_t length;
	uint32_t generation;
	uint32_t crc32; /* of data[0..length) */
	uint8_t data[CONTROL_RECORD_LEN];
};

struct control_record {
	uint32_t sequence; /* 0: no record */
	uint32_t reserved;
	struct control_slot slot[2];
};

/* ---- IPv4 FIB: 16-8-8 trie ---- */

/*
 * A leaf: bit 31 set: bits 0-30 are a page index. Else bits 28-30 kind, 22-27 prefix length,
 * 0-21 index. 0 is "no route".
 */
enum fib_leaf_kind { LEAF_NONE, LEAF_ADJACENCY, LEAF_SESSION };

enum adjacency_kind {
	ADJ_FREE,
	ADJ_NEIGHBOUR, /* rewrite and send */
	ADJ_GLEAN,     /* on-link, not resolved: ask the kernel */
	ADJ_LOCAL,     /* the box itself, on a routed port: to the TAP twin */
	ADJ_GATEWAY,   /* the box itself, as subscribers see it: IPCP address */
	ADJ_NAT_POOL,  /* index: NAT address */
	ADJ_BLACKHOLE,
	ADJ_UNREACHABLE, /* ICMP 3/1 */
	ADJ_PROHIBIT,	 /* ICMP 3/13 */
	ADJ_GROUP,	 /* several next hops: the flow says which */
	ADJ_NEXTHOP,	 /* a nexthop object of one next hop: in every slot */
};

enum { GROUP_SLOTS = 16 };

struct adjacency {
	uint8_t kind; /* enum adjacency_kind */
	uint8_t port;
	uint8_t flags; /* the control thread's */
	uint8_t reserved0;
	uint16_t mtu;
	uint16_t reserved1;
	uint32_t index; /* NAT address, ... */
	be32 address;	/* neighbour's or our own, when it is IPv4 */
	union {
		struct {
			uint8_t rewrite[22]; /* MACs; the EtherType is the packet's */
			uint8_t reserved2[2];
			uint8_t ip6[16]; /* address, when it is IPv6 */
		};
		struct {		     /* ADJ_LOCAL: hosts that claim this address of ours */
			uint64_t claimed_by; /* MAC of the last: mac_word() */
			uint32_t claims;
			uint32_t defended_s; /* 0: never */
		};
		uint16_t member[GROUP_SLOTS]; /* adjacencies; ADJ_GROUP: a flow's hash is a slot */
		uint8_t reserved3[40];
	};
	uint64_t used; /* coarse ms of last use, so that next hops in use are kept resolved */
};

/* ---- rings: byte rings, one producer, one consumer ---- */

/*
 * Ring index: one group for each worker and, last, for the control thread:
 * group * RINGS_PER_GROUP + enum ring_kind. The control thread has command and completion and
 * event rings only; the rest of its group has size 0.
 */
enum ring_kind {
	RING_COMMAND,	 /* bngd to worker: struct command */
	RING_COMPLETION, /* worker to bngd: struct completion */
	RING_PUNT,	 /* worker to bngd: struct punt_record + bytes */
	RING_INJECT,	 /* bngd to worker: struct inject_record + bytes */
	RING_EVENT,	 /* worker to bngd: struct event */
	RING_NAT_LOG,	 /* worker to bngd: struct nat_log_record */
	RING_TRACE,	 /* worker to bngd: struct trace_record + bytes, while a trace is on */
	RINGS_PER_GROUP
};

/*
 * Positions count bytes and never wrap in practice; the offset is position & (size - 1). A record
 * starts with its uint32_t length (header excluded) at an 8-byte boundary; the length
 * RING_WRAP sends the reader to the start of the ring.
 */
struct ring {
	uint64_t offset; /* of its bytes, from the start of the arena */
	uint64_t size;	 /* bytes, power of two; 0: no such ring */
	uint64_t full;	 /* records refused: no room (producer's) */
	uint64_t reserved0[5];
	uint64_t head; /* producer's */
	uint64_t reserved1[7];
	uint64_t tail; /* consumer's */
	uint64_t reserved2[7];
};

enum command_type {
	CMD_NOP = 1,	  /* completes; used as a barrier */
	CMD_SESSION_BIND, /* to the owner worker, as are all CMD_SESSION_* */
	CMD_SESSION_UP,	  /* LIVE, with address and features */
	CMD_SESSION_ECHO, /* LCP opened: take over LCP Echo */
	CMD_SESSION_PAUSE,
	CMD_SESSION_CLOSE,
	CMD_SESSION_RELEASE,
	CMD_ROUTE4_ADD, /* to the control thread: prefix to a session */
	CMD_ROUTE4_DEL,
	CMD_GATEWAY4_ADD, /* to the control thread: an address of ours that subscribers see */
	CMD_GATEWAY4_DEL,
	CMD_ACCESS_SET,	     /* to the control thread: all access ranges of a port at once */
	CMD_MEASURE = 14,    /* to a worker: count clocks per node, arg 0 or 1 */
	CMD_SESSION_POLICER, /* one direction; arg: enum direction */
	CMD_TRACE,	     /* to a worker: arg is the number of a trace, 0 ends it */
	CMD_SESSION_ACL,
	CMD_ACL_SET,	       /* to the control thread: an ACL has changed */
	CMD_NAT_SET,	       /* to the control thread: what of NAT44 changes live */
	CMD_SESSION_MOVE = 20, /* while NEGOTIATING; arg: the worker that owns it from now on */
	CMD_NAT_ADDRESS = 21,  /* to its owner, or the control thread: comes or goes */
	CMD_SESSION_FORWARD,   /* of a public port, to a LIVE session */
	CMD_SESSION_BYPASS,    /* of NAT */
	CMD_SESSION_STATIC,    /* one-to-one NAT */
	CMD_UNREACHABLE4_ADD,  /* to the control thread: what is nobody's but by longer routes */
	CMD_UNREACHABLE4_DEL,
	CMD_SESSION_IP6, /* to the owner worker */
	CMD_ROUTE6_ADD,	 /* to the control thread: prefix to a session */
	CMD_ROUTE6_DEL,
	CMD_UNREACHABLE6_ADD, /* to the control thread: what is nobody's but by longer routes */
	CMD_UNREACHABLE6_DEL,
};

enum command_flags { CMD_FLAG_QUIET = 1 }; /* no completion record when it succeeds */

struct session_bind {
	uint64_t line_key;		/* filled by the binding */
	uint16_t outer_tpid, outer_vid; /* 0: no tag */
	uint16_t inner_tpid, inner_vid;
	uint32_t domain;      /* chosen by bngd; the same for every session of (port, outer VID) */
	uint32_t domain_page; /* chosen by bngd; the same for every id of that page */
	uint16_t session_id;  /* PPPoE */
	uint8_t mac[6];
	uint8_t port;
	uint8_t reserved[7];
};

struct session_up {
	be32 ip4;
	uint32_t nat_address; /* index + 1 of an address of this worker, 0: not translated */
	uint16_t features_in;
	uint16_t features_out;
	uint16_t mtu_in;  /* largest IP packet taken from the client */
	uint16_t mtu_out; /* largest IP packet into the session */
	uint16_t mss;	  /* 0: not clamped */
	uint16_t reserved0;
	uint32_t idle_timeout_ms; /* 0: none */
	uint16_t nat_block;	  /* of a deterministic address: its first block + 1; else 0 */
	uint16_t nat_blocks;	  /* how many from there on */
	uint8_t reserved[12];
};

struct session_echo {
	uint32_t our_magic;
	uint32_t peer_magic;
	uint32_t interval_ms; /* 0: answer only */
	uint32_t failures;
	uint8_t reserved[24];
};

struct route4 {
	be32 prefix;
	uint32_t length; /* 0..32 */
	uint8_t reserved[32];
};

struct access_set {
	uint32_t port;
	uint32_t count; /* that many struct access_range follow the command */
	uint8_t reserved[32];
};

enum {
	TRACE_MAX = 4095,	  /* number of a trace */
	TRACE_MAX_COUNT = 10000,  /* packets of one */
	TRACE_MAX_LEASE = 600000, /* ms */
	TRACE_BYTES = 128,	  /* kept of a packet */
	TRACE_ANY = 255,	  /* port */
};

/*
 * Which packets to trace: those that fit all that is given, as they enter the graph. A packet of a
 * session, when command.session is not NO_SESSION, is one that comes from it or goes to it. The
 * same command once more renews the lease; when it runs out the trace ends.
 */
struct trace_filter {
	be32 address;	  /* source or destination */
	be32 mask;	  /* 0: any */
	be16 l4_port;	  /* TCP or UDP, source or destination, or ICMP identifier; 0: any */
	uint8_t protocol; /* 0: any */
	uint8_t port;	  /* that it comes in by, TRACE_ANY */
	uint32_t count;	  /* mark no more than that many */
	uint32_t lease_ms;
	uint8_t prefix6[16]; /* source or destination, of IPv6 */
	uint8_t length6;     /* of it; 0: any */
	uint8_t reserved[3];
};

/* 64 bytes; CMD_ACCESS_SET is followed by its ranges. Idempotent. */
struct command {
	uint16_t type;	  /* enum command_type */
	uint16_t flags;	  /* enum command_flags */
	uint32_t session; /* index */
	uint32_t generation;
	uint32_t arg;
	uint64_t cookie; /* comes back in the completion */
	union {
		struct session_bind bind;
		struct session_up up;
		struct session_echo echo;
		struct session_policer policer;
		struct session_acl acl;
		struct acl_set acl_set;
		struct route4 route4;
		struct access_set access;
		struct trace_filter trace;
		struct nat_set nat;
		struct session_static nat_static;
		struct session_bypass bypass;
		struct nat_address_set nat_address;
		struct session_forward forward;
		struct session_ip6_set ip6;
		struct route6 route6;
		uint8_t bytes[40];
	} u;
};

struct completion {
	uint64_t cookie;
	int32_t status; /* 0 or -errno: -ESTALE generation, -EINVAL, -ENOSPC no NAT block, -EBUSY */
	uint16_t type;
	uint16_t reserved;
};

enum punt_cause {
	PUNT_DISCOVERY = 1,
	PUNT_LCP,
	PUNT_AUTH,	  /* PAP, CHAP */
	PUNT_NCP,	  /* IPCP, IPV6CP */
	PUNT_PPP_UNKNOWN, /* truncated to 128 bytes */
	PUNT_IP6_CONTROL, /* RS, NS, DHCPv6 of a LIVE session that is served IPv6 */
	PUNT_CAUSES
};

/*
 * Followed by the bytes: discovery: all after the EtherType; session: all after the PPPoE header,
 * that is from the PPP protocol field on, no longer than the PPPoE length said.
 */
struct punt_record {
	uint64_t monotonic_ns;
	uint32_t session; /* index, 0xffffffff for discovery */
	uint32_t generation;
	uint16_t outer_tpid, outer_vid;
	uint16_t inner_tpid, inner_vid;
	uint8_t source[6];
	uint8_t destination[6];
	uint8_t cause; /* enum punt_cause */
	uint8_t port;
	uint16_t full_len; /* before truncation */
};

enum inject_kind {
	INJECT_DISCOVERY = 1, /* Ethernet header and tags are built in C; EtherType 0x8863 */
	INJECT_SESSION,	      /* bytes from the PPP protocol field on; header is the session's */
};

struct inject_record {
	uint8_t kind; /* enum inject_kind */
	uint8_t port;
	uint16_t reserved;
	uint32_t session;
	uint32_t generation;
	uint16_t outer_tpid, outer_vid;
	uint16_t inner_tpid, inner_vid;
	uint8_t destination[6];
	uint16_t reserved1;
	uint32_t reserved2;
};

enum event_type {
	EVENT_ECHO_LOST = 1,
	EVENT_IDLE,
	EVENT_LOOP,
	EVENT_PORT_UP,
	EVENT_PORT_DOWN,
	EVENT_NAT_REFUSED /* arg: enum nat_refusal */
};

struct event {
	uint32_t type;	  /* enum event_type */
	uint32_t session; /* index, or port index */
	uint32_t generation;
	uint32_t arg;
};

enum trace_flags {
	TRACE_FIRST = 1,     /* the bytes are the packet's as it entered */
	TRACE_LAST = 2,	     /* the bytes are the packet's as it left or was dropped */
	TRACE_HAS_TUPLE = 4, /* protocol to destination_port are known */
	TRACE_INJECTED = 8,  /* the bytes are an inject record, not a frame */
	TRACE_IP6 = 16,	     /* source and destination are the 32 bytes in front of the bytes */
};

/* A traced packet as it left a node; as it entered, when the node consumed it. */
struct trace_record {
	uint32_t packet; /* number of the trace << 20, worker that marked it << 16, serial */
	uint16_t node;
	uint16_t edge;
	uint64_t tsc;	       /* when the node was done with its vector */
	uint64_t monotonic_ns; /* of the turn of the worker's loop */
	uint32_t session;
	uint32_t generation;
	uint32_t leaf; /* of the FIB */
	uint32_t arg;
	be32 source;
	be32 destination;
	be16 source_port; /* or ICMP identifier */
	be16 destination_port;
	uint16_t len;	   /* from the current header on */
	uint16_t arc;	   /* features still to visit */
	uint16_t n_bytes;  /* that follow */
	uint16_t bytes_of; /* length of what they were cut from */
	uint16_t outer_vid, inner_vid;
	uint8_t protocol;
	uint8_t ttl;
	uint8_t rx_port;
	uint8_t tx_port;
	uint8_t pkt_flags;
	uint8_t cause;
	uint8_t flags; /* enum trace_flags */
	uint8_t reserved;
};

/* ---- attach: SOCK_SEQPACKET; the dataplane answers one hello, with descriptors or an error ----
 */

/* Descriptors by SCM_RIGHTS: arena, bngd's eventfd, then one eventfd per ring group. */
struct attach_hello {
	uint64_t magic;
	uint32_t layout_version;
	uint32_t layout_hash;
	uint64_t size;
	uint32_t n_groups; /* workers + 1 */
	int32_t error;	   /* 0, or -EBUSY: another bngd holds the lease (lease_pid says which) */
	uint32_t lease_pid;
	uint32_t reserved;
};

/* cdef end */

#define ARENA_MAGIC 0x414e455241474e42ull /* "BNGARENA", little endian */
#define RING_WRAP 0xffffffffu
#define NO_SESSION 0xffffffffu
#define NO_PORT 0xffffu

_Static_assert(sizeof(struct port_tx) == 64, "one cache line");
_Static_assert(sizeof(struct port_control) == 256, "four cache lines");
_Static_assert(offsetof(struct port_shared, ifindex) == 64, "one cache line");
_Static_assert(offsetof(struct port_shared, tx) == 128, "two cache lines");
_Static_assert(sizeof(struct session_in) == 64, "one cache line");
_Static_assert(sizeof(struct session_out) == 64, "one cache line");
_Static_assert(sizeof(struct session_cold) == 256, "with in and out 384 bytes: under 512");
_Static_assert(offsetof(struct session_cold, nat_mappings) == 192, "NAT44's cache line");
_Static_assert(sizeof(struct adjacency) == 64, "one cache line");
_Static_assert(sizeof(struct command) == 64, "one cache line");
_Static_assert(sizeof(struct completion) == 16, "fixed");
_Static_assert(sizeof(struct punt_record) == 40, "fixed");
_Static_assert(sizeof(struct inject_record) == 32, "fixed");
_Static_assert(sizeof(struct event) == 16, "fixed");
_Static_assert(sizeof(struct trace_filter) == 40, "fits a command");
_Static_assert(sizeof(struct trace_record) == 72, "fixed");
_Static_assert(sizeof(struct worker_shared) == 128, "two cache lines");
_Static_assert(sizeof(struct ring) == 192, "producer, consumer and constant lines apart");

/* A port and up to two tags (TPID 0: none) as one comparable word: VIDs and TPIDs in the order that
 * struct pkt has them, the port in the bits that VIDs leave free. */
static inline uint64_t line_key(uint8_t port, uint16_t outer_tpid, uint16_t outer_vid,
	uint16_t inner_tpid, uint16_t inner_vid)
{
	return (uint64_t)inner_tpid << 48 | (uint64_t)outer_tpid << 32 |
	       (uint64_t)(port >> 4) << 28 | (uint64_t)(inner_vid & 0xfff) << 16 |
	       (uint64_t)(port & 15) << 12 | (uint64_t)(outer_vid & 0xfff);
}

/* A client's MAC and its PPPoE session id (host order) as one comparable word. */
static inline uint64_t client_key(const uint8_t mac[6], uint16_t session_id)
{
	uint64_t key = session_id;
	for (int i = 0; i < 6; i++)
		key = key << 8 | mac[i];
	return key;
}

#endif
