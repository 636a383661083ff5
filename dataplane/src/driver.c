/* The list of drivers, and what the command line says to one. */
#include "driver.h"

#include <stdio.h>
#include <string.h>

static struct driver *all_drivers;

void driver_register(struct driver *driver)
{
	driver->registered = all_drivers;
	all_drivers = driver;
}

const struct driver *driver_find(const char *name)
{
	for (const struct driver *d = all_drivers; d; d = d->registered)
		if (!strcmp(d->name, name))
			return d;
	return NULL;
}

bool port_option(const struct port *port, const char *key, char *value, size_t size)
{
	const char *at = port->options;
	size_t key_len = strlen(key);

	while (*at) {
		size_t len = strcspn(at, ",");
		if (!strncmp(at, key, key_len) && at[key_len] == '=') {
			snprintf(value, size, "%.*s", (int)(len - key_len - 1), at + key_len + 1);
			return true;
		}
		at += len + (at[len] == ',');
	}
	return false;
}
