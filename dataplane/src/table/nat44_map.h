/*
 * Inside the NAT44 table: where a mapping stands, how long it lives, the fast lookup. For the
 * table's own files and the two NAT nodes.
 */
#ifndef BNG_NAT44_MAP_H
#define BNG_NAT44_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hdr/byteorder.h"
#include "table/nat44.h"

enum { NAT_LINE_SLOTS = 4 }; /* one cache line */

/* One direction of a conversation as the subscriber sees it. */
struct nat44_flow {
	be32 remote;
	be16 port; /* the subscriber's port, or ICMP identifier */
	be16 remote_port;
	uint8_t plane; /* enum nat_plane */
};

/* Port bits that number a block within its address. */
static inline uint32_t nat44_block_bits(const struct nat_config *nat)
{
	return 16 - nat->block_shift;
}

/* First block of an address without a port under port_min; port 0 is never an external port. */
static inline uint32_t nat44_first_block(const struct nat_config *nat)
{
	uint32_t port_min = nat->port_min ? nat->port_min : 1;
	return (port_min + nat->block_size - 1) >> nat->block_shift;
}

static inline uint32_t nat44_block_address(const struct tables *t, uint32_t block)
{
	return block >> nat44_block_bits(t->nat);
}

/* First external port of a block. */
static inline uint32_t nat44_block_port(const struct tables *t, uint32_t block)
{
	return block << t->nat->block_shift & 0xffff;
}

static inline size_t nat44_slot_index(uint32_t address, uint32_t plane, uint32_t port)
{
	return (size_t)(address * NAT_PLANES + plane) << 16 | port;
}

static inline struct nat_slot *nat44_slots(const struct tables *t, uint32_t block, uint32_t plane)
{
	return t->nat_slot +
	       nat44_slot_index(nat44_block_address(t, block), plane, nat44_block_port(t, block));
}

/* Block that a slot belongs to, and its plane. */
static inline uint32_t nat44_slot_block(
	const struct tables *t, const struct nat_slot *slot, uint32_t *plane)
{
	size_t index = (size_t)(slot - t->nat_slot);
	uint32_t row = (uint32_t)(index >> 16);
	*plane = row % NAT_PLANES;
	return row / NAT_PLANES << nat44_block_bits(t->nat) |
	       (uint32_t)(index & 0xffff) >> t->nat->block_shift;
}

static inline be16 nat44_external_port(const struct tables *t, const struct nat_slot *slot)
{
	return hton16((uint16_t)(slot - t->nat_slot));
}

/* A keyed hash of an inner port in a block, so that nobody outside can aim at a line. */
static inline uint32_t nat44_hash(const struct nat_config *nat, uint32_t block, be16 port)
{
	uint64_t multiplier = ((uint64_t)nat->hash_key[2] << 32 | nat->hash_key[3]) | 1;
	uint64_t x = ((uint64_t)nat->hash_key[0] << 32 | nat->hash_key[1]) ^
		     ((uint64_t)block << 16 | port);
	x *= multiplier;
	x ^= x >> 32;
	x *= multiplier;
	return (uint32_t)(x >> 32);
}

/* Offset in the block of the line where the search starts. */
static inline uint32_t nat44_home_line(const struct nat_config *nat, uint32_t hash)
{
	return hash >> 8 & (nat->block_size - 1) & ~(uint32_t)(NAT_LINE_SLOTS - 1);
}

/* The line after this one. Lines are passed in odd steps, which reach all of them, and of which
 * the hash chooses one, so that full lines do not gather. */
static inline uint32_t nat44_next_line(const struct nat_config *nat, uint32_t line, uint32_t hash)
{
	return (line + ((hash & 31) | 1) * NAT_LINE_SLOTS) & (nat->block_size - 1);
}

static inline uint32_t nat44_home(const struct nat_config *nat, uint32_t block, be16 port)
{
	return nat44_home_line(nat, nat44_hash(nat, block, port));
}

static inline bool nat44_is_mapping_of(const struct nat_slot *slot, be16 port)
{
	return slot->inner_port == port && slot->flags & NAT_LIVE;
}

/* The mapping of an inner port in this line, or NULL. Free of branches up to the end: which of the
 * four it is cannot be predicted. */
static inline struct nat_slot *nat44_line_match(struct nat_slot *line, be16 port)
{
	const uint32_t mask = 0xffff | (uint32_t)NAT_LIVE << 16;
	const uint32_t want = port | (uint32_t)NAT_LIVE << 16;
	unsigned hits = 0;
	for (unsigned i = 0; i < NAT_LINE_SLOTS; i++) {
		uint32_t head; /* inner_port and flags */
		memcpy(&head, &line[i], sizeof(head));
		hits |= (unsigned)((head & mask) == want) << i;
	}
	return hits ? line + __builtin_ctz(hits) : NULL;
}

/* FIN from both sides, or RST. */
static inline bool nat44_tcp_closed(uint8_t flags)
{
	const uint8_t fins = NAT_FIN_OUT | NAT_FIN_IN;
	return flags & NAT_RST || (flags & fins) == fins;
}

/*
 * RFC 5382 REQ-5: the long timer only for a connection seen open from both sides and not closed. A
 * mapping with several remotes is established as long as one of its connections is.
 */
static inline bool nat44_tcp_established(uint8_t flags)
{
	return flags & NAT_TCP_ESTABLISHED && !nat44_tcp_closed(flags);
}

/* RFC 4787 REQ-5, RFC 5382 REQ-5, RFC 7857 section 2.1, RFC 5508 REQ-2. */
static inline uint32_t nat44_timeout_s(const struct nat_config *nat, uint32_t plane, uint8_t flags)
{
	if (plane == NAT_TCP && nat44_tcp_closed(flags))
		return nat->tcp_closing_s;
	if (plane == NAT_TCP)
		return flags & NAT_TCP_ESTABLISHED ? nat->tcp_established_s : nat->tcp_transitory_s;
	return plane == NAT_UDP ? nat->udp_timeout_s : nat->icmp_timeout_s;
}

static inline bool nat44_expired(
	const struct nat_config *nat, uint32_t plane, const struct nat_slot *slot, uint32_t now_s)
{
	return now_s - slot->last_s >= nat44_timeout_s(nat, plane, slot->flags);
}

/* The live mapping of an inner port in the blocks from `first` (index + 1) on, or NULL. Its timer
 * is not looked at. */
struct nat_slot *nat44_find(const struct tables *t, uint32_t first, uint32_t plane, be16 port);
/* Makes the mapping, taking a further block when all are full. */
enum nat_refusal nat44_create(
	struct worker *w, uint32_t session, const struct nat44_flow *flow, struct nat_slot **slot);
/* Ends it. False: the log must have its end and has no room; the mapping stays until the sweep
 * comes again. */
bool nat44_delete(struct worker *w, struct nat_slot *slot);
/* Counts a refusal and tells of it once a minute for each subscriber; returns it. */
enum nat_refusal nat44_refused(struct worker *w, uint32_t session, enum nat_refusal why);
/* Whether the session may have one mapping more, beside its ports; takes it from its bucket. */
enum nat_refusal nat44_within_limits(struct worker *w, uint32_t session);

enum { NAT_SWEEP_MS = 60000 }; /* each entry of a table is visited once in this time */

/* Time has passed for a table of n entries; never more than one round is due. */
static inline void nat44_sweep_time(struct nat_sweep *sweep, uint32_t now_ms, uint64_t n)
{
	sweep->credit += (uint64_t)(now_ms - sweep->stamp_ms) * n;
	sweep->stamp_ms = now_ms;
	if (sweep->credit > n * NAT_SWEEP_MS)
		sweep->credit = n * NAT_SWEEP_MS;
}

/* True: a visit to the entry at `position` is due. */
static inline bool nat44_sweep_next(struct nat_sweep *sweep, uint64_t n)
{
	if (sweep->credit < NAT_SWEEP_MS)
		return false;
	sweep->credit -= NAT_SWEEP_MS;
	sweep->position = sweep->position + 1 < n ? sweep->position + 1 : 0;
	return true;
}

enum { NAT_MAPPINGS_PER_S_MOST = 1000000 };

/* A full bucket of new mappings, in thousandths. */
static inline uint32_t nat44_bucket_most(const struct nat_config *nat)
{
	return nat->mappings_per_s * 1000;
}

/* A block that is nobody's is the last in the queue of free ones. */
void nat44_block_free(const struct tables *t, uint32_t block);
/* Makes blocks free that have rested long enough, or are more than may rest. */
void nat44_rested(const struct worker *w, uint32_t address);
/* Adds a block on `address` at the end of the session's chain. */
enum nat_refusal nat44_block_take(struct worker *w, uint32_t session, uint32_t address);
/* Gives one back: its mappings are gone at once; it is free when the log has taken the record. The
 * caller has unchained it. */
void nat44_block_release(struct worker *w, uint32_t block);
/* Tries again to log and free a block whose `next` is NAT_BLOCK_UNLOGGED. */
void nat44_block_retry(struct worker *w, uint32_t block);

#endif
