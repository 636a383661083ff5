/*
 * The XDP program of a port: a frame goes to the socket of its queue, and to nobody where there is
 * none, so the kernel sees nothing but, perhaps, control frames. It stays on the device when the
 * process dies, on purpose.
 */
#ifndef BNG_XDP_PROGRAM_H
#define BNG_XDP_PROGRAM_H

#include <stdbool.h>

enum xdp_port_mode { XDP_PORT_NATIVE, XDP_PORT_GENERIC };

/* Puts it on the device in place of what an earlier run has left. Returns the descriptor of its
 * map of sockets, one for each of n_queues, or -errno; -EBUSY: somebody else's program is there.
 * control_passes: control frames go on to the kernel, where an ingress drop has to stand. */
int xdp_program_attach(int ifindex, int n_queues, enum xdp_port_mode mode, bool control_passes);
/* Takes our own program away. 0 also when there is none; -EBUSY: it is somebody else's. */
int xdp_program_detach(int ifindex);

#endif
