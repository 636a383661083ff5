/* Ports and access ranges on the command line. */
#include <stdio.h>
#include <string.h>

#include "options_parse.h"

static int find_port(const struct options *o, const char *name)
{
	for (uint32_t i = 0; i < o->n_ports; i++)
		if (!strcmp(o->port[i].name, name))
			return (int)i;
	return -1;
}

char *split_value(char *item)
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

int parse_port(struct options *o, char *arg)
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
	const char *dash = strchr(value, '-');
	size_t len = dash ? (size_t)(dash - value) : strlen(value);
	char first[PORT_NAME_LEN];
	uint32_t a;
	uint32_t b;

	if (!strcmp(value, "none")) {
		*low = *high = 0;
		return 0;
	}
	if (!strcmp(value, "any")) {
		*low = 0;
		*high = 4094;
		return 0;
	}
	if (len >= sizeof(first))
		return refuse(key, value, "not LO-HI, none or any");
	memcpy(first, value, len);
	first[len] = 0;
	if (parse_number(key, first, 1, 4094, &a) ||
		parse_number(key, dash ? dash + 1 : first, 1, 4094, &b))
		return -1;
	if (a > b)
		return refuse(key, value, "VIDs are 1..4094, lowest first");
	*low = (uint16_t)a;
	*high = (uint16_t)b;
	return 0;
}

int parse_access(struct options *o, char *arg)
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
