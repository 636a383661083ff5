/*
 * Flows of GRE and ESP: sets of four entries; address, remote and protocol choose two sets by a
 * keyed hash. When both are full of entries that live, a new flow is refused. Those of a session
 * are chained, for its end.
 */
#include "table/nat44_protocol.h"

#include <string.h>

#include "table/nat44_log.h"

enum { SET = 4, SETS = 2, SWEEP_VISITS = 8 };

static struct nat_protocol *table_of(const struct worker *w)
{
	return w->t->nat_protocol + (size_t)w->id * w->t->nat->protocol_flows_per_worker;
}

/* The sets where a flow may stand. */
static void sets_of(const struct worker *w, uint32_t address, be32 remote, uint8_t protocol,
	struct nat_protocol *sets[SETS])
{
	const struct nat_config *nat = w->t->nat;
	uint64_t multiplier = ((uint64_t)nat->hash_key[0] << 32 | nat->hash_key[3]) | 1;
	uint64_t x = ((uint64_t)address << 40 | (uint64_t)protocol << 32 | remote) ^
		     ((uint64_t)nat->hash_key[2] << 32 | nat->hash_key[1]);
	uint32_t mask = nat->protocol_flows_per_worker - SET;
	x *= multiplier;
	x ^= x >> 32;
	x *= multiplier;
	sets[0] = table_of(w) + ((uint32_t)(x >> 40) & mask);
	sets[1] = table_of(w) + ((uint32_t)(x >> 20) & mask);
}

/* The entry, whatever its timer says, or NULL. */
static struct nat_protocol *find(
	const struct worker *w, uint32_t address, be32 remote, uint8_t protocol)
{
	struct nat_protocol *sets[SETS];
	sets_of(w, address, remote, protocol, sets);
	for (int i = 0; i < SETS; i++)
		for (struct nat_protocol *p = sets[i]; p < sets[i] + SET; p++)
			if (p->session && p->address == address && p->remote == remote &&
				p->protocol == protocol)
				return p;
	return NULL;
}

static bool is_over(const struct worker *w, const struct nat_protocol *p)
{
	return w->now_s - p->last_s >= w->t->nat->protocol_timeout_s;
}

static void unchain(struct worker *w, struct nat_protocol *p)
{
	struct nat_protocol *table = table_of(w);
	struct session_cold *cold = &w->t->cold[p->session - 1];
	if (p->previous)
		table[p->previous - 1].next = p->next;
	else
		cold->nat_protocol_first = p->next;
	if (p->next)
		table[p->next - 1].previous = p->previous;
	cold->nat_mappings--;
	cold->nat_protocol_flows--;
	w->t->nat_address[p->address].protocol_flows--;
	memset(p, 0, sizeof(*p));
}

/* Ends a flow. False: the log must have its end and has no room; it stays for a later visit. */
static bool end(struct worker *w, struct nat_protocol *p)
{
	if (w->t->nat->log_mappings && !nat44_log_protocol(w, NAT_LOG_MAPPING_DELETED, p))
		return false;
	unchain(w, p);
	return true;
}

/* A free entry, or one whose time is over, freed; NULL: neither. */
static struct nat_protocol *make_room(struct worker *w, struct nat_protocol *sets[SETS])
{
	struct nat_protocol *room[SETS] = {NULL, NULL};
	uint32_t n_room[SETS] = {0, 0};
	for (int i = 0; i < SETS; i++)
		for (struct nat_protocol *p = sets[i]; p < sets[i] + SET; p++)
			if (!p->session) {
				room[i] = p;
				n_room[i]++;
			}
	if (n_room[0] || n_room[1]) /* the emptier set: so both fill up late */
		return n_room[1] > n_room[0] ? room[1] : room[0];
	for (int i = 0; i < SETS; i++)
		for (struct nat_protocol *p = sets[i]; p < sets[i] + SET; p++)
			if (is_over(w, p) && end(w, p))
				return p;
	return NULL;
}

/* A subscriber's share of the table, so that one cannot fill it. Those that are over are looked for
 * once a second. */
static bool within_share(struct worker *w, uint32_t session)
{
	struct session_cold *cold = &w->t->cold[session];
	const uint32_t most = w->t->nat->protocol_flows_per_session;
	if (cold->nat_protocol_flows >= most && cold->nat_scanned_s[NAT_PLANES] != w->now_s) {
		cold->nat_scanned_s[NAT_PLANES] = w->now_s;
		nat44_protocol_expire(w, session);
	}
	return cold->nat_protocol_flows < most;
}

static enum nat_refusal create(
	struct worker *w, uint32_t session, uint32_t address, be32 remote, uint8_t protocol)
{
	const struct tables *t = w->t;
	struct nat_protocol *sets[SETS], *table = table_of(w);
	struct session_cold *cold = &t->cold[session];
	if (!within_share(w, session))
		return NAT_MAPPINGS;
	enum nat_refusal refusal = nat44_within_limits(w, session);
	if (refusal != NAT_GRANTED)
		return refusal;
	sets_of(w, address, remote, protocol, sets);
	struct nat_protocol *p = make_room(w, sets);
	if (!p)
		return NAT_NO_ROOM;
	*p = (struct nat_protocol){
		.session = session + 1,
		.generation = t->in[session].generation,
		.address = address,
		.remote = remote,
		.last_s = w->now_s,
		.next = cold->nat_protocol_first,
		.protocol = protocol,
	};
	cold->nat_protocol_first = (uint32_t)(p - table) + 1;
	if (p->next)
		table[p->next - 1].previous = cold->nat_protocol_first;
	cold->nat_mappings++;
	cold->nat_protocol_flows++;
	t->nat_address[address].protocol_flows++;
	if (!t->nat->log_mappings || nat44_log_protocol(w, NAT_LOG_MAPPING_CREATED, p))
		return NAT_GRANTED;
	unchain(w, p);
	return NAT_LOG_FULL;
}

enum nat_refusal nat44_protocol_out(
	struct worker *w, uint32_t session, be32 remote, uint8_t protocol)
{
	uint32_t address = nat44_block_address(w->t, w->t->in[session].nat_block - 1);
	struct nat_protocol *p = find(w, address, remote, protocol);
	enum nat_refusal refusal = NAT_GRANTED;
	if (p && is_over(w, p)) {
		if (!end(w, p))
			return nat44_refused(w, session, NAT_LOG_FULL);
		p = NULL;
	}
	if (!p)
		refusal = create(w, session, address, remote, protocol);
	else if (p->session == session + 1)
		p->last_s = w->now_s;
	else
		refusal = NAT_TAKEN;
	return refusal == NAT_GRANTED ? NAT_GRANTED : nat44_refused(w, session, refusal);
}

const struct nat_protocol *nat44_protocol_find(
	const struct worker *w, uint32_t address, be32 remote, uint8_t protocol)
{
	const struct nat_protocol *p = find(w, address, remote, protocol);
	return p && !is_over(w, p) ? p : NULL;
}

void nat44_protocol_expire(struct worker *w, uint32_t session)
{
	struct nat_protocol *table = table_of(w);
	for (uint32_t i = w->t->cold[session].nat_protocol_first; i;) {
		struct nat_protocol *p = &table[i - 1];
		i = p->next;
		if (is_over(w, p) && !end(w, p))
			return;
	}
}

/* The release of his blocks is the end of all on record. */
void nat44_protocol_forget(struct worker *w, uint32_t session)
{
	const struct session_cold *cold = &w->t->cold[session];
	while (cold->nat_protocol_first)
		unchain(w, table_of(w) + cold->nat_protocol_first - 1);
}

void nat44_protocol_sweep(struct worker *w)
{
	const struct nat_config *nat = w->t->nat;
	struct nat_sweep *sweep = &w->protocol_sweep;
	uint32_t n = nat->n_addresses ? nat->protocol_flows_per_worker : 0;
	nat44_sweep_time(sweep, w->now_ms, n);
	for (int i = 0; i < SWEEP_VISITS && nat44_sweep_next(sweep, n); i++) {
		struct nat_protocol *p = table_of(w) + sweep->position;
		if (p->session && is_over(w, p) && !end(w, p))
			return;
	}
}
