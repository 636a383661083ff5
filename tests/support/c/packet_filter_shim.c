/* What node/control_class.h says of a frame, for tests of the filter that says it in the kernel. */
#include "node/control_class.h"

/* 1: control of a connection that stands, or of none; 0: anything else. */
int shim_is_control(const uint8_t *bytes, uint16_t len)
{
	struct pkt p = {.data = PKT_HEADROOM, .len = len};
	if (len > PKT_DATA_ROOM)
		return 0;
	memcpy(pkt_data(&p), bytes, len);
	struct control c = control_classify(&p);
	return c.class != CONTROL_OTHER && !c.handshake;
}
