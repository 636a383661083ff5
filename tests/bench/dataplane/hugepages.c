/* Reserves hugepages for the benchmark where it may, and gives them back at exit. */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

enum { NEEDED = 640 }; /* of 2 MiB: the arena of 60,000 sessions with NAT, buffers, calibration */

static const char path[] = "/proc/sys/vm/nr_hugepages";
static unsigned long before;

static void write_count(unsigned long n)
{
	FILE *f = fopen(path, "we");
	if (!f)
		return; /* not root: what is there must do, and each row says so */
	fprintf(f, "%lu\n", n);
	fclose(f);
}

static void restore(void)
{
	write_count(before);
}

void reserve_hugepages(void)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return;
	int n = fscanf(f, "%lu", &before);
	fclose(f);
	if (n != 1 || before >= NEEDED)
		return;
	write_count(NEEDED);
	atexit(restore);
}
