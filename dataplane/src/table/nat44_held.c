/* The ring of held fragments. It is small: what belongs to a datagram is found by looking at all.
 */
#include "table/nat44_held.h"

static uint32_t place(const struct nat44_held *held, uint32_t count)
{
	return count & (held->size - 1);
}

static uint32_t hash_of(const struct worker *w, const struct nat44_datagram_key *key)
{
	return (uint32_t)(nat44_datagram_hash(w, key) >> 32);
}

static bool is_of(const struct nat44_held *held, uint32_t at, uint32_t hash,
	const struct nat44_datagram_key *key)
{
	return held->hash[at] == hash && held->pkt[at] && nat44_same_datagram(&held->key[at], key);
}

/* Empty places at the front are given up. */
static void skip_empty(struct nat44_held *held)
{
	while (held->first != held->next && !held->pkt[place(held, held->first)])
		held->first++;
}

static struct pkt *let_go(struct nat44_held *held, uint32_t at)
{
	struct pkt *p = held->pkt[at];
	held->pkt[at] = NULL;
	skip_empty(held);
	return p;
}

void nat44_held_init(struct nat44_held *held, const struct worker *w)
{
	uint32_t most = w->n_buffers / NAT44_HELD_SHARE / w->t->n_workers;
	if (most > NAT44_HELD_MOST)
		most = NAT44_HELD_MOST;
	*held = (struct nat44_held){.size = most ? 1u << (31 - __builtin_clz(most)) : 0};
}

uint32_t nat44_held_of(
	const struct worker *w, const struct nat44_held *held, const struct nat44_datagram_key *key)
{
	uint32_t n = 0, hash = hash_of(w, key);
	for (uint32_t i = held->first; i != held->next; i++)
		n += is_of(held, place(held, i), hash, key);
	return n;
}

void nat44_held_append(const struct worker *w, struct nat44_held *held,
	const struct nat44_datagram_key *key, struct pkt *p)
{
	uint32_t at = place(held, held->next++);
	held->hash[at] = hash_of(w, key);
	held->key[at] = *key;
	held->since_ms[at] = w->now_ms;
	held->pkt[at] = p;
}

struct pkt *nat44_held_take(
	const struct worker *w, struct nat44_held *held, const struct nat44_datagram_key *key)
{
	uint32_t hash = hash_of(w, key);
	for (uint32_t i = held->first; i != held->next; i++)
		if (is_of(held, place(held, i), hash, key))
			return let_go(held, place(held, i));
	return NULL;
}

struct pkt *nat44_held_oldest(struct nat44_held *held)
{
	return held->first == held->next ? NULL : let_go(held, place(held, held->first));
}

struct pkt *nat44_held_overdue(const struct worker *w, struct nat44_held *held)
{
	if (held->first == held->next ||
		w->now_ms - held->since_ms[place(held, held->first)] < NAT44_HELD_MS)
		return NULL;
	return nat44_held_oldest(held);
}
