/*
 * NAT44 mappings (RFC 4787, 5382, 5508): port blocks per subscriber, slot planes, no hash table.
 * One writer: the worker that owns the public address. See design, "NAT44", and nat44.md.
 */
#ifndef BNG_NAT44_H
#define BNG_NAT44_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane.h"
#include "worker.h"

/* What an entry of the address table starts with. */
struct nat44_public {
	be32 address;
	enum nat_mode mode;
};

/* Where a session's ports are: `first` is 0 for any block of the address, else, with a
 * deterministic one, the block of it, + 1, that n_blocks begin with. */
struct nat44_place {
	uint32_t address; /* index */
	uint32_t first;
	uint32_t n_blocks;
};

/* False: no such address of this worker, or no such blocks of it. */
bool nat44_place_is_sane(const struct worker *w, const struct nat44_place *place);
/* The session has blocks there. */
bool nat44_session_is_at(const struct tables *t, uint32_t session, const struct nat44_place *place);
/* Takes a first block, or all of a deterministic place, for the session, which has none, and for
 * the inner address that session_in holds; enters it in session_in.nat_block. Returns 0, -ENOSPC:
 * none free or no room in the log, or -EEXIST: a block of the place is another's. The place is
 * sane. */
int nat44_session_up(struct worker *w, uint32_t session, const struct nat44_place *place);
/* Index + 1 of the address that the session's blocks are on, 0: it has none. */
uint32_t nat44_session_address(const struct tables *t, uint32_t session);
/* Gives all blocks back, mappings gone; session_in.nat_block is 0 then. */
void nat44_session_down(struct worker *w, uint32_t session);
/* Expires mappings and gives empty blocks back, each block once a minute; bounded work, called
 * once per worker loop, more of it when `idle`. True: more is due. */
bool nat44_sweep(struct worker *w, bool idle);
/* Changes what may change live. 0 or -EINVAL. */
int nat44_set(const struct tables *t, const struct nat_set *set);
/* CMD_NAT_ADDRESS at the owner: makes an entry of the address table, or empties it. Returns 0,
 * -EINVAL, -EEXIST: the entry is another address's, -EBUSY: blocks or flows of it are in use. */
int nat44_address_command(struct worker *w, const struct nat_address_set *set);
/* Fills addresses and blocks at start; nat_config, hash key included, is the caller's. */
void nat44_init(
	struct tables *t, const struct nat44_public *addresses, uint32_t n, uint32_t n_workers);

#endif
