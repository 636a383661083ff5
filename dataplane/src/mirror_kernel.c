/*
 * rtnetlink messages into routes. Only what stands on a TAP twin counts (and, for addresses of the
 * box, on the loopback). The kernel tells nothing of routes that go with a link or an address: the
 * link's are dropped here, and a lost address asks for a new dump.
 */
#include "mirror_state.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "hdr/byteorder.h"

enum { NUD_USABLE = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT };

/* Where a message leads. */
struct target {
	enum adjacency_kind kind;
	uint8_t port;
	be32 address;
};

/* Where a route leads: one place, or several that share its flows. */
struct targets {
	struct target hop[GROUP_SLOTS];
	uint32_t weight[GROUP_SLOTS];
	uint32_t n;
};

/* Attributes of a message by type, those above `max` left out. Fills table[max + 1]. */
static void get_attributes(
	const struct nlmsghdr *nlh, uint32_t header, const struct nlattr **table, uint16_t max)
{
	memset(table, 0, (max + 1u) * sizeof(*table));
	if (mnl_nlmsg_get_payload_len(nlh) < header)
		return;
	const char *end = mnl_nlmsg_get_payload_tail(nlh);
	const struct nlattr *attr = mnl_nlmsg_get_payload_offset(nlh, header);
	for (; mnl_attr_ok(attr, (int)(end - (const char *)attr)); attr = mnl_attr_next(attr)) {
		uint16_t type = mnl_attr_get_type(attr);
		if (type <= max)
			table[type] = attr;
	}
}

static uint32_t get_u32(const struct nlattr *attr)
{
	return attr && mnl_attr_get_payload_len(attr) >= 4 ? mnl_attr_get_u32(attr) : 0;
}

static struct rib_key host_key(be32 address, enum fib_source source, uint32_t priority)
{
	return (struct rib_key){
		.prefix = ntoh32(address), .length = 32, .source = source, .priority = priority};
}

/* Index of the port with this device, or ADJACENCY_NO_PORT. */
static uint8_t port_of(const struct mirror *m, uint32_t ifindex)
{
	for (uint32_t i = 0; i < m->n_ports && ifindex; i++)
		if (m->t->port[i].ifindex == ifindex)
			return (uint8_t)i;
	return ADJACENCY_NO_PORT;
}

/* The routed port whose TAP twin this device is, or ADJACENCY_NO_PORT. */
static uint8_t routed_of(const struct mirror *m, uint32_t ifindex)
{
	uint8_t port = port_of(m, ifindex);
	if (port == ADJACENCY_NO_PORT || m->t->port[port].role != PORT_TAP_TWIN)
		return ADJACENCY_NO_PORT;
	return (uint8_t)m->t->port[port].twin;
}

static uint32_t get_adjacency(struct mirror *m, const struct target *to)
{
	uint16_t mtu = to->port == ADJACENCY_NO_PORT ? 0 : m->t->port[to->port].mtu;
	return adjacency_get(m->adjacencies, to->kind, to->port, to->address, 0, mtu);
}

static void add_adjacency(struct mirror *m, const struct rib_key *key, uint32_t id)
{
	int status = rib_add(m->rib, key, id, true);
	if (status)
		mirror_refused(m, status);
}

/* Gives the adjacency's reference back. False: the route was not there. */
static bool del_adjacency(struct mirror *m, const struct rib_key *key, uint32_t id)
{
	if (id == ADJACENCY_NONE)
		return false;
	bool found = rib_del(m->rib, key, id);
	adjacency_put(m->adjacencies, id);
	return found;
}

/* ---- links ---- */

static void set_port_flags(const struct mirror *m, uint8_t port, bool up)
{
	__atomic_store_n(&m->t->port[port].flags, up ? PORT_UP : 0, __ATOMIC_RELAXED);
}

static void tap_link(struct mirror *m, uint8_t tap, unsigned flags)
{
	uint8_t routed = (uint8_t)m->t->port[tap].twin;
	bool usable = flags & IFF_UP && flags & IFF_RUNNING;
	set_port_flags(m, tap, flags & IFF_UP);
	if (usable == m->usable[routed])
		return;
	m->usable[routed] = usable;
	if (!usable)
		rib_del_port(m->rib, routed);
	m->resync =
		true; /* for routes that the kernel keeps: over this link, or another next hop */
}

static void link_message(struct mirror *m, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi) || ifi->ifi_family != AF_UNSPEC)
		return;
	unsigned flags = nlh->nlmsg_type == RTM_DELLINK ? 0 : ifi->ifi_flags;
	if (flags & IFF_LOOPBACK)
		m->loopback = (uint32_t)ifi->ifi_index;
	uint8_t port = port_of(m, (uint32_t)ifi->ifi_index);
	if (port == ADJACENCY_NO_PORT)
		return;
	const struct port_shared *shared = &m->t->port[port];
	if (shared->role == PORT_TAP_TWIN) {
		tap_link(m, port, flags);
		return;
	}
	bool up = flags & IFF_UP && flags & IFF_RUNNING;
	set_port_flags(m, port, up);
	if (shared->twin != NO_PORT)
		netlink_set_carrier(&m->netlink, m->t->port[shared->twin].ifindex, up);
}

/* ---- addresses ---- */

static void address_message(struct mirror *m, const struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[IFA_LOCAL + 1];
	get_attributes(nlh, sizeof(*ifa), attr, IFA_LOCAL);
	be32 address = get_u32(attr[IFA_LOCAL]);
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifa) || ifa->ifa_family != AF_INET || !address)
		return;
	uint8_t routed = routed_of(m, ifa->ifa_index);
	if (routed == ADJACENCY_NO_PORT &&
		(ifa->ifa_index != m->loopback || ntoh32(address) >> 24 == 127))
		return;
	struct target to = {.kind = ADJ_LOCAL, .port = routed, .address = address};
	struct rib_key key = host_key(address, FIB_LOCAL, ifa->ifa_flags & IFA_F_SECONDARY ? 1 : 0);
	if (nlh->nlmsg_type == RTM_NEWADDR) {
		add_adjacency(m, &key, get_adjacency(m, &to));
	} else {
		(void)del_adjacency(m, &key, get_adjacency(m, &to));
		m->resync = true; /* routes with this source or next hop are gone without a word */
	}
	if (routed != ADJACENCY_NO_PORT)
		__atomic_store_n(&m->t->port[routed].ip4, rib_first(m->rib, ADJ_LOCAL, routed),
			__ATOMIC_RELAXED);
}

/* ---- neighbours ---- */

static void neighbour_lost(struct mirror *m, uint8_t port, be32 address)
{
	uint32_t id = adjacency_find(m->adjacencies, port, address);
	struct rib_key key = host_key(address, FIB_NEIGHBOUR, 0);
	if (id != ADJACENCY_NONE)
		rib_del(m->rib, &key, id);
}

static void neighbour_known(
	struct mirror *m, uint8_t port, be32 address, const uint8_t *mac, uint16_t state)
{
	struct target to = {.kind = ADJ_GLEAN, .port = port, .address = address};
	struct rib_key key = host_key(address, FIB_NEIGHBOUR, 0);
	uint32_t id = get_adjacency(m, &to);
	if (id == ADJACENCY_NONE) {
		mirror_refused(m, -ENOMEM);
		return;
	}
	adjacency_resolve(m->adjacencies, id, mac, m->t->port[port].mac);
	m->t->adjacency[id].flags = state & NUD_STALE ? ADJACENCY_STALE : 0;
	int status = rib_add(m->rib, &key, id, true);
	if (status)
		mirror_refused(m, status);
}

static void neighbour_message(struct mirror *m, const struct nlmsghdr *nlh)
{
	const struct ndmsg *nd = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[NDA_LLADDR + 1];
	get_attributes(nlh, sizeof(*nd), attr, NDA_LLADDR);
	be32 address = get_u32(attr[NDA_DST]);
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*nd) || nd->ndm_family != AF_INET || !address)
		return;
	uint8_t port = routed_of(m, (uint32_t)nd->ndm_ifindex);
	if (port == ADJACENCY_NO_PORT)
		return;
	const struct nlattr *mac = attr[NDA_LLADDR];
	if (nlh->nlmsg_type == RTM_NEWNEIGH && m->usable[port] && nd->ndm_state & NUD_USABLE &&
		mac && mnl_attr_get_payload_len(mac) == 6)
		neighbour_known(m, port, address, mnl_attr_get_payload(mac), nd->ndm_state);
	else
		neighbour_lost(m, port, address);
}

/* ---- routes ---- */

/* A next hop on one of our TAPs; `deleted`: the link's state does not matter. */
static bool next_hop(const struct mirror *m, uint32_t ifindex, be32 gateway, unsigned flags,
	bool deleted, struct target *to)
{
	uint8_t port = routed_of(m, ifindex);
	if (port == ADJACENCY_NO_PORT)
		return false;
	*to = (struct target){.kind = ADJ_GLEAN, .port = port, .address = gateway};
	return deleted || (m->usable[port] && !(flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)));
}

static be32 gateway_of(const struct rtnexthop *hop, int len)
{
	const struct nlattr *attr = (const void *)(hop + 1);
	len -= (int)sizeof(*hop);
	for (; len > 0 && mnl_attr_ok(attr, len);
		len -= (attr->nla_len + 3) & ~3, attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) == RTA_GATEWAY)
			return get_u32(attr);
	return 0;
}

/* Of several next hops those that can be used, no more than GROUP_SLOTS. */
static bool multipath(
	const struct mirror *m, const struct nlattr *attr, bool deleted, struct targets *to)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(attr);
	int len = mnl_attr_get_payload_len(attr);
	while (len >= (int)sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) && hop->rtnh_len <= len) {
		if (to->n < GROUP_SLOTS &&
			next_hop(m, (uint32_t)hop->rtnh_ifindex, gateway_of(hop, hop->rtnh_len),
				hop->rtnh_flags, deleted, &to->hop[to->n]))
			to->weight[to->n++] = hop->rtnh_hops + 1u;
		len -= (hop->rtnh_len + 3) & ~3;
		hop = (const void *)((const char *)hop + ((hop->rtnh_len + 3u) & ~3u));
	}
	return to->n > 0;
}

/* Each slot to the next hop that has least for its weight: all get one, as far as they go. */
static uint32_t get_group(struct mirror *m, const struct targets *to)
{
	uint16_t member[GROUP_SLOTS];
	uint32_t has[GROUP_SLOTS] = {0};
	for (int slot = 0; slot < GROUP_SLOTS; slot++) {
		uint32_t best = 0;
		for (uint32_t i = 1; i < to->n; i++)
			if (has[i] * to->weight[best] < has[best] * to->weight[i])
				best = i;
		has[best]++;
		uint32_t id = get_adjacency(m, &to->hop[best]);
		if (id == ADJACENCY_NONE) {
			while (slot-- > 0)
				adjacency_put(m->adjacencies, member[slot]);
			return ADJACENCY_NONE;
		}
		member[slot] = (uint16_t)id;
	}
	return adjacency_get_group(m->adjacencies, member);
}

static uint32_t get_targets(struct mirror *m, const struct targets *to)
{
	return to->n == 1 ? get_adjacency(m, &to->hop[0]) : get_group(m, to);
}

/* Where the route leads; false: not over our ports. */
static bool route_target(const struct mirror *m, const struct rtmsg *rtm,
	const struct nlattr **attr, bool deleted, struct targets *all)
{
	struct target *to = &all->hop[0];
	*all = (struct targets){.n = 1};
	to->port = ADJACENCY_NO_PORT;
	switch (rtm->rtm_type) {
	case RTN_BLACKHOLE:
		to->kind = ADJ_BLACKHOLE;
		return true;
	case RTN_UNREACHABLE:
		to->kind = ADJ_UNREACHABLE;
		return true;
	case RTN_PROHIBIT:
		to->kind = ADJ_PROHIBIT;
		return true;
	case RTN_BROADCAST: /* RFC 2644: directed broadcasts are not forwarded */
		to->kind = ADJ_BLACKHOLE;
		return routed_of(m, get_u32(attr[RTA_OIF])) != ADJACENCY_NO_PORT;
	case RTN_UNICAST:
		if (attr[RTA_MULTIPATH]) {
			all->n = 0;
			return multipath(m, attr[RTA_MULTIPATH], deleted, all);
		}
		return !attr[RTA_VIA] &&
		       next_hop(m, get_u32(attr[RTA_OIF]), get_u32(attr[RTA_GATEWAY]),
			       rtm->rtm_flags, deleted, to);
	default:
		return false;
	}
}

/* Of the main table, and broadcast addresses of the local one; not what we exported ourselves. */
static bool is_ours_to_see(const struct rtmsg *rtm, const struct nlattr **attr)
{
	uint32_t table = attr[RTA_TABLE] ? get_u32(attr[RTA_TABLE]) : rtm->rtm_table;
	if (rtm->rtm_family != AF_INET || rtm->rtm_flags & RTM_F_CLONED || rtm->rtm_tos ||
		rtm->rtm_dst_len > 32 || rtm->rtm_protocol == RTPROT_BNG)
		return false;
	return table == (rtm->rtm_type == RTN_BROADCAST ? RT_TABLE_LOCAL : RT_TABLE_MAIN);
}

static void route_message(struct mirror *m, const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[RTA_VIA + 1];
	get_attributes(nlh, sizeof(*rtm), attr, RTA_VIA);
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm) || !is_ours_to_see(rtm, attr))
		return;
	bool deleted = nlh->nlmsg_type == RTM_DELROUTE;
	bool connected = rtm->rtm_protocol == RTPROT_KERNEL;
	struct rib_key key = {.prefix = ntoh32(get_u32(attr[RTA_DST])),
		.length = rtm->rtm_dst_len,
		.source = connected ? FIB_CONNECTED : FIB_NETLINK,
		.priority = get_u32(attr[RTA_PRIORITY])};
	struct targets to;
	bool ours = route_target(m, rtm, attr, deleted, &to);
	if (deleted) {
		if (ours && !del_adjacency(m, &key, get_targets(m, &to)))
			m->resync = true;
		return;
	}
	if (nlh->nlmsg_flags & NLM_F_REPLACE)
		rib_del_all(m->rib, &key);
	if (!ours)
		return;
	add_adjacency(m, &key, get_targets(m, &to));
	for (uint32_t i = 0; i < to.n; i++)
		m->ask_now |= to.hop[i].kind == ADJ_GLEAN && to.hop[i].address;
}

/* ---- any of them ---- */

int mirror_kernel_message(const struct nlmsghdr *nlh, void *mirror)
{
	struct mirror *m = mirror;
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		link_message(m, nlh);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		address_message(m, nlh);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		neighbour_message(m, nlh);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		route_message(m, nlh);
		break;
	case RTM_NEWNEXTHOP: /* routes show what theirs says, and go without a word with it */
	case RTM_DELNEXTHOP:
		m->resync |= nlh->nlmsg_type == RTM_DELNEXTHOP || nlh->nlmsg_flags & NLM_F_REPLACE;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}
