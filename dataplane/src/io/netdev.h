/* Settings of a network device that a driver makes: ioctl, ethtool and sysctl, no netlink. */
#ifndef BNG_NETDEV_H
#define BNG_NETDEV_H

#include <stdbool.h>
#include <stdint.h>

/* All return 0 or -errno, but where it says so. */
int netdev_index(const char *name);		  /* or the index */
int netdev_mac(const char *name, uint8_t mac[6]); /* -EPFNOSUPPORT: no Ethernet */
int netdev_set_mac(const char *name, const uint8_t mac[6]);
int netdev_flags(const char *name); /* IFF_*, or -errno */
int netdev_change_flags(const char *name, int set, int clear);
/*
 * Makes the device this process's own among those that call this, for as long as the descriptor
 * is open. Returns it, or -EADDRINUSE.
 */
int netdev_claim(const char *name);
/* Raises the MTU to at least `mtu`. */
int netdev_raise_mtu(const char *name, int mtu);
int netdev_set_mtu(const char *name, int mtu);
/* How many frames wait for whoever sends them. */
int netdev_set_queue(const char *name, int frames);
/* An IPv4 address, or an IPv6 one that is not link-local. */
bool netdev_has_addresses(const char *name);
/* Ends IPv6 on the device; 0 too when the kernel has none. */
int netdev_disable_ipv6(const char *name);
/* What hosts on the link say of routes, prefixes and their parameters is not for the kernel: Router
 * Advertisements (RFC 4862 section 5.5) and Redirects of both families. */
int netdev_take_no_advice(const char *name);
/* Receive offloads that merge frames, or take or filter VLAN tags. What the device lacks is fine.
 */
void netdev_receive_as_sent(const char *name);
/* Takes VLAN tags out of received frames, still. */
bool netdev_takes_tags(const char *name);
/* Its frames come from a peer on this machine that may leave tags and checksums to the device. */
bool netdev_has_lazy_peer(const char *name);
/* How many queues it receives on; 1 when it does not say. */
int netdev_rx_queues(const char *name);

#endif
