/* The mirror's sockets and requests; see netlink.h. */
#include "netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

enum { EVENT_BUFFER = 8 << 20, MESSAGE_SIZE = 32768, REQUEST_SIZE = 256, DUMP_TRIES = 8 };

static struct mnl_socket *open_socket(int flags)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags);
	if (nl && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(nl);
		return NULL;
	}
	return nl;
}

static int subscribe(struct mnl_socket *nl)
{
	static const int groups[] = {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR,
		RTNLGRP_IPV4_ROUTE, RTNLGRP_NEXTHOP};
	int buffer = EVENT_BUFFER;
	(void)setsockopt(
		mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		int group = groups[i];
		if (mnl_socket_setsockopt(nl, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return -errno;
	}
	return 0;
}

int netlink_open(struct netlink *n)
{
	*n = (struct netlink){.events = open_socket(SOCK_NONBLOCK),
		.dumps = open_socket(0),
		.orders = open_socket(SOCK_NONBLOCK)};
	int status = n->events && n->dumps && n->orders ? subscribe(n->events) : -errno;
	if (status)
		netlink_close(n);
	return status;
}

void netlink_close(struct netlink *n)
{
	struct mnl_socket *all[] = {n->events, n->dumps, n->orders};
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (all[i])
			mnl_socket_close(all[i]);
	*n = (struct netlink){0};
}

/* One buffer of a dump; what is left of an older one is passed over. True: this was the end. */
static bool dump_part(const struct netlink *n, const char *answer, int len, mnl_cb_t callback,
	void *context, int *status)
{
	const struct nlmsghdr *nlh = (const void *)answer;
	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		if (nlh->nlmsg_seq != n->sequence)
			continue;
		if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
			*status = -EINTR;
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

static int dump_once(
	struct netlink *n, uint16_t type, uint8_t family, mnl_cb_t callback, void *context)
{
	char request[REQUEST_SIZE], answer[MESSAGE_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = ++n->sequence;
	struct rtgenmsg *gen = mnl_nlmsg_put_extra_header(nlh, sizeof(*gen));
	gen->rtgen_family = family;
	if (mnl_socket_sendto(n->dumps, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	for (int status = 0;;) {
		ssize_t len = mnl_socket_recvfrom(n->dumps, answer, sizeof(answer));
		if (len < 0)
			return -errno;
		if (dump_part(n, answer, (int)len, callback, context, &status))
			return status;
	}
}

int netlink_dump(struct netlink *n, uint16_t type, uint8_t family, mnl_cb_t callback, void *context)
{
	int status = -EINTR;
	for (int i = 0; i < DUMP_TRIES && status == -EINTR; i++)
		status = dump_once(n, type, family, callback, context);
	return status;
}

int netlink_receive(struct netlink *n, mnl_cb_t callback, void *context)
{
	char bytes[MESSAGE_SIZE];
	int status = 0;
	for (;;) {
		ssize_t n_bytes = mnl_socket_recvfrom(n->events, bytes, sizeof(bytes));
		if (n_bytes < 0 && errno != ENOBUFS && errno != ENOSPC && errno != EINTR)
			return status; /* EAGAIN: that was all */
		if (n_bytes < 0 && errno != EINTR)
			status = -ENOBUFS;
		int len = n_bytes < 0 ? 0 : (int)n_bytes;
		const struct nlmsghdr *nlh = (const void *)bytes;
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			(void)callback(nlh, context);
	}
}

/* Its answer is not read: what comes of it is seen as an event. */
static void order(struct netlink *n, const struct nlmsghdr *nlh)
{
	if (n->orders)
		(void)mnl_socket_sendto(n->orders, nlh, nlh->nlmsg_len);
}

void netlink_resolve(struct netlink *n, uint32_t ifindex, uint32_t address)
{
	char request[REQUEST_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	nlh->nlmsg_type = RTM_NEWNEIGH;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE;
	struct ndmsg *nd = mnl_nlmsg_put_extra_header(nlh, sizeof(*nd));
	nd->ndm_family = AF_INET;
	nd->ndm_ifindex = (int)ifindex;
	nd->ndm_flags = NTF_USE;
	mnl_attr_put_u32(nlh, NDA_DST, address);
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
