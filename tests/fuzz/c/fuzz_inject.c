/* Inject records, as a broken bngd would write them. */
#include "bed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bed_open();
	while (size > 2) {
		size_t len = (size_t)(data[0] << 8 | data[1]);
		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		bed_push(0, RING_INJECT, data, (uint32_t)len);
		data += len;
		size -= len;
	}
	bed_finish(false); /* destinations and PPP protocols are bngd's word */
	return 0;
}
