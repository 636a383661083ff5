/*
 * What the control thread knows of the kernel: links, addresses, neighbours and routes of the TAP
 * twins, followed over rtnetlink into FIB and adjacencies; and bngd's session routes and gateways,
 * which go into the same FIB. One writer, one thread.
 */
#ifndef BNG_MIRROR_H
#define BNG_MIRROR_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane.h"
#include "driver.h"
#include "worker.h"

enum { RTPROT_BNG = 200 }; /* rtm_protocol of the routes that we export: not mirrored */

struct mirror;

struct session_reserve {
	uint32_t fib4_pages;
	uint32_t fib6_nodes;
};

/* Dumps the kernel's state, installs the NAT pool addresses of t. NULL with a line on stderr. With
 * no netlink (embedded mode: with_kernel false) only commands feed the FIBs. `reserve` of them is
 * for sessions alone. */
struct mirror *mirror_create(
	const struct tables *t, struct session_reserve reserve, bool with_kernel);
void mirror_destroy(struct mirror *m);
enum { MIRROR_FDS = 3 };
/* i < MIRROR_FDS; readable: call mirror_receive. -1 without kernel. */
int mirror_fd(const struct mirror *m, unsigned i);
void mirror_receive(struct mirror *m);
/* There is work to do at once: a dump, a sweep. mirror_work() does a slice of it, 2 ms. */
bool mirror_busy(const struct mirror *m);
void mirror_work(struct mirror *m);
/* CMD_ROUTE4_*, CMD_GATEWAY4_*, CMD_ROUTE6_* and their like. Returns 0 or -errno for the
 * completion. */
int mirror_command(struct mirror *m, const struct command *c);
/* A worker met a glean adjacency: have the kernel resolve it (RTM_NEWNEIGH, NTF_USE), as far as the
 * rate for that goes; the next hop of a route always. */
void mirror_resolve(struct mirror *m, uint8_t port, struct ip6_words address);
/* Every 100 ms: keeps next hops in use resolved, reclaims FIB pages once every worker has passed a
 * vector boundary. */
void mirror_tick(struct mirror *m, uint64_t now_ms);

#endif
