/*
 * The NAT44 table alone, without nodes: built by tests/support/nat44_table.py into a shared
 * library, with arrays of its own in place of the arena and a log that only counts. The prototypes
 * here are what Python sees.
 */
#ifndef BNG_TEST_NAT44_TABLE_H
#define BNG_TEST_NAT44_TABLE_H

#include "table/nat44.h"
#include "table/nat44_map.h"

struct table_test {
	struct tables tables;
	struct worker worker;
	bool log_full;
	uint32_t logged[NAT_LOG_TYPES];
};

struct table_test *table_create(uint32_t block_size, uint32_t blocks_per_session,
	uint32_t n_addresses, uint32_t n_sessions, uint32_t port_min, uint32_t seed);
void table_destroy(struct table_test *e);
void table_time(struct table_test *e, uint32_t now_s);
void table_log_full(struct table_test *e, bool full);
void table_log_mappings(struct table_test *e, bool all);
uint32_t table_logged(const struct table_test *e, uint32_t type);
uint32_t table_up(struct table_test *e, uint32_t session, uint32_t address);
void table_down(struct table_test *e, uint32_t session);
/* As an outbound packet does: external port, or -enum nat_refusal. */
int32_t table_map(struct table_test *e, uint32_t session, uint32_t plane, uint16_t port);
int32_t table_map_to(struct table_test *e, uint32_t session, uint32_t plane, uint16_t port,
	uint32_t remote, uint16_t remote_port);
int32_t table_find(struct table_test *e, uint32_t session, uint32_t plane, uint16_t port);
int64_t table_inside(struct table_test *e, uint32_t address, uint32_t plane, uint16_t external);
bool table_delete(struct table_test *e, uint32_t address, uint32_t plane, uint16_t external);
void table_sweep_all(struct table_test *e);
uint32_t table_free_blocks(const struct table_test *e, uint32_t address);
uint32_t table_blocks(const struct table_test *e, uint32_t session);
uint64_t table_mappings(const struct table_test *e, uint32_t session);
int table_check(const struct table_test *e);
bool table_is_zero(const struct table_test *e);

/* The longest rest of a block of an address so far, in seconds; -1: none rests. */
int64_t table_longest_rest(const struct table_test *e, uint32_t address);
uint32_t table_resting_blocks(const struct table_test *e, uint32_t address);
void table_limits(struct table_test *e, uint32_t mappings, uint32_t per_s, uint32_t quarantine_s,
	uint32_t quarantine_percent);

/* Remotes: addresses and ports are small numbers, of no byte order. */
void table_remotes(struct table_test *e, uint32_t in_table, uint32_t per_session, bool dependent);
/* Packets of a mapping that is there; out: false: refused; in: false: filtered. */
bool table_out(struct table_test *e, uint32_t address, uint32_t plane, uint16_t external,
	uint32_t remote, uint16_t remote_port, uint8_t tcp);
bool table_in_(struct table_test *e, uint32_t address, uint32_t plane, uint16_t external,
	uint32_t remote, uint16_t remote_port, uint8_t tcp);
/* Flags of a mapping, and 0x100 when remotes were lost. */
uint32_t table_flags(
	const struct table_test *e, uint32_t address, uint32_t plane, uint16_t external);
/* The entry at an index: external port, plane, remote, its port, flags, last_s; false: it is free.
 */
bool table_entry(const struct table_test *e, uint32_t index, uint32_t out[6]);
uint32_t table_entries_of(const struct table_test *e, uint32_t session);
/* 0, or which of the invariants of the side table does not hold. */
int table_check_remotes(const struct table_test *e);

#endif
