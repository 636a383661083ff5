/* The in-memory driver, as seen by embedded mode and benchmarks. */
#ifndef BNG_IO_GEN_H
#define BNG_IO_GEN_H

#include <stdbool.h>
#include <stdint.h>

#include "driver.h"

/* Puts a copy of a frame on the receive side. 0 or -ENOMEM. */
int gen_receive(struct port *port, const uint8_t *frame, uint16_t len);
/* Frames waiting there. */
uint32_t gen_pending(const struct port *port);
/* From now on what is sent is kept, until it is taken, or freed. */
void gen_keep(struct port *port, bool keep);
/* Takes the oldest frame that was sent; its length, 0: none. Longer ones are cut to size. */
uint16_t gen_transmitted(struct port *port, uint8_t *frame, uint16_t size);
/* Replays n frames, again and again, in the order given; they stay the caller's. */
void gen_replay(struct port *port, const uint8_t *const *frames, const uint16_t *lens, uint32_t n);
bool gen_is(const struct port *port);

#endif
