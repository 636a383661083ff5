/*
 * Keeps the kernel out of a port: an nftables chain of the netdev family drops everything that
 * the device receives. Packet sockets see frames before it. It outlives the process on purpose.
 */
#ifndef BNG_INGRESS_DROP_H
#define BNG_INGRESS_DROP_H

/* Replaces what an earlier run has left. Returns 0 or -errno. */
int ingress_drop_install(const char *device);
int ingress_drop_remove(const char *device);

#endif
