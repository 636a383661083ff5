/* rtnetlink route messages into the RIB. See mirror_kernel.c for what counts. */
#include "mirror_state.h"

#include <string.h>

#include <linux/rtnetlink.h>

#include "hdr/byteorder.h"

/* ---- places ---- */

uint32_t mirror_adjacency(struct mirror *m, const struct target *to)
{
	uint16_t mtu = to->port == ADJACENCY_NO_PORT ? 0 : m->t->port[to->port].mtu;
	return adjacency_get(m->adjacencies, to->kind, to->port, to->address, 0, mtu);
}

/* How many slots each gets: in turn to the one that has least for its weight; all get one. */
static void share_slots(const struct targets *to, uint32_t quota[GROUP_SLOTS])
{
	memset(quota, 0, GROUP_SLOTS * sizeof(*quota));
	for (int slot = 0; slot < GROUP_SLOTS; slot++) {
		uint32_t best = 0;
		for (uint32_t i = 1; i < to->n; i++)
			if (quota[i] * to->weight[best] < quota[best] * to->weight[i])
				best = i;
		quota[best]++;
	}
}

/* Those places that have a slot in `old` stay there; the rest go round robin. */
static void fill_slots(uint32_t n, const uint32_t *id, const uint32_t *quota, const uint16_t *old,
	uint16_t slot[GROUP_SLOTS])
{
	bool filled[GROUP_SLOTS] = {false};
	uint32_t left[GROUP_SLOTS];
	memcpy(left, quota, sizeof(left));
	for (int s = 0; old && s < GROUP_SLOTS; s++)
		for (uint32_t i = 0; i < n && !filled[s]; i++)
			if (left[i] && id[i] == old[s]) {
				slot[s] = old[s];
				left[i]--;
				filled[s] = true;
			}
	uint32_t i = n - 1;
	for (int s = 0; s < GROUP_SLOTS; s++) {
		if (filled[s])
			continue;
		do
			i = (i + 1) % n;
		while (!left[i]);
		slot[s] = (uint16_t)id[i];
		left[i]--;
	}
}

bool mirror_slots(struct mirror *m, const struct targets *to, const uint16_t old[GROUP_SLOTS],
	uint16_t slot[GROUP_SLOTS])
{
	uint32_t id[GROUP_SLOTS], quota[GROUP_SLOTS];
	share_slots(to, quota);
	for (uint32_t i = 0; i < to->n; i++) {
		id[i] = mirror_adjacency(m, &to->hop[i]);
		if (id[i] == ADJACENCY_NONE) {
			while (i-- > 0)
				adjacency_put(m->adjacencies, id[i]);
			return false;
		}
	}
	fill_slots(to->n, id, quota, old, slot);
	for (uint32_t i = 0; i < to->n; i++)
		while (--quota[i])
			adjacency_hold(m->adjacencies, id[i]);
	return true;
}

static uint32_t get_targets(struct mirror *m, const struct targets *to)
{
	uint16_t slot[GROUP_SLOTS];
	if (to->n == 1)
		return mirror_adjacency(m, &to->hop[0]);
	return mirror_slots(m, to, NULL, slot) ? adjacency_get_group(m->adjacencies, slot)
					       : ADJACENCY_NONE;
}

/* ---- next hops of a message ---- */

/* What a message says of a route: its family, and whether it is one that has gone. */
struct said {
	unsigned family;
	bool deleted;
};

static void leave_out(struct mirror *m, struct said said)
{
	m->unsupported[said.family == AF_INET6] += !said.deleted;
	m->shared->unsupported = m->unsupported[0] + m->unsupported[1];
}

/* A gateway of the route's family, or of another (RFC 8950). */
static struct ip6_words gateway_of(const struct nlattr **attr, unsigned family)
{
	if (!attr[RTA_VIA])
		return mirror_address(attr[RTA_GATEWAY], family);
	const struct rtvia *via = mnl_attr_get_payload(attr[RTA_VIA]);
	uint32_t len = mnl_attr_get_payload_len(attr[RTA_VIA]);
	if (len >= sizeof(*via) + 16 && via->rtvia_family == AF_INET6)
		return ip6_words(via->rtvia_addr);
	return NO_ADDRESS;
}

/* A next hop on one of our TAPs; of a deleted route the link's state does not matter. */
static bool next_hop(struct mirror *m, uint32_t ifindex, const struct nlattr **attr, unsigned flags,
	struct said said, struct target *to)
{
	uint8_t port = mirror_routed(m, ifindex);
	if (port == ADJACENCY_NO_PORT)
		return false;
	*to = (struct target){
		.kind = ADJ_GLEAN, .port = port, .address = gateway_of(attr, said.family)};
	if (attr[RTA_ENCAP_TYPE] || (attr[RTA_VIA] && !is_address(to->address))) {
		leave_out(m, said); /* MPLS, SRv6 and the like */
		return false;
	}
	return said.deleted || (m->usable[port] && !(flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)));
}

/* Attributes behind the head of a next hop, RTA_ENCAP_TYPE the last. */
static void hop_attributes(const struct rtnexthop *hop, const struct nlattr **table)
{
	const struct nlattr *attr = (const void *)(hop + 1);
	int len = hop->rtnh_len - (int)sizeof(*hop);
	memset(table, 0, (RTA_ENCAP_TYPE + 1) * sizeof(*table));
	for (; len > 0 && mnl_attr_ok(attr, len);
		len -= (attr->nla_len + 3) & ~3, attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) <= RTA_ENCAP_TYPE)
			table[mnl_attr_get_type(attr)] = attr;
}

/* Of several next hops those that can be used, no more than GROUP_SLOTS. */
static bool multipath(
	struct mirror *m, const struct nlattr *attr, struct said said, struct targets *to)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(attr);
	int len = mnl_attr_get_payload_len(attr);
	const struct nlattr *inner[RTA_ENCAP_TYPE + 1];
	while (len >= (int)sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) && hop->rtnh_len <= len) {
		hop_attributes(hop, inner);
		if (to->n < GROUP_SLOTS && next_hop(m, (uint32_t)hop->rtnh_ifindex, inner,
						   hop->rtnh_flags, said, &to->hop[to->n]))
			to->weight[to->n++] = hop->rtnh_hops + 1u;
		len -= (hop->rtnh_len + 3) & ~3;
		hop = (const void *)((const char *)hop + ((hop->rtnh_len + 3u) & ~3u));
	}
	return to->n > 0;
}

/* Where the route leads; false: not over our ports. */
static bool route_target(struct mirror *m, const struct rtmsg *rtm, const struct nlattr **attr,
	struct said said, struct targets *all)
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
		return mirror_routed(m, mirror_u32(attr[RTA_OIF])) != ADJACENCY_NO_PORT;
	case RTN_UNICAST:
		if (attr[RTA_MULTIPATH]) {
			all->n = 0;
			return multipath(m, attr[RTA_MULTIPATH], said, all);
		}
		return next_hop(m, mirror_u32(attr[RTA_OIF]), attr, rtm->rtm_flags, said, to);
	default:
		return false;
	}
}

/* The adjacency of the message's next hops, with a reference. False: not over our ports. */
static bool route_adjacency(struct mirror *m, const struct rtmsg *rtm, const struct nlattr **attr,
	struct said said, uint32_t *adjacency)
{
	struct targets to;
	if (attr[RTA_NH_ID]) {
		uint32_t number = mirror_u32(attr[RTA_NH_ID]);
		if (!mirror_nexthop_known(m, number))
			mirror_catch_up(m); /* its own message may be on its way */
		*adjacency = mirror_nexthop_adjacency(m, number);
		if (*adjacency == ADJACENCY_NONE) {
			if (mirror_nexthop_unsupported(m, number))
				leave_out(m, said);
			return false;
		}
		adjacency_hold(m->adjacencies, *adjacency);
		return true;
	}
	if (!route_target(m, rtm, attr, said, &to))
		return false;
	*adjacency = get_targets(m, &to);
	for (uint32_t i = 0; i < to.n && !said.deleted; i++)
		m->ask_now |= to.hop[i].kind == ADJ_GLEAN && is_address(to.hop[i].address);
	return true;
}

/* ---- routes ---- */

/* What is of a link, and groups, is not routed (RFC 4291 sections 2.5.6 and 2.7). */
static bool is_routed_prefix(struct ip6_words prefix, unsigned family)
{
	return family == AF_INET || prefix.high >> 57 != 0x7f; /* fe00::/7 */
}

/* Of the main table, and broadcast addresses of the local one; not what we exported ourselves. */
static bool is_ours_to_see(const struct rtmsg *rtm, const struct nlattr **attr)
{
	uint32_t table = attr[RTA_TABLE] ? mirror_u32(attr[RTA_TABLE]) : rtm->rtm_table;
	if ((rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6) ||
		rtm->rtm_flags & RTM_F_CLONED ||
		rtm->rtm_dst_len > (rtm->rtm_family == AF_INET ? 32 : 128) ||
		rtm->rtm_protocol == RTPROT_BNG)
		return false;
	return table == (rtm->rtm_type == RTN_BROADCAST ? RT_TABLE_LOCAL : RT_TABLE_MAIN);
}

static struct rib_key route_key(const struct rtmsg *rtm, const struct nlattr **attr)
{
	bool ip4 = rtm->rtm_family == AF_INET;
	struct ip6_words prefix = mirror_address(attr[RTA_DST], rtm->rtm_family);
	prefix = ip6_masked(prefix, rtm->rtm_dst_len + (ip4 ? 96u : 0u));
	return (struct rib_key){.prefix = mirror_prefix(prefix, rtm->rtm_family),
		.length = rtm->rtm_dst_len,
		.source = rtm->rtm_protocol == RTPROT_KERNEL ? FIB_CONNECTED : FIB_NETLINK,
		.priority = mirror_u32(attr[RTA_PRIORITY])};
}

/* The places that a group leads to but this one, with as many slots as they have. */
static struct targets others_of(
	const struct mirror *m, const struct adjacency *group, uint32_t adjacency)
{
	struct targets to = {0};
	uint16_t id[GROUP_SLOTS];
	for (int slot = 0; slot < GROUP_SLOTS; slot++) {
		const struct adjacency *a = &m->t->adjacency[group->member[slot]];
		uint32_t i = 0;
		if (group->member[slot] == adjacency)
			continue;
		while (i < to.n && id[i] != group->member[slot])
			i++;
		if (i == to.n) {
			id[to.n++] = group->member[slot];
			to.hop[i] = (struct target){ADJ_GLEAN, a->port, adjacency_address(a)};
		}
		to.weight[i]++;
	}
	return to;
}

/* IPv6: the kernel says of a route with several next hops which of them has gone. It leads to the
 * others from now on. */
static void hop_gone(struct mirror *m, const struct rib_key *key, uint32_t adjacency)
{
	uint32_t id = rib_first(m->rib6, key);
	if (id == ADJACENCY_NONE)
		return;
	const struct adjacency *group = &m->t->adjacency[id];
	if (group->kind != ADJ_GROUP || group->flags & ADJACENCY_OBJECT)
		return;
	struct targets to = others_of(m, group, adjacency);
	if (to.n && rib_replace(m->rib6, key, get_targets(m, &to)))
		mirror_no_memory(m);
}

/* Of a multipath route some next hops may have gone before: it is found by its key alone. */
static void route_gone(struct mirror *m, struct rib *rib, const struct rib_key *key,
	uint32_t adjacency, bool several)
{
	bool found = adjacency != ADJACENCY_NONE && rib_del(rib, key, adjacency);
	if (!found && !several && rib == m->rib6)
		hop_gone(m, key, adjacency);
	if (adjacency != ADJACENCY_NONE)
		adjacency_put(m->adjacencies, adjacency);
	if (!found && several && !rib_del_only(rib, key))
		m->resync |= resync_routes(rib == m->rib6 ? AF_INET6 : AF_INET);
}

/*
 * Dumps and NLM_F_APPEND put a route behind those with the same key, NLM_F_REPLACE in the place of
 * the first, and all others before it. IPv6 has one route of a key with gateways, and says all of
 * them when one is added.
 */
static int route_new(struct mirror *m, struct rib *rib, const struct rib_key *key,
	uint32_t adjacency, uint16_t flags, bool several)
{
	if (flags & NLM_F_MULTI)
		return rib_add(rib, key, adjacency, RIB_LAST);
	if (flags & NLM_F_REPLACE || (several && rib == m->rib6))
		return rib_replace(rib, key, adjacency);
	return rib_add(rib, key, adjacency, flags & NLM_F_APPEND ? RIB_LAST : RIB_FIRST);
}

void mirror_route_message(struct mirror *m, const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[RTA_NH_ID + 1];
	mirror_attributes(nlh, sizeof(*rtm), attr, RTA_NH_ID);
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm) || !is_ours_to_see(rtm, attr))
		return;
	struct said said = {rtm->rtm_family, nlh->nlmsg_type == RTM_DELROUTE};
	struct rib_key key = route_key(rtm, attr);
	if (!is_routed_prefix(key.prefix, said.family))
		return;
	if (rtm->rtm_tos || rtm->rtm_src_len) { /* of one class of traffic, or of senders, only */
		leave_out(m, said);
		return;
	}
	struct rib *rib = said.family == AF_INET ? m->rib : m->rib6;
	bool several = attr[RTA_MULTIPATH] && !attr[RTA_NH_ID];
	uint32_t adjacency;
	bool ours = route_adjacency(m, rtm, attr, said, &adjacency);
	if (said.deleted && ours)
		route_gone(m, rib, &key, adjacency, several);
	else if (ours && route_new(m, rib, &key, adjacency, nlh->nlmsg_flags, several))
		mirror_no_memory(m);
	else if (!ours && !said.deleted && nlh->nlmsg_flags & NLM_F_REPLACE)
		rib_del_first(rib, &key);
}
