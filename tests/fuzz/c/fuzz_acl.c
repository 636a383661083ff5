/*
 * Compiled ACLs, as a broken bngd would write them: 20 bytes of a packet's key, then the ACL. What
 * passes the check is looked up and counted, in memory that ends where it does.
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct acl_key key;
	void *copy;
	if (size <= sizeof(key) || posix_memalign(&copy, ACL_ALIGN, size - sizeof(key)))
		return 0;
	memcpy(&key, data, sizeof(key));
	size -= sizeof(key);
	memcpy(copy, data + sizeof(key), size);
	const struct tables tables = {.acl_memory = copy, .n_workers = WORKERS};
	if (acl_is_sane(&tables, size)) {
		struct acl_head *head = copy;
		uint32_t first = acl_rule(head, &key);
		for (int field = 0; field < ACL_FIELDS; field++) {
			count(head, acl_rule(head, &key));
			key.value[field] = ~key.value[field];
		}
		for (int field = 0; field < ACL_FIELDS; field++)
			key.value[field] = ~key.value[field];
		assert(acl_rule(head, &key) == first); /* counting changes no rule */
	}
	free(copy);
	return 0;
}
