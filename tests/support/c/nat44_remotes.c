/* The side table of remotes: packets of a mapping, entries, and the invariants counted anew. */
#include "nat44_table.h"

#include <stdlib.h>
#include <string.h>

#include "table/nat44_remote.h"
#include "table/nat44_tcp.h"

void table_remotes(struct table_test *e, uint32_t in_table, uint32_t per_session, bool dependent)
{
	struct nat_config *nat = e->tables.nat;
	if (!e->tables.nat_remote) {
		e->tables.nat_remote = calloc(in_table, sizeof(*e->tables.nat_remote));
		nat->remotes_per_worker = in_table;
	}
	nat->remotes_per_session = per_session;
	nat->filtering = dependent ? NAT_ADDRESS_DEPENDENT : NAT_ENDPOINT_INDEPENDENT;
}

static struct nat_slot *slot_of(
	const struct table_test *e, uint32_t address, uint32_t plane, uint16_t external)
{
	return &e->tables.nat_slot[nat44_slot_index(address, plane, external)];
}

static struct nat44_flow flow_of(
	const struct nat_slot *slot, uint32_t plane, uint32_t remote, uint16_t remote_port)
{
	return (struct nat44_flow){
		.remote = remote,
		.port = slot->inner_port,
		.remote_port = remote_port,
		.plane = (uint8_t)plane,
	};
}

/* As nat44_in2out's track(). */
bool table_out(struct table_test *e, uint32_t address, uint32_t plane, uint16_t external,
	uint32_t remote, uint16_t remote_port, uint8_t tcp)
{
	struct nat_slot *slot = slot_of(e, address, plane, external);
	struct nat44_flow flow = flow_of(slot, plane, remote, remote_port);
	tcp = plane == NAT_TCP ? tcp : 0;
	if (!nat44_remote_is_first(slot, &flow))
		return nat44_remote_out(&e->worker, slot, &flow, tcp);
	if (nat44_tcp_refreshes(slot->flags, tcp))
		slot->last_s = e->worker.now_s;
	if (plane == NAT_TCP && !nat44_tcp_plain(slot->flags, tcp))
		slot->flags = nat44_tcp_out(slot->flags, tcp);
	return true;
}

/* As nat44_out2in's translate(). */
bool table_in_(struct table_test *e, uint32_t address, uint32_t plane, uint16_t external,
	uint32_t remote, uint16_t remote_port, uint8_t tcp)
{
	struct nat_slot *slot = slot_of(e, address, plane, external);
	struct nat44_flow flow = flow_of(slot, plane, remote, remote_port);
	bool first = nat44_remote_is_first(slot, &flow);
	if (!first && !nat44_remote_admits(&e->worker, slot, &flow))
		return false;
	if (plane != NAT_TCP)
		return true;
	if (!first) {
		nat44_remote_in(&e->worker, slot, &flow, tcp);
		return true;
	}
	if (nat44_tcp_refreshes(slot->flags, tcp))
		slot->last_s = e->worker.now_s;
	if (!nat44_tcp_plain(slot->flags, tcp))
		slot->flags = nat44_tcp_in(slot->flags, tcp);
	return true;
}

uint32_t table_flags(
	const struct table_test *e, uint32_t address, uint32_t plane, uint16_t external)
{
	const struct nat_slot *slot = slot_of(e, address, plane, external);
	return slot->flags | (slot->flags & NAT_MULTI && slot->lost ? 0x100 : 0);
}

bool table_entry(const struct table_test *e, uint32_t index, uint32_t out[6])
{
	const struct nat_remote *r = &e->tables.nat_remote[index];
	if (!r->slot)
		return false;
	out[0] = (r->slot - 1) & 0xffff;
	out[1] = ((r->slot - 1) >> 16) % NAT_PLANES;
	out[2] = r->address;
	out[3] = r->port;
	out[4] = r->flags;
	out[5] = r->last_s;
	return true;
}

uint32_t table_entries_of(const struct table_test *e, uint32_t session)
{
	return e->tables.cold[session].nat_remotes;
}

/* A mapping's chain: linked both ways, all its own, and as many open ones as it says. */
static int check_mapping(const struct table_test *e, uint32_t index, uint32_t *chained)
{
	const struct nat_slot *slot = &e->tables.nat_slot[index];
	uint32_t open = 0, established = 0, previous = 0;
	for (uint32_t at = slot->remote; at; at = e->tables.nat_remote[at - 1].next) {
		const struct nat_remote *r = &e->tables.nat_remote[at - 1];
		if (r->slot != index + 1 || r->previous != previous)
			return 1;
		if (++*chained > e->tables.nat->remotes_per_worker)
			return 2; /* a circle */
		previous = at;
		open += !nat44_tcp_closed(r->flags);
		established += nat44_tcp_established(r->flags);
	}
	if (open != slot->remote_port)
		return 3;
	bool longer = slot->flags & NAT_TCP_ESTABLISHED;
	return (established || slot->lost) && !longer ? 4 : longer && !open && !slot->lost ? 5 : 0;
}

/* Every entry is of a mapping that has several, and is found by what it is of; none twice. */
static int check_entries(const struct table_test *e, uint32_t *entries)
{
	const struct tables *t = &e->tables;
	for (uint32_t i = 0; i < t->nat->remotes_per_worker; i++) {
		const struct nat_remote *r = &t->nat_remote[i];
		static const struct nat_remote zero;
		if (!r->slot) {
			if (memcmp(r, &zero, sizeof(zero)) != 0)
				return 6;
			continue;
		}
		++*entries;
		const uint8_t want = NAT_LIVE | NAT_MULTI;
		if ((t->nat_slot[r->slot - 1].flags & want) != want)
			return 7;
		for (uint32_t j = 0; j < i; j++)
			if (t->nat_remote[j].slot == r->slot &&
				t->nat_remote[j].address == r->address &&
				t->nat_remote[j].port == r->port)
				return 8;
	}
	return 0;
}

int table_check_remotes(const struct table_test *e)
{
	const struct tables *t = &e->tables;
	uint32_t chained = 0, entries = 0, counted = 0;
	int broken = check_entries(e, &entries);
	for (uint32_t i = 0; !broken && i < t->nat->n_addresses * NAT_PLANES << 16; i++)
		if (t->nat_slot[i].flags & NAT_MULTI)
			broken = check_mapping(e, i, &chained);
	for (uint32_t s = 0; s < t->max_sessions; s++)
		counted += t->cold[s].nat_remotes;
	return broken ? broken : entries != chained ? 9 : entries != counted ? 10 : 0;
}
