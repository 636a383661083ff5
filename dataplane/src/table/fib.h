/*
 * The FIB of one family, as it is written: a list of what each source offers for a prefix, and in
 * the arena a trie with the best of it, which readers search without locks (fib4.h, fib6.h). One
 * writer: the control thread. A prefix of IPv4 is in the lower 32 bits, the others are 0.
 *
 * A trie is made of parts of one size, pages or nodes, by number. One that is unlinked is used
 * again when every worker has passed a vector boundary twice.
 */
#ifndef BNG_FIB_H
#define BNG_FIB_H

#include "fib_list.h"

/* Parts by number, linked through `next` of their FIB. */
struct part_list {
	uint32_t head;
	uint32_t n;
};

struct fib;

/* What the families do in ways of their own. Prefixes have no host bits. */
struct fib_trie {
	uint8_t bits; /* of an address */
	/* Parts that must be free for this prefix; 0: it has its place already. */
	uint32_t (*needed)(const struct fib *fib, struct ip6_words prefix, uint32_t length);
	/* Puts this leaf wherever the prefix is the longest one. 0: whatever covers it. */
	void (*paint)(struct fib *fib, struct ip6_words prefix, uint32_t length, uint32_t leaf);
};

struct fib {
	const struct fib_trie *trie;
	struct fib_list list;
	uint32_t *next;		 /* [part] links of the lists */
	struct part_list free;	 /* free to use */
	struct part_list fresh;	 /* unlinked since the last fib_reclaim() */
	struct part_list rested; /* unlinked before it */
	uint32_t reserved;	 /* parts for sessions and our own addresses alone */
	uint64_t writes;	 /* changes to the trie, since the start */
};

/* fib4_create() and fib6_create() make one. */
void fib_destroy(struct fib *fib);
/* Keeps that many parts for sessions and our own addresses: other routes are refused when no more
 * are free. */
void fib_reserve(struct fib *fib, uint32_t parts);
/* Host bits are ignored. One route per (prefix, source); adding again replaces. Returns 0, -ENOMEM
 * (parts or memory), -EINVAL. */
int fib_add(struct fib *fib, struct ip6_words prefix, uint8_t length, enum fib_source source,
	enum fib_leaf_kind kind, uint32_t index);
/* Returns 0 or -ENOENT. */
int fib_del(struct fib *fib, struct ip6_words prefix, uint8_t length, enum fib_source source);
/* The source's leaf for exactly this prefix, kind and index; 0 when it offers none. */
uint32_t fib_find(
	const struct fib *fib, struct ip6_words prefix, uint8_t length, enum fib_source source);
/* Call each time every worker has passed a vector boundary since the last call: parts unlinked
 * before that last call can be used again. */
void fib_reclaim(struct fib *fib);
uint32_t fib_routes(const struct fib *fib); /* of all sources */
uint32_t fib_parts_free(const struct fib *fib);

/* ---- for the tries ---- */

/* Makes lists and parts of `fib`, which is all 0. Returns 0 or -ENOMEM; fib_destroy() in any case.
 */
int fib_init(struct fib *fib, const struct fib_trie *trie, uint32_t parts);
/* One of those that are free: fib_add() has looked. */
uint32_t fib_take_part(struct fib *fib);
/* Readers may still be in it. */
void fib_drop_part(struct fib *fib, uint32_t part);

static inline void fib_store(uint32_t *slot, uint32_t leaf)
{
	__atomic_store_n(slot, leaf, __ATOMIC_RELEASE);
}

static inline bool fib_is_ip4(const struct fib *fib)
{
	return fib->trie->bits == 32;
}

#endif
