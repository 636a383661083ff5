/*
 * rtnetlink messages into routes. Only what stands on a TAP twin counts (and, for addresses of the
 * box, on the loopback). The kernel tells nothing of routes that go with a link or an address: the
 * link's are dropped here, and a lost address asks for a new dump.
 */
#include "mirror_state.h"

#include <net/if.h>
#include <string.h>

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "hdr/byteorder.h"

#define SECONDARY 0x80000000u

void mirror_attributes(
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

uint32_t mirror_u32(const struct nlattr *attr)
{
	return attr && mnl_attr_get_payload_len(attr) >= 4 ? mnl_attr_get_u32(attr) : 0;
}

struct ip6_words mirror_address(const struct nlattr *attr, unsigned family)
{
	if (family == AF_INET)
		return ip4_words(mirror_u32(attr));
	if (!attr || mnl_attr_get_payload_len(attr) < 16)
		return NO_ADDRESS;
	return ip6_words(mnl_attr_get_payload(attr));
}

struct ip6_words mirror_prefix(struct ip6_words address, unsigned family)
{
	return family == AF_INET ? (struct ip6_words){.low = (uint32_t)address.low} : address;
}

struct rib *mirror_rib(const struct mirror *m, unsigned family)
{
	return family == AF_INET ? m->rib : family == AF_INET6 ? m->rib6 : NULL;
}

struct rib_key mirror_host_key(
	struct ip6_words address, unsigned family, enum fib_source source, uint32_t priority)
{
	return (struct rib_key){.prefix = mirror_prefix(address, family),
		.length = family == AF_INET ? 32 : 128,
		.source = source,
		.priority = priority};
}

bool mirror_is_link_local(struct ip6_words address)
{
	return address.high >> 54 == 0x3fa; /* fe80::/10 */
}

/* Index of the port with this device, or ADJACENCY_NO_PORT. */
static uint8_t port_of(const struct mirror *m, uint32_t ifindex)
{
	for (uint32_t i = 0; i < m->n_ports && ifindex; i++)
		if (m->t->port[i].ifindex == ifindex)
			return (uint8_t)i;
	return ADJACENCY_NO_PORT;
}

uint8_t mirror_routed(const struct mirror *m, uint32_t ifindex)
{
	uint8_t port = port_of(m, ifindex);
	if (port == ADJACENCY_NO_PORT || m->t->port[port].role != PORT_TAP_TWIN)
		return ADJACENCY_NO_PORT;
	return (uint8_t)m->t->port[port].twin;
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
	if (!usable) {
		mirror_nexthops_port_lost(m, routed);
		adjacency_port_lost(m->adjacencies, routed);
		mirror_scan(m);
	}
	/* Routes that the kernel keeps: over this link, or another next hop. */
	m->resync = RESYNC_ALL;
}

/* Reaches the port itself and all that stand on it. */
static void device_link(struct mirror *m, uint8_t port, bool up)
{
	for (uint32_t i = 0; i < m->n_ports; i++) {
		const struct port_shared *shared = &m->t->port[i];
		if (i != port && shared->parent != port)
			continue;
		set_port_flags(m, (uint8_t)i, up);
		if (shared->twin != NO_PORT)
			netlink_set_carrier(&m->netlink, m->t->port[shared->twin].ifindex, up);
	}
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
	if (m->t->port[port].role == PORT_TAP_TWIN) {
		tap_link(m, port, flags);
		return;
	}
	device_link(m, port, flags & IFF_UP && flags & IFF_RUNNING);
}

/* ---- addresses ---- */

/* The oldest primary address of a port is the source of our errors: adjacency_first(). */
static void set_order(struct mirror *m, uint32_t id, bool secondary)
{
	struct adjacency *a = &m->t->adjacency[id];
	uint32_t serial = a->index ? a->index & (SECONDARY - 1) : ++m->addresses;
	a->index = serial % SECONDARY | (secondary ? SECONDARY : 0);
}

/* Those of the host and of links are nobody's to route. */
static bool is_own_address(const struct ifaddrmsg *ifa, struct ip6_words address)
{
	if (ifa->ifa_family == AF_INET)
		return is_address(address) && (uint32_t)address.low >> 24 != 127;
	return address.high && !mirror_is_link_local(address);
}

/* RFC 4862 section 5.4: it may be another's. */
static bool is_tentative(const struct ifaddrmsg *ifa)
{
	return ifa->ifa_family == AF_INET6 && ifa->ifa_flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED);
}

static struct ip6_words first_address(const struct mirror *m, uint8_t port, unsigned family)
{
	uint32_t id = adjacency_first(m->adjacencies, ADJ_LOCAL, port, family == AF_INET);
	return id == ADJACENCY_NONE ? NO_ADDRESS : adjacency_address(&m->t->adjacency[id]);
}

static void set_source6(struct port_shared *port, struct ip6_words address)
{
	__atomic_store_n(&port->ip6_prefix, address.high, __ATOMIC_RELAXED);
	__atomic_store_n(&port->ip6_interface_id, address.low, __ATOMIC_RELAXED);
}

/* One of the loopback, or of the first port that has any. */
static struct ip6_words any_address(const struct mirror *m, unsigned family)
{
	struct ip6_words found = first_address(m, ADJACENCY_NO_PORT, family);
	for (uint32_t i = 0; i < m->n_ports && !is_address(found); i++)
		if (m->t->port[i].role == PORT_ROUTED)
			found = first_address(m, (uint8_t)i, family);
	return found;
}

/* The oldest address of a routed port is the source of its errors; one that has none of this family
 * (RFC 1812 section 4.3.2.4: an unnumbered line) has any of the box's. IPv6 errors to subscribers
 * have any, too (RFC 4443 section 2.2: one that belongs to the node). */
static void set_sources(const struct mirror *m, unsigned family)
{
	struct port_shared *port = m->t->port;
	struct ip6_words any = any_address(m, family);
	for (uint32_t i = 0; i < m->n_ports; i++) {
		struct ip6_words own = NO_ADDRESS;
		if (port[i].role == PORT_ROUTED)
			own = first_address(m, (uint8_t)i, family);
		else if (port[i].role != PORT_ACCESS || family == AF_INET)
			continue; /* the gateway's of the subscribers' pool: bngd's to say */
		own = is_address(own) ? own : any;
		if (family == AF_INET)
			__atomic_store_n(&port[i].ip4, ip4_of(own), __ATOMIC_RELAXED);
		else
			set_source6(&port[i], own);
	}
}

static void set_address(struct mirror *m, const struct ifaddrmsg *ifa, struct ip6_words address,
	uint8_t routed, bool added)
{
	struct rib *rib = mirror_rib(m, ifa->ifa_family);
	bool secondary = ifa->ifa_flags & IFA_F_SECONDARY;
	struct rib_key key = mirror_host_key(address, ifa->ifa_family, FIB_LOCAL, secondary);
	struct target to = {.kind = ADJ_LOCAL, .port = routed, .address = address};
	uint32_t id = mirror_adjacency(m, &to);
	if (id == ADJACENCY_NONE) {
		mirror_no_memory(m);
		return;
	}
	if (added) {
		set_order(m, id, secondary);
		if (rib_add(rib, &key, id, RIB_LAST))
			mirror_no_memory(m);
	} else {
		/* Routes with this source or next hop go without a word. */
		if (rib_del(rib, &key, id))
			m->resync |= resync_routes(ifa->ifa_family);
		adjacency_put(m->adjacencies, id);
	}
	set_sources(m, ifa->ifa_family);
}

static void address_message(struct mirror *m, const struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[IFA_LOCAL + 1];
	mirror_attributes(nlh, sizeof(*ifa), attr, IFA_LOCAL);
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifa) || !mirror_rib(m, ifa->ifa_family))
		return;
	bool has_peer = ifa->ifa_family == AF_INET || attr[IFA_LOCAL];
	struct ip6_words address =
		mirror_address(attr[has_peer ? IFA_LOCAL : IFA_ADDRESS], ifa->ifa_family);
	uint8_t routed = mirror_routed(m, ifa->ifa_index);
	bool added = nlh->nlmsg_type == RTM_NEWADDR;
	if (is_own_address(ifa, address) && !(added && is_tentative(ifa)) &&
		(routed != ADJACENCY_NO_PORT || ifa->ifa_index == m->loopback))
		set_address(m, ifa, address, routed, added);
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
		mirror_neighbour_message(m, nlh);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		mirror_route_message(m, nlh);
		break;
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		mirror_nexthop_message(m, nlh);
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}
