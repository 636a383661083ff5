/* rtnetlink for the mirror: sockets for events, those of routes apart, of each family, for dumps,
 * and for orders without answer. */
#ifndef BNG_NETLINK_H
#define BNG_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

#include "table/address.h"

struct netlink {
	struct mnl_socket *events;
	struct mnl_socket *routes;
	struct mnl_socket *routes6;
	struct mnl_socket *dumps;
	struct mnl_socket *orders;
	uint32_t sequence;
	bool interrupted; /* the dump under way */
	uint64_t dump_ns; /* of CPU, spent in the kernel for dumps */
};

uint64_t netlink_cpu_ns(void); /* CPU time of this thread */
/* Subscribes to links, neighbours, addresses, routes and nexthop objects. Returns 0 or -errno.
 */
int netlink_open(struct netlink *n);
void netlink_close(struct netlink *n);
/* Asks for all objects of a type (RTM_GET*). Returns 0 or -errno. */
int netlink_dump(struct netlink *n, uint16_t type, uint8_t family);
/* One buffer of the answer; the callback returns MNL_CB_OK. Returns -EAGAIN: there is more; 0: that
 * was all; -EINTR: that was all, but it changed under way; or another -errno. */
int netlink_dump_read(struct netlink *n, mnl_cb_t callback, void *context);
/* Events that are waiting, a bounded number. Returns 0: that were all; -EAGAIN: there may be more;
 * -ENOBUFS: the same, and some are lost. */
int netlink_receive(struct mnl_socket *from, mnl_cb_t callback, void *context);
/* Has the kernel use, and so resolve, a neighbour of either family. */
void netlink_resolve(struct netlink *n, uint32_t ifindex, struct ip6_words address);
void netlink_set_carrier(struct netlink *n, uint32_t ifindex, uint8_t carrier);

#endif
