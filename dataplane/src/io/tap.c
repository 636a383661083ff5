/*
 * Driver tap: the kernel's side of a routed port. A persistent TAP with the port's MAC and MTU; it
 * keeps addresses, routes and neighbours over a restart. The kernel finishes checksums itself, for
 * no offload is offered.
 *
 * One descriptor serves all workers: the kernel takes writes from several threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if_tun.h>

#include "../driver.h"
#include "../worker.h"
#include "netdev.h"

enum {
	EMPTY_PAUSE_NS = 50000, /* a busy worker does not ask an empty TAP on each round */
	/* The kernel's default of 500 is a BGP peer's window, and then a hello finds no room. */
	QUEUE_FRAMES = 4096,
};

struct tap {
	int fd;
	bool empty;
	uint64_t asked_ns;
};

static int failed(const struct port *port, const char *what, int status)
{
	fprintf(stderr, "bng-dataplane: port %s: TAP %s: %s: %s\n", port->shared->name,
		port->shared->interface, what, strerror(-status));
	return status;
}

static int attach(const struct port *port, int fd)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	memcpy(ifr.ifr_name, port->shared->interface, IFNAMSIZ - 1);
	if (ioctl(fd, TUNSETIFF, &ifr) || ioctl(fd, TUNSETOFFLOAD, 0) ||
		ioctl(fd, TUNSETPERSIST, 1))
		return -errno;
	return 0;
}

/* The routed port is open: it stands before its twin on the command line. */
static int configure(struct port *port)
{
	struct port_shared *shared = port->shared;
	const struct port_shared *routed = shared - port->index + shared->twin;
	const char *device = shared->interface;
	memcpy(shared->mac, routed->mac, sizeof(shared->mac));
	int status = netdev_set_mac(device, shared->mac);
	if (!status)
		status = netdev_set_mtu(device, shared->mtu);
	if (!status)
		status = netdev_take_no_advice(device);
	if (!status)
		status = netdev_set_queue(device, QUEUE_FRAMES);
	if (!status)
		status = netdev_change_flags(device, IFF_UP, 0);
	int index = netdev_index(device);
	if (index < 0)
		return index;
	shared->ifindex = (uint32_t)index;
	shared->flags = PORT_UP;
	return status;
}

static void tap_close(struct port *port)
{
	struct tap *tap = port->state;
	if (!tap)
		return;
	if (tap->fd >= 0)
		close(tap->fd);
	free(tap);
	port->state = NULL;
}

static int tap_open(struct port *port)
{
	struct tap *tap = calloc(1, sizeof(*tap));
	if (!tap)
		return -ENOMEM;
	port->state = tap;
	tap->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int status = tap->fd < 0 ? -errno : attach(port, tap->fd);
	if (!status)
		status = configure(port);
	if (!status)
		return 0;
	tap_close(port);
	return failed(port, "cannot be set up", status);
}

static int tap_open_queue(struct port *port, struct worker *w)
{
	port->queue[w->id] = port->state;
	return 0;
}

static uint16_t tap_rx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t max)
{
	struct tap *tap = port->queue[w->id];
	if (tap->empty && w->now_ns - tap->asked_ns < EMPTY_PAUSE_NS)
		return 0;
	tap->asked_ns = w->now_ns;
	tap->empty = false;
	uint16_t n = 0;
	while (n < max && !tap->empty) {
		struct pkt *p = pkt_alloc(w);
		if (!p)
			break;
		ssize_t len = read(tap->fd, pkt_data(p), PKT_DATA_ROOM);
		if (len > 0) {
			p->len = (uint16_t)len;
			pkts[n++] = p;
		} else {
			pkt_free(w, p);
			tap->empty = true;
		}
	}
	return n;
}

static uint16_t tap_tx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t n)
{
	const struct tap *tap = port->queue[w->id];
	uint16_t refused = 0;
	for (uint16_t i = 0; i < n; i++) {
		if (write(tap->fd, pkt_data(pkts[i]), pkts[i]->len) < 0)
			refused++;
		pkt_free(w, pkts[i]);
	}
	return refused;
}

static int tap_rx_fd(struct port *port, struct worker *w)
{
	const struct tap *tap = port->queue[w->id];
	return tap->fd;
}

DRIVER(tap) = {
	.name = "tap",
	.open = tap_open,
	.open_queue = tap_open_queue,
	.close = tap_close,
	.rx = tap_rx,
	.tx = tap_tx,
	.rx_fd = tap_rx_fd,
};
