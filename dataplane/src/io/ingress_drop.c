/* The ingress drop, as one nf_tables transaction over libmnl; see ingress_drop.h. */
#include "ingress_drop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

enum { PRIORITY = -500, BATCH_SIZE = 4096 };

struct batch {
	char bytes[BATCH_SIZE];
	size_t used;
	char table[32];
};

static struct nlmsghdr *add(
	struct batch *b, uint16_t type, uint16_t flags, uint8_t family, uint16_t resource)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(b->bytes + b->used);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(resource);
	return nlh;
}

static void finish(struct batch *b, const struct nlmsghdr *nlh)
{
	b->used += (nlh->nlmsg_len + 3u) & ~3u;
}

static void begin(struct batch *b, const char *device)
{
	b->used = 0;
	snprintf(b->table, sizeof(b->table), "bng-%s", device);
	finish(b, add(b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

static void add_table(struct batch *b, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh =
		add(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, NFPROTO_NETDEV, 0);
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, b->table);
	finish(b, nlh);
}

static void add_chain(struct batch *b, const char *device)
{
	struct nlmsghdr *nlh = add(b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN,
		NLM_F_CREATE | NLM_F_ACK, NFPROTO_NETDEV, 0);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, b->table);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, "ingress");
	struct nlattr *hook = mnl_attr_nest_start(nlh, NFTA_CHAIN_HOOK);
	mnl_attr_put_u32(nlh, NFTA_HOOK_HOOKNUM, htonl(NF_NETDEV_INGRESS));
	mnl_attr_put_u32(nlh, NFTA_HOOK_PRIORITY, htonl((uint32_t)PRIORITY));
	mnl_attr_put_strz(nlh, NFTA_HOOK_DEV, device);
	mnl_attr_nest_end(nlh, hook);
	mnl_attr_put_u32(nlh, NFTA_CHAIN_POLICY, htonl(NF_DROP));
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TYPE, "filter");
	finish(b, nlh);
}

/* Sends it; the one message with NLM_F_ACK answers for all, unless another fails. */
static int commit(struct batch *b)
{
	finish(b, add(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!nl)
		return -errno;
	char answer[BATCH_SIZE];
	int status = 0;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
		mnl_socket_sendto(nl, b->bytes, b->used) < 0) {
		status = -errno;
		goto out;
	}
	ssize_t len = mnl_socket_recvfrom(nl, answer, sizeof(answer));
	const struct nlmsghdr *nlh = (const void *)answer;
	if (len < 0)
		status = -errno;
	else if (!mnl_nlmsg_ok(nlh, (int)len) || nlh->nlmsg_type != NLMSG_ERROR)
		status = -EPROTO;
	else
		status = ((const struct nlmsgerr *)mnl_nlmsg_get_payload(nlh))->error;
out:
	mnl_socket_close(nl);
	return status;
}

int ingress_drop_install(const char *device)
{
	struct batch b;
	begin(&b, device);
	add_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	add_table(&b, NFT_MSG_DELTABLE, 0);
	add_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	add_chain(&b, device);
	return commit(&b);
}

int ingress_drop_remove(const char *device)
{
	struct batch b;
	begin(&b, device);
	add_table(&b, NFT_MSG_DELTABLE, NLM_F_ACK);
	int status = commit(&b);
	return status == -ENOENT ? 0 : status;
}
