/* The command line of bng-dataplane. Embedded mode takes the same. */
#ifndef BNG_OPTIONS_H
#define BNG_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane.h"
#include "table/nat44.h"

enum { MAX_NAT_ADDRESSES = 1024, PATH_LEN = 108 };

enum hugepages_mode { HUGEPAGES_AUTO, HUGEPAGES_ON, HUGEPAGES_OFF };

struct port_options {
	char name[PORT_NAME_LEN];
	char interface[PORT_NAME_LEN];
	char driver[PORT_NAME_LEN];
	char extra[512]; /* the driver's own keys, verbatim */
	uint8_t role;
	uint8_t pbit;
	uint8_t worker;
	uint16_t mtu;
	uint16_t twin;			/* NO_PORT: none */
	uint16_t parent;		/* NO_PORT: has a device of its own */
	uint16_t outer_tpid, outer_vid; /* of the parent's frames that are its own */
	uint16_t inner_tpid, inner_vid;
	uint16_t n_access;
	struct access_range access[MAX_ACCESS_RANGES];
};

struct options {
	char socket[PATH_LEN];
	char arena_dir[PATH_LEN];
	enum hugepages_mode hugepages;
	bool lazy; /* the arena's memory comes when it is touched: for tests, which make many */
	bool check;
	uint32_t n_workers;
	int cpu[MAX_WORKERS]; /* -1: not pinned */
	uint32_t sessions;
	uint32_t buffers; /* per worker */
	uint32_t fib4_pages;
	uint32_t fib4_session_pages;
	uint32_t fib6_nodes;
	uint32_t fib6_session_nodes;
	uint32_t adjacencies;
	uint32_t n_ports;
	struct port_options port[MAX_PORTS];
	uint32_t n_nat_addresses;
	struct nat44_public nat_address[MAX_NAT_ADDRESSES];
	uint32_t nat_log_mib; /* per worker */
	struct nat_config nat;
};

enum options_result { OPTIONS_RUN, OPTIONS_EXIT, OPTIONS_ERROR };

/* Errors go to stderr, naming the option and its value; --help and --version to stdout. */
enum options_result options_parse(struct options *o, int argc, char **argv);

#endif
