/* What node/control_class.h says of a frame, for tests of the filter that says it in the kernel. */
#include "io/packet_filter.h"
#include "node/control_class.h"

/* Of a frame of IP that is one of a routing protocol. */
static bool is_tcp(const uint8_t *bytes)
{
	const uint8_t *ip = bytes + ETH_LEN;
	return (ip[0] >> 4 == 4 ? ip[9] : ip[6]) == IPPROTO_TCP4;
}

/* An enum packet_sort; a connection that does not stand yet is data. 0: it is too long. */
int shim_sort(const uint8_t *bytes, uint16_t len)
{
	struct pkt p = {.data = PKT_HEADROOM, .len = len};
	if (len > PKT_DATA_ROOM)
		return 0;
	memcpy(pkt_data(&p), bytes, len);
	struct control c = control_classify(&p);
	if (c.class == CONTROL_NEIGHBOUR)
		return SORT_NEIGHBOUR;
	if (c.class == CONTROL_OTHER || c.handshake)
		return SORT_DATA;
	return c.class != CONTROL_ISIS && is_tcp(bytes) ? SORT_STREAM : SORT_ROUTING;
}
