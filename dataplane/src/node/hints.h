/* What the compiler and the caches are told. */
#ifndef BNG_NODE_HINTS_H
#define BNG_NODE_HINTS_H

#ifndef likely
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

enum { PREFETCH_AHEAD = 4 }; /* packets */

static inline void prefetch_read(const void *at)
{
	__builtin_prefetch(at, 0, 3);
}

static inline void prefetch_write(const void *at)
{
	__builtin_prefetch(at, 1, 3);
}

#endif
