/*
 * Driver af_xdp: opening and closing; see af_xdp.c.
 *
 * The program is on the device before the first socket, so the kernel never sees a frame; control
 * frames of routed ports, which it passes, are for a packet ring, and end in an ingress drop.
 * Native mode is tried first, then generic; a NIC that can works without copies.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/if_xdp.h>
#include <xdp/libxdp.h>

#include "../worker.h"
#include "af_xdp.h"
#include "ingress_drop.h"
#include "netdev.h"
#include "port_device.h"

/* What the room behind the kernel's headroom holds: a frame with two tags. */
enum { MAX_FRAME = PKT_HEADROOM + PKT_DATA_ROOM - XDP_FRAME_HEADROOM, L2_ROOM = 14 + 2 * 4 };

enum { SOCKET_BUFFER = 16 << 20 };

#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9 /* Linux 6.17 */
#endif

static int failed(const struct port *port, const char *what, int status)
{
	return port_device_failed(port, what, status);
}

/* ---- the device ---- */

static int read_options(const struct port *port, struct af_xdp *self)
{
	char value[16];
	self->mode = XDP_PORT_NATIVE;
	if (port_option(port, "mode", value, sizeof(value))) {
		if (!strcmp(value, "generic"))
			self->mode = XDP_PORT_GENERIC;
		else if (strcmp(value, "native") != 0)
			return failed(port, "option mode: native or generic", -EINVAL);
	}
	if (port_option(port, "busy-poll", value, sizeof(value))) {
		char *end;
		unsigned long us = strtoul(value, &end, 10);
		if (*end || us < 1 || us > 10000)
			return failed(port, "option busy-poll: 1 to 10000 us", -EINVAL);
		self->busy_poll_us = (uint32_t)us;
	}
	return 0;
}

/* XDP sees neither a tag that was taken out of the frame nor a checksum that is still to be made:
 * such frames would be lost or sent on broken. */
static int check_offloads(const struct port *port)
{
	const char *device = port->shared->interface;
	char value[8];
	if (netdev_takes_tags(device))
		return failed(port,
			"takes VLAN tags out of frames and cannot be told not to: use af_packet",
			-EOPNOTSUPP);
	if (!netdev_has_lazy_peer(device))
		return 0;
	if (port_option(port, "peer-offloads", value, sizeof(value)) && !strcmp(value, "off"))
		return 0;
	return failed(port,
		"is virtual, AF_XDP would miss VLAN tags and checksums that its peer leaves "
		"undone: "
		"turn them off there (ethtool -K PEER tx off txvlan off tx-vlan-stag-hw-insert "
		"off) "
		"and set peer-offloads=off, or use af_packet",
		-EOPNOTSUPP);
}

static int attach(struct port *port, struct af_xdp *self)
{
	int index = (int)port->shared->ifindex, queues = (int)self->n_queues;
	bool passes = has_control_rings(port);
	int status = passes ? ingress_drop_install(port->shared->interface) : 0;
	if (status)
		return failed(port, "ingress drop (nf_tables, family netdev)", status);
	status = xdp_program_attach(index, queues, self->mode, passes);
	if (status < 0 && status != -EBUSY && self->mode == XDP_PORT_NATIVE) {
		self->mode = XDP_PORT_GENERIC;
		status = xdp_program_attach(index, queues, self->mode, passes);
	}
	if (status < 0)
		return failed(port, "XDP program", status);
	self->map_fd = status;
	return 0;
}

static int hear_multicast(struct port *port, struct af_xdp *self)
{
	self->multicast_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (self->multicast_fd < 0)
		return failed(port, "packet socket", -errno);
	return port_device_hear_multicast(port, self->multicast_fd);
}

static int take_from_kernel(struct port *port, struct af_xdp *self)
{
	const char *device = port->shared->interface;
	if (port->shared->mtu + L2_ROOM > MAX_FRAME)
		return failed(port, "mtu is more than AF_XDP can take", -EMSGSIZE);
	int queues = netdev_rx_queues(device);
	if (queues < 1 || queues > XDP_MAX_QUEUES)
		return failed(port, "queues", queues < 0 ? queues : -E2BIG);
	self->n_queues = (uint32_t)queues;
	int status = attach(port, self);
	if (status)
		return status;
	if (!has_control_rings(port)) /* an earlier run with af_packet may have left one */
		(void)ingress_drop_remove(device);
	status = port_device_prepare(port);
	if (!status)
		status = check_offloads(port);
	return status ? status : hear_multicast(port, self);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void let_go(struct port *port)
{
	struct af_xdp *self = port->state;
	if (self->map_fd >= 0) {
		int status = xdp_program_detach((int)port->shared->ifindex);
		if (status)
			failed(port, "XDP program not removed", status);
	}
	if (has_control_rings(port))
		(void)ingress_drop_remove(port->shared->interface);
	control_rings_close(&self->control);
	close_fd(self->map_fd);
	close_fd(self->multicast_fd);
	close_fd(self->epoll_fd);
	close_fd(self->claim_fd);
	free(self);
	port->state = NULL;
}

static int no_print(enum libxdp_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

int af_xdp_open(struct port *port)
{
	struct af_xdp *self = calloc(1, sizeof(*self));
	if (!self)
		return failed(port, "interface", -ENOMEM);
	port->state = self;
	self->map_fd = self->multicast_fd = -1;
	control_rings_init(&self->control);
	libxdp_set_print(no_print); /* errors are told here */
	self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	self->claim_fd = port_device_claim(port);
	int status = self->claim_fd < 0 ? self->claim_fd : read_options(port, self);
	if (!status && self->epoll_fd < 0)
		status = failed(port, "epoll", -errno);
	if (!status)
		status = take_from_kernel(port, self);
	if (status)
		let_go(port);
	return status;
}

/* ---- sockets ---- */

/* The buffers of the workers are the umem: frames go from port to port without a copy of ours. */
static int make_umem(struct af_xdp *self, struct worker *w, bool *contiguous)
{
	uint64_t size;
	self->buffers = worker_buffers(w, &size, contiguous);
	const struct xsk_umem_config config = {.fill_size = XDP_RING_SIZE,
		.comp_size = XDP_RING_SIZE * 2,
		.frame_size = sizeof(self->buffers->buf),
		.flags = XDP_UMEM_UNALIGNED_CHUNK_FLAG};
	return xsk_umem__create(&self->umem, self->buffers, size, &self->queue[0].fill,
		&self->queue[0].completion, &config);
}

/* A device can write into a buffer of two pages only when they lie side by side. */
static struct xsk_socket_config socket_config(bool contiguous)
{
	return (struct xsk_socket_config){.rx_size = XDP_RING_SIZE,
		.tx_size = XDP_RING_SIZE,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = (uint16_t)(XDP_USE_NEED_WAKEUP | (contiguous ? 0 : XDP_COPY))};
}

/* What does not work makes it slower, no more. */
static void tune(const struct af_xdp *self, int fd)
{
	int room = SOCKET_BUFFER;
	int burst = BURST_SIZE;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	(void)setsockopt(fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &burst, sizeof(burst));
	if (!self->busy_poll_us)
		return;
	int on = 1;
	int us = (int)self->busy_poll_us;
	(void)setsockopt(fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &us, sizeof(us));
	(void)setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &burst, sizeof(burst));
}

static int open_rx(struct port *port, struct af_xdp *self, uint32_t i, bool contiguous)
{
	struct xdp_queue *q = &self->queue[i];
	struct xsk_socket_config config = socket_config(contiguous);
	int status = xsk_socket__create_shared(&q->socket, port->shared->interface, i, self->umem,
		&q->rx, &q->tx, &q->fill, &q->completion, &config);
	if (status)
		return status;
	int fd = xsk_socket__fd(q->socket);
	struct epoll_event event = {.events = EPOLLIN};
	tune(self, fd);
	q->missing = XDP_RING_SIZE;
	return epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* The program finds a socket only when it has buffers. */
static int start_rx(struct port *port, struct af_xdp *self, struct worker *w)
{
	for (uint32_t i = 0; i < self->n_queues; i++) {
		struct xdp_queue *q = &self->queue[i];
		int fd = xsk_socket__fd(q->socket);
		af_xdp_refill(self, q, w);
		if (q->missing || w->n_free < GRAPH_BUDGET)
			return failed(port, "needs more buffers (buffers_per_worker)", -ENOBUFS);
		if (bpf_map_update_elem(self->map_fd, &i, &fd, BPF_ANY))
			return failed(port, "XDP program's sockets", -errno);
	}
	return 0;
}

/* All queues, or none: frames of a queue without a socket would be lost. */
static int open_all_rx(struct port *port, struct af_xdp *self, struct worker *w)
{
	bool contiguous;
	int status = make_umem(self, w, &contiguous);
	if (status)
		return failed(port, "AF_XDP memory", status);
	for (uint32_t i = 0; i < self->n_queues; i++) {
		status = open_rx(port, self, i, contiguous);
		if (status) {
			char what[64];
			snprintf(what, sizeof(what), "queue %u of %u cannot be had", i,
				self->n_queues);
			return failed(port, what, status);
		}
	}
	struct xdp_options got = {0};
	socklen_t len = sizeof(got);
	if (!getsockopt(xsk_socket__fd(self->queue[0].socket), SOL_XDP, XDP_OPTIONS, &got, &len))
		self->zero_copy = got.flags & XDP_OPTIONS_ZEROCOPY;
	fprintf(stderr, "event=af-xdp port=%s mode=%s copy=%s queues=%u\n", port->shared->name,
		self->mode == XDP_PORT_NATIVE ? "native" : "generic",
		self->zero_copy ? "no" : "yes", self->n_queues);
	return 0;
}

/* Another worker than the receiving one has a socket of its own on a queue, for its tx ring. */
static int open_tx(struct port *port, struct af_xdp *self, struct worker *w)
{
	uint32_t i = w->id % self->n_queues;
	struct xdp_sender *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	port->queue[w->id] = s;
	s->queue = &self->queue[i];
	s->tx = &s->queue->tx;
	if (w->id != port->shared->rx_worker) {
		struct xsk_socket_config config = socket_config(true);
		s->tx = &s->own_tx;
		int status = xsk_socket__create_shared(&s->own, port->shared->interface, i,
			self->umem, NULL, s->tx, NULL, NULL, &config);
		if (status)
			return status;
	}
	s->fd = xsk_socket__fd(s->own ? s->own : s->queue->socket);
	if (s->own)
		tune(self, s->fd);
	return 0;
}

int af_xdp_open_queue(struct port *port, struct worker *w)
{
	struct af_xdp *self = port->state;
	int status = self->umem ? 0 : open_all_rx(port, self, w);
	if (status)
		return status;
	status = open_tx(port, self, w);
	if (status)
		return failed(port, "AF_XDP socket to send", status);
	if (w->id != port->shared->rx_worker)
		return 0;
	if (has_control_rings(port)) /* all that the program has let pass has a ring */
		status = control_rings_open(&self->control, port, SORT_DATA);
	return status ? failed(port, "packet socket", status) : start_rx(port, self, w);
}

void af_xdp_close(struct port *port)
{
	struct af_xdp *self = port->state;
	for (int i = 0; i < MAX_WORKERS; i++) {
		struct xdp_sender *s = port->queue[i];
		if (s && s->own)
			xsk_socket__delete(s->own);
		free(s);
		port->queue[i] = NULL;
	}
	for (uint32_t i = 0; i < self->n_queues; i++)
		if (self->queue[i].socket)
			xsk_socket__delete(self->queue[i].socket);
	if (self->umem)
		xsk_umem__delete(self->umem);
	let_go(port);
}
