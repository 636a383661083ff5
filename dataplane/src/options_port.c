/* Ports and access ranges on the command line. */
#include <stdio.h>
#include <string.h>

#include "hdr/ethernet.h"
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
	char parent[PORT_NAME_LEN];
	uint16_t tpid; /* of the outer tag */
	uint16_t outer_vid, inner_vid;
};

static int parse_tpid(const char *value, uint16_t *tpid)
{
	static const uint16_t known[] = {TPID_8021Q, TPID_8021AD, TPID_9100};
	char text[8];

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		snprintf(text, sizeof(text), "0x%04x", known[i]);
		if (!strcmp(value, text)) {
			*tpid = known[i];
			return 0;
		}
	}
	return refuse("port tpid", value, "neither 0x8100, 0x88a8 nor 0x9100");
}

static int parse_vid(const char *option, const char *value, uint16_t *vid)
{
	uint32_t n;

	if (parse_number(option, value, 1, 4094, &n))
		return -1;
	*vid = (uint16_t)n;
	return 0;
}

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
	if (!strcmp(key, "parent"))
		return copy_text("port parent", value, pp->parent, sizeof(pp->parent));
	if (!strcmp(key, "outer"))
		return parse_vid("port outer", value, &pp->outer_vid);
	if (!strcmp(key, "inner"))
		return parse_vid("port inner", value, &pp->inner_vid);
	if (!strcmp(key, "tpid"))
		return parse_tpid(value, &pp->tpid);
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
	t->parent = NO_PORT;
	t->outer_tpid = t->outer_vid = t->inner_tpid = t->inner_vid = 0;
	o->port[routed].twin = (uint16_t)(routed + 1);
	return 0;
}

static bool vlan_is_taken(const struct options *o, const struct port_options *p)
{
	for (uint32_t i = 0; i < o->n_ports; i++)
		if (o->port[i].parent == p->parent && o->port[i].outer_vid == p->outer_vid &&
			o->port[i].inner_vid == p->inner_vid)
			return true;
	return !p->outer_vid && o->port[p->parent].role == PORT_ROUTED;
}

/* A routed port in a VLAN has the device and the worker of its parent. */
static int join_parent(const struct options *o, struct port_parse *pp)
{
	struct port_options *p = &pp->port;
	int parent = find_port(o, pp->parent);

	if (parent < 0 || o->port[parent].role == PORT_TAP_TWIN ||
		o->port[parent].parent != NO_PORT)
		return refuse("port parent", pp->parent, "no port with a device before it");
	if (p->role != PORT_ROUTED || p->interface[0] || p->driver[0] || p->extra[0])
		return refuse("port", p->name, "parent= is for role=routed, and names the device");
	if (pp->inner_vid && !pp->outer_vid)
		return refuse("port", p->name, "inner= needs outer=");
	if (p->mtu > o->port[parent].mtu)
		return refuse("port", p->name, "mtu= is more than its parent's");
	p->parent = (uint16_t)parent;
	p->outer_tpid = pp->outer_vid ? pp->tpid : 0;
	p->outer_vid = pp->outer_vid;
	p->inner_tpid = pp->inner_vid ? TPID_8021Q : 0;
	p->inner_vid = pp->inner_vid;
	if (vlan_is_taken(o, p))
		return refuse("port", p->name, "another port has this VLAN");
	p->worker = o->port[parent].worker;
	memcpy(p->interface, o->port[parent].interface, sizeof(p->interface));
	memcpy(p->driver, "vlan", sizeof("vlan"));
	return 0;
}

static int has_own_device(struct port_parse *pp)
{
	struct port_options *p = &pp->port;

	if (pp->outer_vid || pp->inner_vid || !strcmp(p->driver, "vlan"))
		return refuse("port", p->name, "a VLAN needs parent=");
	if (!p->driver[0])
		memcpy(p->driver, "af_packet", sizeof("af_packet"));
	if (!p->interface[0])
		memcpy(p->interface, p->name, sizeof(p->interface));
	return 0;
}

int parse_port(struct options *o, char *arg)
{
	struct port_parse pp = {
		.port = {.mtu = 1500, .pbit = 6, .twin = NO_PORT, .parent = NO_PORT},
		.tap_driver = "tap",
		.tpid = TPID_8021Q};
	char *save = NULL;

	for (char *item = strtok_r(arg, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
		const char *value = split_value(item);
		if (parse_port_key(&pp, item, value))
			return -1;
	}
	if (!pp.port.name[0] || pp.port.role == PORT_NONE)
		return refuse("port", pp.port.name, "needs name= and role=");
	if (pp.parent[0] ? join_parent(o, &pp) : has_own_device(&pp))
		return -1;
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
