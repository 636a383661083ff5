/* Command line: getopt_long, then what must hold between options. */
#include "options_parse.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"bng-dataplane: forwards the packets of PPPoE subscribers\n"
	"\n"
	"  --port name=NAME,if=IF,driver=DRIVER,role=access|routed[,mtu=N][,pbit=N][,worker=N]\n"
	"         [,tap=IF][,KEY=VALUE]...   a port; routed: with a TAP twin; other keys are the\n"
	"                                    driver's (repeat)\n"
	"  --port name=NAME,role=routed,parent=NAME[,outer=VID[,inner=VID]][,tpid=0x88a8][,mtu=N]\n"
	"         [,tap=IF]                  a routed port in a VLAN of a port before it\n"
	"  --access port=NAME,outer=LO-HI|none|any,inner=LO-HI|none|any\n"
	"                                    where discovery is accepted (repeat)\n"
	"  --socket PATH                     attach socket [/run/bng/dataplane.sock]\n"
	"  --arena-dir DIR                   tmpfs that holds the arena [/dev/shm]\n"
	"  --hugepages auto|on|off           arena and buffers in hugepages [auto]\n"
	"  --workers CPU,CPU...              one worker per entry, \"-\": not pinned [-]\n"
	"  --sessions N                      most sessions [20480]\n"
	"  --buffers N                       packet buffers per worker [16384]\n"
	"  --fib4-pages N                    pages of 256 routes [65536]\n"
	"  --fib4-session-pages N            of these, for sessions alone [0]\n"
	"  --fib6-nodes N                    80 bytes each [131072]\n"
	"  --fib6-session-nodes N            of these, for sessions alone [0]\n"
	"  --adjacencies N                   next hops [8192]\n"
	"  --nat-address A.B.C.D[,port-blocks|deterministic]\n"
	"                                    public address of NAT44 [port-blocks] (repeat)\n"
	"  --nat-max-addresses N             room for so many [those given]\n"
	"  --nat-block-size N                ports per block, power of two, 64..4096 [256]\n"
	"  --nat-blocks N                    blocks per session [8]\n"
	"  --nat-port-min N                  lowest external port [1024]\n"
	"  --nat-filtering endpoint-independent|address-dependent\n"
	"                                    who may send to a mapping [endpoint-independent]\n"
	"  --nat-forward-ports LOW-HIGH      ports kept for forwards, 0-0: none [1-1023]\n"
	"  --nat-forwards N                  of them, per worker, power of two [4096]\n"
	"  --nat-remotes N                   remotes known beside the first, per worker, power of "
	"two\n"
	"                                    [65536]\n"
	"  --nat-session-remotes N           of one session [4096]\n"
	"  --nat-session-mappings N          of one session, 0: what its ports allow [0]\n"
	"  --nat-mappings-per-s N            new ones of one session, 0: no limit [0]\n"
	"  --nat-quarantine S                rest of a block given back [0]\n"
	"  --nat-quarantine-percent N        of an address's blocks at most rest [50]\n"
	"  --nat-log-mib N                   room for log records per worker, power of two [4]\n"
	"  --nat-protocol-flows N            GRE and ESP flows, per worker, power of two [4096]\n"
	"  --nat-session-protocol-flows N    of one subscriber at most [64]\n"
	"  --nat-timeout udp=S,tcp=S,tcp-trans=S,tcp-closing=S,icmp=S,protocol=S\n"
	"                                    [300, 7440, 240, 240, 60, 300]\n"
	"  --check                           print the size of the arena, exit\n"
	"  --version, --help\n";

enum {
	OPT_PORT = 256,
	OPT_ACCESS,
	OPT_SOCKET,
	OPT_ARENA_DIR,
	OPT_HUGEPAGES,
	OPT_WORKERS,
	OPT_SESSIONS,
	OPT_BUFFERS,
	OPT_FIB4_PAGES,
	OPT_FIB4_SESSION_PAGES,
	OPT_FIB6_NODES,
	OPT_FIB6_SESSION_NODES,
	OPT_ADJACENCIES,
	OPT_NAT_ADDRESS,
	OPT_NAT_MAX_ADDRESSES,
	OPT_NAT_BLOCK_SIZE,
	OPT_NAT_BLOCKS,
	OPT_NAT_PORT_MIN,
	OPT_NAT_FILTERING,
	OPT_NAT_REMOTES,
	OPT_NAT_SESSION_REMOTES,
	OPT_NAT_SESSION_MAPPINGS,
	OPT_NAT_MAPPINGS_PER_S,
	OPT_NAT_QUARANTINE,
	OPT_NAT_QUARANTINE_PERCENT,
	OPT_NAT_LOG_MIB,
	OPT_NAT_PROTOCOL_FLOWS,
	OPT_NAT_SESSION_PROTOCOL_FLOWS,
	OPT_NAT_FORWARD_PORTS,
	OPT_NAT_FORWARDS,
	OPT_NAT_TIMEOUT,
	OPT_CHECK,
	OPT_VERSION,
	OPT_HELP
};

static const struct option long_options[] = {
	{"port", required_argument, NULL, OPT_PORT},
	{"access", required_argument, NULL, OPT_ACCESS},
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"arena-dir", required_argument, NULL, OPT_ARENA_DIR},
	{"hugepages", required_argument, NULL, OPT_HUGEPAGES},
	{"workers", required_argument, NULL, OPT_WORKERS},
	{"sessions", required_argument, NULL, OPT_SESSIONS},
	{"buffers", required_argument, NULL, OPT_BUFFERS},
	{"fib4-pages", required_argument, NULL, OPT_FIB4_PAGES},
	{"fib4-session-pages", required_argument, NULL, OPT_FIB4_SESSION_PAGES},
	{"fib6-nodes", required_argument, NULL, OPT_FIB6_NODES},
	{"fib6-session-nodes", required_argument, NULL, OPT_FIB6_SESSION_NODES},
	{"adjacencies", required_argument, NULL, OPT_ADJACENCIES},
	{"nat-address", required_argument, NULL, OPT_NAT_ADDRESS},
	{"nat-max-addresses", required_argument, NULL, OPT_NAT_MAX_ADDRESSES},
	{"nat-block-size", required_argument, NULL, OPT_NAT_BLOCK_SIZE},
	{"nat-blocks", required_argument, NULL, OPT_NAT_BLOCKS},
	{"nat-port-min", required_argument, NULL, OPT_NAT_PORT_MIN},
	{"nat-filtering", required_argument, NULL, OPT_NAT_FILTERING},
	{"nat-remotes", required_argument, NULL, OPT_NAT_REMOTES},
	{"nat-session-remotes", required_argument, NULL, OPT_NAT_SESSION_REMOTES},
	{"nat-session-mappings", required_argument, NULL, OPT_NAT_SESSION_MAPPINGS},
	{"nat-mappings-per-s", required_argument, NULL, OPT_NAT_MAPPINGS_PER_S},
	{"nat-quarantine", required_argument, NULL, OPT_NAT_QUARANTINE},
	{"nat-quarantine-percent", required_argument, NULL, OPT_NAT_QUARANTINE_PERCENT},
	{"nat-log-mib", required_argument, NULL, OPT_NAT_LOG_MIB},
	{"nat-protocol-flows", required_argument, NULL, OPT_NAT_PROTOCOL_FLOWS},
	{"nat-session-protocol-flows", required_argument, NULL, OPT_NAT_SESSION_PROTOCOL_FLOWS},
	{"nat-forward-ports", required_argument, NULL, OPT_NAT_FORWARD_PORTS},
	{"nat-forwards", required_argument, NULL, OPT_NAT_FORWARDS},
	{"nat-timeout", required_argument, NULL, OPT_NAT_TIMEOUT},
	{"check", no_argument, NULL, OPT_CHECK},
	{"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

int refuse(const char *option, const char *value, const char *why)
{
	fprintf(stderr, "bng-dataplane: --%s %s: %s\n", option, value, why);
	return -1;
}

int parse_number(const char *option, const char *text, uint32_t low, uint32_t high, uint32_t *value)
{
	char *end;
	errno = 0;
	unsigned long v = strtoul(text, &end, 10);
	if (errno || !isdigit((unsigned char)text[0]) || *end || v < low || v > high) {
		fprintf(stderr, "bng-dataplane: --%s %s: not a number in %u..%u\n", option, text,
			low, high);
		return -1;
	}
	*value = (uint32_t)v;
	return 0;
}

int copy_text(const char *option, const char *text, char *to, size_t size)
{
	size_t len = strlen(text);
	if (len == 0 || len >= size)
		return refuse(option, text, "empty or too long");
	memcpy(to, text, len + 1);
	return 0;
}

static int parse_workers(struct options *o, char *arg)
{
	char *save = NULL;

	o->n_workers = 0;
	for (char *item = strtok_r(arg, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
		uint32_t cpu;
		if (o->n_workers == MAX_WORKERS)
			return refuse("workers", item, "too many workers");
		if (!strcmp(item, "-"))
			o->cpu[o->n_workers++] = -1;
		else if (parse_number("workers", item, 0, 1023, &cpu))
			return -1;
		else
			o->cpu[o->n_workers++] = (int)cpu;
	}
	return o->n_workers ? 0 : refuse("workers", arg, "at least one");
}

static int parse_hugepages(struct options *o, const char *arg)
{
	static const char *const modes[] = {"auto", "on", "off"};
	for (int i = 0; i < 3; i++)
		if (!strcmp(arg, modes[i])) {
			o->hugepages = (enum hugepages_mode)i;
			return 0;
		}
	return refuse("hugepages", arg, "not auto, on or off");
}

static int parse_forward_ports(struct options *o, char *arg)
{
	char *dash = strchr(arg, '-');
	if (!dash)
		return refuse("nat-forward-ports", arg, "not LOW-HIGH");
	*dash = 0;
	if (parse_number("nat-forward-ports", arg, 0, 65535, &o->nat.forward_low) ||
		parse_number("nat-forward-ports", dash + 1, 0, 65535, &o->nat.forward_high))
		return -1;
	if (!o->nat.forward_low != !o->nat.forward_high || o->nat.forward_low > o->nat.forward_high)
		return refuse("nat-forward-ports", dash + 1, "0-0, or ports in their order");
	return 0;
}

static int parse_nat_mode(const char *text, enum nat_mode *mode)
{
	static const char *const modes[] = {
		[NAT_PORT_BLOCKS] = "port-blocks",
		[NAT_DETERMINISTIC] = "deterministic",
	};
	for (int i = 0; i < 2; i++)
		if (!strcmp(text, modes[i])) {
			*mode = (enum nat_mode)i;
			return 0;
		}
	return refuse("nat-address", text, "neither port-blocks nor deterministic");
}

static int parse_nat_address(struct options *o, char *arg)
{
	char *comma = strchr(arg, ',');
	struct nat44_public *entry = &o->nat_address[o->n_nat_addresses];
	enum nat_mode mode = NAT_PORT_BLOCKS;
	struct in_addr a;
	if (comma)
		*comma++ = 0;
	if (comma && parse_nat_mode(comma, &mode))
		return -1;
	if (inet_pton(AF_INET, arg, &a) != 1)
		return refuse("nat-address", arg, "not an IPv4 address");
	if (o->n_nat_addresses == MAX_NAT_ADDRESSES)
		return refuse("nat-address", arg, "too many addresses");
	for (uint32_t i = 0; i < o->n_nat_addresses; i++)
		if (o->nat_address[i].address == a.s_addr)
			return refuse("nat-address", arg, "given twice");
	*entry = (struct nat44_public){.address = a.s_addr, .mode = mode};
	o->n_nat_addresses++;
	return 0;
}

static int parse_power(
	const char *option, const char *arg, uint32_t low, uint32_t high, uint32_t *value)
{
	if (parse_number(option, arg, low, high, value))
		return -1;
	if (*value & (*value - 1))
		return refuse(option, arg, "not a power of two");
	return 0;
}

static int parse_filtering(struct options *o, const char *arg)
{
	if (!strcmp(arg, "endpoint-independent"))
		o->nat.filtering = NAT_ENDPOINT_INDEPENDENT;
	else if (!strcmp(arg, "address-dependent"))
		o->nat.filtering = NAT_ADDRESS_DEPENDENT;
	else
		return refuse(
			"nat-filtering", arg, "not endpoint-independent or address-dependent");
	return 0;
}

/* Lowest values: RFC 4787 REQ-5, RFC 5382 REQ-5, RFC 5508 REQ-2. */
static int parse_nat_timeout(struct options *o, char *arg)
{
	const struct {
		const char *key, *option;
		uint32_t low;
		uint32_t *value;
	} timers[] = {
		{"udp", "nat-timeout udp", 120, &o->nat.udp_timeout_s},
		{"tcp", "nat-timeout tcp", 7440, &o->nat.tcp_established_s},
		{"tcp-trans", "nat-timeout tcp-trans", 240, &o->nat.tcp_transitory_s},
		{"tcp-closing", "nat-timeout tcp-closing", 240, &o->nat.tcp_closing_s},
		{"icmp", "nat-timeout icmp", 60, &o->nat.icmp_timeout_s},
		{"protocol", "nat-timeout protocol", 60, &o->nat.protocol_timeout_s},
	};
	const size_t n = sizeof(timers) / sizeof(*timers);
	char *save = NULL;

	for (char *item = strtok_r(arg, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
		const char *value = split_value(item);
		size_t i = 0;
		while (i < n && strcmp(item, timers[i].key))
			i++;
		if (i == n)
			return refuse("nat-timeout", item,
				"not udp, tcp, tcp-trans, tcp-closing, icmp or protocol");
		if (parse_number(timers[i].option, value, timers[i].low, 86400, timers[i].value))
			return -1;
	}
	return 0;
}

static int parse_option(struct options *o, int opt, char *arg)
{
	switch (opt) {
	case OPT_PORT:
		return parse_port(o, arg);
	case OPT_ACCESS:
		return parse_access(o, arg);
	case OPT_SOCKET:
		return copy_text("socket", arg, o->socket, sizeof(o->socket));
	case OPT_ARENA_DIR:
		return copy_text("arena-dir", arg, o->arena_dir, sizeof(o->arena_dir));
	case OPT_HUGEPAGES:
		return parse_hugepages(o, arg);
	case OPT_WORKERS:
		return parse_workers(o, arg);
	case OPT_SESSIONS:
		return parse_number("sessions", arg, 1, 1u << 20, &o->sessions);
	case OPT_BUFFERS:
		return parse_number("buffers", arg, 512, 1u << 20, &o->buffers);
	case OPT_FIB4_PAGES:
		return parse_number("fib4-pages", arg, 16, 1u << 20, &o->fib4_pages);
	case OPT_FIB4_SESSION_PAGES:
		return parse_number("fib4-session-pages", arg, 0, 1u << 20, &o->fib4_session_pages);
	case OPT_FIB6_NODES:
		return parse_number("fib6-nodes", arg, 16, 1u << 23, &o->fib6_nodes);
	case OPT_FIB6_SESSION_NODES:
		return parse_number("fib6-session-nodes", arg, 0, 1u << 23, &o->fib6_session_nodes);
	case OPT_ADJACENCIES:
		return parse_number("adjacencies", arg, 16, 1u << 16, &o->adjacencies);
	case OPT_NAT_ADDRESS:
		return parse_nat_address(o, arg);
	case OPT_NAT_MAX_ADDRESSES:
		return parse_number(
			"nat-max-addresses", arg, 0, MAX_NAT_ADDRESSES, &o->nat.n_addresses);
	case OPT_NAT_BLOCK_SIZE:
		return parse_power("nat-block-size", arg, 64, 4096, &o->nat.block_size);
	case OPT_NAT_BLOCKS:
		return parse_number("nat-blocks", arg, 1, 1024, &o->nat.blocks_per_session);
	case OPT_NAT_PORT_MIN:
		return parse_number("nat-port-min", arg, 1, 65000, &o->nat.port_min);
	case OPT_NAT_FILTERING:
		return parse_filtering(o, arg);
	case OPT_NAT_REMOTES:
		return parse_power("nat-remotes", arg, 64, 1u << 20, &o->nat.remotes_per_worker);
	case OPT_NAT_SESSION_REMOTES:
		return parse_number(
			"nat-session-remotes", arg, 0, 65535, &o->nat.remotes_per_session);
	case OPT_NAT_SESSION_MAPPINGS:
		return parse_number(
			"nat-session-mappings", arg, 0, 1u << 24, &o->nat.mappings_per_session);
	case OPT_NAT_MAPPINGS_PER_S:
		return parse_number("nat-mappings-per-s", arg, 0, 1000000, &o->nat.mappings_per_s);
	case OPT_NAT_QUARANTINE:
		return parse_number("nat-quarantine", arg, 0, 86400, &o->nat.quarantine_s);
	case OPT_NAT_QUARANTINE_PERCENT:
		return parse_number(
			"nat-quarantine-percent", arg, 0, 100, &o->nat.quarantine_percent);
	case OPT_NAT_LOG_MIB:
		return parse_power("nat-log-mib", arg, 1, 1024, &o->nat_log_mib);
	case OPT_NAT_PROTOCOL_FLOWS:
		return parse_power(
			"nat-protocol-flows", arg, 64, 1u << 20, &o->nat.protocol_flows_per_worker);
	case OPT_NAT_SESSION_PROTOCOL_FLOWS:
		return parse_number("nat-session-protocol-flows", arg, 1, UINT16_MAX,
			&o->nat.protocol_flows_per_session);
	case OPT_NAT_FORWARD_PORTS:
		return parse_forward_ports(o, arg);
	case OPT_NAT_FORWARDS:
		return parse_power("nat-forwards", arg, 64, 65536, &o->nat.forwards_per_worker);
	case OPT_NAT_TIMEOUT:
		return parse_nat_timeout(o, arg);
	case OPT_CHECK:
		o->check = true;
		return 0;
	default:
		return -1;
	}
}

/* What must hold between options. */
static int finish(struct options *o)
{
	for (uint32_t i = 0; i < o->n_ports; i++)
		if (o->port[i].worker >= o->n_workers)
			return refuse("port", o->port[i].name, "worker= names no worker");
	if (o->nat.n_addresses < o->n_nat_addresses)
		o->nat.n_addresses = o->n_nat_addresses;
	o->nat.block_shift = (uint32_t)__builtin_ctz(o->nat.block_size);
	o->nat.blocks_per_address = 65536 / o->nat.block_size;
	if (o->nat.port_min + o->nat.block_size > 65536) {
		fprintf(stderr, "bng-dataplane: --nat-port-min %u: leaves no block of %u ports\n",
			o->nat.port_min, o->nat.block_size);
		return -1;
	}
	return 0;
}

enum options_result options_parse(struct options *o, int argc, char **argv)
{
	*o = (struct options){
		.socket = "/run/bng/dataplane.sock",
		.arena_dir = "/dev/shm",
		.n_workers = 1,
		.cpu = {-1},
		.sessions = 20480,
		.buffers = 16384,
		.fib4_pages = 65536,
		.fib6_nodes = 131072,
		.adjacencies = 8192,
		.nat_log_mib = 4,
		.nat = {.block_size = 256,
			.blocks_per_session = 8,
			.port_min = 1024,
			.udp_timeout_s = 300,
			.tcp_established_s = 7440,
			.tcp_transitory_s = 240,
			.tcp_closing_s = 240,
			.icmp_timeout_s = 60,
			.remotes_per_worker = 65536,
			.remotes_per_session = 4096,
			.quarantine_percent = 50,
			.protocol_flows_per_worker = 4096,
			.protocol_flows_per_session = 64,
			.forward_low = 1,
			.forward_high = 1023,
			.forwards_per_worker = 4096,
			.protocol_timeout_s = 300},
	};
	optind = 0; /* embedded mode comes here more than once */
	for (;;) {
		int opt = getopt_long(argc, argv, "", long_options, NULL);
		if (opt < 0)
			break;
		if (opt == OPT_HELP || opt == OPT_VERSION) {
			fputs(opt == OPT_HELP ? help : BNG_BUILD_ID "\n", stdout);
			return OPTIONS_EXIT;
		}
		if (parse_option(o, opt, optarg))
			return OPTIONS_ERROR;
	}
	if (optind < argc) {
		fprintf(stderr, "bng-dataplane: %s: no such argument\n", argv[optind]);
		return OPTIONS_ERROR;
	}
	return finish(o) ? OPTIONS_ERROR : OPTIONS_RUN;
}
