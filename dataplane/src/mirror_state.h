/* What the mirror's two halves share: mirror.c (commands, timers), mirror_kernel.c (messages). */
#ifndef BNG_MIRROR_STATE_H
#define BNG_MIRROR_STATE_H

#include "mirror.h"
#include "netlink.h"
#include "table/adjacency.h"
#include "table/fib4.h"
#include "table/rib.h"

enum { PRIORITY_GATEWAY = 1u << 30, PRIORITY_NAT_POOL }; /* after the kernel's own addresses */

struct mirror {
	const struct tables *t;
	uint32_t n_ports;
	struct fib4 *fib;
	struct adjacencies *adjacencies;
	struct rib *rib;
	bool with_kernel;
	struct netlink netlink;
	uint32_t loopback;	/* ifindex */
	bool usable[MAX_PORTS]; /* routed ports: the TAP twin is up and has a carrier */
	bool resync;		/* at the next tick: dump all, sweep */
	bool ask_now;		/* ... and resolve gateways that are not */
	uint32_t dumped;	/* messages of the dump */
	uint32_t ticks;
	uint64_t epoch[MAX_WORKERS]; /* at the last reclaim */
	uint32_t refused;	     /* installs that failed, not yet told */
	int refused_status;
};

/* One message: a part of a dump, or an event. Any bytes are safe. */
int mirror_kernel_message(const struct nlmsghdr *nlh, void *mirror);
/* An install failed; told on stderr once a second, however many they are. */
void mirror_refused(struct mirror *m, int status);

#endif
