/*
 * Compiled ACLs, as a broken bngd would write them: 20 bytes of a packet's key, then the ACL. What
 * passes the check is looked up, in memory that ends where it does.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "table/acl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct acl_key key;
	void *copy;
	if (size <= sizeof(key) || posix_memalign(&copy, ACL_ALIGN, size - sizeof(key)))
		return 0;
	memcpy(&key, data, sizeof(key));
	size -= sizeof(key);
	memcpy(copy, data + sizeof(key), size);
	const struct tables tables = {.acl_memory = copy};
	if (acl_is_sane(&tables, size)) {
		const struct acl_head *head = copy;
		enum acl_action first = acl_action(head, &key);
		assert(acl_action(head, &key) == first);
		for (int field = 0; field < ACL_FIELDS; field++) {
			key.value[field] = ~key.value[field];
			(void)acl_action(head, &key);
		}
	}
	free(copy);
	return 0;
}
