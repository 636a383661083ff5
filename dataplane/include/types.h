/* Integers in network byte order, by name. Read by build_ffi.py before all else. */
#ifndef BNG_TYPES_H
#define BNG_TYPES_H

#include <stdint.h>

/* cdef begin */

typedef uint16_t be16;
typedef uint32_t be32;

/* cdef end */

#endif
