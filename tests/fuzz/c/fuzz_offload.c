/*
 * Unfinished frames: ten bytes of struct virtio_net_hdr, then the frame. Whatever they say, every
 * frame made fits, the payloads add up, and the checksums of TCP over IPv4 are right.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hdr/checksum.h"
#include "io/offload.h"

enum { ROOM = 1600 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tcp4(const struct offload *o, const uint8_t *out, uint16_t len)
{
	const uint8_t *ip = out + o->l3;
	uint16_t l4_len = (uint16_t)(len - o->l4);
	uint64_t sum = checksum_add(0, ip + 12, 8) + hton16(6) + hton16(l4_len);
	assert(checksum(ip, (size_t)(o->l4 - o->l3)) == 0);
	assert(checksum_fold(checksum_add(sum, out + o->l4, l4_len)) == 0xffff);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_net_hdr header;
	if (size < sizeof(header) || size > 66000)
		return 0;
	memcpy(&header, data, sizeof(header));
	uint32_t len = (uint32_t)(size - sizeof(header));
	uint8_t *frame = malloc(len ? len : 1); /* of the exact size, for the sanitizer */
	uint8_t *out = malloc(ROOM);
	memcpy(frame, data + sizeof(header), len);
	struct offload o;
	if (!offload_start(&o, &header, frame, len, ROOM)) {
		uint32_t payload = 0;
		for (uint16_t n; (n = offload_next(&o, out));) {
			assert(n <= ROOM && n >= o.header_len);
			payload += n - o.header_len;
			if (o.mss && o.protocol == 6 && !o.ip6)
				check_tcp4(&o, out, n);
		}
		assert(payload == len - o.header_len);
	}
	free(out);
	free(frame);
	return 0;
}
