/* The instructions of the XDP program of a port. */
#ifndef BNG_XDP_INSNS_H
#define BNG_XDP_INSNS_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>

enum { XDP_INSNS_MAX = 256 };

/* Frames go to the socket in the map that has the number of their queue, or nowhere. Control frames
 * (node/control_class.h) go on to the kernel when they are said to pass: a packet ring takes them
 * there. Returns how many instructions. */
size_t xdp_insns(struct bpf_insn insns[XDP_INSNS_MAX], int map_fd, bool control_passes);

#endif
