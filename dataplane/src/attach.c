/*
 * Attach: SOCK_SEQPACKET, one hello with the descriptors by SCM_RIGHTS. The lease is the peer's
 * socket: the kernel closes it with the peer, whatever it died of.
 */
#include "attach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 8 };

/* Another process that still answers there is not put aside. */
static int remove_stale(const struct sockaddr_un *address)
{
	int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (probe < 0)
		return -errno;
	int alive = !connect(probe, (const struct sockaddr *)address, sizeof(*address));
	close(probe);
	if (alive)
		return -EADDRINUSE;
	if (unlink(address->sun_path) && errno != ENOENT)
		return -errno;
	return 0;
}

/* /run is empty after a boot. */
static int make_directory(const struct sockaddr_un *address)
{
	char path[sizeof(address->sun_path)];
	snprintf(path, sizeof(path), "%s", address->sun_path);
	char *slash = strrchr(path, '/');
	if (!slash || slash == path)
		return 0;
	*slash = 0;
	return mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int error = make_directory(&address);
	if (!error)
		error = remove_stale(&address);
	if (error)
		return error;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	mode_t mask = umask(0177);
	error = bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, BACKLOG)
			? -errno
			: 0;
	umask(mask);
	if (error)
		close(fd);
	return error ? error : fd;
}

int attach_open(struct attach *a, struct dataplane *dp)
{
	*a = (struct attach){.dp = dp, .peer = -1};
	memcpy(a->path, dp->options.socket, sizeof(a->path));
	a->listener = listen_at(a->path);
	if (a->listener >= 0)
		return 0;
	fprintf(stderr, "event=start-failed what=socket name=%s error=\"%s\"\n", a->path,
		strerror(-a->listener));
	return a->listener;
}

void attach_close(struct attach *a)
{
	if (a->peer >= 0)
		close(a->peer);
	close(a->listener);
	unlink(a->path);
}

static ssize_t send_hello(
	int fd, const struct attach_hello *hello, const int *descriptors, size_t n)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE((MAX_WORKERS + 3) * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)hello, .iov_len = sizeof(*hello)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.header), descriptors, n * sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static uint32_t peer_pid(int fd)
{
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return 0;
	return (uint32_t)cred.pid;
}

static bool welcome(struct attach *a, int fd, const struct attach_hello *hello)
{
	const struct dataplane *dp = a->dp;
	int descriptors[MAX_WORKERS + 3] = {dp->arena.fd, dp->bngd_fd};
	uint32_t pid = peer_pid(fd);

	memcpy(descriptors + 2, dp->group_fd, (dp->n_workers + 1) * sizeof(int));
	/* It may look as soon as it has the hello. */
	__atomic_store_n(&dp->tables.arena->lease_pid, pid, __ATOMIC_RELEASE);
	if (send_hello(fd, hello, descriptors, dp->n_workers + 3) < 0) {
		__atomic_store_n(&dp->tables.arena->lease_pid, 0, __ATOMIC_RELEASE);
		close(fd);
		return false;
	}
	a->peer = fd;
	fprintf(stderr, "event=attached pid=%u\n", pid);
	return true;
}

bool attach_accept(struct attach *a)
{
	const struct arena_header *arena = a->dp->tables.arena;
	int fd = accept4(a->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return false;
	/* A peer that died a moment ago does not keep the next one out. */
	if (a->peer >= 0)
		attach_peer(a);
	struct attach_hello hello = {
		.magic = ARENA_MAGIC,
		.layout_version = arena->layout_version,
		.layout_hash = arena->layout_hash,
		.size = arena->size,
		.n_groups = a->dp->n_workers + 1,
		.error = a->peer >= 0 ? -EBUSY : 0,
		.lease_pid = arena->lease_pid,
	};
	if (a->peer < 0)
		return welcome(a, fd, &hello);
	fprintf(stderr, "event=attach-refused pid=%u lease=%u\n", peer_pid(fd), arena->lease_pid);
	send_hello(fd, &hello, NULL, 0);
	close(fd);
	return false;
}

bool attach_peer(struct attach *a)
{
	struct arena_header *arena = a->dp->tables.arena;
	char byte;
	ssize_t n = recv(a->peer, &byte, sizeof(byte), MSG_DONTWAIT);

	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return false;
	close(a->peer);
	a->peer = -1;
	fprintf(stderr, "event=detached pid=%u\n", arena->lease_pid);
	__atomic_store_n(&arena->lease_pid, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&arena->consumer_sleeping, 0, __ATOMIC_RELEASE);
	return true;
}
