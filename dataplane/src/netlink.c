/* The mirror's sockets and requests; see netlink.h. */
#include "netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

enum {
	EVENT_BUFFER = 32 << 20, /* of which the kernel makes twice as much: 80,000 routes, or
				    50,000 of IPv6 */
	MESSAGE_SIZE = 32768,

	EVENTS_MAX = 1024, /* read at once: 2 ms */
	REQUEST_SIZE = 256,
};

uint64_t netlink_cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct mnl_socket *open_socket(int flags)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags);
	if (nl && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(nl);
		return NULL;
	}
	return nl;
}

static int subscribe(struct mnl_socket *nl, const int *groups, size_t n)
{
	int buffer = EVENT_BUFFER;
	(void)setsockopt(
		mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	for (size_t i = 0; i < n; i++) {
		int group = groups[i];
		if (mnl_socket_setsockopt(nl, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return -errno;
	}
	return 0;
}

int netlink_open(struct netlink *n)
{
	static const int groups[] = {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR,
		RTNLGRP_IPV6_IFADDR, RTNLGRP_NEXTHOP};
	static const int route_group = RTNLGRP_IPV4_ROUTE, route6_group = RTNLGRP_IPV6_ROUTE;
	*n = (struct netlink){.events = open_socket(SOCK_NONBLOCK),
		.routes = open_socket(SOCK_NONBLOCK),
		.routes6 = open_socket(SOCK_NONBLOCK),
		.dumps = open_socket(0),
		.orders = open_socket(SOCK_NONBLOCK)};
	int status = n->events && n->routes && n->routes6 && n->dumps && n->orders ? 0 : -errno;
	if (!status)
		status = subscribe(n->events, groups, sizeof(groups) / sizeof(*groups));
	if (!status)
		status = subscribe(n->routes, &route_group, 1);
	if (!status)
		status = subscribe(n->routes6, &route6_group, 1);
	if (status)
		netlink_close(n);
	return status;
}

void netlink_close(struct netlink *n)
{
	struct mnl_socket *all[] = {n->events, n->routes, n->routes6, n->dumps, n->orders};
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (all[i])
			mnl_socket_close(all[i]);
	*n = (struct netlink){0};
}

/* One buffer of a dump; what is left of an older one is passed over. True: this was the end. */
static bool dump_part(struct netlink *n, const char *answer, int len, mnl_cb_t callback,
	void *context, int *status)
{
	const struct nlmsghdr *nlh = (const void *)answer;
	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		if (nlh->nlmsg_seq != n->sequence)
			continue;
		if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
			n->interrupted = true;
		if (nlh->nlmsg_type == NLMSG_DONE)
			return true;
		if (nlh->nlmsg_type == NLMSG_ERROR) {
			*status = ((const struct nlmsgerr *)mnl_nlmsg_get_payload(nlh))->error;
			return true;
		}
		(void)callback(nlh, context);
	}
	return false;
}

int netlink_dump(struct netlink *n, uint16_t type, uint8_t family)
{
	char request[REQUEST_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = ++n->sequence;
	n->interrupted = false;
	if (type == RTM_GETNEXTHOP) /* strict about its header */
		mnl_nlmsg_put_extra_header(nlh, sizeof(struct nhmsg));
	else
		mnl_nlmsg_put_extra_header(nlh, sizeof(struct rtgenmsg));
	((struct rtgenmsg *)mnl_nlmsg_get_payload(nlh))->rtgen_family = family;
	uint64_t begin = netlink_cpu_ns();
	ssize_t sent = mnl_socket_sendto(n->dumps, nlh, nlh->nlmsg_len);
	n->dump_ns += netlink_cpu_ns() - begin;
	return sent < 0 ? -errno : 0;
}

int netlink_dump_read(struct netlink *n, mnl_cb_t callback, void *context)
{
	static char answer[MESSAGE_SIZE]; /* one thread */
	int status = 0;
	uint64_t begin = netlink_cpu_ns();
	ssize_t len = mnl_socket_recvfrom(n->dumps, answer, sizeof(answer));
	n->dump_ns += netlink_cpu_ns() - begin;
	if (len < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (!dump_part(n, answer, (int)len, callback, context, &status))
		return -EAGAIN;
	return status ? status : n->interrupted ? -EINTR : 0;
}

int netlink_receive(struct mnl_socket *from, mnl_cb_t callback, void *context)
{
	char bytes[MESSAGE_SIZE];
	int status = -EAGAIN;
	for (int i = 0; i < EVENTS_MAX; i++) {
		ssize_t n_bytes = mnl_socket_recvfrom(from, bytes, sizeof(bytes));
		if (n_bytes < 0 && errno != ENOBUFS && errno != ENOSPC && errno != EINTR)
			return status == -EAGAIN ? 0 : status;
		if (n_bytes < 0 && errno != EINTR)
			status = -ENOBUFS;
		int len = n_bytes < 0 ? 0 : (int)n_bytes;
		const struct nlmsghdr *nlh = (const void *)bytes;
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			(void)callback(nlh, context);
	}
	return status;
}

/* Its answer is not read: what comes of it is seen as an event. */
static void order(struct netlink *n, const struct nlmsghdr *nlh)
{
	if (n->orders)
		(void)mnl_socket_sendto(n->orders, nlh, nlh->nlmsg_len);
}

void netlink_resolve(struct netlink *n, uint32_t ifindex, struct ip6_words address)
{
	be32 ip4 = ip4_of(address);
	uint8_t ip6[16];
	char request[REQUEST_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	nlh->nlmsg_type = RTM_NEWNEIGH;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE;
	struct ndmsg *nd = mnl_nlmsg_put_extra_header(nlh, sizeof(*nd));
	nd->ndm_family = ip4 ? AF_INET : AF_INET6;
	nd->ndm_ifindex = (int)ifindex;
	nd->ndm_flags = NTF_USE;
	ip6_bytes(address, ip6);
	if (ip4)
		mnl_attr_put_u32(nlh, NDA_DST, ip4);
	else
		mnl_attr_put(nlh, NDA_DST, sizeof(ip6), ip6);
	order(n, nlh);
}

void netlink_set_carrier(struct netlink *n, uint32_t ifindex, uint8_t carrier)
{
	char request[REQUEST_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	nlh->nlmsg_type = RTM_NEWLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = (int)ifindex;
	mnl_attr_put_u8(nlh, IFLA_CARRIER, carrier);
	order(n, nlh);
}
