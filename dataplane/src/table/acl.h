/*
 * Compiled ACLs: see struct acl_head. Looking a packet up is one search in each field's ranges and
 * one pass over the words of five bitmaps, of which the summaries leave very few to be read.
 */
#ifndef BNG_ACL_H
#define BNG_ACL_H

#include "dataplane.h"
#include "hdr/ip4.h"
#include "hdr/ip6.h"
#include "worker.h"

/* Whether what stands there may be looked up: nothing leads out of it. */
bool acl_is_sane(const struct tables *t, uint64_t place);
/* CMD_SESSION_ACL. */
int acl_command(struct worker *w, const struct command *c);
/* Gives a session its ACLs, index + 1, 0 for none. */
void acl_bind(struct worker *w, uint32_t session, uint16_t in, uint16_t out);
/* CMD_SESSION_BYPASS. */
int bypass_command(struct worker *w, const struct command *c);
/* Gives a session the ACL that says what is not translated, index + 1, 0 for none. */
void bypass_bind(struct worker *w, uint32_t session, uint16_t acl);

enum { ACL_KEY_FIELDS = ACL_PROTOCOL + 1 };

/* The fields of an IPv4 packet. */
struct acl_key {
	uint32_t value[ACL_KEY_FIELDS];
};

/* ... of an IPv6 packet; there the first two values have no meaning. */
struct acl_key6 {
	struct acl_address source, destination;
	uint32_t value[ACL_KEY_FIELDS];
};

/* The range that a value is in. No branch depends on the value. */
static inline uint32_t acl_range(const uint32_t *bounds, uint32_t n, uint32_t value)
{
	const uint32_t *at = bounds;
	while (n > 1) {
		uint32_t half = n / 2;
		at = at[half] <= value ? at + half : at;
		n -= half;
	}
	return (uint32_t)(at - bounds);
}

static inline bool acl_address_is_up_to(struct acl_address a, struct acl_address b)
{
	return (a.high < b.high) | ((a.high == b.high) & (a.low <= b.low));
}

static inline uint32_t acl_range6(
	const struct acl_address *bounds, uint32_t n, struct acl_address value)
{
	const struct acl_address *at = bounds;
	while (n > 1) {
		uint32_t half = n / 2;
		at = acl_address_is_up_to(at[half], value) ? at + half : at;
		n -= half;
	}
	return (uint32_t)(at - bounds);
}

/* What fits in a range of a field. */
static inline const uint64_t *acl_bitmap_of(
	const struct acl_head *h, const struct acl_field *f, uint32_t range)
{
	const uint8_t *base = (const uint8_t *)h;
	uint16_t class = ((const uint16_t *)(base + f->classes))[range];
	return (const uint64_t *)(base + f->bitmaps) + (size_t) class * (1 + h->n_words);
}

static inline const uint64_t *acl_bitmap(const struct acl_head *h, int field, uint32_t value)
{
	const struct acl_field *f = &h->field[field];
	const uint32_t *bounds = (const uint32_t *)((const uint8_t *)h + f->bounds);
	return acl_bitmap_of(h, f, acl_range(bounds, f->n_ranges, value));
}

static inline const uint64_t *acl_bitmap6(
	const struct acl_head *h, int field, struct acl_address value)
{
	const struct acl_field *f = &h->field[field];
	const struct acl_address *bounds =
		(const struct acl_address *)((const uint8_t *)h + f->bounds);
	return acl_bitmap_of(h, f, acl_range6(bounds, f->n_ranges, value));
}

/* Bytes of a worker's counters. */
static inline uint32_t acl_counter_stride(uint32_t n_rules)
{
	uint32_t both = 2 * n_rules * (uint32_t)sizeof(struct acl_counter);
	return (both + ACL_ALIGN - 1) & ~(uint32_t)(ACL_ALIGN - 1);
}

static inline struct acl_counter *acl_counter(
	struct acl_head *h, uint8_t worker, enum direction direction, uint32_t rule)
{
	uint8_t *own = (uint8_t *)h + h->counters + worker * acl_counter_stride(h->n_rules);
	return (struct acl_counter *)(void *)own + direction * h->n_rules + rule;
}

/* The first rule that all bitmaps have. The last one always is, in what bngd compiles; else:
 * n_rules. */
static inline uint32_t acl_first(const struct acl_head *h, const uint64_t *bitmap[ACL_KEY_FIELDS])
{
	uint64_t words = UINT64_MAX;
	for (int i = 0; i < ACL_KEY_FIELDS; i++)
		words &= bitmap[i][0];
	for (; words; words &= words - 1) {
		uint32_t word = (uint32_t)__builtin_ctzll(words);
		uint64_t rules = UINT64_MAX;
		if (word >= h->n_words)
			break;
		for (int i = 0; i < ACL_KEY_FIELDS; i++)
			rules &= bitmap[i][1 + word];
		if (!rules)
			continue;
		uint32_t rule = word * 64 + (uint32_t)__builtin_ctzll(rules);
		if (rule < h->n_rules)
			return rule;
	}
	return h->n_rules;
}

/* The first rule that fits. */
static inline uint32_t acl_rule(const struct acl_head *h, const struct acl_key *key)
{
	const uint64_t *bitmap[ACL_KEY_FIELDS];
	for (int i = 0; i < ACL_KEY_FIELDS; i++)
		bitmap[i] = acl_bitmap(h, i, key->value[i]);
	return acl_first(h, bitmap);
}

static inline uint32_t acl_rule6(const struct acl_head *h, const struct acl_key6 *key)
{
	const uint64_t *bitmap[ACL_KEY_FIELDS] = {
		acl_bitmap6(h, ACL_SOURCE6, key->source),
		acl_bitmap6(h, ACL_DESTINATION6, key->destination),
	};
	for (int i = ACL_SOURCE_PORT; i < ACL_KEY_FIELDS; i++)
		bitmap[i] = acl_bitmap(h, i, key->value[i]);
	return acl_first(h, bitmap);
}

/* Ports are those of TCP and UDP, which share their place. */
static inline struct acl_key acl_key(const struct ip4_hdr *ip, uint16_t len)
{
	uint16_t header = ip4_header_len(ip);
	bool ports = (ip->protocol == IPPROTO_TCP4 || ip->protocol == IPPROTO_UDP4) &&
		     !(ip->fragment & hton16(IP4_OFFSET_MASK)) && len >= header + UDP_LEN;
	struct acl_key key = {{ntoh32(ip->source), ntoh32(ip->destination), ACL_NO_PORT,
		ACL_NO_PORT, ip->protocol}};
	if (ports) {
		const struct udp_hdr *udp = (const struct udp_hdr *)((const uint8_t *)ip + header);
		key.value[ACL_SOURCE_PORT] = ntoh16(udp->source);
		key.value[ACL_DESTINATION_PORT] = ntoh16(udp->destination);
	}
	return key;
}

enum { ACL_PORTS_LEN = 4 };

/* What an ACL looks at of an IPv6 packet; false: it cannot be seen, behind too many headers or in
 * no fragment that is the first (RFC 7112 section 5). A later fragment has the protocol that it
 * says, whatever the first one had: nobody puts it together without that. */
static inline bool acl_key6(const struct ip6_hdr *ip, uint16_t len, struct acl_key6 *key)
{
	const struct ip6_upper upper = ip6_find_upper(ip, len);
	bool has_ports = upper.protocol == IPPROTO_TCP6 || upper.protocol == IPPROTO_UDP6;
	uint32_t source = ACL_NO_PORT, destination = ACL_NO_PORT;

	if (upper.place == IP6_UPPER_BEYOND)
		return false;
	if (has_ports && upper.place == IP6_UPPER_HERE) {
		const struct udp_hdr *udp =
			(const struct udp_hdr *)((const uint8_t *)ip + upper.offset);
		if (len < upper.offset + ACL_PORTS_LEN)
			return false;
		source = ntoh16(udp->source);
		destination = ntoh16(udp->destination);
	}
	*key = (struct acl_key6){
		.source = {ip6_prefix(ip->source), ip6_interface_id(ip->source)},
		.destination = {ip6_prefix(ip->destination), ip6_interface_id(ip->destination)},
		.value = {0, 0, source, destination, upper.protocol},
	};
	return true;
}

/* ACL `index_1` (index + 1), NULL: it is not there. */
static inline struct acl_head *acl_at(const struct tables *t, uint16_t index_1)
{
	uint64_t place = __atomic_load_n(&t->acl[(index_1 - 1) & (MAX_ACLS - 1)], __ATOMIC_ACQUIRE);
	return place ? (struct acl_head *)(t->acl_memory + (place >> ACL_PLACE_SHIFT)) : NULL;
}

/* What a rule says, counted; none denies. */
static inline enum acl_action acl_decide(const struct worker *w, struct acl_head *h, uint32_t rule,
	enum direction direction, uint16_t len)
{
	if (rule >= h->n_rules)
		return ACL_DENY;
	struct acl_counter *counter = acl_counter(h, w->id, direction, rule);
	counter->packets++;
	counter->bytes += len;
	return (enum acl_action)((const uint8_t *)h + h->actions)[rule];
}

/* What an ACL has to say of a key, counted; one that is not there denies. */
static inline enum acl_action acl_judge(const struct worker *w, uint16_t index_1,
	enum direction direction, const struct acl_key *key, uint16_t len)
{
	struct acl_head *h = acl_at(w->t, index_1);
	return h ? acl_decide(w, h, acl_rule(h, key), direction, len) : ACL_DENY;
}

static inline enum acl_action acl_judge6(const struct worker *w, uint16_t index_1,
	enum direction direction, const struct acl_key6 *key, uint16_t len)
{
	struct acl_head *h = acl_at(w->t, index_1);
	return h ? acl_decide(w, h, acl_rule6(h, key), direction, len) : ACL_DENY;
}

/* ... and of a packet. */
static inline enum acl_action acl_lookup(
	const struct worker *w, uint16_t index_1, enum direction direction, struct pkt *p)
{
	struct acl_key key = acl_key((const struct ip4_hdr *)pkt_data(p), p->len);
	return acl_judge(w, index_1, direction, &key, p->len);
}

#endif
