/*
 * Nexthop objects of the kernel (RTM_NEWNEXTHOP). Each has an adjacency of its own, to which all of
 * its routes lead: a change is a change of that one entry, whatever hangs on it, and of the groups
 * that name the object.
 *
 * The kernel sends no route messages when an object goes, and nothing at all when the objects of a
 * link go with it. With net.ipv4.nexthop_compat_mode it repeats every route of a replaced object;
 * those change nothing.
 */
#include "mirror_state.h"

#include <stdlib.h>
#include <string.h>

#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

enum { SIZE_MIN = 64 };
#define NO_NEXTHOP 0xffffffffu

struct nexthop {
	uint32_t number;
	uint32_t adjacency; /* ADJACENCY_NONE: over none of our ports */
	uint32_t next;	    /* in its chain */
	bool in_use;
	bool seen; /* in this generation */
	bool is_group;
	bool has_target;  /* a single one, over a port of ours */
	bool unsupported; /* over a port of ours, but encapsulated */
	struct target to;
	uint32_t n_members;
	uint32_t member[GROUP_SLOTS];
	uint32_t weight[GROUP_SLOTS];
};

/* ---- the table ---- */

static uint32_t *bucket_of(struct nexthops *all, uint32_t number)
{
	return &all->bucket[(number * 0x9e3779b1u >> 16) % NEXTHOP_BUCKETS];
}

static struct nexthop *find(struct mirror *m, uint32_t number)
{
	struct nexthops *all = &m->nexthops;
	uint32_t i = *bucket_of(all, number);
	while (i != NO_NEXTHOP && all->entry[i].number != number)
		i = all->entry[i].next;
	return i == NO_NEXTHOP ? NULL : &all->entry[i];
}

static uint32_t allocate(struct nexthops *all)
{
	uint32_t i = all->free;
	if (i != NO_NEXTHOP) {
		all->free = all->entry[i].next;
		return i;
	}
	if (all->high == all->size) {
		uint32_t size = all->size ? all->size * 2 : SIZE_MIN;
		struct nexthop *entry = realloc(all->entry, size * sizeof(*entry));
		if (!entry)
			return NO_NEXTHOP;
		all->entry = entry;
		all->size = size;
	}
	return all->high++;
}

static struct nexthop *make(struct mirror *m, uint32_t number)
{
	struct nexthops *all = &m->nexthops;
	uint32_t i = allocate(all);
	if (i == NO_NEXTHOP)
		return NULL;
	uint32_t *bucket = bucket_of(all, number);
	all->entry[i] = (struct nexthop){
		.number = number, .adjacency = ADJACENCY_NONE, .next = *bucket, .in_use = true};
	*bucket = i;
	all->n++;
	return &all->entry[i];
}

static void forget(struct mirror *m, struct nexthop *nh)
{
	struct nexthops *all = &m->nexthops;
	uint32_t i = (uint32_t)(nh - all->entry);
	uint32_t *link = bucket_of(all, nh->number);
	while (*link != i)
		link = &all->entry[*link].next;
	*link = nh->next;
	nh->in_use = false;
	nh->next = all->free;
	all->free = i;
	all->n--;
}

void mirror_nexthops_init(struct nexthops *all)
{
	*all = (struct nexthops){.free = NO_NEXTHOP};
	for (int i = 0; i < NEXTHOP_BUCKETS; i++)
		all->bucket[i] = NO_NEXTHOP;
}

void mirror_nexthops_free(struct nexthops *all)
{
	free(all->entry);
}

/* ---- what an object leads to ---- */

static bool is_usable(const struct mirror *m, const struct nexthop *nh)
{
	return nh->has_target && (nh->to.port == ADJACENCY_NO_PORT || m->usable[nh->to.port]);
}

static struct targets targets_of(struct mirror *m, const struct nexthop *nh)
{
	struct targets all = {0};
	if (!nh->is_group && is_usable(m, nh)) {
		all.hop[0] = nh->to;
		all.weight[0] = 1;
		all.n = 1;
	}
	for (uint32_t i = 0; i < nh->n_members; i++) {
		const struct nexthop *member = find(m, nh->member[i]);
		if (!member || member->is_group || !is_usable(m, member))
			continue;
		all.hop[all.n] = member->to;
		all.weight[all.n++] = nh->weight[i];
	}
	return all;
}

/* Its routes lead nowhere from now on; they are removed by a scan. */
static void lose(struct mirror *m, struct nexthop *nh)
{
	if (nh->adjacency == ADJACENCY_NONE)
		return;
	m->t->adjacency[nh->adjacency].flags |= ADJACENCY_LOST;
	adjacency_put(m->adjacencies, nh->adjacency);
	nh->adjacency = ADJACENCY_NONE;
	mirror_scan(m);
}

/* Gives the object's adjacency what it leads to now. */
static void refresh(struct mirror *m, struct nexthop *nh)
{
	struct targets to = targets_of(m, nh);
	uint32_t id = nh->adjacency;
	enum adjacency_kind kind = nh->is_group ? ADJ_GROUP : ADJ_NEXTHOP;
	uint16_t slot[GROUP_SLOTS];

	if (id != ADJACENCY_NONE && (!to.n || m->t->adjacency[id].kind != kind)) {
		lose(m, nh);
		id = ADJACENCY_NONE;
	}
	if (!to.n)
		return;
	const uint16_t *old = id == ADJACENCY_NONE ? NULL : m->t->adjacency[id].member;
	if (!mirror_slots(m, &to, old, slot)) {
		mirror_no_memory(m);
		return;
	}
	if (old && !memcmp(old, slot, sizeof(slot))) {
		for (int i = 0; i < GROUP_SLOTS; i++)
			adjacency_put(m->adjacencies, slot[i]);
		return;
	}
	if (old) {
		adjacency_repoint(m->adjacencies, id, slot);
		return;
	}
	nh->adjacency = adjacency_make_object(m->adjacencies, kind, nh->number, slot);
	if (nh->adjacency == ADJACENCY_NONE)
		mirror_no_memory(m);
}

/* A single object has changed: so have the groups that name it. */
static void refresh_groups(struct mirror *m, uint32_t number)
{
	for (uint32_t i = 0; i < m->nexthops.high; i++) {
		struct nexthop *nh = &m->nexthops.entry[i];
		for (uint32_t j = 0; nh->in_use && j < nh->n_members; j++)
			if (nh->member[j] == number) {
				refresh(m, nh);
				break;
			}
	}
}

static void remove_object(struct mirror *m, struct nexthop *nh)
{
	uint32_t number = nh->number;
	bool is_group = nh->is_group;
	lose(m, nh);
	forget(m, nh);
	if (!is_group)
		refresh_groups(m, number);
}

bool mirror_nexthop_known(struct mirror *m, uint32_t number)
{
	return find(m, number) != NULL;
}

uint32_t mirror_nexthop_adjacency(struct mirror *m, uint32_t number)
{
	const struct nexthop *nh = find(m, number);
	return nh ? nh->adjacency : ADJACENCY_NONE;
}

bool mirror_nexthop_unsupported(struct mirror *m, uint32_t number)
{
	const struct nexthop *nh = find(m, number);
	for (uint32_t i = 0; nh && i < nh->n_members; i++) {
		const struct nexthop *member = find(m, nh->member[i]);
		if (member && member->unsupported)
			return true;
	}
	return nh && nh->unsupported;
}

void mirror_nexthops_port_lost(struct mirror *m, uint8_t port)
{
	for (uint32_t i = 0; i < m->nexthops.high; i++) {
		struct nexthop *nh = &m->nexthops.entry[i];
		if (nh->in_use && nh->has_target && nh->to.port == port)
			remove_object(m, nh);
	}
}

void mirror_nexthops_begin(struct mirror *m)
{
	for (uint32_t i = 0; i < m->nexthops.high; i++)
		m->nexthops.entry[i].seen = false;
}

void mirror_nexthops_sweep(struct mirror *m)
{
	for (uint32_t i = 0; i < m->nexthops.high; i++) {
		struct nexthop *nh = &m->nexthops.entry[i];
		if (nh->in_use && !nh->seen)
			remove_object(m, nh);
	}
}

/* ---- messages ---- */

/* The upper byte of the weight came with Linux 6.12; before, it was 0. */
static uint32_t weight_of(const struct nexthop_grp *member)
{
	const uint8_t *bytes = (const uint8_t *)member;
	return (uint32_t)(bytes[5] << 8 | bytes[4]) + 1;
}

static void read_members(struct nexthop *nh, const struct nlattr *attr)
{
	const struct nexthop_grp *member = mnl_attr_get_payload(attr);
	uint32_t n = mnl_attr_get_payload_len(attr) / (uint32_t)sizeof(*member);
	nh->n_members = n < GROUP_SLOTS ? n : GROUP_SLOTS;
	for (uint32_t i = 0; i < nh->n_members; i++) {
		nh->member[i] = member[i].id;
		nh->weight[i] = weight_of(&member[i]);
	}
}

static void read_target(
	struct mirror *m, const struct nhmsg *nhm, const struct nlattr **attr, struct nexthop *nh)
{
	uint8_t port = mirror_routed(m, mirror_u32(attr[NHA_OIF]));
	if (attr[NHA_BLACKHOLE]) {
		nh->to = (struct target){.kind = ADJ_BLACKHOLE, .port = ADJACENCY_NO_PORT};
		nh->has_target = true;
	} else if (port != ADJACENCY_NO_PORT && !attr[NHA_FDB]) {
		nh->unsupported = attr[NHA_ENCAP_TYPE] != NULL;
		nh->has_target = !nh->unsupported;
		nh->to = (struct target){.kind = ADJ_GLEAN,
			.port = port,
			.address = mirror_address(attr[NHA_GATEWAY], nhm->nh_family)};
		m->ask_now |= nh->has_target && is_address(nh->to.address);
	}
}

static void new_object(
	struct mirror *m, const struct nhmsg *nhm, const struct nlattr **attr, uint32_t number)
{
	struct nexthop *nh = find(m, number);
	bool known = nh != NULL;
	if (!nh)
		nh = make(m, number);
	if (!nh) {
		mirror_no_memory(m);
		return;
	}
	bool was_elsewhere = known && nh->adjacency == ADJACENCY_NONE;
	nh->seen = true;
	nh->is_group = attr[NHA_GROUP] != NULL;
	nh->n_members = 0;
	nh->has_target = nh->unsupported = false;
	if (nh->is_group)
		read_members(nh, attr[NHA_GROUP]);
	else
		read_target(m, nhm, attr, nh);
	refresh(m, nh);
	if (!nh->is_group)
		refresh_groups(m, number);
	bool dumped = m->dump.running && m->dump.stage == DUMP_NEXTHOPS; /* before all routes */
	if (was_elsewhere && !dumped && mirror_nexthop_adjacency(m, number) != ADJACENCY_NONE)
		m->resync |= RESYNC_ROUTES | RESYNC_ROUTES6; /* for its own, which were left out */
}

void mirror_nexthop_message(struct mirror *m, const struct nlmsghdr *nlh)
{
	const struct nhmsg *nhm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[NHA_FDB + 1];
	mirror_attributes(nlh, sizeof(*nhm), attr, NHA_FDB);
	uint32_t number = mirror_u32(attr[NHA_ID]);
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*nhm) || !number)
		return;
	if (nlh->nlmsg_type == RTM_NEWNEXTHOP) {
		new_object(m, nhm, attr, number);
		return;
	}
	struct nexthop *nh = find(m, number);
	if (nh)
		remove_object(m, nh);
	if (m->dump.running) /* it may yet show routes that went with the object */
		m->resync |= RESYNC_ROUTES | RESYNC_ROUTES6;
}
