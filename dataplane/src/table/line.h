/*
 * Lines of routed ports: which port a frame belongs to, by the device it came in by and its VLAN
 * tags. A frame of a routed port without tags, or behind one or two, is a port's of its own; what
 * is in no line is not served. Written before the workers run.
 */
#ifndef BNG_LINE_H
#define BNG_LINE_H

#include <string.h>

#include "dataplane.h"

enum { LINE_NONE = 0xff, LINE_SLOTS = 4 * MAX_PORTS };

struct lines {
	uint64_t key[LINE_SLOTS]; /* line_key() of the port with the device */
	uint8_t port[LINE_SLOTS]; /* LINE_NONE: free */
};

_Static_assert((LINE_SLOTS & (LINE_SLOTS - 1)) == 0, "a hash is masked");
_Static_assert((int)LINE_NONE >= (int)MAX_PORTS, "no port");

static inline uint32_t line_slot(uint64_t key)
{
	return (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 48) & (LINE_SLOTS - 1);
}

/* The port of this line, or LINE_NONE. At most a quarter of the slots is in use: the search ends.
 */
static inline uint8_t line_find(const struct lines *l, uint64_t key)
{
	uint32_t i = line_slot(key);
	while (l->port[i] != LINE_NONE && l->key[i] != key)
		i = (i + 1) & (LINE_SLOTS - 1);
	return l->port[i];
}

/* The key of a received frame: a tag with VID 0 is none (IEEE 802.1Q, 6.9). */
static inline uint64_t line_of(uint8_t port, uint16_t outer_tpid, uint16_t outer_vid,
	uint16_t inner_tpid, uint16_t inner_vid)
{
	return line_key(port, outer_vid | inner_vid ? outer_tpid : 0, outer_vid,
		inner_vid ? inner_tpid : 0, inner_vid);
}

static inline void lines_init(struct lines *l)
{
	memset(l->port, LINE_NONE, sizeof(l->port));
}

static inline void lines_add(struct lines *l, uint8_t port, uint64_t key)
{
	uint32_t i = line_slot(key);
	while (l->port[i] != LINE_NONE)
		i = (i + 1) & (LINE_SLOTS - 1);
	l->key[i] = key;
	l->port[i] = port;
}

#endif
