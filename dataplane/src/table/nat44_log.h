/* Records of NAT44 for the log. All return false when it has no room. */
#ifndef BNG_NAT44_LOG_H
#define BNG_NAT44_LOG_H

#include <stdbool.h>

#include "worker.h"

/* A block was given or taken back. */
bool nat44_log_block(struct worker *w, enum nat_log_type type, uint32_t index);
/* A mapping begins or ends; it stands in its slot. */
bool nat44_log_mapping(struct worker *w, enum nat_log_type type, const struct nat_slot *slot);
/* A flow of GRE or ESP does; its ports are 0. */
bool nat44_log_protocol(struct worker *w, enum nat_log_type type, const struct nat_protocol *flow);

#endif
