/*
 * Which frames of a device are control, and of which sort: of routing protocols, the TCP
 * connections among them apart; ARP and ND (RFC 4861). Each sort can have a queue of its own in the
 * kernel, so that what nobody can take in time of one costs nothing of the others. A classic BPF
 * program tells them: the same sorts as node/control_class.h, but that a TCP connection has to
 * stand: whoever begins one may wait.
 */
#ifndef BNG_PACKET_FILTER_H
#define BNG_PACKET_FILTER_H

enum packet_sort {
	SORT_DATA = 1,
	SORT_ROUTING = 2, /* hellos and the like: few, and each one counts */
	SORT_NEIGHBOUR = 4,
	SORT_STREAM = 8, /* BGP, LDP: comes in bursts, and is sent again */
	SORTS_ALL = SORT_DATA | SORT_ROUTING | SORT_NEIGHBOUR | SORT_STREAM,
};

/* The socket takes frames of these sorts alone. Returns 0 or -errno. */
int packet_filter_set(int fd, unsigned sorts);

#endif
