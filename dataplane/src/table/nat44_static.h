/*
 * One-to-one NAT: a public address that is one session's alone. Routes to it are bngd's business,
 * translation that of node/nat44_static.c.
 */
#ifndef BNG_NAT44_STATIC_H
#define BNG_NAT44_STATIC_H

#include "worker.h"

/* CMD_SESSION_STATIC. -EINVAL; -ENOSPC: the log has no room for the record. */
int nat44_static_command(struct worker *w, const struct command *c);
/* The session has no public address of its own any more. */
void nat44_static_clear(struct worker *w, uint32_t session);

#endif
