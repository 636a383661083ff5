/* The FIB of one family or the other, as the RIB writes it. */
#ifndef BNG_FIB_H
#define BNG_FIB_H

#include "fib4.h"
#include "fib6.h"

struct fib {
	struct fib4 *fib4; /* NULL: IPv6 */
	struct fib6 *fib6;
};

/* fe80::/10: a neighbour there is found by its link alone. */
static inline bool fib_has_no_place(const struct fib *fib, struct ip6_words prefix)
{
	return !fib->fib4 && prefix.high >> 54 == 0x3fa;
}

static inline int fib_set(struct fib *fib, struct ip6_words prefix, uint8_t length,
	enum fib_source source, uint32_t adjacency)
{
	if (fib_has_no_place(fib, prefix))
		return 0;
	if (fib->fib4)
		return fib4_add(
			fib->fib4, (uint32_t)prefix.low, length, source, LEAF_ADJACENCY, adjacency);
	return fib6_add(fib->fib6, prefix, length, source, LEAF_ADJACENCY, adjacency);
}

static inline void fib_clear(
	struct fib *fib, struct ip6_words prefix, uint8_t length, enum fib_source source)
{
	if (fib->fib4)
		(void)fib4_del(fib->fib4, (uint32_t)prefix.low, length, source);
	else
		(void)fib6_del(fib->fib6, prefix, length, source);
}

#endif
