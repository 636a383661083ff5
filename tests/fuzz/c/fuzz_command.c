/*
 * Commands to a worker, as a broken bngd would write them: 64 bytes each, the index folded so that
 * most are in range. After them the tables must be whole, and RELEASE must empty them.
 */
#include "bed.h"

enum { INDEX_FOLD = SESSIONS + 1, DOMAINS = 8, PAGES = 8 }; /* few, so that they meet */

/* Most indices in range, some just beyond. */
static void fold(struct command *c)
{
	bool any = c->type == CMD_TRACE && c->session == NO_SESSION;
	c->session = any ? NO_SESSION : c->session % INDEX_FOLD;
	if (c->type == CMD_NAT_ADDRESS) /* the bed's own stay */
		c->u.nat_address.index = BED_NAT_ADDRESSES + c->u.nat_address.index % 3;
	if (c->type != CMD_SESSION_BIND)
		return;
	struct session_bind *b = &c->u.bind;
	b->domain = b->domain >> 31 ? bed.arena->max_domains : b->domain % DOMAINS;
	b->domain_page =
		b->domain_page >> 31 ? bed.arena->max_domain_pages : b->domain_page % PAGES;
}

static uint32_t used(const struct session_in *in)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < SESSIONS; i++)
		n += in[i].state != SESSION_FREE;
	return n;
}

/* Every id leads to a session that has it, and to no other. */
static uint32_t ids(const struct session_in *in)
{
	const uint32_t *page = bed_section(SECTION_DOMAIN_PAGE);
	uint32_t n = 0;
	for (uint32_t i = 0; i < PAGES * DOMAIN_PAGE_IDS; i++) {
		if (!page[i])
			continue;
		assert(page[i] <= SESSIONS && in[page[i] - 1].state != SESSION_FREE);
		n++;
	}
	return n;
}

static void release_all(const struct session_in *in)
{
	for (uint32_t i = 0; i < SESSIONS; i++) {
		struct command c = {.type = CMD_SESSION_RELEASE, .session = i};
		c.generation = in[i].generation;
		bed_push(in[i].owner, RING_COMMAND, &c, sizeof(c));
	}
	assert(embedded_run(bed.embedded) == 0);
}

/* Addresses that came go again. */
static void remove_addresses(const struct nat_address *address)
{
	for (uint32_t i = BED_NAT_ADDRESSES; i < bed.arena->n_nat_addresses; i++) {
		struct command c = {.type = CMD_NAT_ADDRESS};
		c.u.nat_address.address = address[i].address;
		c.u.nat_address.index = i;
		bed_push(address[i].owner, RING_COMMAND, &c, sizeof(c));
		assert(embedded_run(bed.embedded) == 0 && !address[i].address);
	}
}

static void clear(enum arena_section_id id, size_t len)
{
	memset(bed_section(id), 0, len);
}

static void forget(void)
{
	clear(SECTION_DOMAIN_DIRECTORY, sizeof(uint32_t) << 12); /* of the access port */
	clear(SECTION_DOMAIN, DOMAINS * DOMAIN_PAGES * sizeof(uint32_t));
	clear(SECTION_SESSION_IN, SESSIONS * sizeof(struct session_in));
	clear(SECTION_SESSION_OUT, SESSIONS * sizeof(struct session_out));
	clear(SECTION_SESSION_COLD, SESSIONS * sizeof(struct session_cold));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bed_open();
	const struct session_in *in = bed_section(SECTION_SESSION_IN);
	const struct worker_shared *worker = bed_section(SECTION_WORKER);
	const struct policer *policer = bed_section(SECTION_POLICER);
	const struct nat_address *address = bed_section(SECTION_NAT_ADDRESS);
	static uint32_t free_blocks;
	if (!free_blocks) {
		release_all(in);
		forget();
		free_blocks = address->free_blocks;
	}
	for (; size >= sizeof(struct command); size -= sizeof(struct command)) {
		struct command c;
		memcpy(&c, data, sizeof(c));
		data += sizeof(c);
		fold(&c);
		bed_push(0, RING_COMMAND, &c, sizeof(c));
		assert(embedded_run(bed.embedded) == 0);
	}
	assert(worker[0].sessions + worker[1].sessions == used(in) && ids(in) == used(in));
	release_all(in);
	assert(!worker[0].sessions && !worker[1].sessions && used(in) == 0 && ids(in) == 0);
	assert(address->free_blocks == free_blocks);
	remove_addresses(address);
	const struct session_cold *cold = bed_section(SECTION_SESSION_COLD);
	for (uint32_t i = 0; i < SESSIONS; i++)
		assert(!cold[i].nat_public && !cold[i].nat_forwards);
	for (uint32_t i = 0; i < 2 * SESSIONS; i++)
		assert(policer[i].mode == POLICER_OFF && !policer[i].tc && !policer[i].te);
	forget();
	bed_finish(true);
	return 0;
}
