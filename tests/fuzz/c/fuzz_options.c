/* The command line: one argument a line. What is accepted must be within all tables. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

enum { MAX_ARGS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_port(const struct options *o, uint32_t i)
{
	const struct port_options *p = &o->port[i];
	assert(strnlen(p->name, sizeof(p->name)) - 1 < sizeof(p->name) - 1);
	assert(strnlen(p->interface, sizeof(p->interface)) - 1 < sizeof(p->interface) - 1);
	assert(strnlen(p->driver, sizeof(p->driver)) - 1 < sizeof(p->driver) - 1);
	assert(strnlen(p->extra, sizeof(p->extra)) < sizeof(p->extra));
	assert(p->role != PORT_NONE && p->pbit <= 7 && p->worker < o->n_workers);
	assert(p->mtu >= 68 && p->mtu <= 1920);
	assert(p->twin == NO_PORT || (p->twin < o->n_ports && o->port[p->twin].twin == i));
	assert(p->parent == NO_PORT ||
		(p->parent < i && p->role == PORT_ROUTED && o->port[p->parent].parent == NO_PORT &&
			o->port[p->parent].role != PORT_TAP_TWIN &&
			p->mtu <= o->port[p->parent].mtu));
	assert(p->outer_vid <= 4094 && p->inner_vid <= 4094 && !p->outer_vid == !p->outer_tpid);
	assert(!p->inner_vid == !p->inner_tpid && (p->outer_vid || !p->inner_vid));
	assert(p->parent != NO_PORT || !p->outer_vid);
	assert(p->n_access <= (p->role == PORT_ACCESS ? MAX_ACCESS_RANGES : 0));
	for (uint32_t k = 0; k < p->n_access; k++) {
		const struct access_range *r = &p->access[k];
		assert(r->outer_low <= r->outer_high && r->outer_high <= 4094);
		assert(r->inner_low <= r->inner_high && r->inner_high <= 4094);
	}
	for (uint32_t k = 0; k < i; k++)
		assert(strcmp(o->port[k].name, p->name));
}

static void check(const struct options *o)
{
	const struct nat_config *nat = &o->nat;
	assert(o->n_workers >= 1 && o->n_workers <= MAX_WORKERS && o->n_ports <= MAX_PORTS);
	assert(o->sessions && o->buffers && o->fib4_pages && o->adjacencies);
	assert(nat->block_size == 1u << nat->block_shift);
	assert(nat->block_size >= 64 && nat->block_size <= 4096);
	assert(nat->blocks_per_address * nat->block_size == 65536 && nat->blocks_per_session);
	assert(nat->n_addresses >= o->n_nat_addresses && nat->n_addresses <= MAX_NAT_ADDRESSES);
	assert(nat->udp_timeout_s >= 120 && nat->tcp_established_s >= 7440);
	assert(nat->tcp_transitory_s >= 240 && nat->tcp_closing_s >= 240 &&
		nat->icmp_timeout_s >= 60);
	assert(nat->port_min && nat->port_min + nat->block_size <= 65536);
	assert(strnlen(o->socket, PATH_LEN) < PATH_LEN);
	assert(strnlen(o->arena_dir, PATH_LEN) < PATH_LEN);
	for (uint32_t i = 0; i < o->n_ports; i++)
		check_port(o, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct options options;
	static FILE *quiet;
	char *argv[MAX_ARGS + 2] = {strdup("fuzz")}, *all[MAX_ARGS + 1];
	int argc = 1;
	if (!quiet)
		quiet = stdout = stderr = fopen("/dev/null", "w"); /* each refusal is a line */
	while (size && argc <= MAX_ARGS) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end ? (size_t)(end - data) : size;
		argv[argc++] = strndup((const char *)data, len);
		len += end != NULL;
		data += len;
		size -= len;
	}
	memcpy(all, argv, sizeof(all)); /* getopt moves them about */
	if (options_parse(&options, argc, argv) == OPTIONS_RUN)
		check(&options);
	for (int i = 0; i < argc; i++)
		free(all[i]);
	return 0;
}
