/*
 * What the mirror's parts share: mirror.c (life, commands, time), mirror_dump.c (dumps, sweeps),
 * mirror_kernel.c (links, addresses), mirror_neighbour.c, mirror_route.c, mirror_nexthop.c.
 */
#ifndef BNG_MIRROR_STATE_H
#define BNG_MIRROR_STATE_H

#include "mirror.h"
#include "netlink.h"
#include "table/adjacency.h"
#include "table/fib4.h"
#include "table/fib6.h"
#include "table/rib.h"

enum { PRIORITY_GATEWAY = 1u << 30, PRIORITY_NAT_POOL }; /* after the kernel's own addresses */

/* A place that packets go to. */
struct target {
	enum adjacency_kind kind;
	uint8_t port;
	struct ip6_words address;
};

/* Where a route leads: one place, or several that share its flows. */
struct targets {
	struct target hop[GROUP_SLOTS];
	uint32_t weight[GROUP_SLOTS];
	uint32_t n;
};

enum { NEXTHOP_BUCKETS = 1024, MET_SIZE = 4096 };

struct nexthop;

/* Nexthop objects by their number. */
struct nexthops {
	struct nexthop *entry; /* [size] */
	uint32_t size;
	uint32_t high; /* all ever used are below */
	uint32_t free;
	uint32_t n;
	uint32_t bucket[NEXTHOP_BUCKETS];
};

/* The order in which the kernel is asked for what it has. */
enum dump_stage {
	DUMP_LINKS,
	DUMP_ADDRESSES,
	DUMP_NEXTHOPS,
	DUMP_NEIGHBOURS,
	DUMP_ROUTES,
	DUMP_ROUTES6,
	N_DUMPS
};

/* What has to be dumped, and swept: stages. */
enum {
	RESYNC_ROUTES = 1 << DUMP_ROUTES,
	RESYNC_ROUTES6 = 1 << DUMP_ROUTES6,
	RESYNC_ALL = (1 << N_DUMPS) - 1,
};

static inline unsigned resync_routes(unsigned family)
{
	return family == AF_INET6 ? RESYNC_ROUTES6 : RESYNC_ROUTES;
}

/* A dump goes on for many turns of the control thread. */
struct dump {
	bool running;
	bool asked;	 /* the kernel, for this stage */
	bool sweeping;	 /* all is shown: what was not goes */
	unsigned stages; /* those that it has: a bit each */
	enum dump_stage stage;
	uint32_t tries;
	uint32_t messages; /* so far */
	uint64_t begin_ns;
	uint64_t spent_ns; /* of CPU, in slices */
	uint64_t not_before_ns;
};

struct mirror {
	const struct tables *t;
	struct mirror_shared *shared;
	uint32_t n_ports;
	struct fib *fib; /* of IPv4 */
	struct fib *fib6;
	struct adjacencies *adjacencies;
	struct rib *rib;
	struct rib *rib6;
	struct nexthops nexthops;
	bool with_kernel;
	struct netlink netlink;
	struct dump dump;
	uint32_t dump_failures;
	unsigned resync;	/* stages to dump, and sweep */
	bool unread;		/* events may be waiting */
	bool scan;		/* ask mirror_goes() of all routes, from scan_at on */
	bool scan6;		/* ... in the IPv6 RIB, after the other one */
	uint32_t scan_at;	/* ... there */
	uint32_t loopback;	/* ifindex */
	bool usable[MAX_PORTS]; /* routed ports: the TAP twin is up and has a carrier */
	bool ask_now;		/* at the next tick: resolve gateways that are not */
	uint32_t ticks;
	uint64_t now_ms;	     /* at the last tick */
	uint32_t addresses;	     /* ever seen: the oldest is first */
	uint32_t resolves_left[2];   /* for packets: to strangers, to neighbours that it has met */
	uint32_t met[MET_SIZE];	     /* hashes of neighbours, by their lower bits */
	uint64_t epoch[MAX_WORKERS]; /* at the last reclaim */
	uint64_t told_no_memory;     /* on stderr */
	uint64_t told_unsupported;
	uint64_t unsupported[2]; /* of IPv4, of IPv6 */
	uint64_t told_waiting;
};

/* ---- mirror.c ---- */

/* Something was left out for want of memory or adjacencies. */
void mirror_no_memory(struct mirror *m);

/* ---- mirror_command.c ---- */

/* The route to a public address, which leads to its entry in the NAT table. Idempotent. */
int mirror_nat_route(struct mirror *m, be32 address, uint32_t index, bool on);
/* Prefixes that are never forwarded. */
int mirror_install6(struct mirror *m);

/* ---- mirror_dump.c ---- */

/* Routes are gone, with a link or a nexthop object, or wait for room: look at all of them. */
void mirror_scan(struct mirror *m);
/* Reads all that is waiting of links, addresses, nexthop objects and neighbours. */
void mirror_catch_up(struct mirror *m);

/* ---- mirror_kernel.c ---- */

/* One message: a part of a dump, or an event. Any bytes are safe. */
int mirror_kernel_message(const struct nlmsghdr *nlh, void *mirror);
/* Attributes of a message by type, those above `max` left out. Fills table[max + 1]. */
void mirror_attributes(
	const struct nlmsghdr *nlh, uint32_t header, const struct nlattr **table, uint16_t max);
/* The attribute's number, 0 when it is missing or too short. */
uint32_t mirror_u32(const struct nlattr *attr);
/* The attribute's address, of this family; NO_ADDRESS when it is missing or too short. */
struct ip6_words mirror_address(const struct nlattr *attr, unsigned family);
/* As the RIB has it: IPv4 in the lower 32 bits. */
struct ip6_words mirror_prefix(struct ip6_words address, unsigned family);
/* The routed port whose TAP twin this device is, or ADJACENCY_NO_PORT. */
uint8_t mirror_routed(const struct mirror *m, uint32_t ifindex);

/* What the kernel says of a family that is ours to route, or NULL. */
struct rib *mirror_rib(const struct mirror *m, unsigned family);
struct rib_key mirror_host_key(
	struct ip6_words address, unsigned family, enum fib_source source, uint32_t priority);
bool mirror_is_link_local(struct ip6_words address);

/* ---- mirror_neighbour.c ---- */

void mirror_neighbour_message(struct mirror *m, const struct nlmsghdr *nlh);
/* The kernel knows this neighbour no more. True: it is needed, keeps its MAC and is asked for; else
 * its route may go. */
bool mirror_hold(struct mirror *m, uint32_t adjacency);
/* Every 100 ms. Asks for next hops that are not resolved, or may not be there any more. */
void mirror_keep_resolved(struct mirror *m, bool gateways);

/* ---- mirror_route.c ---- */

void mirror_route_message(struct mirror *m, const struct nlmsghdr *nlh);
/* The adjacency of a place, with a reference; ADJACENCY_NONE: no room. */
uint32_t mirror_adjacency(struct mirror *m, const struct target *to);
/* Sixteen slots for up to sixteen places, by weight, each with a reference. Slots of `old`, unless
 * NULL, stay as they are where they can. False: no room. */
bool mirror_slots(struct mirror *m, const struct targets *to, const uint16_t old[GROUP_SLOTS],
	uint16_t slot[GROUP_SLOTS]);

/* ---- mirror_nexthop.c ---- */

void mirror_nexthops_init(struct nexthops *n);
void mirror_nexthops_free(struct nexthops *n);
void mirror_nexthop_message(struct mirror *m, const struct nlmsghdr *nlh);
bool mirror_nexthop_known(struct mirror *m, uint32_t number);
/* The adjacency of an object, no reference added. ADJACENCY_NONE: there is none, or it leads
 * elsewhere. */
uint32_t mirror_nexthop_adjacency(struct mirror *m, uint32_t number);
/* It leads over our ports, or would, were it not encapsulated. */
bool mirror_nexthop_unsupported(struct mirror *m, uint32_t number);
/* The kernel forgets the objects of a link that goes down, without a word. */
void mirror_nexthops_port_lost(struct mirror *m, uint8_t port);
/* As those of the RIB: a dump begins, it has shown all. */
void mirror_nexthops_begin(struct mirror *m);
void mirror_nexthops_sweep(struct mirror *m);

#endif
