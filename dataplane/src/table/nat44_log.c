/*
 * What NAT44 writes to the log (RFC 6888 REQ-12: no destinations). With every mapping on record
 * too, whoever cannot log it makes none, and ends none.
 */
#include "table/nat44_log.h"

#include "hdr/ip4.h"
#include "table/nat44_map.h"

bool nat44_log_block(struct worker *w, enum nat_log_type type, uint32_t index)
{
	const struct tables *t = w->t;
	const struct nat_block *block = &t->nat_block[index];
	uint32_t first = nat44_block_port(t, index);
	struct nat_log_record record = {
		.type = (uint8_t)type,
		.session = block->session - 1,
		.generation = block->generation,
		.inner = block->inner,
		.outer = t->nat_address[nat44_block_address(t, index)].address,
		.port_first = (uint16_t)first,
		.port_last = (uint16_t)(first + t->nat->block_size - 1),
	};
	return worker_nat_log(w, &record);
}

/* The block of a deterministic subscriber is on record from the first mapping on that is: it says
 * whose those are, and its release ends them. */
static bool name_block(struct worker *w, uint32_t index)
{
	const struct tables *t = w->t;
	struct nat_block *block = &t->nat_block[index];
	if (t->nat_address[nat44_block_address(t, index)].mode != NAT_DETERMINISTIC ||
		block->freed_s)
		return true;
	if (!nat44_log_block(w, NAT_LOG_BLOCK_ALLOCATED, index))
		return false;
	block->freed_s = 1;
	return true;
}

bool nat44_log_mapping(struct worker *w, enum nat_log_type type, const struct nat_slot *slot)
{
	static const uint8_t protocols[NAT_PLANES] = {
		[NAT_TCP] = IPPROTO_TCP4,
		[NAT_UDP] = IPPROTO_UDP4,
		[NAT_ICMP] = IPPROTO_ICMP4,
	};
	const struct tables *t = w->t;
	uint32_t plane;
	uint32_t index = nat44_slot_block(t, slot, &plane);
	const struct nat_block *block = &t->nat_block[index];
	uint16_t port = ntoh16(nat44_external_port(t, slot));
	struct nat_log_record record = {
		.type = (uint8_t)type,
		.protocol = protocols[plane],
		.inner_port = ntoh16(slot->inner_port),
		.session = block->session - 1,
		.generation = block->generation,
		.inner = block->inner,
		.outer = t->nat_address[nat44_block_address(t, index)].address,
		.port_first = port,
		.port_last = port,
	};
	if (type == NAT_LOG_MAPPING_CREATED && !name_block(w, index))
		return false;
	return worker_nat_log(w, &record);
}

bool nat44_log_protocol(struct worker *w, enum nat_log_type type, const struct nat_protocol *flow)
{
	const struct tables *t = w->t;
	struct nat_log_record record = {
		.type = (uint8_t)type,
		.protocol = flow->protocol,
		.session = flow->session - 1,
		.generation = flow->generation,
		.inner = t->in[flow->session - 1].ip4,
		.outer = t->nat_address[flow->address].address,
	};
	uint32_t block = t->in[flow->session - 1].nat_block;
	if (type == NAT_LOG_MAPPING_CREATED && !name_block(w, block - 1))
		return false;
	return worker_nat_log(w, &record);
}
