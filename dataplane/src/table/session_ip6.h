/*
 * IPv6 of a session: on and off, and what its packets may come from. Routes to it are bngd's
 * business.
 */
#ifndef BNG_SESSION_IP6_H
#define BNG_SESSION_IP6_H

#include "worker.h"

/* CMD_SESSION_IP6. -EINVAL: the mask is none, or the prefix has bits that it does not. */
int session_ip6_command(struct worker *w, const struct command *c);
/* The session ends, or begins: no IPv6, nothing counted. */
void session_ip6_clear(struct worker *w, uint32_t session);

#endif
