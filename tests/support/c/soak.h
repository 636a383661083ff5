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
	SOAK_FRAME_ROOM = 1022,
	SOAK_MARK = 7009, /* port of the remotes */
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
	uint64_t other; /* IPv4 that is not ours */
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
	uint8_t reserved[24];
	struct soak_offered offered[SOAK_DIRECTIONS]; /* the workers' that receive */
	struct soak_seen seen[MAX_WORKERS];	      /* each worker's */
	uint8_t reserved1[2880];
};

struct soak_arrived {
	uint64_t received;
	uint32_t next;	  /* number that follows the last one */
	uint32_t late;	  /* numbers lower than one before: reordered, or twice */
	uint32_t damaged; /* of the wrong address, session, worker, checksum */
	uint32_t reserved;
};

struct soak_flow {
	uint32_t active; /* written last */
	uint32_t incarnation;
	be32 inner;
	be32 remote[2];
	be16 inner_port;
	be16 session_id;
	uint8_t mac[6];
	uint8_t reserved[34];
	uint64_t up_sent; /* acc0's receiver */
	uint8_t reserved1[56];
	struct soak_arrived arrived[SOAK_DIRECTIONS]; /* the owner's */
	be32 outer;
	be16 outer_port;
	uint8_t owner; /* worker + 1 */
	uint8_t reserved2;
	uint32_t learned; /* incarnation that has outer and outer_port */
	uint8_t reserved3[4];
	uint64_t down_sent; /* wan0's receiver */
	uint8_t reserved4[56];
};

struct soak_frame {
	uint16_t len;
	uint8_t bytes[SOAK_FRAME_ROOM];
};

_Static_assert(offsetof(struct soak_header, offered) == 64, "known to soak.py");
_Static_assert(offsetof(struct soak_header, seen) == 192, "known to soak.py");
_Static_assert(sizeof(struct soak_header) == 4096, "known to soak.py");
_Static_assert(offsetof(struct soak_flow, arrived) == 128, "known to soak.py");
_Static_assert(sizeof(struct soak_flow) == 256, "known to soak.py");
_Static_assert(sizeof(struct soak_frame) == 1024, "known to soak.py");

#endif
