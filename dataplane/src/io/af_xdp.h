/* State of the driver af_xdp, between its two files: opening, and moving packets. */
#ifndef BNG_AF_XDP_H
#define BNG_AF_XDP_H

#include <stdbool.h>
#include <stdint.h>

#include <xdp/xsk.h>

#include "../driver.h"
#include "control_rings.h"
#include "xdp_program.h"

enum {
	XDP_MAX_QUEUES = 64,
	XDP_RING_SIZE = 2048, /* of each ring; also buffers that wait in the kernel for frames */
	XDP_FRAME_HEADROOM = 256, /* the kernel's, in front of what is received */
};

/* A queue of the device. Its completion ring belongs to whoever holds `collecting`: all that
 * transmit through this queue have their buffers returned there. */
struct xdp_queue {
	struct xsk_socket *socket;
	struct xsk_ring_cons rx;
	struct xsk_ring_prod tx;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons completion;
	uint32_t missing; /* buffers the fill ring still has to get */
	uint32_t stats_ms;
	uint64_t lost; /* as last read */
	bool collecting;
};

/* How one worker transmits. */
struct xdp_sender {
	struct xdp_queue *queue;
	struct xsk_socket *own; /* NULL: the queue's socket is its own */
	struct xsk_ring_prod own_tx;
	struct xsk_ring_prod *tx;
	int fd;
};

struct af_xdp {
	int claim_fd;
	int map_fd;		      /* sockets by queue, for the program */
	int multicast_fd;	      /* a packet socket that hears nothing */
	int epoll_fd;		      /* all queues */
	struct control_rings control; /* what the program has passed to the kernel */
	enum xdp_port_mode mode;
	bool zero_copy;
	uint32_t busy_poll_us; /* 0: off */
	struct xsk_umem *umem;
	struct pkt *buffers; /* of all workers: the umem */
	uint32_t n_queues;
	uint32_t next_queue; /* to be served first */
	struct xdp_queue queue[XDP_MAX_QUEUES];
};

int af_xdp_open(struct port *port);
int af_xdp_open_queue(struct port *port, struct worker *w);
void af_xdp_close(struct port *port);
/* Gives the kernel buffers to receive into, as many as it lacks. */
void af_xdp_refill(struct af_xdp *self, struct xdp_queue *q, struct worker *w);

#endif
