/* Frames on the access port, through the whole graph. */
#include "bed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bed_open();
	bed_receive(ACC0, data, size);
	bed_finish(true);
	return 0;
}
