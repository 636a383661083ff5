/* The list of drivers. */
#include "driver.h"

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
