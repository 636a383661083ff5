/* Commands of bngd to a worker: checked, applied between vectors, answered. */
#include <errno.h>
#include <string.h>

#include "engine.h"
#include "ring.h"
#include "table/nat44.h"
#include "table/session.h"
#include "trace.h"

static int apply(struct worker *w, const struct command *c)
{
	switch (c->type) {
	case CMD_NOP:
		return 0;
	case CMD_SESSION_BIND:
	case CMD_SESSION_UP:
	case CMD_SESSION_ECHO:
	case CMD_SESSION_PAUSE:
	case CMD_SESSION_CLOSE:
	case CMD_SESSION_RELEASE:
	case CMD_SESSION_POLICER:
	case CMD_SESSION_ACL:
	case CMD_SESSION_MOVE:
	case CMD_SESSION_BYPASS:
	case CMD_SESSION_FORWARD:
	case CMD_SESSION_STATIC:
	case CMD_SESSION_IP6:
		return c->session < w->t->max_sessions ? session_command(w, c) : -EINVAL;
	case CMD_NAT_ADDRESS:
		return nat44_address_command(w, &c->u.nat_address);
	case CMD_MEASURE:
		if (c->arg > 1)
			return -EINVAL;
		w->measure = c->arg;
		w->shared->measuring = c->arg;
		return 0;
	case CMD_TRACE:
		return trace_command(w, c);
	default:
		return -EINVAL;
	}
}

uint32_t command_run(struct worker *w)
{
	struct ring *commands = &w->t->ring[w->id * RINGS_PER_GROUP + RING_COMMAND];
	struct ring *completions = &w->t->ring[w->id * RINGS_PER_GROUP + RING_COMPLETION];
	uint8_t *completion_bytes = ring_bytes(w->t, completions);
	uint32_t taken = 0;

	w->engine->unanswerable = false;
	while (taken < BURST_SIZE) {
		struct command c;
		uint32_t len;
		const void *record = ring_peek(commands, ring_bytes(w->t, commands), &len);
		if (!record) {
			w->shared->command_errors +=
				ring_mend(commands, ring_bytes(w->t, commands));
			break;
		}
		struct completion *done =
			ring_reserve(completions, completion_bytes, sizeof(*done));
		if (!done) { /* nothing is applied that cannot be answered */
			w->engine->unanswerable = true;
			break;
		}
		memset(&c, 0, sizeof(c));
		memcpy(&c, record, len < sizeof(c) ? len : sizeof(c));
		int status = len == sizeof(c) ? apply(w, &c) : -EINVAL;
		ring_consume(commands, len);
		taken++;
		w->shared->commands++;
		w->shared->command_errors += status != 0;
		if (status == 0 && (c.flags & CMD_FLAG_QUIET))
			continue;
		*done = (struct completion){.cookie = c.cookie, .status = status, .type = c.type};
		ring_publish(completions, completion_bytes, sizeof(*done));
		w->engine->wake_bngd = true;
	}
	return taken;
}
