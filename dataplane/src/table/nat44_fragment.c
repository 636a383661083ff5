/* Datagrams in fragments: sets of four entries, chosen by a keyed hash. */
#include "table/nat44_fragment.h"

#include <stdlib.h>
#include <string.h>

#include "hdr/checksum.h"

enum { SET = 4, COUNTERS = sizeof(((struct nat44_sent *)0)->counter) / sizeof(uint16_t) };

uint64_t nat44_datagram_hash(const struct worker *w, const struct nat44_datagram_key *key)
{
	const uint32_t *secret = w->t->nat->hash_key;
	uint64_t multiplier = ((uint64_t)secret[3] << 32 | secret[1]) | 1;
	uint64_t x = ((uint64_t)key->source << 32 | key->destination) ^
		     ((uint64_t)secret[0] << 32 | secret[2]);
	x *= multiplier;
	x ^= x >> 32;
	x ^= (uint64_t)key->protocol << 16 | key->id;
	x *= multiplier;
	x ^= x >> 32;
	return x * multiplier;
}

static struct nat44_datagram *set_of(
	const struct worker *w, struct nat44_datagrams *table, const struct nat44_datagram_key *key)
{
	return &table->entry[nat44_datagram_hash(w, key) >> 40 & (NAT44_DATAGRAMS - SET)];
}

static bool is_over(const struct worker *w, const struct nat44_datagram *d)
{
	return !d->used || w->now_ms - d->since_ms >= NAT44_DATAGRAM_MS;
}

struct nat44_datagram *nat44_datagram_find(
	const struct worker *w, struct nat44_datagrams *table, const struct nat44_datagram_key *key)
{
	struct nat44_datagram *set = set_of(w, table, key);
	for (struct nat44_datagram *d = set; d < set + SET; d++)
		if (!is_over(w, d) && nat44_same_datagram(&d->key, key))
			return d;
	return NULL;
}

struct nat44_datagram *nat44_datagram_enter(
	const struct worker *w, struct nat44_datagrams *table, const struct nat44_datagram_key *key)
{
	struct nat44_datagram *set = set_of(w, table, key);
	struct nat44_datagram *chosen = nat44_datagram_find(w, table, key);
	for (struct nat44_datagram *d = set; !chosen && d < set + SET; d++)
		if (is_over(w, d))
			chosen = d;
	if (!chosen) {
		chosen = set;
		for (struct nat44_datagram *d = set + 1; d < set + SET; d++)
			if (w->now_ms - d->since_ms > w->now_ms - chosen->since_ms)
				chosen = d;
	}
	*chosen = (struct nat44_datagram){.key = *key, .since_ms = w->now_ms, .used = 1};
	return chosen;
}

struct nat44_sent *nat44_sent_create(struct worker *w)
{
	struct nat44_sent *sent = calloc(1, sizeof(*sent));
	for (uint32_t i = 0; sent && i < COUNTERS; i++)
		sent->counter[i] = (uint16_t)worker_random(w);
	return sent;
}

static be16 next_id(const struct worker *w, struct nat44_sent *sent, const struct ip4_hdr *ip)
{
	struct nat44_datagram_key key = nat44_datagram_key(ip, ip->source, ip->destination);
	key.id = 0;
	return hton16(sent->counter[nat44_datagram_hash(w, &key) >> 40 & (COUNTERS - 1)]++);
}

void nat44_sent_rename(
	const struct worker *w, struct nat44_sent *sent, struct ip4_hdr *ip, be32 inner)
{
	const struct nat44_datagram_key key = nat44_datagram_key(ip, inner, ip->destination);
	struct nat44_datagram *d = nat44_datagram_find(w, &sent->datagrams, &key);
	if (!d) {
		d = nat44_datagram_enter(w, &sent->datagrams, &key);
		d->outer_id = next_id(w, sent, ip);
	}
	/* RFC 1624 equation 3 */
	uint64_t delta = (uint64_t)(uint16_t)~ip->id + d->outer_id;
	ip->checksum = (be16)~checksum_fold((uint16_t)~ip->checksum + delta);
	ip->id = d->outer_id;
}
