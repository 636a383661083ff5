/*
 * Which frames of a device are control: those of routing protocols, ARP and ND (RFC 4861). They
 * have a queue of their own in the kernel, so that data that nobody can take in time costs none of
 * them. A classic BPF program says so: the same sorts as node/control_class.h, but that a TCP
 * connection has to stand: whoever begins one may wait.
 */
#ifndef BNG_PACKET_FILTER_H
#define BNG_PACKET_FILTER_H

enum packet_filter { PACKET_ALL, PACKET_DATA, PACKET_CONTROL };

/* Returns 0 or -errno. */
int packet_filter_set(int fd, enum packet_filter filter);

#endif
