/*
 * Unfinished frames: ten bytes of struct virtio_net_hdr, then the frame. Whatever they say, every
 * frame made fits, the payloads add up, and segments of TCP over IPv4 are right in every field.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hdr/checksum.h"
#include "io/offload.h"

enum { ROOM = 1600 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned load16(const uint8_t *at)
{
	return (unsigned)(at[0] << 8 | at[1]);
}

static uint32_t load32(const uint8_t *at)
{
	return (uint32_t)load16(at) << 16 | load16(at + 2);
}

static void check_tcp4(
	const struct offload *o, const uint8_t *out, uint16_t len, uint32_t before, unsigned nth)
{
	const uint8_t *ip = out + o->l3, *tcp = out + o->l4;
	const uint8_t *whole_ip = o->frame + o->l3, *whole_tcp = o->frame + o->l4;
	uint16_t l4_len = (uint16_t)(len - o->l4);
	uint64_t sum = checksum_add(0, ip + 12, 8) + hton16(6) + hton16(l4_len);
	assert(checksum(ip, (size_t)(o->l4 - o->l3)) == 0);
	assert(checksum_fold(checksum_add(sum, tcp, l4_len)) == 0xffff);
	assert(load16(ip + 2) == (unsigned)(len - o->l3));
	assert((uint16_t)(load16(whole_ip + 4) + nth) == load16(ip + 4));
	assert(load32(whole_tcp + 4) + before == load32(tcp + 4));
	uint8_t kept = (uint8_t) ~((o->finished ? 0 : 9) | (nth ? 128 : 0)); /* FIN, PSH; CWR */
	assert(tcp[13] == (whole_tcp[13] & kept));
	assert(!o->pppoe || load16(out + o->pppoe + 4) == (unsigned)(len - o->pppoe - 6));
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
		uint32_t payload = 0, nth = 0;
		for (uint16_t n; (n = offload_next(&o, out));) {
			assert(n <= ROOM && n >= o.header_len);
			if (o.mss && o.protocol == 6 && !o.ip6)
				check_tcp4(&o, out, n, payload, nth);
			payload += n - o.header_len;
			nth++;
		}
		assert(payload == len - o.header_len);
	}
	free(out);
	free(frame);
	return 0;
}
