/* The attach socket: who asks first gets the arena and its descriptors, as long as it stays. */
#ifndef BNG_ATTACH_H
#define BNG_ATTACH_H

#include "engine.h"

struct attach {
	struct dataplane *dp;
	char path[PATH_LEN];
	int listener;
	int peer; /* holds the lease, -1: nobody */
};

/* 0 or -errno with a line on stderr. */
int attach_open(struct attach *a, struct dataplane *dp);
void attach_close(struct attach *a);
/* The listener is readable: answers one peer. Returns true when it got the lease. */
bool attach_accept(struct attach *a);
/* The peer's socket is readable: returns true when it is gone, and the lease with it. */
bool attach_peer(struct attach *a);

#endif
