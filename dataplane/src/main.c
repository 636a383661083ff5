/*
 * bng-dataplane: starts the workers and is the control thread itself. What it says goes to stderr,
 * one event a line. Exit status: 0 stopped by SIGTERM or SIGINT, 1 could not start, 2 wrong usage.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "attach.h"
#include "engine.h"

enum { TICK_MS = 100, MAX_WAIT_EVENTS = 8 };

static struct dataplane dataplane;

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &set, NULL); /* workers inherit it */
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void watch(int epoll_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	if (fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
		fprintf(stderr, "event=watch-failed fd=%d error=\"%s\"\n", fd, strerror(errno));
		abort();
	}
}

/* One wake-up of the control thread; false when it is asked to stop. */
static bool serve(struct dataplane *dp, struct attach *a, int epoll_fd, int signal_fd)
{
	struct epoll_event events[MAX_WAIT_EVENTS];
	int own_fd = dp->group_fd[dp->n_workers];
	int wait_ms = mirror_busy(dp->mirror) ? 0 : TICK_MS;
	int n = epoll_wait(epoll_fd, events, MAX_WAIT_EVENTS, wait_ms);
	bool mirror_readable = false;

	for (int i = 0; i < n; i++) {
		int fd = events[i].data.fd;
		if (fd == signal_fd)
			return false;
		if (fd == own_fd)
			eventfd_clear(fd);
		else if (fd == a->listener && attach_accept(a))
			watch(epoll_fd, a->peer);
		else if (fd == a->peer)
			attach_peer(a);
		else
			mirror_readable = true;
	}
	if (mirror_readable)
		mirror_receive(dp->mirror);
	while (control_commands(dp) == BURST_SIZE)
		;
	control_resolve(dp);
	mirror_work(dp->mirror);
	return true;
}

static int control_loop(struct dataplane *dp, int signal_fd)
{
	struct attach attach;
	uint64_t ticked_ms = 0;
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	int error = epoll_fd < 0 ? -errno : attach_open(&attach, dp);

	if (error)
		goto out;
	watch(epoll_fd, signal_fd);
	watch(epoll_fd, attach.listener);
	watch(epoll_fd, dp->group_fd[dp->n_workers]);
	for (unsigned i = 0; i < MIRROR_FDS; i++)
		watch(epoll_fd, mirror_fd(dp->mirror, i));
	dp->tables.arena->ready = 1;
	fprintf(stderr, "event=ready ports=%u workers=%u arena=%luMiB hugepages=%s socket=%s\n",
		dp->options.n_ports, dp->n_workers, (dp->arena.size + (1 << 20) - 1) >> 20,
		dp->arena.hugepages ? "on" : "off", dp->options.socket);
	while (serve(dp, &attach, epoll_fd, signal_fd)) {
		uint64_t now_ms = monotonic_ns() / 1000000;
		if (now_ms - ticked_ms < TICK_MS)
			continue;
		ticked_ms = now_ms;
		control_tick(dp, now_ms);
	}
	dp->tables.arena->ready = 0;
	attach_close(&attach);
	fprintf(stderr, "event=stopped\n");
out:
	if (epoll_fd >= 0)
		close(epoll_fd);
	return error;
}

static int start_workers(struct dataplane *dp, uint32_t *started)
{
	for (*started = 0; *started < dp->n_workers; ++*started) {
		struct worker *w = dp->worker[*started];
		int error = worker_prepare_sleep(w);
		if (!error)
			error = -pthread_create(&w->engine->thread, NULL, worker_thread, w);
		if (error) {
			fprintf(stderr, "event=start-failed what=thread name=%u error=\"%s\"\n",
				w->id, strerror(-error));
			return error;
		}
	}
	return 0;
}

static void stop_workers(struct dataplane *dp, uint32_t started)
{
	__atomic_store_n(&dp->stop, true, __ATOMIC_SEQ_CST);
	for (uint32_t id = 0; id < started; id++) {
		eventfd_kick(dp->group_fd[id]);
		pthread_join(dp->worker[id]->engine->thread, NULL);
	}
}

static int check(const struct dataplane *dp)
{
	struct arena_header header;

	arena_plan(&dp->options, graph_build()->n_nodes, &header);
	arena_print(&header, stdout);
	return 0;
}

int main(int argc, char **argv)
{
	struct dataplane *dp = &dataplane;
	uint32_t started;

	switch (options_parse(&dp->options, argc, argv)) {
	case OPTIONS_EXIT:
		return 0;
	case OPTIONS_ERROR:
		return 2;
	case OPTIONS_RUN:
		break;
	}
	if (dp->options.check)
		return check(dp);
	int signal_fd = signals_open();
	if (signal_fd < 0 || dataplane_start(dp, true))
		return 1;
	int error = start_workers(dp, &started);
	if (!error)
		error = control_loop(dp, signal_fd);
	stop_workers(dp, started);
	dataplane_stop(dp);
	return error ? 1 : 0;
}
