/*
 * Packet trace: marked packets leave a record at each node. No node knows of it: the graph looks at
 * a vector before and after the node. When no trace is on, that is one test for each vector.
 */
#ifndef BNG_TRACE_H
#define BNG_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane.h"
#include "pkt.h"

struct worker;
struct trace;

struct trace *trace_create(void);
/* CMD_TRACE: 0, -EINVAL, or -ESTALE for a session that is another's by now. */
int trace_command(struct worker *w, const struct command *c);
/* graph_process() with records of the marked packets; marks those that enter by this node. */
void trace_process(struct worker *w, uint16_t id, struct pkt **pkts, uint16_t n);

enum { TRACE_IP6_LEN = 32 };

/* What a filter looks at: addresses and ports of an IP packet. */
struct trace_tuple {
	bool is_ip6;
	uint8_t ip6[TRACE_IP6_LEN]; /* source and destination of IPv6 */
	be32 source, destination;
	be16 source_port;      /* or ICMP identifier of a query, 0 where there is none */
	be16 destination_port; /* ICMP: type and code */
	uint8_t protocol;
	uint8_t ttl;
};

/* Reads the IP header that the bytes start with, or that is in the frame which they are; false
 * when there is none. */
bool trace_read(const uint8_t *bytes, uint16_t len, struct trace_tuple *tuple);
/* Does a packet fit that enters by ethernet_input, or, with `injected`, by inject? */
bool trace_fits(const struct worker *w, const struct trace_filter *filter, uint32_t session,
	struct pkt *p, bool injected);
/* How many bytes of a packet may be kept: of PAP none of the password (RFC 1334 section 2.2.1). */
uint16_t trace_keep(const uint8_t *bytes, uint16_t len);
/* The filter says more than which session. */
bool trace_is_narrow(const struct trace_filter *filter);

#endif
