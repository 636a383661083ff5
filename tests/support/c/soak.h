/*
 * The memory that a soak run shares with its script (tests/support/soak.py, which knows the same
 * offsets): which flows there are and how fast they go, and what came of each packet. Each line has
 * one writer.
 */
#ifndef SOAK_H
#define SOAK_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane.h"

enum {
	SOAK_UP,
	SOAK_DOWN,
	SOAK_DIRECTIONS,
	SOAK_FRAME_ROOM = 2046,
	SOAK_MARK = 7009, /* port of the remotes */
};

enum soak_family { SOAK_IP4, SOAK_IP6, SOAK_FAMILIES };

enum { SOAK_ADDRESS = 16, /* IPv4: the first 4 */ SOAK_REMOTES = 2 };

/* What is done on purpose to one packet that arrives, to see that the checks see it. */
enum soak_harm { SOAK_NO_HARM, SOAK_LOSE, SOAK_REPEAT, SOAK_FLIP };

struct soak_fault {
	uint32_t harm; /* written last, taken once */
	uint32_t flow;
	uint16_t direction;
	uint16_t at; /* SOAK_FLIP: the byte of which the lowest bit is another one */
};

#define SOAK_MAGIC 0x314b414f53474e42ull /* "BNGSOAK1", little endian */
#define SOAK_UNLIMITED UINT32_MAX

struct soak_offered {
	uint64_t sent;
	uint64_t behind; /* due, but not sent within a second */
	uint64_t hostile;
	uint64_t reserved[5];
};

struct soak_seen {
	uint64_t received[SOAK_DIRECTIONS];
	uint64_t stray; /* packets of flows that no flow has sent */
	uint64_t other; /* IP that is not ours */
	uint64_t inner; /* of that: to the network, with an inner address */
	uint64_t reserved[3];
};

struct soak_header {
	uint64_t magic;
	uint32_t n_flows;
	uint32_t n_frames;
	uint32_t rate[SOAK_DIRECTIONS]; /* packets a second; SOAK_UNLIMITED: what goes */
	uint32_t hostile_first[SOAK_DIRECTIONS];
	uint32_t hostile_count[SOAK_DIRECTIONS]; /* frames that fill every vector, 0: none */
	struct soak_fault fault;
	uint8_t router_mac[6]; /* of the network's side */
	uint8_t reserved[6];
	struct soak_offered offered[SOAK_DIRECTIONS]; /* the workers' that receive */
	struct soak_seen seen[MAX_WORKERS];	      /* each worker's */
	uint8_t remote[SOAK_FAMILIES][SOAK_REMOTES][SOAK_ADDRESS];
	uint8_t reserved1[2816];
};

struct soak_arrived {
	uint32_t received;
	uint32_t next;	  /* number that follows the last one */
	uint32_t late;	  /* numbers lower than one before: reordered, or twice */
	uint32_t damaged; /* not the bytes that were due, or of the wrong worker */
};

struct soak_flow {
	uint32_t active; /* written last */
	uint32_t incarnation;
	uint8_t inner[SOAK_ADDRESS];
	be16 inner_port;
	be16 session_id;
	uint8_t mac[6];
	uint8_t family; /* enum soak_family */
	uint8_t reserved;
	uint16_t mtu; /* longest IP packet, both ways */
	uint8_t reserved0[26];
	uint64_t up_sent; /* acc0's receiver */
	uint8_t reserved1[56];
	struct soak_arrived arrived[SOAK_DIRECTIONS]; /* the owner's */
	uint8_t outer[SOAK_ADDRESS];		      /* what the network sees */
	be16 outer_port;
	uint8_t owner; /* worker + 1 */
	uint8_t reserved2;
	uint32_t learned; /* incarnation that has outer and outer_port */
	uint8_t reserved3[8];
	uint64_t down_sent; /* wan0's receiver */
	uint8_t reserved4[56];
};

struct soak_frame {
	uint16_t len;
	uint8_t bytes[SOAK_FRAME_ROOM];
};

_Static_assert(offsetof(struct soak_header, fault) == 40, "known to soak.py");
_Static_assert(offsetof(struct soak_header, router_mac) == 52, "known to soak.py");
_Static_assert(offsetof(struct soak_header, offered) == 64, "known to soak.py");
_Static_assert(offsetof(struct soak_header, seen) == 192, "known to soak.py");
_Static_assert(offsetof(struct soak_header, remote) == 1216, "known to soak.py");
_Static_assert(sizeof(struct soak_header) == 4096, "known to soak.py");
_Static_assert(offsetof(struct soak_flow, up_sent) == 64, "known to soak.py");
_Static_assert(offsetof(struct soak_flow, arrived) == 128, "known to soak.py");
_Static_assert(offsetof(struct soak_flow, outer) == 160, "known to soak.py");
_Static_assert(offsetof(struct soak_flow, down_sent) == 192, "known to soak.py");
_Static_assert(sizeof(struct soak_flow) == 256, "known to soak.py");
_Static_assert(sizeof(struct soak_frame) == 2048, "known to soak.py");

#endif
