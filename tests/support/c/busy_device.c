/* Preloaded into bng-dataplane: a device that is busy nearly always when it is told to send. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>

enum { BUSY = 200 }; /* times in a row */

typedef ssize_t sendto_fn(
	int fd, const void *bytes, size_t n, int flags, const struct sockaddr *to, socklen_t len);

ssize_t sendto(
	int fd, const void *bytes, size_t n, int flags, const struct sockaddr *to, socklen_t len)
{
	static unsigned asked;
	sendto_fn *real = (sendto_fn *)dlsym(RTLD_NEXT, "sendto");
	if (!bytes && __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED) % (BUSY + 1)) {
		errno = EBUSY;
		return -1;
	}
	return real(fd, bytes, n, flags, to, len);
}
