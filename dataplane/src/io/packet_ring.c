/*
 * A TPACKET_V2 ring, which wakes at once (V3 waits for a block to fill or time out). Slots hold
 * ordinary frames; one that is larger, a TCP block of up to 64 KiB from a veth peer, is also queued
 * whole on the socket (PACKET_COPY_THRESH) and read from there. PACKET_VNET_HDR tells which
 * checksums are unfinished and how to segment. The kernel takes the outer VLAN tag out of every
 * frame; it is put back.
 */
#include "packet_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "../hdr/ethernet.h"
#include "../worker.h"
#include "packet_filter.h"
#include "port_device.h"

enum {
	SLOT_SIZE = 2048,
	BLOCK_SIZE = 1 << 16,
	LARGE_ROOM = 1 << 17, /* a whole TCP block, and some */
	SOCKET_BUFFER = 16 << 20,
	STATS_MS = 200,
};

/* ---- sockets ---- */

int packet_bind(int fd, const struct port *port, uint16_t protocol)
{
	struct sockaddr_ll sll = {.sll_family = AF_PACKET,
		.sll_protocol = hton16(protocol),
		.sll_ifindex = (int)port->shared->ifindex};
	return bind(fd, (struct sockaddr *)&sll, sizeof(sll)) ? -errno : 0;
}

static int set_option(int fd, int name, int value)
{
	return setsockopt(fd, SOL_PACKET, name, &value, sizeof(value)) ? -errno : 0;
}

static int make_ring(struct packet_ring *r)
{
	struct tpacket_req request = {.tp_block_size = BLOCK_SIZE,
		.tp_block_nr = r->n_slots * SLOT_SIZE / BLOCK_SIZE,
		.tp_frame_size = SLOT_SIZE,
		.tp_frame_nr = r->n_slots};
	if (setsockopt(r->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)))
		return -errno;
	void *bytes = mmap(NULL, (size_t)r->n_slots * SLOT_SIZE, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_POPULATE, r->fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	r->bytes = bytes;
	return 0;
}

int packet_ring_open(
	struct packet_ring *r, const struct port *port, uint32_t n_slots, unsigned sorts)
{
	static const int options[][2] = {{PACKET_VERSION, TPACKET_V2}, {PACKET_VNET_HDR, 1},
		{PACKET_AUXDATA, 1}, {PACKET_COPY_THRESH, 1}, {PACKET_IGNORE_OUTGOING, 1}};
	r->n_slots = n_slots;
	r->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r->large = malloc(LARGE_ROOM);
	if (r->fd < 0 || !r->large)
		return -errno;
	int buffer = SOCKET_BUFFER;
	(void)setsockopt(r->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	int status = packet_filter_set(r->fd, sorts);
	for (size_t i = 0; !status && i < sizeof(options) / sizeof(*options); i++)
		status = set_option(r->fd, options[i][0], options[i][1]);
	if (!status)
		status = make_ring(r);
	if (!status)
		status = port_device_hear_multicast(port, r->fd);
	return status ? status : packet_bind(r->fd, port, ETH_P_ALL);
}

void packet_ring_close(struct packet_ring *r)
{
	if (r->bytes)
		munmap(r->bytes, (size_t)r->n_slots * SLOT_SIZE);
	if (r->fd >= 0)
		close(r->fd);
	free(r->large);
}

/* ---- receive ---- */

static struct tpacket2_hdr *slot_of(const struct packet_ring *r)
{
	return (void *)(r->bytes + (size_t)r->slot * SLOT_SIZE);
}

static void release_slot(struct packet_ring *r)
{
	__atomic_store_n(&slot_of(r)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	r->slot = (r->slot + 1) % r->n_slots;
	r->in_progress = false;
}

static void set_tag(struct packet_ring *r, uint32_t status, uint16_t tpid, uint16_t tci)
{
	r->tci = tci;
	r->tpid = !(status & TP_STATUS_VLAN_VALID)	 ? 0
		  : (status & TP_STATUS_VLAN_TPID_VALID) ? tpid
							 : TPID_8021Q;
}

/* The oldest whole frame on the socket. Its tag comes with it: the slot's may be another frame's
 * when several processors received at once. Returns its length, 0: none that is whole. */
static uint32_t read_large(struct packet_ring *r, struct virtio_net_hdr *header)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct iovec iov[2] = {{header, sizeof(*header)}, {r->large, LARGE_ROOM}};
	struct msghdr msg = {.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t len = recvmsg(r->fd, &msg, MSG_DONTWAIT);
	struct cmsghdr *c = len < 0 ? NULL : CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != PACKET_AUXDATA || msg.msg_flags & MSG_TRUNC ||
		len <= (ssize_t)sizeof(*header))
		return 0;
	const struct tpacket_auxdata *aux = (const void *)CMSG_DATA(c);
	set_tag(r, aux->tp_status, aux->tp_vlan_tpid, aux->tp_vlan_tci);
	return (uint32_t)((size_t)len - sizeof(*header));
}

/* Frames lost since the last look, for want of a slot; reading resets the kernel's count. It is not
 * only looked at when a frame says so: the last ones of a burst are lost with none behind them. */
static void count_lost(struct port *port, struct packet_ring *r, uint32_t now_ms)
{
	struct tpacket_stats stats;
	socklen_t len = sizeof(stats);
	if (now_ms - r->stats_ms < STATS_MS)
		return;
	r->stats_ms = now_ms;
	if (getsockopt(r->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		return;
	port->shared->rx_errors += stats.tp_drops;
	r->lost += stats.tp_drops;
}

/* Makes the frame in the slot, or the one it stands for, ready to be taken apart. */
static int start_frame(struct packet_ring *r, uint32_t status)
{
	struct tpacket2_hdr *slot = slot_of(r);
	struct virtio_net_hdr header;
	const uint8_t *frame = (const uint8_t *)slot + slot->tp_mac;
	uint32_t len = slot->tp_snaplen;
	if (status & TP_STATUS_COPY) {
		frame = r->large;
		len = read_large(r, &header);
	} else if (slot->tp_snaplen < slot->tp_len) {
		return -EMSGSIZE; /* no room on the socket for the whole of it */
	} else {
		memcpy(&header, frame - sizeof(header), sizeof(header));
		set_tag(r, status, slot->tp_vlan_tpid, slot->tp_vlan_tci);
	}
	if (len < ETH_LEN)
		return -EINVAL;
	return offload_start(&r->offload, &header, frame, len, PKT_DATA_ROOM);
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

uint16_t packet_ring_rx(
	struct packet_ring *r, struct port *port, struct worker *w, struct pkt **pkts, uint16_t max)
{
	uint16_t n = 0;
	if (r->fd < 0)
		return 0;
	count_lost(port, r, w->now_ms);
	for (uint16_t tries = 0; tries < max; tries++) {
		if (!r->in_progress) {
			uint32_t status = __atomic_load_n(&slot_of(r)->tp_status, __ATOMIC_ACQUIRE);
			if (!(status & TP_STATUS_USER))
				break;
			if (start_frame(r, status)) {
				port->shared->rx_errors++;
				release_slot(r);
				continue;
			}
			r->in_progress = true;
		}
		struct pkt *p = pkt_alloc(w);
		if (p) {
			p->len = offload_next(&r->offload, pkt_data(p));
			if (r->tpid)
				insert_tag(p, r->tpid, r->tci);
			pkts[n++] = p;
		} else {
			offload_skip(&r->offload);
		}
		if (r->offload.finished)
			release_slot(r);
	}
	return n;
}
