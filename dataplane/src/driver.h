/*
 * I/O drivers. One file per driver, registered by DRIVER(); nothing else names it but the config.
 *
 * A port has one rx worker and a tx side on every worker, each opened by its own call, so that no
 * lock is needed.
 */
#ifndef BNG_DRIVER_H
#define BNG_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane.h"
#include "pkt.h"

struct worker;

/* One port as this process sees it; port_shared is what bngd sees. */
struct port {
	struct port_shared *shared;
	const struct driver *driver;
	uint8_t index;
	bool has_vlans;		  /* routed ports stand on this one */
	char options[512];	  /* driver's own, from the command line: in=...,out=... */
	void *queue[MAX_WORKERS]; /* the driver's, per worker */
	void *state;		  /* the driver's, per port */
};

enum { MAX_DRIVER_OPTIONS = 4, CONTROL_QUEUES = 3 };

struct driver {
	const char *name;
	const char *options[MAX_DRIVER_OPTIONS]; /* keys of port.options that it knows */
	/* Once per port, before any worker runs. Prepares the device, fills mac, ifindex, flags.
	 * Returns 0 or -errno, with one line of text on stderr that names the port. */
	int (*open)(struct port *port);
	/* Once per worker: tx side, and rx side when w is the port's rx_worker. */
	int (*open_queue)(struct port *port, struct worker *w);
	void (*close)(struct port *port);
	/* Up to max frames, from the Ethernet header on, tags in place; returns how many. NULL, and
	 * rx_fd as well: its frames come in by another port. */
	uint16_t (*rx)(struct port *port, struct worker *w, struct pkt **pkts, uint16_t max);
	/* The same of control frames, when they have queues of their own that data cannot fill;
	 * asked first. NULL: they come with all others. */
	uint16_t (*rx_control)(
		struct port *port, struct worker *w, struct pkt **pkts, uint16_t max);
	/* Takes all n buffers over, frees them when sent; returns how many it had to drop, the last
	 * ones. All are control frames (PKT_CONTROL), or none. The caller counts packets, bytes and
	 * drops, in both directions. */
	uint16_t (*tx)(struct port *port, struct worker *w, struct pkt **pkts, uint16_t n);
	/* Offers a device again what it did not take at once; whether there is still some. NULL:
	 * tx leaves nothing behind. */
	bool (*retry)(struct port *port, struct worker *w);
	/* Descriptor to sleep on for rx, or -1: then the port must be polled. */
	int (*rx_fd)(struct port *port, struct worker *w);
	/* The same for rx_control, i < CONTROL_QUEUES; -1: there is no such queue. */
	int (*control_fd)(struct port *port, struct worker *w, unsigned i);
	struct driver *registered;
};

void driver_register(struct driver *driver);
const struct driver *driver_find(const char *name);
/* Value of a key of the port's options, copied to `value`; false when it is not there. */
bool port_option(const struct port *port, const char *key, char *value, size_t size);

#define DRIVER(symbol)                                                                             \
	static struct driver driver_##symbol;                                                      \
	__attribute__((constructor)) static void register_driver_##symbol(void)                    \
	{                                                                                          \
		driver_register(&driver_##symbol);                                                 \
	}                                                                                          \
	static struct driver driver_##symbol

#endif
