/*
 * The NAT log's records of mappings as lines of text, many in one call: there may be 100,000 a
 * second. The format is bng/natlog/lines.py's. Other records are few, and are left to Python.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "binding.h"
#include "ring.h"

enum { TIME_LEN = 27, BILLION = 1000000000 };

static char *put_text(char *at, const char *text)
{
	size_t len = strlen(text);
	memcpy(at, text, len);
	return at + len;
}

static char *put_number(char *at, uint64_t n)
{
	char digits[20];
	size_t len = 0;
	do
		digits[len++] = (char)('0' + n % 10);
	while (n /= 10);
	while (len)
		*at++ = digits[--len];
	return at;
}

static char *put_address(char *at, be32 address)
{
	uint8_t bytes[4];
	memcpy(bytes, &address, sizeof(bytes));
	for (int i = 0; i < 4; i++) {
		at = put_number(at, bytes[i]);
		*at++ = i < 3 ? '.' : ' ';
	}
	return at;
}

/* RFC 3339 in UTC. Its part up to the second is made anew when the second is another. */
static char *put_time(char *at, uint64_t wall_ns, char second_text[TIME_LEN + 1], uint64_t *second)
{
	uint32_t us = (uint32_t)(wall_ns % BILLION / 1000);
	if (wall_ns / BILLION != *second) {
		*second = wall_ns / BILLION;
		time_t when = (time_t)*second;
		struct tm tm;
		gmtime_r(&when, &tm);
		strftime(second_text, TIME_LEN + 1, "%Y-%m-%dT%H:%M:%S.000000Z", &tm);
	}
	memcpy(at, second_text, TIME_LEN);
	at[TIME_LEN] = ' ';
	for (int i = 25; i > 19; i--, us /= 10)
		at[i] = (char)('0' + us % 10);
	return at + TIME_LEN + 1;
}

static char *put_mapping(char *at, uint32_t worker, const struct nat_log_record *r)
{
	at = put_number(at, worker);
	*at++ = ' ';
	at = put_number(at, r->sequence);
	at = put_text(at, r->type == NAT_LOG_MAPPING_CREATED ? " +map " : " -map ");
	at = put_number(at, r->session);
	*at++ = ' ';
	at = put_number(at, r->generation);
	*at++ = ' ';
	at = put_address(at, r->inner);
	at = put_number(at, r->inner_port);
	*at++ = ' ';
	at = put_address(at, r->outer);
	at = put_number(at, r->port_first);
	*at++ = ' ';
	at = put_number(at, r->port_last);
	*at++ = ' ';
	at = put_number(at, r->protocol);
	*at++ = '\n';
	return at;
}

/* The next record, and the reader's view of the ring moves on. False: no more. */
static bool next_record(struct ring *view, const uint8_t *bytes, struct nat_log_record *record)
{
	uint32_t len;
	const void *found;
	do {
		found = ring_peek(view, bytes, &len);
		if (!found)
			return false;
		if (len == sizeof(*record))
			memcpy(record, found, sizeof(*record));
		ring_consume(view, len);
	} while (len != sizeof(*record));
	return true;
}

uint32_t binding_nat_log(struct binding *b, uint32_t worker, struct nat_log_batch *batch,
	struct nat_log_record *records, uint32_t most, char *text)
{
	const struct ring *ring = (struct ring *)binding_section(b, SECTION_RING) +
				  worker * RINGS_PER_GROUP + RING_NAT_LOG;
	const uint8_t *bytes = (const uint8_t *)binding_base(b) + ring->offset;
	struct ring view = *ring;
	char second_text[TIME_LEN + 1];
	uint64_t second = UINT64_MAX;
	uint32_t n = 0;
	char *at = text;

	view.head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
	view.tail = batch->position;
	batch->other = 0;
	while (n < most && !batch->other && next_record(&view, bytes, &records[n])) {
		const struct nat_log_record *r = &records[n];
		if (r->sequence < batch->next)
			continue; /* on disk since before a crash */
		batch->lost += r->sequence - batch->next;
		batch->next = r->sequence + 1;
		n++;
		if (r->type == NAT_LOG_MAPPING_CREATED || r->type == NAT_LOG_MAPPING_DELETED) {
			at = put_time(at, r->wall_ns, second_text, &second);
			at = put_mapping(at, worker, r);
		} else {
			batch->other = 1;
		}
	}
	batch->position = view.tail;
	batch->text = (uint32_t)(at - text);
	return n;
}
