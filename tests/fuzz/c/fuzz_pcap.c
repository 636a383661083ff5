/*
 * Capture files, played into a port whose output is another capture: that one, played again, holds
 * the very same frames.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver.h"
#include "worker.h"

enum { BUFFERS = 8, MAX_FRAMES = 64, FILE_HEADER_LEN = 24, FRAME_HEADER_LEN = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A worker with buffers and nothing else. */
static struct worker_shared worker_shared;
static struct worker worker = {.shared = &worker_shared};

struct frames {
	uint32_t n;
	uint16_t lens[MAX_FRAMES];
	uint32_t bytes;
	uint32_t sums[MAX_FRAMES];
};

static void note(struct frames *f, struct pkt *p)
{
	assert(p->len <= PKT_DATA_ROOM && f->n < MAX_FRAMES);
	uint32_t sum = 0;
	for (uint16_t i = 0; i < p->len; i++)
		sum = sum * 31 + pkt_data(p)[i];
	f->lens[f->n] = p->len;
	f->sums[f->n++] = sum;
	f->bytes += p->len;
}

/* Plays file `in` through a port into file `out`; false when the port refuses it. */
static bool play(int in, int out, struct frames *f)
{
	struct port_shared shared = {.name = "pcap0"};
	struct port port = {.shared = &shared, .driver = driver_find("pcap")};
	struct pkt *pkts[BUFFERS];
	snprintf(port.options, sizeof(port.options), "in=/proc/self/fd/%d,out=/proc/self/fd/%d", in,
		out);
	memset(f, 0, sizeof(*f));
	if (port.driver->open(&port))
		return false;
	assert(shared.flags & PORT_UP);
	assert(!port.driver->open_queue(&port, &worker));
	assert(port.driver->rx_fd(&port, &worker) >= 0);
	for (uint16_t n; (n = port.driver->rx(&port, &worker, pkts, BUFFERS));) {
		for (uint16_t i = 0; i < n; i++)
			note(f, pkts[i]);
		assert(!port.driver->tx(&port, &worker, pkts, n));
	}
	port.driver->close(&port);
	assert(worker.n_free == BUFFERS && !shared.tx[0].errors);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int files[3];
	static struct pkt pkts[BUFFERS];
	static struct frames first, again;
	if (!files[0]) {
		stderr = fopen("/dev/null", "w"); /* each refusal is a line */
		for (int i = 0; i < 3; i++)
			files[i] = memfd_create("capture", MFD_CLOEXEC);
		for (int i = 0; i < BUFFERS; i++)
			pkt_free(&worker, &pkts[i]);
	}
	if (size > FILE_HEADER_LEN + MAX_FRAMES * FRAME_HEADER_LEN)
		size = FILE_HEADER_LEN + MAX_FRAMES * FRAME_HEADER_LEN; /* so many frames at most */
	if (ftruncate(files[0], 0) || pwrite(files[0], data, size, 0) != (ssize_t)size)
		abort();
	if (!play(files[0], files[1], &first))
		return 0;
	assert(first.bytes + first.n * FRAME_HEADER_LEN + FILE_HEADER_LEN <= size);
	assert(play(files[1], files[2], &again));
	assert(!memcmp(&first, &again, sizeof(first)));
	return 0;
}
