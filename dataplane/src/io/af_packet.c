/*
 * Driver af_packet: any Linux interface, through packet sockets.
 *
 * Receive: a TPACKET_V2 ring, which wakes at once (V3 waits for a block to fill or time out). Slots
 * hold ordinary frames; one that is larger, a TCP block of up to 64 KiB from a veth peer, is also
 * queued whole on the socket (PACKET_COPY_THRESH) and read from there. PACKET_VNET_HDR tells which
 * checksums are unfinished and how to segment. The kernel takes the outer VLAN tag out of every
 * frame; it is put back.
 *
 * Send: one socket per worker, sendmmsg: on a veth 1.3 us a frame, where a TX ring takes 1.5, for
 * its pages are copied for the peer. The queueing discipline is not bypassed: that saves nothing
 * and would hide our frames from tcpdump. What the device refuses is dropped and counted.
 *
 * Open takes the device away from the kernel: no addresses, no ARP, no IPv6, and an ingress drop
 * that stays when the process dies.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "../driver.h"
#include "../hdr/ethernet.h"
#include "../worker.h"
#include "ingress_drop.h"
#include "offload.h"
#include "port_device.h"
#include "xdp_program.h"

enum {
	SLOT_SIZE = 2048,
	N_SLOTS = 4096,
	BLOCK_SIZE = 1 << 16,
	LARGE_ROOM = 1 << 17, /* a whole TCP block, and some */
	SOCKET_BUFFER = 16 << 20,
	SEND_BATCH = 64,
};

struct af_packet {
	int claim_fd; /* no other dataplane opens the device, or takes our ingress drop away */
};

struct af_packet_queue {
	int rx_fd; /* -1: another worker receives */
	int tx_fd;
	uint8_t *ring;
	uint32_t slot;	  /* the next one to look at */
	bool in_progress; /* ... is being taken apart by `offload` */
	struct offload offload;
	uint16_t tpid; /* outer tag of that frame, 0: none */
	uint16_t tci;
	uint8_t *large; /* a frame that no slot holds */
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

static int set_option(int fd, int name, int value)
{
	return setsockopt(fd, SOL_PACKET, name, &value, sizeof(value)) ? -errno : 0;
}

static int bind_to(int fd, const struct port *port, uint16_t protocol)
{
	struct sockaddr_ll sll = {.sll_family = AF_PACKET,
		.sll_protocol = hton16(protocol),
		.sll_ifindex = (int)port->shared->ifindex};
	return bind(fd, (struct sockaddr *)&sll, sizeof(sll)) ? -errno : 0;
}

static int make_ring(struct af_packet_queue *q)
{
	struct tpacket_req request = {.tp_block_size = BLOCK_SIZE,
		.tp_block_nr = (unsigned)N_SLOTS * SLOT_SIZE / BLOCK_SIZE,
		.tp_frame_size = SLOT_SIZE,
		.tp_frame_nr = N_SLOTS};
	if (setsockopt(q->rx_fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)))
		return -errno;
	void *ring = mmap(NULL, (size_t)N_SLOTS * SLOT_SIZE, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_POPULATE, q->rx_fd, 0);
	if (ring == MAP_FAILED)
		return -errno;
	q->ring = ring;
	return 0;
}

/* Bound last: nothing arrives before all options are set. */
static int open_rx(struct port *port, struct af_packet_queue *q)
{
	q->rx_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	q->large = malloc(LARGE_ROOM);
	if (q->rx_fd < 0 || !q->large)
		return -errno;
	int buffer = SOCKET_BUFFER;
	(void)setsockopt(q->rx_fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	static const int options[][2] = {{PACKET_VERSION, TPACKET_V2}, {PACKET_VNET_HDR, 1},
		{PACKET_AUXDATA, 1}, {PACKET_COPY_THRESH, 1}, {PACKET_IGNORE_OUTGOING, 1}};
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		int status = set_option(q->rx_fd, options[i][0], options[i][1]);
		if (status)
			return status;
	}
	int status = make_ring(q);
	if (!status)
		status = port_device_hear_multicast(port, q->rx_fd);
	return status ? status : bind_to(q->rx_fd, port, ETH_P_ALL);
}

static int open_tx(struct port *port, struct af_packet_queue *q)
{
	q->tx_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (q->tx_fd < 0)
		return -errno;
	int buffer = SOCKET_BUFFER;
	(void)setsockopt(q->tx_fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	return bind_to(q->tx_fd, port, 0);
}

static int af_packet_open_queue(struct port *port, struct worker *w)
{
	struct af_packet_queue *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->rx_fd = q->tx_fd = -1;
	port->queue[w->id] = q;
	int status = open_tx(port, q);
	if (!status && port->shared->rx_worker == w->id)
		status = open_rx(port, q);
	return status ? failed(port, "packet socket", status) : 0;
}

static void close_queue(struct af_packet_queue *q)
{
	if (q->ring)
		munmap(q->ring, (size_t)N_SLOTS * SLOT_SIZE);
	if (q->rx_fd >= 0)
		close(q->rx_fd);
	if (q->tx_fd >= 0)
		close(q->tx_fd);
	free(q->large);
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

static struct tpacket2_hdr *slot_of(const struct af_packet_queue *q)
{
	return (void *)(q->ring + (size_t)q->slot * SLOT_SIZE);
}

static void release_slot(struct af_packet_queue *q)
{
	__atomic_store_n(&slot_of(q)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	q->slot = (q->slot + 1) % N_SLOTS;
	q->in_progress = false;
}

static void set_tag(struct af_packet_queue *q, uint32_t status, uint16_t tpid, uint16_t tci)
{
	q->tci = tci;
	q->tpid = !(status & TP_STATUS_VLAN_VALID)	 ? 0
		  : (status & TP_STATUS_VLAN_TPID_VALID) ? tpid
							 : TPID_8021Q;
}

/* The oldest whole frame on the socket. Its tag comes with it: the slot's may be another frame's
 * when several processors received at once. Returns its length, 0: none that is whole. */
static uint32_t read_large(struct af_packet_queue *q, struct virtio_net_hdr *header)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct iovec iov[2] = {{header, sizeof(*header)}, {q->large, LARGE_ROOM}};
	struct msghdr msg = {.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t len = recvmsg(q->rx_fd, &msg, MSG_DONTWAIT);
	struct cmsghdr *c = len < 0 ? NULL : CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != PACKET_AUXDATA || msg.msg_flags & MSG_TRUNC ||
		len <= (ssize_t)sizeof(*header))
		return 0;
	const struct tpacket_auxdata *aux = (const void *)CMSG_DATA(c);
	set_tag(q, aux->tp_status, aux->tp_vlan_tpid, aux->tp_vlan_tci);
	return (uint32_t)((size_t)len - sizeof(*header));
}

/* Frames lost since the last time, for want of a slot; reading resets the kernel's count. */
static uint64_t lost_frames(const struct af_packet_queue *q)
{
	struct tpacket_stats stats;
	socklen_t len = sizeof(stats);
	return getsockopt(q->rx_fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) ? 0
										 : stats.tp_drops;
}

/* Makes the frame in the slot, or the one it stands for, ready to be taken apart. */
static int start_frame(struct port *port, struct af_packet_queue *q, uint32_t status)
{
	struct tpacket2_hdr *slot = slot_of(q);
	struct virtio_net_hdr header;
	const uint8_t *frame = (const uint8_t *)slot + slot->tp_mac;
	uint32_t len = slot->tp_snaplen;
	if (status & TP_STATUS_LOSING)
		port->shared->rx_errors += lost_frames(q);
	if (status & TP_STATUS_COPY) {
		frame = q->large;
		len = read_large(q, &header);
	} else if (slot->tp_snaplen < slot->tp_len) {
		return -EMSGSIZE; /* no room on the socket for the whole of it */
	} else {
		memcpy(&header, frame - sizeof(header), sizeof(header));
		set_tag(q, status, slot->tp_vlan_tpid, slot->tp_vlan_tci);
	}
	if (len < ETH_LEN)
		return -EINVAL;
	return offload_start(&q->offload, &header, frame, len, PKT_DATA_ROOM);
}

/* The tag goes in front of the EtherType: addresses move into the headroom. */
static void insert_tag(struct pkt *p, uint16_t tpid, uint16_t tci)
{
	uint8_t *old = pkt_data(p);
	uint8_t *start = pkt_push(p, VLAN_LEN);
	be16 tag[2] = {hton16(tpid), hton16(tci)};
	memmove(start, old, 12);
	memcpy(start + 12, tag, sizeof(tag));
}

static uint16_t af_packet_rx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t max)
{
	struct af_packet_queue *q = port->queue[w->id];
	uint16_t n = 0;
	for (uint16_t tries = 0; tries < max; tries++) {
		if (!q->in_progress) {
			uint32_t status = __atomic_load_n(&slot_of(q)->tp_status, __ATOMIC_ACQUIRE);
			if (!(status & TP_STATUS_USER))
				break;
			if (start_frame(port, q, status)) {
				port->shared->rx_errors++;
				release_slot(q);
				continue;
			}
			q->in_progress = true;
		}
		struct pkt *p = pkt_alloc(w);
		if (p) {
			p->len = offload_next(&q->offload, pkt_data(p));
			if (q->tpid)
				insert_tag(p, q->tpid, q->tci);
			pkts[n++] = p;
		} else {
			offload_skip(&q->offload);
		}
		if (q->offload.finished)
			release_slot(q);
	}
	return n;
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
	uint16_t sent = 0;
	for (uint16_t at = 0; at < n; at = (uint16_t)(at + SEND_BATCH)) {
		uint16_t some = n - at < SEND_BATCH ? (uint16_t)(n - at) : SEND_BATCH;
		sent = (uint16_t)(sent + send_batch(q->tx_fd, pkts + at, some));
	}
	for (uint16_t i = 0; i < n; i++)
		pkt_free(w, pkts[i]);
	return (uint16_t)(n - sent);
}

static int af_packet_rx_fd(struct port *port, struct worker *w)
{
	const struct af_packet_queue *q = port->queue[w->id];
	return q->rx_fd;
}

DRIVER(af_packet) = {
	.name = "af_packet",
	.open = af_packet_open,
	.open_queue = af_packet_open_queue,
	.close = af_packet_close,
	.rx = af_packet_rx,
	.tx = af_packet_tx,
	.rx_fd = af_packet_rx_fd,
};
