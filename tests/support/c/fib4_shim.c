/* What a test needs of fib4 beyond its interface: the inline lookup, and a speed measurement. */
#include <stdlib.h>
#include <time.h>

#include "table/fib4.h"

uint32_t shim_lookup(const uint32_t *root, const uint32_t *pages, uint32_t address);
double shim_rate(struct fib4 *fib, uint32_t n, uint32_t first, uint8_t length);

uint32_t shim_lookup(const uint32_t *root, const uint32_t *pages, uint32_t address)
{
	return fib4_lookup(root, pages, address);
}

/* Installs n neighbouring prefixes; returns how many a second. Negative: one was refused. */
double shim_rate(struct fib4 *fib, uint32_t n, uint32_t first, uint8_t length)
{
	struct timespec start, end;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (uint32_t i = 0; i < n; i++)
		if (fib4_add(fib, first + (i << (32 - length)), length, FIB_SESSION, LEAF_SESSION,
			    i & 0xffff))
			return -1;
	clock_gettime(CLOCK_MONOTONIC, &end);
	return n /
	       ((double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) * 1e-9);
}
