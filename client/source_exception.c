/* SPDX-License-Identifier: Apache-2.0 */
#include "client/source_exception.h"

#include <errno.h>
#include <string.h>

#include "client/budget.h"
#include "client/draw.h"
#include "client/hearth.h"
#include "client/pace.h"
#include "client/profiler.h"
#include "client/source.h"
#include "client/thread.h"
#include "client/write.h"

#define TYPE_KEY "exception type"
#define TYPE_BYTES 256 /* of a mangled name, with its NUL; a longer one is cut */

static struct {
	uint32_t on, shadowed;
	struct pace pace;
} exceptions;

void source_exception_shadowed(void)
{
	store(&exceptions.shadowed, 1);
}

static bool is_off(void)
{
	return !load(&exceptions.on) || !session_running() || load(&session.agent->kill) ||
	       load(&session.agent->dimensions_off) & 1u << RING_EXCEPTION;
}

/* A '*' says that names are compared as pointers; it is no part of the name. */
static uint16_t type_text(const void *type, char *to)
{
	const char *name = type ? ((const char *const *)type)[1] : NULL;
	size_t bytes;

	if (!name)
		return 0;
	name += *name == '*';
	bytes = strnlen(name, TYPE_BYTES - 1);
	memcpy(to, TYPE_KEY, sizeof(TYPE_KEY));
	memcpy(to + sizeof(TYPE_KEY), name, bytes);
	to[sizeof(TYPE_KEY) + bytes] = 0;
	return (uint16_t)(sizeof(TYPE_KEY) + bytes + 1);
}

static void sample(struct thread *t, const void *type, uint32_t interval,
		   const struct call_site *from)
{
	struct ring_exception payload = {.count = interval};
	char text[sizeof(TYPE_KEY) + TYPE_BYTES];
	struct event e = {.type = RING_SAMPLE_EXCEPTION,
			  .dimension = RING_EXCEPTION,
			  .payload = &payload,
			  .payload_bytes = sizeof(payload),
			  .time_ns = clock_coarse_ns(),
			  .text = text,
			  .thread = t};

	e.text_bytes = type_text(type, text);
	(void)stack_record(&e, from);
	pace_count(&exceptions.pace, e.time_ns);
}

static void take(struct thread *t, const void *type, uint32_t interval,
		 const struct call_site *from)
{
	int64_t began;

	if (budget_stopped(RING_EXCEPTION)) {
		drop(RING_EXCEPTION, RING_DROP_BUDGET);
		source_chores(clock_coarse_ns());
		return;
	}
	began = budget_begin(RING_EXCEPTION);
	sample(t, type, interval, from);
	(void)budget_end(began, RING_EXCEPTION);
	source_chores(clock_coarse_ns());
}

void source_exception_thrown(const void *type, const struct call_site *from)
{
	int saved = errno;
	uint64_t interval = (uint64_t)profiler_config()->exception_interval
			    << (pace_shift(&exceptions.pace) + budget_shift(RING_EXCEPTION));
	struct thread *t;

	if (interval > UINT32_MAX)
		interval = UINT32_MAX;

	if (session_orphan())
		(void)session_adopt_child();
	if (!is_off()) {
		add(&session.counters->exceptions, 1);
		t = thread_self();
		if (!t)
			drop(RING_EXCEPTION, RING_DROP_NO_SLOT);
		else if (draw_one_in(&t->draws, (uint32_t)interval))
			take(t, type, (uint32_t)interval, from);
	}
	errno = saved;
}

static bool exception_wanted(const struct config *config)
{
	return config->exception;
}

static int exception_start(void)
{
	if (load(&exceptions.shadowed))
		return HEARTH_E_SYSTEM;
	store(&exceptions.on, 1);
	return HEARTH_OK;
}

static void exception_stop(void)
{
	store(&exceptions.on, 0);
}

const struct source source_exception = {
    .name = "exception",
    .unit = "count",
    .dimension = RING_EXCEPTION,
    .wanted = exception_wanted,
    .start = exception_start,
    .stop = exception_stop,
};
