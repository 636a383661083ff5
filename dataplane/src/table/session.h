/*
 * Session entries and the id tables that lead to them. Written by the owner worker only, from
 * commands applied between vectors.
 */
#ifndef BNG_SESSION_H
#define BNG_SESSION_H

#include "dataplane.h"
#include "worker.h"

/* Applies one CMD_SESSION_*. Idempotent; every index is checked. Returns 0 or -errno: -EINVAL,
 * -ESTALE (generation), -EEXIST (id or index taken by another), -ENOSPC (no NAT block). */
int session_command(struct worker *w, const struct command *c);

/* Session that holds this PPPoE id on (port, outer VID), or NO_SESSION. */
static inline uint32_t session_lookup(
	const struct tables *t, uint8_t port, uint16_t outer_vid, uint16_t session_id)
{
	uint32_t domain = __atomic_load_n(
		&t->directory[(uint32_t)port << 12 | (outer_vid & 0xfff)], __ATOMIC_ACQUIRE);
	if (!domain)
		return NO_SESSION;
	uint32_t page = __atomic_load_n(
		&t->domain[(domain - 1) * DOMAIN_PAGES + (session_id >> 8)], __ATOMIC_ACQUIRE);
	if (!page)
		return NO_SESSION;
	return __atomic_load_n(&t->domain_page[(page - 1) * DOMAIN_PAGE_IDS + (session_id & 0xff)],
		       __ATOMIC_ACQUIRE) -
	       1; /* 0: none: wraps to NO_SESSION */
}

#endif
