/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/stacks.h"

#include <errno.h>
#include <string.h>

#include "ingest/span.h"

static int type_kind(struct ingest_stacks *stacks, const struct ingest_request *request,
		     uint32_t *ret_kind)
{
	struct profile_type type = {STR("process_cpu"), STR("samples"), STR("count"), STR("cpu"),
				    STR("nanoseconds")};
	struct profile_kind kind = {.columns_count = 1};

	if (request->name.len && profile_type_parse(request->name, &type, NULL) < 0)
		type.name = request->name;
	kind.columns[0].gauge = profile_type_is_gauge(type.type);
	/* Of time or bytes nobody knows how many samples there were. */
	stacks->counts_samples = str_is(type.unit, "count");
	const struct {
		struct str text;
		uint32_t *to;
	} parts[] = {{type.name, &kind.name},
		     {type.type, &kind.columns[0].type},
		     {type.unit, &kind.columns[0].unit},
		     {type.period_type, &kind.period_type},
		     {type.period_unit, &kind.period_unit}};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		int rc = ingest_string(stacks->out, parts[i].text, parts[i].to);

		if (rc)
			return rc;
	}
	return profile_builder_kind(stacks->out, &kind, ret_kind);
}

static int kind_make(struct ingest_stacks *stacks, const struct ingest_request *request,
		     uint32_t *ret_kind)
{
	int64_t period = request->sample_period_ns;

	if (!period ||
	    (request->name.len && !str_is(request->name, "cpu") && !str_is(request->name, "wall")))
		return type_kind(stacks, request, ret_kind);
	stacks->period_ns = period;
	return profile_builder_known_kind(
	    stacks->out, str_is(request->name, "wall") ? PROFILE_KIND_WALL : PROFILE_KIND_CPU,
	    period, ret_kind);
}

int ingest_stacks_init(struct ingest_stacks *stacks, const struct ingest_request *request,
		       int64_t time_ns, int64_t duration_ns, struct profile_builder *out,
		       struct err *err)
{
	uint32_t kind;

	*stacks = (struct ingest_stacks){.out = out};
	stacks->frames = malloc(INGEST_STACK_FRAMES_MAX * sizeof(*stacks->frames));
	if (!stacks->frames)
		return err_set(err, -ENOMEM, "stacks: out of memory");
	int rc = kind_make(stacks, request, &kind);

	if (!rc)
		rc = ingest_series(request, out, kind, NULL, &stacks->record.series);
	stacks->record.time_ns =
	    ingest_span(request, time_ns, duration_ns, profile_builder_profile(out));
	return rc ? ingest_failed(out, rc, err) : 0;
}

void ingest_stacks_release(struct ingest_stacks *stacks)
{
	free(stacks->frames);
	stacks->frames = NULL;
}

int ingest_stacks_frame(struct ingest_stacks *stacks, struct str name, struct str file,
			uint32_t line, uint32_t *ret_frame)
{
	struct profile_frame frame = {.line = line};
	int rc = ingest_string(stacks->out, name.len ? name : STR("[unknown]"), &frame.function);

	if (!rc)
		rc = ingest_string(stacks->out, file, &frame.file);
	return rc ? rc : profile_builder_frame(stacks->out, &frame, ret_frame);
}

int ingest_stacks_add_frames(struct ingest_stacks *stacks, const uint32_t *frames,
			     size_t frames_count, int64_t count)
{
	struct profile_record *record = &stacks->record;
	int64_t values[2] = {count, count};
	int rc = profile_builder_stack(stacks->out, frames, frames_count, &record->node);

	if (rc || !count)
		return rc;
	if (stacks->period_ns && __builtin_mul_overflow(count, stacks->period_ns, &values[0]))
		values[0] = INT64_MAX;
	record->count = stacks->period_ns || stacks->counts_samples
			    ? (uint32_t)MIN(MAX(count, 1), (int64_t)UINT32_MAX)
			    : 1;
	return profile_builder_record(stacks->out, record, values);
}

/* Leaf first: the text is walked from its end. */
int ingest_stacks_add(struct ingest_stacks *stacks, struct str stack, int64_t count)
{
	size_t frames = 0;

	while (stack.len) {
		const char *semicolon = memrchr(stack.ptr, ';', stack.len);
		const char *at = semicolon ? semicolon + 1 : stack.ptr;
		struct str name = {at, (size_t)(stack.ptr + stack.len - at)};

		if (frames == INGEST_STACK_FRAMES_MAX)
			return -EMSGSIZE;
		int rc =
		    ingest_stacks_frame(stacks, name, (struct str){0}, 0, &stacks->frames[frames]);

		if (rc)
			return rc;
		frames++;
		stack.len = semicolon ? (size_t)(semicolon - stack.ptr) : 0;
	}
	return ingest_stacks_add_frames(stacks, stacks->frames, frames, count);
}
