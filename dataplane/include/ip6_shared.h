/*
 * What IPv6 keeps in the shared arena of a session, and the commands that set it. A part of
 * dataplane.h, which see; read by build_ffi.py in front of it.
 */
#ifndef BNG_IP6_SHARED_H
#define BNG_IP6_SHARED_H

#include <stdint.h>

/* cdef begin */

/*
 * One cache line of a session: what its packets may come from without a look at the FIB, and what
 * they are. Prefixes are the upper 64 bits of an address, host order. All of a session's counters
 * are of both families; these are the part that was IPv6.
 */
struct session_ip6 {
	uint64_t link_prefix;	 /* the /64 on the link, 0: none */
	uint64_t delegated;	 /* a delegated prefix, up to /64; 0: none */
	uint64_t delegated_mask; /* of it */
	uint64_t interface_id;	 /* ours: fe80:: with it is the gateway; host order */
	uint64_t in_packets, in_bytes;
	uint64_t out_packets, out_bytes;
};

/* CMD_SESSION_IP6, to the owner of a LIVE or PAUSED session. Others than these two prefixes are
 * routes to the session: a source that they cover is right, too. */
struct session_ip6_set {
	uint64_t link_prefix;
	uint64_t delegated;
	uint64_t delegated_mask;
	uint64_t interface_id;
	uint8_t on; /* 0: IPv6 is dropped both ways, and all of the above forgotten */
	uint8_t reserved[7];
};

/* CMD_ROUTE6_*, CMD_UNREACHABLE6_*. */
struct route6 {
	uint8_t prefix[16];
	uint32_t length; /* 0..128 */
	uint8_t reserved[20];
};

/* A node of the IPv6 FIB, apart from its slots: see table/fib6.h. */
struct fib6_head {
	uint64_t prefix; /* the half of the address that its 4 bits are in: the bits above them */
	uint32_t leaf;	 /* of the longest route over it that is in the slot which leads here */
	uint32_t reserved;
};

/* cdef end */

_Static_assert(sizeof(struct fib6_head) == 16, "four in a cache line");
_Static_assert(sizeof(struct session_ip6) == 64, "one cache line");
_Static_assert(sizeof(struct session_ip6_set) == 40, "the body of a command");
_Static_assert(sizeof(struct route6) == 40, "the body of a command");

#endif
