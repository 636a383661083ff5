/*
 * What features keep in the shared arena, and the commands that set them: policers and ACLs. A part
 * of dataplane.h, which see; read by build_ffi.py in front of it.
 */
#ifndef BNG_SESSION_FEATURES_H
#define BNG_SESSION_FEATURES_H

#include <stdint.h>

/* cdef begin */

enum direction { DIRECTION_IN, DIRECTION_OUT }; /* as the box sees it: in is from the client */

enum policer_mode {
	POLICER_OFF,
	POLICER_SRTCM, /* RFC 2697: one rate, committed and excess burst */
	POLICER_TRTCM, /* RFC 2698: committed and peak rate, each with its burst */
};

/*
 * Two token buckets of one session in one direction, one cache line, written by the owner worker.
 * Tokens are 1e-9 bytes and time is ticks of 8 ns, so that a rate of 1 bit/s is one token a tick:
 * no division, nothing rounded, no drift.
 */
struct policer {
	uint64_t cir_bps;
	uint64_t pir_bps;	 /* RFC 2698 */
	uint64_t cbs, ebs;	 /* ebs: PBS with RFC 2698 */
	uint64_t tc, te;	 /* te: Tp with RFC 2698 */
	uint64_t stamp;		 /* tick of the last refill */
	uint16_t overhead_bytes; /* counted for each packet beside its IP bytes */
	uint8_t mode;		 /* enum policer_mode */
	uint8_t reserved[5];
};

enum { POLICER_TICK_SHIFT = 3 }; /* of nanoseconds */

/* What was not green, in packets and IP bytes. Red is dropped; yellow has passed. */
struct policer_counters {
	uint64_t yellow_packets, yellow_bytes;
	uint64_t red_packets, red_bytes;
};

/* Rates in bit/s, bursts in bytes; a mode of POLICER_OFF turns it off. */
struct session_policer {
	uint64_t cir_bps;
	uint64_t pir_bps; /* RFC 2698 only */
	uint64_t cbs_bytes;
	uint64_t ebs_bytes; /* PBS with RFC 2698 */
	uint16_t overhead_bytes;
	uint8_t mode; /* enum policer_mode */
	uint8_t reserved[5];
};

/*
 * A compiled ACL: for each field the values are cut into ranges, in each of which the same rules
 * fit; what rules these are is a bitmap, of which there is one for each class of ranges. The first
 * rule that the bitmaps of a packet's five fields have is the packet's; the fields of addresses are
 * apart for IPv4 and IPv6, so that a rule of one family fits no packet of the other. Written by
 * bngd into memory that no worker reads, checked and put into place by the control thread. Offsets
 * count from the head. Behind all that stand the rules' counters, written by the workers: see
 * acl_counter().
 */
enum acl_limits {
	MAX_ACLS = 1024,
	ACL_MAX_RULES = 4096, /* the default, which is the last one, included */
	ACL_MEMORY = 8 << 20,
	ACL_ALIGN = 64,
	ACL_PLACE_SHIFT = 32,  /* place: offset in SECTION_ACL_MEMORY above, size below; 0: none */
	ACL_NO_PORT = 0x10000, /* the port of what has none: not TCP or UDP, a later fragment */
};

enum acl_field_id {
	ACL_SOURCE,
	ACL_DESTINATION,
	ACL_SOURCE_PORT,
	ACL_DESTINATION_PORT,
	ACL_PROTOCOL, /* IPv6: the first next header that is no extension header */
	ACL_SOURCE6,
	ACL_DESTINATION6,
	ACL_FIELDS
};

enum acl_action { ACL_DENY, ACL_PERMIT, ACL_REJECT /* upstream: with ICMP 3/13, ICMPv6 1/1 */ };

struct acl_field {
	uint32_t n_ranges;
	uint32_t bounds;  /* offset of uint32_t [n_ranges], or struct acl_address: where each
			     begins, the first one at 0 */
	uint32_t classes; /* offset of uint16_t [n_ranges] */
	uint32_t n_classes;
	uint32_t bitmaps; /* offset of uint64_t [n_classes][1 + n_words]: which words are not 0,
			     then the words */
};

/* Of IPv6, host order. */
struct acl_address {
	uint64_t high;
	uint64_t low;
};

struct acl_head {
	uint32_t n_rules;
	uint32_t n_words;  /* of a bitmap */
	uint32_t actions;  /* offset of uint8_t [n_rules]: enum acl_action */
	uint32_t counters; /* offset of struct acl_counter [worker][enum direction][n_rules] */
	uint32_t reserved; /* what is a worker's begins at a multiple of ACL_ALIGN */
	struct acl_field field[ACL_FIELDS];
};

/* What a rule decided of, IP bytes. */
struct acl_counter {
	uint64_t packets;
	uint64_t bytes;
};

/* ACL index + 1; 0: none. */
struct session_acl {
	uint16_t in;
	uint16_t out;
	uint8_t reserved[36];
};

/* Completes when no worker reads the ACL's old place any more. */
struct acl_set {
	uint32_t index;
	uint32_t offset;
	uint32_t size; /* 0: there is no such ACL from now on */
	uint8_t reserved[28];
};

/* cdef end */

_Static_assert(sizeof(struct policer) == 64, "one cache line");
_Static_assert(sizeof(struct session_policer) == 40, "the body of a command");
_Static_assert(sizeof(struct acl_head) == 160, "packed by bngd");
_Static_assert(sizeof(struct acl_counter) == 16, "four in a cache line");
_Static_assert(sizeof(struct session_acl) == 40, "the body of a command");
_Static_assert(sizeof(struct acl_set) == 40, "the body of a command");

#endif
