/* rtnetlink for the mirror: one socket for events, one for dumps, one for orders without answer. */
#ifndef BNG_NETLINK_H
#define BNG_NETLINK_H

#include <stdint.h>

#include <libmnl/libmnl.h>

struct netlink {
	struct mnl_socket *events;
	struct mnl_socket *dumps;
	struct mnl_socket *orders;
	uint32_t sequence;
};

/* Subscribes to links, neighbours, IPv4 addresses, routes and nexthop objects. Returns 0 or -errno.
 */
int netlink_open(struct netlink *n);
void netlink_close(struct netlink *n);
/* All objects of a type (RTM_GET*); the callback returns MNL_CB_OK. A dump that changed under way
 * is repeated. Returns 0 or -errno. */
int netlink_dump(
	struct netlink *n, uint16_t type, uint8_t family, mnl_cb_t callback, void *context);
/* All events that are waiting. Returns 0, or -ENOBUFS: some are lost. */
int netlink_receive(struct netlink *n, mnl_cb_t callback, void *context);
/* Has the kernel use, and so resolve, a neighbour (address in network order). */
void netlink_resolve(struct netlink *n, uint32_t ifindex, uint32_t address);
void netlink_set_carrier(struct netlink *n, uint32_t ifindex, uint8_t carrier);

#endif
