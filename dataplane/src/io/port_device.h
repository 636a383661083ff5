/*
 * A device of the kernel becomes a port: what all drivers of real devices have in common. Each of
 * them keeps the kernel from seeing frames in its own way, between claim and prepare.
 */
#ifndef BNG_PORT_DEVICE_H
#define BNG_PORT_DEVICE_H

#include "../driver.h"

/* All print one line that names the port when they fail, and return -errno then. */

/* Returns a descriptor to close at the end: while it is open no other dataplane takes the device.
 * Fills ifindex and mac; refuses a device with addresses. */
int port_device_claim(struct port *port);
/* No ARP, no IPv6, no merged frames, the MTU; up. Fills flags. */
int port_device_prepare(struct port *port);
/* Routed ports hear multicast for the kernel's TAP twin (OSPF), while the packet socket is open. */
int port_device_hear_multicast(const struct port *port, int packet_fd);
/* Says what failed, and returns status. */
int port_device_failed(const struct port *port, const char *what, int status);

#endif
