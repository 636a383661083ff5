/*
 * Driver af_packet: any Linux interface, through packet sockets.
 *
 * Receive: a ring that the kernel fills (packet_ring.h); a routed port has others, small ones, for
 * control frames alone, which data never fills (control_rings.h).
 *
 * Send: one socket per worker, sendmmsg: on a veth 1.3 us a frame, where a TX ring takes 1.5, for
 * its pages are copied for the peer. The queueing discipline is not bypassed: that saves nothing
 * and would hide our frames from tcpdump. What the device refuses is dropped and counted. Control
 * frames have a socket of their own, whose buffer data cannot fill, and TC_PRIO_CONTROL, which
 * pfifo_fast and the like send first.
 *
 * Open takes the device away from the kernel: no addresses, no ARP, no IPv6, and an ingress drop
 * that stays when the process dies.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/pkt_sched.h>

#include "../driver.h"
#include "../worker.h"
#include "control_rings.h"
#include "ingress_drop.h"
#include "port_device.h"
#include "xdp_program.h"

enum {
	N_SLOTS = 4096,
	SOCKET_BUFFER = 16 << 20,
	SEND_BATCH = 64,
};

struct af_packet {
	int claim_fd; /* no other dataplane opens the device, or takes our ingress drop away */
};

struct af_packet_queue {
	struct packet_ring data; /* not open: another worker receives */
	struct control_rings control;
	int tx_fd, control_tx_fd;
};

static int failed(const struct port *port, const char *what, int status)
{
	return port_device_failed(port, what, status);
}

/* ---- the device ---- */

static void let_go(struct port *port)
{
	struct af_packet *self = port->state;
	close(self->claim_fd);
	free(self);
	port->state = NULL;
}

static int take_from_kernel(struct port *port)
{
	const char *device = port->shared->interface;
	int status = ingress_drop_install(device);
	if (status)
		return failed(port, "ingress drop (nf_tables, family netdev)", status);
	/* Somebody else's program may stay, one that af_xdp has left would eat all frames. */
	status = xdp_program_detach((int)port->shared->ifindex);
	if (status && status != -EBUSY)
		failed(port, "XDP program not removed", status);
	else
		status = port_device_prepare(port);
	if (status)
		(void)ingress_drop_remove(device);
	return status;
}

static int af_packet_open(struct port *port)
{
	struct af_packet *self = calloc(1, sizeof(*self));
	if (!self)
		return failed(port, "interface", -ENOMEM);
	port->state = self;
	self->claim_fd = port_device_claim(port);
	int status = self->claim_fd < 0 ? self->claim_fd : take_from_kernel(port);
	if (status)
		let_go(port);
	return status;
}

/* ---- sockets ---- */

static int open_rx(struct port *port, struct af_packet_queue *q)
{
	bool apart = has_control_rings(port);
	int status = apart ? control_rings_open(&q->control, port, 0) : 0;
	return status ? status
		      : packet_ring_open(&q->data, port, N_SLOTS, apart ? SORT_DATA : SORTS_ALL);
}

static int open_tx(const struct port *port, int priority, int *fd)
{
	*fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return -errno;
	int buffer = SOCKET_BUFFER;
	(void)setsockopt(*fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	(void)setsockopt(*fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority));
	return packet_bind(*fd, port, 0);
}

static int af_packet_open_queue(struct port *port, struct worker *w)
{
	struct af_packet_queue *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->data.fd = q->tx_fd = q->control_tx_fd = -1;
	control_rings_init(&q->control);
	port->queue[w->id] = q;
	int status = open_tx(port, 0, &q->tx_fd);
	if (!status)
		status = open_tx(port, TC_PRIO_CONTROL, &q->control_tx_fd);
	if (!status && port->shared->rx_worker == w->id)
		status = open_rx(port, q);
	return status ? failed(port, "packet socket", status) : 0;
}

static void close_queue(struct af_packet_queue *q)
{
	packet_ring_close(&q->data);
	control_rings_close(&q->control);
	if (q->tx_fd >= 0)
		close(q->tx_fd);
	if (q->control_tx_fd >= 0)
		close(q->control_tx_fd);
	free(q);
}

static void af_packet_close(struct port *port)
{
	for (int i = 0; i < MAX_WORKERS; i++)
		if (port->queue[i])
			close_queue(port->queue[i]);
	memset(port->queue, 0, sizeof(port->queue));
	int status = ingress_drop_remove(port->shared->interface);
	if (status)
		failed(port, "ingress drop not removed", status);
	let_go(port);
}

/* ---- receive ---- */

static uint16_t af_packet_rx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t max)
{
	struct af_packet_queue *q = port->queue[w->id];
	uint16_t n = packet_ring_rx(&q->data, port, w, pkts, max);
	port->shared->tx[w->id].rx_lost = q->data.lost;
	return n;
}

static uint16_t af_packet_rx_control(
	struct port *port, struct worker *w, struct pkt **pkts, uint16_t max)
{
	struct af_packet_queue *q = port->queue[w->id];
	return control_rings_rx(&q->control, port, w, pkts, max);
}

/* ---- send ---- */

/* How many of n were taken by the device; the others have been refused. */
static uint16_t send_batch(int fd, struct pkt **pkts, uint16_t n)
{
	struct mmsghdr msgs[SEND_BATCH];
	struct iovec iov[SEND_BATCH];
	memset(msgs, 0, n * sizeof(*msgs));
	for (uint16_t i = 0; i < n; i++) {
		iov[i] = (struct iovec){pkt_data(pkts[i]), pkts[i]->len};
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	uint16_t sent = 0;
	/* sendmmsg stops at the frame that the device refuses; those behind it are tried. */
	for (uint16_t at = 0; at < n; at++) {
		int done = sendmmsg(fd, msgs + at, n - at, MSG_DONTWAIT);
		if (done > 0) {
			sent = (uint16_t)(sent + done);
			at = (uint16_t)(at + done);
		} else if (errno == ENETDOWN || errno == ENXIO || errno == ENODEV) {
			break;
		}
	}
	return sent;
}

static uint16_t af_packet_tx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t n)
{
	const struct af_packet_queue *q = port->queue[w->id];
	int fd = pkts[0]->flags & PKT_CONTROL ? q->control_tx_fd : q->tx_fd;
	uint16_t sent = 0;
	for (uint16_t at = 0; at < n; at = (uint16_t)(at + SEND_BATCH)) {
		uint16_t some = n - at < SEND_BATCH ? (uint16_t)(n - at) : SEND_BATCH;
		sent = (uint16_t)(sent + send_batch(fd, pkts + at, some));
	}
	for (uint16_t i = 0; i < n; i++)
		pkt_free(w, pkts[i]);
	return (uint16_t)(n - sent);
}

static int af_packet_rx_fd(struct port *port, struct worker *w)
{
	const struct af_packet_queue *q = port->queue[w->id];
	return q->data.fd;
}

static int af_packet_control_fd(struct port *port, struct worker *w, unsigned i)
{
	const struct af_packet_queue *q = port->queue[w->id];
	return q->control.ring[i].fd;
}

DRIVER(af_packet) = {
	.name = "af_packet",
	.open = af_packet_open,
	.open_queue = af_packet_open_queue,
	.close = af_packet_close,
	.rx = af_packet_rx,
	.tx = af_packet_tx,
	.rx_fd = af_packet_rx_fd,
	.rx_control = af_packet_rx_control,
	.control_fd = af_packet_control_fd,
};
