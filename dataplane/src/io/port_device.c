/* A device of the kernel becomes a port; see port_device.h. */
#include "port_device.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_packet.h>

#include "../hdr/ethernet.h"
#include "netdev.h"

enum { TAGS_ROOM = 2 * VLAN_LEN }; /* above the MTU */

int port_device_failed(const struct port *port, const char *what, int status)
{
	fprintf(stderr, "bng-dataplane: port %s: %s %s: %s\n", port->shared->name,
		port->shared->interface, what, strerror(-status));
	return status;
}

static int check_device(struct port *port)
{
	const char *device = port->shared->interface;
	int status = netdev_mac(device, port->shared->mac);
	if (status)
		return port_device_failed(port, "is no Ethernet device", status);
	if (netdev_has_addresses(device))
		return port_device_failed(port,
			"has IP addresses: flush them or choose another interface", -EADDRINUSE);
	return 0;
}

int port_device_claim(struct port *port)
{
	const char *device = port->shared->interface;
	int index = netdev_index(device);
	if (index < 0)
		return port_device_failed(port, "interface", index);
	port->shared->ifindex = (uint32_t)index;
	int fd = netdev_claim(device);
	if (fd < 0)
		return port_device_failed(port, "is another bng-dataplane's", fd);
	int status = check_device(port);
	if (status) {
		close(fd);
		return status;
	}
	return fd;
}

/* Two tags go on top of the MTU where there may be some; a device that refuses may still serve one.
 */
static int raise_mtu(const struct port *port)
{
	const struct port_shared *shared = port->shared;
	if ((shared->role == PORT_ACCESS || port->has_vlans) &&
		!netdev_raise_mtu(shared->interface, shared->mtu + TAGS_ROOM))
		return 0;
	return netdev_raise_mtu(shared->interface, shared->mtu);
}

int port_device_prepare(struct port *port)
{
	struct port_shared *shared = port->shared;
	const char *device = shared->interface;
	int status = netdev_disable_ipv6(device);
	if (status)
		return port_device_failed(port, "disable_ipv6", status);
	status = netdev_change_flags(device, IFF_NOARP | IFF_UP, 0);
	if (status)
		return port_device_failed(port, "up, ARP off", status);
	netdev_receive_as_sent(device);
	status = raise_mtu(port);
	if (status)
		return port_device_failed(port, "refuses this port's MTU", status);
	int flags = netdev_flags(device);
	if (flags < 0)
		return port_device_failed(port, "interface", flags);
	shared->flags = flags & IFF_RUNNING ? PORT_UP : 0;
	return 0;
}

int port_device_hear_multicast(const struct port *port, int packet_fd)
{
	struct packet_mreq request = {
		.mr_ifindex = (int)port->shared->ifindex, .mr_type = PACKET_MR_ALLMULTI};
	if (port->shared->role != PORT_ROUTED && !port->has_vlans)
		return 0;
	return setsockopt(packet_fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request))
		       ? port_device_failed(port, "multicast", -errno)
		       : 0;
}
