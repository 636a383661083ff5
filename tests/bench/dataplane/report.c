/* Printing, and calibration rows: clocks of a dependent load and of a copy on this machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>

#include "bench.h"

enum { LINE = 64, LOADS = 1 << 20, COPIES = 1 << 20, CALIBRATION_RUNS = 8 };

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;
	return (x > y) - (x < y);
}

void summarize(double *values, uint32_t n, struct summary *s)
{
	qsort(values, n, sizeof(*values), ascending);
	s->min = values[0];
	s->max = values[n - 1];
	s->median = n & 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

void print_head(struct settings *s)
{
	printf(s->json ? "{\"unit\": \"TSC clocks\", \"rows\": [" : "TSC clocks per packet\n");
}

void print_tail(const struct settings *s)
{
	if (s->json)
		printf("\n]}\n");
}

static const char *const calibrations[] = {
	"load-1-MiB", "load-32-MiB", "load-512-MiB", "copy-64-bytes"};

static double ratio(const struct settings *s, const struct result *r, int calibration)
{
	double unit = s->calibration[calibration];
	return unit > 0 ? r->clocks.median / unit : 0;
}

static void print_json_row(const struct settings *s, const struct result *r, bool hugepages)
{
	printf(",\n{\"name\": \"%s\", \"nat\": %s, \"sessions\": %u, \"flows\": %u, \"hugepages\": "
	       "%s, "
	       "\"median\": %.1f, \"min\": %.1f, \"max\": %.1f, \"preempted\": %lu, \"nodes\": {",
		r->direction, r->nat ? "true" : "false", r->row.sessions, r->row.flows,
		hugepages ? "true" : "false", r->clocks.median, r->clocks.min, r->clocks.max,
		r->preempted);
	for (uint32_t i = 0; i < r->n_nodes; i++)
		printf("%s\"%s\": %.1f", i ? ", " : "", r->node[i], r->node_clocks[i]);
	printf("}, \"ratios\": {");
	for (int i = 0; i < 4; i++)
		printf("%s\"%s\": %.3f", i ? ", " : "", calibrations[i], ratio(s, r, i));
	printf("}}");
}

void print_result(const struct settings *s, const struct result *r, bool hugepages)
{
	if (s->json) {
		print_json_row(s, r, hugepages);
		fflush(stdout);
		return;
	}
	printf("%-4s %-6s %6u sessions x %2u flows  hugepages %-3s  median %6.1f  min %6.1f  max "
	       "%6.1f\n",
		r->direction, r->nat ? "nat" : "no nat", r->row.sessions, r->row.flows,
		hugepages ? "on" : "off", r->clocks.median, r->clocks.min, r->clocks.max);
	for (int i = 0; i < 4; i++)
		printf("%s%.2f %s", i ? ", " : "       in calibrations: ", ratio(s, r, i),
			calibrations[i]);
	printf("\n");
	for (uint32_t i = 0; i < r->n_nodes; i++)
		printf("       %-16s %6.1f\n", r->node[i], r->node_clocks[i]);
	fflush(stdout);
}

void print_figure(struct settings *s, const char *kind, const char *name, const struct summary *sum)
{
	if (s->json)
		printf("%s\n{\"name\": \"%s\", \"what\": \"%s\", \"median\": %.1f, "
		       "\"min\": %.1f, \"max\": %.1f}",
			s->printed ? "," : "", kind, name, sum->median, sum->min, sum->max);
	else
		printf("%-12s %-18s  median %6.1f  min %6.1f  max %6.1f\n", kind, name, sum->median,
			sum->min, sum->max);
	s->printed = true;
	fflush(stdout);
}

void print_first_packet(struct settings *s, const char *name, const struct summary *sum)
{
	print_figure(s, "first-packet", name, sum);
}

/* A random cycle through all lines of an area, so that each load waits for the one before it. */
static void make_cycle(void **area, uint32_t lines)
{
	uint32_t *order = malloc(lines * sizeof(*order));
	uint64_t seed = 1;

	if (!order)
		exit(1);
	for (uint32_t i = 0; i < lines; i++)
		order[i] = i;
	for (uint32_t i = lines - 1; i > 0; i--) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		uint32_t j = (uint32_t)((seed >> 32) * i >> 32);
		uint32_t swap = order[i];
		order[i] = order[j];
		order[j] = swap;
	}
	for (uint32_t i = 0; i < lines; i++)
		area[(size_t)order[i] * 8] = &area[(size_t)order[(i + 1) % lines] * 8];
	free(order);
}

static void calibrate_loads(struct settings *s, int index, uint32_t mib)
{
	double clocks[CALIBRATION_RUNS];
	struct summary sum;
	uint64_t mapped;
	bool hugepages = s->hugepages != HUGEPAGES_OFF;
	void **area = memory_map((uint64_t)mib << 20, &hugepages, &mapped);

	if (!area)
		exit(1);
	make_cycle(area, mib << 20 >> 6);
	void **at = area;
	for (int run = -1; run < CALIBRATION_RUNS; run++) {
		uint64_t start = __rdtsc();
		for (int i = 0; i < LOADS; i++)
			at = *at;
		__asm__ volatile("" ::"r"(at));
		if (run >= 0)
			clocks[run] = (double)(__rdtsc() - start) / LOADS;
	}
	munmap(area, mapped);
	summarize(clocks, CALIBRATION_RUNS, &sum);
	s->calibration[index] = sum.median;
	print_figure(s, "calibration", calibrations[index], &sum);
}

static void calibrate_copy(struct settings *s)
{
	static uint8_t from[256 * LINE];
	static uint8_t to[256 * LINE];
	double clocks[CALIBRATION_RUNS];
	struct summary sum;

	for (int run = 0; run < CALIBRATION_RUNS; run++) {
		uint64_t start = __rdtsc();
		for (int i = 0; i < COPIES; i++) {
			memcpy(to + (i & 255) * LINE, from + (i & 255) * LINE, LINE);
			__asm__ volatile("" ::: "memory");
		}
		clocks[run] = (double)(__rdtsc() - start) / COPIES;
	}
	summarize(clocks, CALIBRATION_RUNS, &sum);
	s->calibration[3] = sum.median;
	print_figure(s, "calibration", calibrations[3], &sum);
}

void calibrate(struct settings *s)
{
	calibrate_loads(s, 0, 1);
	if (!s->only) {
		calibrate_loads(s, 1, 32);
		calibrate_loads(s, 2, 512);
	}
	calibrate_copy(s);
}
