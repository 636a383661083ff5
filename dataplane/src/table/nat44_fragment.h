/*
 * What NAT44 remembers of datagrams that come in fragments, for only the first fragment has ports
 * (RFC 4787 REQ-14): to the subscriber, where the first one went; from him, which id they got.
 * Tables of fixed size, a worker's own. An entry costs a datagram when it is lost, no more, so the
 * oldest makes room for a new one.
 */
#ifndef BNG_NAT44_FRAGMENT_H
#define BNG_NAT44_FRAGMENT_H

#include <stdint.h>

#include "hdr/ip4.h"
#include "worker.h"

enum {
	NAT44_DATAGRAMS = 16384,   /* remembered, of each table; power of two */
	NAT44_DATAGRAM_MS = 15000, /* the time that RFC 791 section 3.2 gives reassembly: no host
				      that waits no longer misses a fragment */
};

/* What fragments of one datagram have in common (RFC 791 section 2.3). */
struct nat44_datagram_key {
	be32 source, destination;
	be16 id;
	uint8_t protocol;
};

struct nat44_datagram {
	struct nat44_datagram_key key;
	uint32_t since_ms;
	uint32_t session, generation; /* inbound: whose it is */
	be16 outer_id;		      /* outbound */
	uint8_t used;
};

struct nat44_datagrams {
	struct nat44_datagram entry[NAT44_DATAGRAMS];
};

static inline struct nat44_datagram_key nat44_datagram_key(
	const struct ip4_hdr *ip, be32 source, be32 destination)
{
	return (struct nat44_datagram_key){source, destination, ip->id, ip->protocol};
}

static inline bool nat44_same_datagram(
	const struct nat44_datagram_key *a, const struct nat44_datagram_key *b)
{
	return a->source == b->source && a->destination == b->destination && a->id == b->id &&
	       a->protocol == b->protocol;
}

/* Keyed: nobody outside can aim at a place. */
uint64_t nat44_datagram_hash(const struct worker *w, const struct nat44_datagram_key *key);
/* The entry of a datagram, or NULL. */
struct nat44_datagram *nat44_datagram_find(const struct worker *w, struct nat44_datagrams *table,
	const struct nat44_datagram_key *key);
/* Its entry, fresh, whatever stood there before. */
struct nat44_datagram *nat44_datagram_enter(const struct worker *w, struct nat44_datagrams *table,
	const struct nat44_datagram_key *key);

/*
 * Ids of fragments to the outside. Subscribers behind one address choose theirs without knowing of
 * each other: whoever rewrites addresses answers for ids that no two datagrams share (RFC 6864
 * section 5.3.1). Each datagram gets one from a counter that all with its addresses and protocol
 * count up.
 */
struct nat44_sent {
	struct nat44_datagrams datagrams;
	uint16_t counter[4096];
};

/* NULL: no memory. */
struct nat44_sent *nat44_sent_create(struct worker *w);
/* Gives a fragment of the subscriber at `inner`, translated already, the id of its datagram. */
void nat44_sent_rename(
	const struct worker *w, struct nat44_sent *sent, struct ip4_hdr *ip, be32 inner);

#endif
