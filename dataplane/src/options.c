/* Command line: getopt_long, then what must hold between options. */
#include "options.h"

#include <arpa/inet.h>
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
	"  --access port=NAME,outer=LO-HI|none|any,inner=LO-HI|none|any\n"
	"                                    where discovery is accepted (repeat)\n"
	"  --socket PATH                     attach socket [/run/bng/dataplane.sock]\n"
	"  --arena-dir DIR                   tmpfs that holds the arena [/dev/shm]\n"
	"  --hugepages auto|on|off           arena and buffers in hugepages [auto]\n"
	"  --workers CPU,CPU...              one worker per entry, \"-\": not pinned [-]\n"
	"  --sessions N                      most sessions [20480]\n"
	"  --buffers N                       packet buffers per worker [16384]\n"
	"  --fib4-pages N                    pages of 256 routes [8192]\n"
	"  --adjacencies N                   next hops [8192]\n"
	"  --nat-address A.B.C.D             public address of NAT44 (repeat)\n"
	"  --nat-block-size N                ports per block, power of two, 64..4096 [256]\n"
	"  --nat-blocks N                    blocks per session [8]\n"
	"  --nat-port-min N                  lowest external port [1024]\n"
	"  --nat-timeout udp=S,tcp=S,tcp-trans=S,icmp=S   [300, 7440, 240, 60]\n"
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
	OPT_ADJACENCIES,
	OPT_NAT_ADDRESS,
	OPT_NAT_BLOCK_SIZE,
	OPT_NAT_BLOCKS,
	OPT_NAT_PORT_MIN,
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
	{"adjacencies", required_argument, NULL, OPT_ADJACENCIES},
	{"nat-address", required_argument, NULL, OPT_NAT_ADDRESS},
	{"nat-block-size", required_argument, NULL, OPT_NAT_BLOCK_SIZE},
	{"nat-blocks", required_argument, NULL, OPT_NAT_BLOCKS},
	{"nat-port-min", required_argument, NULL, OPT_NAT_PORT_MIN},
	{"nat-timeout", required_argument, NULL, OPT_NAT_TIMEOUT},
	{"check", no_argument, NULL, OPT_CHECK},
	{"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

/* 0, or -1 with a line on stderr. */
static int refuse(const char *option, const char *value, const char *why)
{
	fprintf(stderr, "bng-dataplane: --%s %s: %s\n", option, value, why);
	return -1;
}

static int parse_number(
	const char *option, const char *text, uint32_t low, uint32_t high, uint32_t *value)
{
	char *end;
	errno = 0;
	unsigned long v = strtoul(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || v < low || v > high) {
		fprintf(stderr, "bng-dataplane: --%s %s: not a number in %u..%u\n", option, text,
			low, high);
		return -1;
	}
	*value = (uint32_t)v;
	return 0;
}

static int copy_text(const char *option, const char *text, char *to, size_t size)
{
	size_t len = strlen(text);
	if (len == 0 || len >= size)
		return refuse(option, text, "empty or too long");
	memcpy(to, text, len + 1);
	return 0;
}

static int find_port(const struct options *o, const char *name)
{
	for (uint32_t i = 0; i < o->n_ports; i++)
		if (!strcmp(o->port[i].name, name))
			return (int)i;
	return -1;
}

/* Splits "key=value" in place; value is "" without a "=". */
static char *split_value(char *item)
{
	char *equal = strchr(item, '=');
	if (!equal)
		return item + strlen(item);
	*equal = 0;
	return equal + 1;
}

static int append_extra(struct port_options *p, const char *key, const char *value)
{
	size_t used = strlen(p->extra);
	int n = snprintf(p->extra + used, sizeof(p->extra) - used, "%s%s%s%s", used ? "," : "", key,
		*value ? "=" : "", value);
	if (n < 0 || (size_t)n >= sizeof(p->extra) - used)
		return refuse("port", key, "too many options for the driver");
	return 0;
}

static int parse_role(const char *value, uint8_t *role)
{
	if (!strcmp(value, "access"))
		*role = PORT_ACCESS;
	else if (!strcmp(value, "routed"))
		*role = PORT_ROUTED;
	else
		return refuse("port role", value, "neither access nor routed");
	return 0;
}

struct port_parse {
	struct port_options port;
	char tap[PORT_NAME_LEN];
	char tap_driver[PORT_NAME_LEN];
};

static int parse_port_key(struct port_parse *pp, const char *key, const char *value)
{
	struct port_options *p = &pp->port;
	uint32_t n;

	if (!strcmp(key, "name"))
		return copy_text("port name", value, p->name, sizeof(p->name));
	if (!strcmp(key, "if"))
		return copy_text("port if", value, p->interface, sizeof(p->interface));
	if (!strcmp(key, "driver"))
		return copy_text("port driver", value, p->driver, sizeof(p->driver));
	if (!strcmp(key, "tap"))
		return copy_text("port tap", value, pp->tap, sizeof(pp->tap));
	if (!strcmp(key, "tap-driver"))
		return copy_text("port tap-driver", value, pp->tap_driver, sizeof(pp->tap_driver));
	if (!strcmp(key, "role"))
		return parse_role(value, &p->role);
	if (!strcmp(key, "mtu")) {
		if (parse_number("port mtu", value, 68, 1920, &n))
			return -1;
		p->mtu = (uint16_t)n;
	} else if (!strcmp(key, "pbit")) {
		if (parse_number("port pbit", value, 0, 7, &n))
			return -1;
		p->pbit = (uint8_t)n;
	} else if (!strcmp(key, "worker")) {
		if (parse_number("port worker", value, 0, MAX_WORKERS - 1, &n))
			return -1;
		p->worker = (uint8_t)n;
	} else {
		return append_extra(p, key, value);
	}
	return 0;
}

/* The TAP of a routed port is a port of its own, right after it. */
static int add_twin(struct options *o, const struct port_parse *pp)
{
	uint16_t routed = (uint16_t)(o->n_ports - 1);

	if (o->port[routed].role != PORT_ROUTED)
		return refuse("port tap", pp->tap, "only a routed port has a TAP");
	if (o->n_ports == MAX_PORTS || find_port(o, pp->tap) >= 0)
		return refuse("port tap", pp->tap, "too many ports, or name taken");
	struct port_options *t = &o->port[o->n_ports++];
	*t = o->port[routed];
	memcpy(t->name, pp->tap, sizeof(t->name));
	memcpy(t->interface, pp->tap, sizeof(t->interface));
	memcpy(t->driver, pp->tap_driver, sizeof(t->driver));
	t->extra[0] = 0;
	t->role = PORT_TAP_TWIN;
	t->twin = routed;
	o->port[routed].twin = (uint16_t)(routed + 1);
	return 0;
}

static int parse_port(struct options *o, char *arg)
{
	struct port_parse pp = {
		.port = {.driver = "af_packet", .mtu = 1500, .pbit = 6, .twin = NO_PORT},
		.tap_driver = "tap"};
	char *save = NULL;

	for (char *item = strtok_r(arg, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
		const char *value = split_value(item);
		if (parse_port_key(&pp, item, value))
			return -1;
	}
	if (!pp.port.name[0] || pp.port.role == PORT_NONE)
		return refuse("port", pp.port.name, "needs name= and role=");
	if (!pp.port.interface[0])
		memcpy(pp.port.interface, pp.port.name, sizeof(pp.port.interface));
	if (o->n_ports == MAX_PORTS)
		return refuse("port", pp.port.name, "too many ports");
	if (find_port(o, pp.port.name) >= 0)
		return refuse("port", pp.port.name, "name taken");
	o->port[o->n_ports++] = pp.port;
	return pp.tap[0] ? add_twin(o, &pp) : 0;
}

static int parse_vids(const char *key, const char *value, uint16_t *low, uint16_t *high)
{
	unsigned int a;
	unsigned int b;
	int end = 0;

	if (!strcmp(value, "none")) {
		*low = *high = 0;
		return 0;
	}
	if (!strcmp(value, "any")) {
		*low = 0;
		*high = 4094;
		return 0;
	}
	if (sscanf(value, "%u-%u%n", &a, &b, &end) != 2 || value[end]) {
		if (sscanf(value, "%u%n", &a, &end) != 1 || value[end])
			return refuse(key, value, "not LO-HI, none or any");
		b = a;
	}
	if (a < 1 || a > b || b > 4094)
		return refuse(key, value, "VIDs are 1..4094, lowest first");
	*low = (uint16_t)a;
	*high = (uint16_t)b;
	return 0;
}

static int parse_access(struct options *o, char *arg)
{
	struct access_range range = {0};
	char *save = NULL;
	int port = -1;

	for (char *item = strtok_r(arg, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
		const char *value = split_value(item);
		int bad = 0;
		if (!strcmp(item, "port"))
			bad = (port = find_port(o, value)) < 0
				      ? refuse("access port", value, "no such port before it")
				      : 0;
		else if (!strcmp(item, "outer"))
			bad = parse_vids(
				"access outer", value, &range.outer_low, &range.outer_high);
		else if (!strcmp(item, "inner"))
			bad = parse_vids(
				"access inner", value, &range.inner_low, &range.inner_high);
		else
			bad = refuse("access", item, "unknown key");
		if (bad)
			return -1;
	}
	if (port < 0 || o->port[port].role != PORT_ACCESS)
		return refuse("access", "", "needs port= of an access port");
	if (o->port[port].n_access == MAX_ACCESS_RANGES)
		return refuse("access", o->port[port].name, "too many ranges");
	o->port[port].access[o->port[port].n_access++] = range;
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

static int parse_nat_address(struct options *o, const char *arg)
{
	struct in_addr a;
	if (inet_pton(AF_INET, arg, &a) != 1)
		return refuse("nat-address", arg, "not an IPv4 address");
	if (o->n_nat_addresses == MAX_NAT_ADDRESSES)
		return refuse("nat-address", arg, "too many addresses");
	for (uint32_t i = 0; i < o->n_nat_addresses; i++)
		if (o->nat_address[i] == a.s_addr)
			return refuse("nat-address", arg, "given twice");
	o->nat_address[o->n_nat_addresses++] = a.s_addr;
	return 0;
}

static int parse_block_size(struct options *o, const char *arg)
{
	if (parse_number("nat-block-size", arg, 64, 4096, &o->nat.block_size))
		return -1;
	if (o->nat.block_size & (o->nat.block_size - 1))
		return refuse("nat-block-size", arg, "not a power of two");
	return 0;
}

static int parse_nat_timeout(struct options *o, char *arg)
{
	char *save = NULL;

	for (char *item = strtok_r(arg, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
		const char *value = split_value(item);
		uint32_t *timer = !strcmp(item, "udp")	       ? &o->nat.udp_timeout_s
				  : !strcmp(item, "tcp")       ? &o->nat.tcp_established_s
				  : !strcmp(item, "tcp-trans") ? &o->nat.tcp_transitory_s
				  : !strcmp(item, "icmp")      ? &o->nat.icmp_timeout_s
							       : NULL;
		if (!timer)
			return refuse("nat-timeout", item, "not udp, tcp, tcp-trans or icmp");
		if (parse_number("nat-timeout", value, 1, 86400, timer))
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
	case OPT_ADJACENCIES:
		return parse_number("adjacencies", arg, 16, 1u << 20, &o->adjacencies);
	case OPT_NAT_ADDRESS:
		return parse_nat_address(o, arg);
	case OPT_NAT_BLOCK_SIZE:
		return parse_block_size(o, arg);
	case OPT_NAT_BLOCKS:
		return parse_number("nat-blocks", arg, 1, 1024, &o->nat.blocks_per_session);
	case OPT_NAT_PORT_MIN:
		return parse_number("nat-port-min", arg, 1, 65000, &o->nat.port_min);
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
	o->nat.n_addresses = o->n_nat_addresses;
	o->nat.block_shift = (uint32_t)__builtin_ctz(o->nat.block_size);
	o->nat.blocks_per_address = 65536 / o->nat.block_size;
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
		.fib4_pages = 8192,
		.adjacencies = 8192,
		.nat = {.block_size = 256,
			.blocks_per_session = 8,
			.port_min = 1024,
			.udp_timeout_s = 300,
			.tcp_established_s = 7440,
			.tcp_transitory_s = 240,
			.icmp_timeout_s = 60},
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
