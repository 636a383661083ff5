/*
 * A packet to an address of the box, in ip4_local and ip6_local: from a routed port to an address
 * of the kernel the whole frame goes to the TAP twin. From a subscriber, or to a gateway address,
 * only Echo Requests are answered, policed.
 */
#ifndef BNG_NODE_LOCAL_H
#define BNG_NODE_LOCAL_H

#include "hdr/ethernet.h"
#include "node/answer.h"
#include "table/leaf.h"
#include "worker.h"

enum {
	EDGE_TWIN_OUTPUT,
	EDGE_LOOKUP,
	EDGE_OWN_ERROR,
	EDGE_NOT_ECHO,
	EDGE_CHECKSUM_WRONG,
	EDGE_REFUSED, /* by answer_refused() */
	LOCAL_EDGES = EDGE_REFUSED + 2,
};

#define LOCAL_EDGES_OF(lookup)                                                                     \
	[EDGE_TWIN_OUTPUT] = {.next = "twin_output"}, [EDGE_LOOKUP] = {.next = (lookup)},          \
	[EDGE_OWN_ERROR] = DROP("own-error"), [EDGE_NOT_ECHO] = DROP("not-echo-request"),          \
	[EDGE_CHECKSUM_WRONG] = DROP("echo-checksum-wrong"), ANSWER_EDGES(EDGE_REFUSED)

/* Answers, or says by its edge why not. */
typedef uint16_t local_echo(struct worker *w, struct pkt *p);

static inline uint16_t local(struct worker *w, struct pkt *p, local_echo *echo)
{
	const struct adjacency *adjacency = &w->t->adjacency[leaf_index(p->leaf)];
	if (p->flags & PKT_ICMP_MADE) /* its source was forged as one of our addresses */
		return EDGE_OWN_ERROR;
	if (p->flags & PKT_FROM_SESSION || adjacency->kind != ADJ_LOCAL)
		return echo(w, p);
	pkt_push(p, ETH_LEN); /* still there, without tags */
	return EDGE_TWIN_OUTPUT;
}

#endif
