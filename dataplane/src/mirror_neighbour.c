/*
 * Neighbours: what the kernel says of them (RTM_NEWNEIGH), and what it is asked for.
 *
 * The kernel sees nothing of our traffic, so it forgets what carries it: to make room, or because
 * somebody flushes its table. That says nothing of the neighbour. One that routes need, or that
 * packets went to lately, is held: it keeps its MAC and the kernel is asked for it, some at a time,
 * until it has found it or has asked in vain (NUD_FAILED). A gateway that did not answer is asked
 * for again each second, for ever (no more often: RFC 1122 section 2.3.2.1).
 */
#include "mirror_state.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

enum {
	NUD_USABLE = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT,
	USED_LATELY_MS = 10000, /* a next hop that carried traffic is kept resolved */
	/* Held ones are asked for in turn: answers of many at once are too many for the policer of
	 * twin_output. The kernel tries for 3 s. */
	HELD_PER_TICK = 10,
	HELD_TICKS = 30,
};

/* ---- asking ---- */

static void resolve(struct mirror *m, uint8_t port, struct ip6_words address)
{
	if (m->with_kernel && port < m->n_ports && m->t->port[port].twin < m->n_ports)
		netlink_resolve(&m->netlink, m->t->port[m->t->port[port].twin].ifindex, address);
}

static uint32_t hash_of(uint8_t port, struct ip6_words address)
{
	uint64_t hash = (address.high ^ port) * 0xd6e8feb86659fd93ull;
	hash = (hash ^ hash >> 32 ^ address.low) * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(hash >> 32);
}

/* RFC 6583 section 7.1: a scan asks for nobody, and whoever was there before comes first. */
void mirror_resolve(struct mirror *m, uint8_t port, struct ip6_words address)
{
	bool is_gateway = adjacency_find(m->adjacencies, port, address) != ADJACENCY_NONE;
	uint32_t hash = hash_of(port, address);
	uint32_t *left = &m->resolves_left[m->met[hash % MET_SIZE] == hash];
	if (!*left && !is_gateway) {
		m->shared->resolves_cut++;
		return;
	}
	*left -= !is_gateway;
	m->shared->resolves++;
	resolve(m, port, address);
}

/* ---- what comes and goes ---- */

/* One of a link (fe80::/10) is kept with its port in bits that are 0. */
static struct rib_key neighbour_key(uint8_t port, struct ip6_words address, unsigned family)
{
	struct rib_key key = mirror_host_key(address, family, FIB_NEIGHBOUR, 0);
	if (family == AF_INET6 && mirror_is_link_local(address))
		key.prefix.high |= port;
	return key;
}

static bool was_used_lately(const struct mirror *m, const struct adjacency *a)
{
	uint64_t used = __atomic_load_n(&a->used, __ATOMIC_RELAXED);
	return used && m->now_ms - used < USED_LATELY_MS;
}

static bool is_needed(const struct mirror *m, uint32_t id)
{
	return adjacency_is_shared(m->adjacencies, id) || was_used_lately(m, &m->t->adjacency[id]);
}

bool mirror_hold(struct mirror *m, uint32_t id)
{
	struct adjacency *a = &m->t->adjacency[id];
	if (!is_needed(m, id))
		return false;
	if (a->flags & ADJACENCY_HELD)
		return true;
	a->flags = ADJACENCY_HELD;
	a->index = m->ticks - HELD_TICKS;
	m->shared->held++;
	return true;
}

/* It can be held: there is a MAC to go on with. */
static bool holds(struct mirror *m, uint8_t port, struct ip6_words address)
{
	uint32_t id = adjacency_find(m->adjacencies, port, address);
	return id != ADJACENCY_NONE && m->usable[port] &&
	       m->t->adjacency[id].kind == ADJ_NEIGHBOUR && mirror_hold(m, id);
}

/* A gateway that routes still need is asked for at once: no packet has to miss it first. */
static void neighbour_lost(
	struct mirror *m, uint8_t port, struct ip6_words address, unsigned family)
{
	uint32_t id = adjacency_find(m->adjacencies, port, address);
	struct rib_key key = neighbour_key(port, address, family);
	if (id == ADJACENCY_NONE || !rib_del(mirror_rib(m, family), &key, id))
		return;
	if (adjacency_find(m->adjacencies, port, address) != ADJACENCY_NONE)
		mirror_resolve(m, port, address);
}

static void neighbour_known(struct mirror *m, uint8_t port, struct ip6_words address,
	const uint8_t *mac, const struct ndmsg *nd)
{
	struct target to = {.kind = ADJ_GLEAN, .port = port, .address = address};
	struct rib_key key = neighbour_key(port, address, nd->ndm_family);
	uint32_t id = mirror_adjacency(m, &to);
	if (id == ADJACENCY_NONE) {
		mirror_no_memory(m);
		return;
	}
	uint32_t hash = hash_of(port, address);
	m->met[hash % MET_SIZE] = hash;
	adjacency_resolve(m->adjacencies, id, mac, m->t->port[port].mac);
	m->t->adjacency[id].flags = nd->ndm_state & NUD_STALE ? ADJACENCY_STALE : 0;
	if (rib_add(mirror_rib(m, nd->ndm_family), &key, id, RIB_LAST))
		mirror_no_memory(m);
}

/* It has gone from the kernel's table, or is about to: then the message says who ordered it. Nobody
 * asked the neighbour, or the answer is still to come. */
static bool is_forgotten(const struct nlmsghdr *nlh, const struct ndmsg *nd)
{
	bool ordered = nlh->nlmsg_pid && !(nlh->nlmsg_flags & NLM_F_MULTI);
	return nlh->nlmsg_type == RTM_DELNEIGH || !(nd->ndm_state & NUD_FAILED) || ordered;
}

void mirror_neighbour_message(struct mirror *m, const struct nlmsghdr *nlh)
{
	const struct ndmsg *nd = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[NDA_LLADDR + 1];
	mirror_attributes(nlh, sizeof(*nd), attr, NDA_LLADDR);
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*nd) || !mirror_rib(m, nd->ndm_family))
		return;
	struct ip6_words address = mirror_address(attr[NDA_DST], nd->ndm_family);
	uint8_t port = mirror_routed(m, (uint32_t)nd->ndm_ifindex);
	if (port == ADJACENCY_NO_PORT || !is_address(address))
		return;
	const struct nlattr *mac = attr[NDA_LLADDR];
	if (nlh->nlmsg_type == RTM_NEWNEIGH && m->usable[port] && nd->ndm_state & NUD_USABLE &&
		mac && mnl_attr_get_payload_len(mac) == 6)
		neighbour_known(m, port, address, mnl_attr_get_payload(mac), nd);
	else if (!is_forgotten(nlh, nd) || !holds(m, port, address))
		neighbour_lost(m, port, address, nd->ndm_family);
}

/* ---- time ---- */

static void ask_held(struct mirror *m, uint32_t id, uint32_t *left)
{
	struct adjacency *a = &m->t->adjacency[id];
	struct ip6_words address = adjacency_address(a);
	if (!is_needed(m, id)) {
		neighbour_lost(m, a->port, address, a->address ? AF_INET : AF_INET6);
	} else if (*left && m->ticks - a->index >= HELD_TICKS) {
		a->index = m->ticks;
		--*left;
		resolve(m, a->port, address);
	}
}

/* The kernel does not see our traffic: it is told which of its stale neighbours are in use. A
 * gateway of a route is resolved before the first packet needs it. */
void mirror_keep_resolved(struct mirror *m, bool gateways)
{
	uint32_t left = HELD_PER_TICK;
	for (uint32_t i = 0; i < adjacency_high(m->adjacencies); i++) {
		struct adjacency *a = &m->t->adjacency[i];
		if (!adjacency_is_used(m->adjacencies, i))
			continue;
		struct ip6_words address = adjacency_address(a);
		if (a->kind == ADJ_GLEAN && is_address(address) && gateways) {
			resolve(m, a->port, address);
		} else if (a->kind == ADJ_NEIGHBOUR && a->flags & ADJACENCY_HELD) {
			ask_held(m, i, &left);
		} else if (a->kind == ADJ_NEIGHBOUR && a->flags & ADJACENCY_STALE &&
			   was_used_lately(m, a)) {
			a->flags = 0; /* the kernel will say what came of it */
			resolve(m, a->port, address);
		}
	}
}
