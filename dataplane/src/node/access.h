/* Access rules of a port: on which VLANs subscribers are served. */
#ifndef BNG_NODE_ACCESS_H
#define BNG_NODE_ACCESS_H

#include <stdbool.h>

#include "pkt.h"
#include "worker.h"

/* VID 0 stands for "no such tag", and a priority tag (VID 0) for none either (IEEE 802.1Q). */
static inline bool access_allowed(const struct tables *t, const struct pkt *p)
{
	const struct access_range *range = &t->access[p->rx_port * MAX_ACCESS_RANGES];
	uint16_t n = __atomic_load_n(&t->port[p->rx_port].n_access_ranges, __ATOMIC_ACQUIRE);
	for (uint16_t i = 0; i < n && i < MAX_ACCESS_RANGES; i++)
		if (p->outer_vid >= range[i].outer_low && p->outer_vid <= range[i].outer_high &&
			p->inner_vid >= range[i].inner_low && p->inner_vid <= range[i].inner_high)
			return true;
	return false;
}

#endif
