/* How many ICMP errors and Echo Replies a node sends, to all and to each source (RFC 1812 section
 * 4.3.2.8, RFC 4443 section 2.4 (f)): icmp4_error, icmp6_error, ip4_local, ip6_local. */
#ifndef BNG_NODE_ANSWER_H
#define BNG_NODE_ANSWER_H

#include <errno.h>

#include "graph.h"
#include "node/share.h"

/* State of such a node. */
struct answers {
	struct bucket all;
	struct share_table sources;
};

struct answer_limits {
	uint32_t rate, burst, source_rate, source_burst, sources;
};

static const struct answer_limits echo_limits __attribute__((unused)) = {
	ECHO_RATE, ECHO_BURST, ECHO_SOURCE_RATE, ECHO_SOURCE_BURST, ECHO_SOURCES};
static const struct answer_limits error_limits __attribute__((unused)) = {ICMP_ERROR_RATE,
	ICMP_ERROR_BURST, ICMP_ERROR_SOURCE_RATE, ICMP_ERROR_SOURCE_BURST, ICMP_ERROR_SOURCES};

/* Edges of a node where the refusals start at `first`. */
#define ANSWER_EDGES(first)                                                                        \
	[(first)] = DROP("source-share-used-up"), [(first) + 1] = DROP("rate-limited")

static inline int answers_init(
	struct worker *w, const struct node *node, const struct answer_limits *limits)
{
	struct answers *answers = share_state(sizeof(*answers), limits->sources);
	if (!answers)
		return -ENOMEM;
	share_table_init(&answers->sources, w, limits->sources);
	w->node_state[node->id] = answers;
	return 0;
}

/* 0: this source gets its answer; else the edge of the refusal. */
static inline uint16_t answer_refused(struct worker *w, const struct node *node,
	const struct answer_limits *limits, uint64_t source, uint16_t first)
{
	struct answers *answers = w->node_state[node->id];
	struct bucket *share = share_find(&answers->sources, source);
	if (!bucket_ready(share, w->now_ms, limits->source_rate, limits->source_burst))
		return first;
	bool taken = bucket_take(&answers->all, w->now_ms, limits->rate, limits->burst);
	if (taken)
		bucket_spend(share);
	return taken ? 0 : (uint16_t)(first + 1);
}

#endif
