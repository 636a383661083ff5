/*
 * Rings as a broken bngd would leave them: records of any kind and length for both workers and the
 * control thread, and stray writes into ring memory and positions. Afterwards every ring works, and
 * what was routed is gone when it is taken back.
 *
 * A step is: where, length, bytes. `where`: ring group and ring, or an address in its memory.
 */
#include "bed.h"
#include "binding.h"

enum { CONTROL_GROUP = 2, GROUPS, MAX_ROUTES = 64, COOKIE = 4711 };
enum { STEP_COMMAND, STEP_INJECT, STEP_POKE, STEP_POSITION, STEPS };

static struct binding *binding;
static struct command added[MAX_ROUTES];
static uint32_t n_added;
static uint32_t *empty_root;
static uint32_t own_adjacencies;

static void run(void)
{
	assert(embedded_run(bed.embedded) == 0);
}

static uint32_t adjacencies(void)
{
	const struct adjacency *adjacency = bed_section(SECTION_ADJACENCY);
	uint32_t n = 0;
	for (uint32_t i = 0; i < bed.arena->max_adjacencies; i++)
		n += adjacency[i].kind != ADJ_FREE;
	return n;
}

static void open_bed(void)
{
	if (bed.embedded)
		return;
	bed_create();
	bed_sessions();
	bed_empty_rings();
	binding = binding_embedded(bed.arena);
	own_adjacencies = adjacencies();
	empty_root = malloc(65536 * sizeof(uint32_t));
	memcpy(empty_root, bed_section(SECTION_FIB4_ROOT), 65536 * sizeof(uint32_t));
}

/* A command like `c` whose session, where it has one, is there. */
static void push_command(uint32_t group, const uint8_t *data, uint32_t len)
{
	uint8_t bytes[512] = {0};
	struct command c;
	if (len > sizeof(bytes))
		len = sizeof(bytes);
	memcpy(bytes, data, len);
	memcpy(&c, bytes, sizeof(c));
	/* Sessions are another target's; here they stay as they are. */
	bool of_session = (c.type >= CMD_SESSION_BIND && c.type <= CMD_SESSION_RELEASE) ||
			  c.type == CMD_SESSION_POLICER || c.type == CMD_SESSION_STATIC ||
			  c.type == CMD_SESSION_BYPASS || c.type == CMD_NAT_ADDRESS ||
			  c.type == CMD_SESSION_FORWARD;
	if (c.type == CMD_NAT_ADDRESS) { /* the bed's own stay routed */
		c.u.nat_address.index = BED_NAT_ADDRESSES + c.u.nat_address.index % 3;
		memcpy(bytes, &c, sizeof(c));
	}
	if (group != CONTROL_GROUP && of_session)
		return;
	if (c.type == CMD_NAT_ADDRESS || c.type == CMD_ROUTE4_ADD || c.type == CMD_GATEWAY4_ADD ||
		c.type == CMD_UNREACHABLE4_ADD) {
		if (n_added == MAX_ROUTES)
			return;
		added[n_added++] = c;
	}
	binding_push(binding, group, RING_COMMAND, bytes, len, 1);
}

static void poke(struct ring *ring, const uint8_t *data, size_t len)
{
	uint8_t *bytes = (uint8_t *)bed.arena + ring->offset;
	uint64_t at = ring->head - (uint64_t)data[0] * 8;
	for (size_t i = 1; i < len; i++)
		bytes[(at + i - 1) & (ring->size - 1)] = data[i];
}

static void step(uint8_t where, const uint8_t *data, size_t len)
{
	uint32_t group = where / STEPS % GROUPS;
	enum ring_kind kind = where / STEPS / GROUPS % RINGS_PER_GROUP;
	struct ring *ring = bed_ring(group, kind);
	/* Stray writes there would route what nobody here counts. */
	if (where % STEPS >= STEP_POKE && group == CONTROL_GROUP && kind == RING_COMMAND)
		return;
	switch (where % STEPS) {
	case STEP_COMMAND:
		push_command(group, data, (uint32_t)len);
		run();
		return;
	case STEP_INJECT:
		if (group != CONTROL_GROUP)
			binding_push(binding, group, RING_INJECT, data, (uint32_t)len, 1);
		run();
		return;
	case STEP_POKE:
		if (len && ring->size)
			poke(ring, data, len);
		return;
	default:
		if (len < 2 || !ring->size)
			return;
		/* bngd writes the heads of command rings and the tails of the others */
		if (kind == RING_COMMAND || kind == RING_INJECT)
			ring->head += (uint64_t)(int64_t)(int8_t)data[0] * 8;
		else
			ring->tail += (uint64_t)(int64_t)(int8_t)data[0] * data[1];
		run();
	}
}

/* All that came, popped as bngd does. True when a completion with our cookie is there. */
static bool pop_all(uint32_t group)
{
	bool found = false;
	uint8_t *out = malloc(4096);
	for (enum ring_kind kind = RING_COMPLETION; kind < RINGS_PER_GROUP; kind++) {
		if (kind == RING_INJECT || !bed_ring(group, kind)->size)
			continue;
		struct completion c;
		for (uint32_t used; (used = binding_pop(binding, group, kind, out, 4096));)
			for (uint32_t at = 0, len; at < used; at += 8 + (len + 7) / 8 * 8) {
				memcpy(&len, out + at, 4);
				if (kind != RING_COMPLETION || len != sizeof(c))
					continue;
				memcpy(&c, out + at + 8, sizeof(c));
				found |= c.cookie == COOKIE && c.type == CMD_NOP && !c.status;
			}
	}
	free(out);
	return found;
}

/* bngd's own ends are put right as it does at a fresh attach; the dataplane mends the rest. */
static void check_rings(void)
{
	const struct command nop = {.type = CMD_NOP, .cookie = COOKIE};
	for (uint32_t group = 0; group < GROUPS; group++)
		for (enum ring_kind kind = RING_COMPLETION; kind < RINGS_PER_GROUP; kind++)
			if (kind != RING_INJECT)
				bed_ring(group, kind)->tail = bed_ring(group, kind)->head;
	run();
	for (uint32_t group = 0; group < GROUPS; group++) {
		struct ring *inject = bed_ring(group, RING_INJECT);
		pop_all(group);
		assert(binding_push(binding, group, RING_COMMAND, (const uint8_t *)&nop,
			       sizeof(nop), 1) == 1);
		run();
		assert(pop_all(group));
		assert(inject->head == inject->tail);
	}
}

static void check_access(void)
{
	const struct port_shared *port = bed_section(SECTION_PORT);
	const struct access_range *range = bed_section(SECTION_ACCESS_RANGE);
	assert(port[ACC0].n_access_ranges <= MAX_ACCESS_RANGES && !port[WAN0].n_access_ranges);
	for (uint32_t i = 0; i < port[ACC0].n_access_ranges; i++) {
		assert(range[i].outer_low <= range[i].outer_high && range[i].outer_high < 4095);
		assert(range[i].inner_low <= range[i].inner_high && range[i].inner_high < 4095);
	}
}

static void take_back(void)
{
	for (; n_added; n_added--) {
		struct command c = added[n_added - 1];
		if (c.type == CMD_NAT_ADDRESS)
			c.u.nat_address.on = 0;
		else
			c.type++; /* ..._DEL */
		c.flags = 0;
		binding_push(
			binding, CONTROL_GROUP, RING_COMMAND, (const uint8_t *)&c, sizeof(c), 1);
		run();
		pop_all(CONTROL_GROUP);
	}
	assert(!memcmp(empty_root, bed_section(SECTION_FIB4_ROOT), 65536 * sizeof(uint32_t)));
}

_Static_assert(CMD_ROUTE4_DEL == CMD_ROUTE4_ADD + 1, "what take_back() counts on");
_Static_assert(CMD_GATEWAY4_DEL == CMD_GATEWAY4_ADD + 1, "what take_back() counts on");
_Static_assert(CMD_UNREACHABLE4_DEL == CMD_UNREACHABLE4_ADD + 1, "what take_back() counts on");

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	open_bed();
	while (size >= 2) {
		size_t len = data[1];
		if (len > size - 2)
			len = size - 2;
		step(data[0], data + 2, len);
		data += 2 + len;
		size -= 2 + len;
	}
	check_rings();
	check_access();
	take_back();
	bed_finish(false);
	assert(adjacencies() == own_adjacencies);
	return 0;
}
