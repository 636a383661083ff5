/* Shared by the files that parse the command line. */
#ifndef BNG_OPTIONS_PARSE_H
#define BNG_OPTIONS_PARSE_H

#include <stddef.h>
#include <stdint.h>

#include "options.h"

/* All return 0, or -1 with a line on stderr that names option and value. */
int refuse(const char *option, const char *value, const char *why);
int parse_number(
	const char *option, const char *text, uint32_t low, uint32_t high, uint32_t *value);
int copy_text(const char *option, const char *text, char *to, size_t size);
int parse_port(struct options *o, char *arg);
int parse_access(struct options *o, char *arg);

/* Splits "key=value" in place; value is "" without a "=". */
char *split_value(char *item);

#endif
