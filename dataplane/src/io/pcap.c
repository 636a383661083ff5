/*
 * pcap: receives the frames of one capture file, writes what it sends to another. For tests and
 * for playing a capture back. The classic format: magic 0xa1b2c3d4 (or 0xa1b23c4d, nanoseconds),
 * either byte order, link type Ethernet.
 *
 * Keys: in=FILE, out=FILE; either may be missing. One worker only.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "driver.h"
#include "worker.h"

enum { LINKTYPE_ETHERNET = 1, SNAPLEN = 65535 };

static const uint32_t magic_us = 0xa1b2c3d4;
static const uint32_t magic_ns = 0xa1b23c4d;

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy;
	uint32_t snaplen;
	uint32_t linktype;
};

struct frame_header {
	uint32_t s, fraction;
	uint32_t captured, length;
};

_Static_assert(sizeof(struct file_header) == 24, "file format");
_Static_assert(sizeof(struct frame_header) == 16, "file format");

struct pcap {
	FILE *in;
	FILE *out;
	bool swapped;
	int ready_fd; /* readable as long as frames are left */
};

static uint32_t order(const struct pcap *p, uint32_t v)
{
	return p->swapped ? __builtin_bswap32(v) : v;
}

static int complain(const struct port *port, const char *file, const char *why)
{
	fprintf(stderr, "event=port-failed port=%s driver=pcap file=%s error=\"%s\"\n",
		port->shared->name, file, why);
	return -EINVAL;
}

static int open_in(struct port *port, struct pcap *p)
{
	char name[512];
	struct file_header h;

	if (!port_option(port, "in", name, sizeof(name)))
		return 0;
	p->in = fopen(name, "rbe");
	if (!p->in)
		return complain(port, name, strerror(errno));
	if (fread(&h, sizeof(h), 1, p->in) != 1)
		return complain(port, name, "no capture: too short");
	p->swapped =
		__builtin_bswap32(h.magic) == magic_us || __builtin_bswap32(h.magic) == magic_ns;
	if (order(p, h.magic) != magic_us && order(p, h.magic) != magic_ns)
		return complain(port, name, "no classic pcap file");
	if (order(p, h.linktype) != LINKTYPE_ETHERNET)
		return complain(port, name, "link type is not Ethernet");
	return 0;
}

static int open_out(struct port *port, struct pcap *p)
{
	char name[512];
	const struct file_header h = {.magic = magic_us,
		.major = 2,
		.minor = 4,
		.snaplen = SNAPLEN,
		.linktype = LINKTYPE_ETHERNET};

	if (!port_option(port, "out", name, sizeof(name)))
		return 0;
	p->out = fopen(name, "wbe");
	if (!p->out || fwrite(&h, sizeof(h), 1, p->out) != 1 || fflush(p->out))
		return complain(port, name, strerror(errno));
	return 0;
}

static void release(struct pcap *p)
{
	if (p->in)
		fclose(p->in);
	if (p->out)
		fclose(p->out);
	if (p->ready_fd >= 0)
		close(p->ready_fd);
	free(p);
}

static int pcap_open(struct port *port)
{
	struct pcap *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->ready_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int error = p->ready_fd < 0 ? -errno : open_in(port, p);
	if (!error)
		error = open_out(port, p);
	if (error) {
		release(p);
		return error;
	}
	if (p->in && eventfd_write(p->ready_fd, 1)) {
		release(p);
		return -EIO;
	}
	port->state = p;
	memcpy(port->shared->mac, (uint8_t[]){2, 0, 0x5e, 0, 1, port->index}, 6);
	port->shared->flags = PORT_UP;
	return 0;
}

static int pcap_open_queue(struct port *port, struct worker *w)
{
	if (w->id != port->shared->rx_worker)
		return complain(port, "", "one worker only");
	port->queue[w->id] = port->state;
	return 0;
}

static void pcap_close(struct port *port)
{
	release(port->state);
}

/* The next frame into pkt; false at the end of the file. */
static bool read_frame(struct port *port, struct pcap *p, struct pkt *pkt)
{
	struct frame_header h;

	while (fread(&h, sizeof(h), 1, p->in) == 1) {
		uint32_t len = order(p, h.captured);
		if (len <= PKT_DATA_ROOM && fread(pkt_data(pkt), 1, len, p->in) == len) {
			pkt->len = (uint16_t)len;
			return true;
		}
		port->shared->rx_errors++;
		if (len <= PKT_DATA_ROOM || fseek(p->in, (long)len, SEEK_CUR))
			break;
	}
	return false;
}

static uint16_t pcap_rx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t max)
{
	struct pcap *p = port->state;
	uint16_t n = 0;

	while (p->in && n < max) {
		struct pkt *pkt = pkt_alloc(w);
		if (!pkt)
			break;
		if (!read_frame(port, p, pkt)) {
			eventfd_t count;
			pkt_free(w, pkt);
			fclose(p->in);
			p->in = NULL;
			eventfd_read(p->ready_fd, &count);
			break;
		}
		pkts[n++] = pkt;
	}
	return n;
}

static bool write_frame(struct pcap *p, struct worker *w, struct pkt *pkt)
{
	const struct frame_header h = {.s = w->now_s,
		.fraction = (uint32_t)(w->now_ns / 1000 % 1000000),
		.captured = pkt->len,
		.length = pkt->len};

	return p->out && fwrite(&h, sizeof(h), 1, p->out) == 1 &&
	       fwrite(pkt_data(pkt), 1, pkt->len, p->out) == pkt->len;
}

static uint16_t pcap_tx(struct port *port, struct worker *w, struct pkt **pkts, uint16_t n)
{
	struct pcap *p = port->state;
	uint16_t dropped = 0;

	for (uint16_t i = 0; i < n; i++) {
		dropped = (uint16_t)(dropped + !write_frame(p, w, pkts[i]));
		pkt_free(w, pkts[i]);
	}
	if (p->out && fflush(p->out))
		dropped = n;
	return dropped;
}

static int pcap_rx_fd(struct port *port, struct worker *w)
{
	const struct pcap *p = port->state;
	(void)w;
	return p->ready_fd;
}

DRIVER(pcap) = {
	.name = "pcap",
	.options = {"in", "out"},
	.open = pcap_open,
	.open_queue = pcap_open_queue,
	.close = pcap_close,
	.rx = pcap_rx,
	.tx = pcap_tx,
	.rx_fd = pcap_rx_fd,
};
