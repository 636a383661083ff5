/*
 * Compiled ACLs, as a broken bngd would write them: the keys of an IPv6 and, the same ports and
 * protocol, of an IPv4 packet, then the ACL. What passes the check is looked up and counted, in
 * memory that ends where it does. The input is an IPv6 packet, too, of which a key is made.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "table/acl.h"

enum { WORKERS = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(struct acl_head *head, uint32_t rule)
{
	if (rule == head->n_rules)
		return;
	for (uint8_t worker = 0; worker < WORKERS; worker++) {
		acl_counter(head, worker, DIRECTION_IN, rule)->packets--;
		acl_counter(head, worker, DIRECTION_OUT, rule)->bytes--;
	}
}

static struct acl_key of_ip4(const struct acl_key6 *key)
{
	struct acl_key found;
	memcpy(&found, key->value, sizeof(found));
	return found;
}

static void look_up(struct acl_head *head, const struct acl_key6 *key)
{
	struct acl_key key4 = of_ip4(key);
	count(head, acl_rule(head, &key4));
	count(head, acl_rule6(head, key));
}

static void make_key(const uint8_t *data, size_t size)
{
	struct acl_key6 key;
	uint16_t len = (uint16_t)(size < 1500 ? size : 1500);
	if (len < IP6_LEN)
		return;
	void *packet = malloc(len); /* ends where it does */
	memcpy(packet, data, len);
	if (acl_key6(packet, len, &key)) {
		assert(key.value[ACL_SOURCE_PORT] <= ACL_NO_PORT);
		assert(key.value[ACL_PROTOCOL] <= UINT8_MAX);
	}
	free(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	make_key(data, size);
	struct acl_key6 key;
	void *copy;
	if (size <= sizeof(key) || posix_memalign(&copy, ACL_ALIGN, size - sizeof(key)))
		return 0;
	memcpy(&key, data, sizeof(key));
	size -= sizeof(key);
	memcpy(copy, data + sizeof(key), size);
	const struct tables tables = {.acl_memory = copy, .n_workers = WORKERS};
	if (acl_is_sane(&tables, size)) {
		struct acl_head *head = copy;
		struct acl_key6 other = key;
		struct acl_key key4 = of_ip4(&key);
		uint32_t first = acl_rule(head, &key4), first6 = acl_rule6(head, &key);
		for (int field = 0; field < ACL_KEY_FIELDS; field++) {
			look_up(head, &other);
			other.value[field] = ~other.value[field];
			other.source.high = ~other.source.high;
			other.destination.low = ~other.destination.low;
		}
		/* counting changes no rule */
		assert(acl_rule(head, &key4) == first && acl_rule6(head, &key) == first6);
	}
	free(copy);
	return 0;
}
