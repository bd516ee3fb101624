/* SPDX-License-Identifier: Apache-2.0 */
/*
 * speedscope's file format (www.speedscope.app/file-format-schema.json): frames shared by profiles
 * that are either lists of stacks with weights ("sampled") or of opened and closed frames
 * ("evented").
 *
 * Units become types: seconds, milliseconds and microseconds are CPU time, as are nanoseconds;
 * bytes are allocated space; "none" counts samples.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "ingest/ingest.h"
#include "ingest/span.h"
#include "ingest/stacks.h"
#include "wire/json.h"

#define SNIFF_BYTES 4096
#define OPEN_MAX 4096 /* frames at once; each event writes them all */

struct job {
	const struct ingest_request *request;
	struct profile_builder *out;
	struct err *err;
	struct ingest_stacks stacks;
	uint32_t *frames; /* number in shared.frames -> of the builder */
	size_t frames_count;
	double scale; /* of a weight, to the type's unit */
	double carry; /* what rounding left, so that sums stay whole */
};

static bool speedscope_looks(struct str body)
{
	return body.len && body.ptr[0] == '{' &&
	       memmem(body.ptr, MIN(body.len, (size_t)SNIFF_BYTES), "speedscope", 10);
}

static int wrong(struct job *job, size_t profile, const char *what)
{
	return err_set(job->err, -EINVAL, "speedscope: profiles[%zu]: %s", profile, what);
}

static int unit_apply(struct job *job, struct str unit, struct ingest_request *part)
{
	static const struct {
		const char *unit, *type;
		double scale;
	} units[] = {
	    {"nanoseconds", "process_cpu:cpu:nanoseconds:cpu:nanoseconds", 1},
	    {"microseconds", "process_cpu:cpu:nanoseconds:cpu:nanoseconds", 1e3},
	    {"milliseconds", "process_cpu:cpu:nanoseconds:cpu:nanoseconds", 1e6},
	    {"seconds", "process_cpu:cpu:nanoseconds:cpu:nanoseconds", 1e9},
	    {"bytes", "alloc_space", 1},
	    {"none", "", 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (!str_is(unit, units[i].unit))
			continue;
		job->scale = units[i].scale;
		part->sample_period_ns = 0;
		if (units[i].type[0])
			part->name = str_of(units[i].type);
		return 0;
	}
	return err_set(job->err, -EINVAL, "speedscope: unit \"%.*s\" is not known",
		       (int)MIN(unit.len, (size_t)40), unit.ptr ? unit.ptr : "");
}

static int frames_make(struct job *job, const json_t *root)
{
	const json_t *frames = json_object_get(json_object_get(root, "shared"), "frames"), *frame;
	size_t i;

	job->frames_count = json_array_size(frames);
	job->frames = malloc((job->frames_count + 1) * sizeof(*job->frames));
	if (!job->frames)
		return err_set(job->err, -ENOMEM, "speedscope: out of memory");
	json_array_foreach(frames, i, frame)
	{
		int64_t line = 0;

		(void)wire_json_int(json_object_get(frame, "line"), &line);
		int rc = ingest_stacks_frame(
		    &job->stacks, wire_json_text(frame, "name"), wire_json_text(frame, "file"),
		    line > 0 && line < INT32_MAX ? (uint32_t)line : 0, &job->frames[i]);

		if (rc)
			return ingest_failed(job->out, rc, job->err);
	}
	return 0;
}

static bool frame_of(const struct job *job, const json_t *number, uint32_t *ret_frame)
{
	int64_t n;

	if (!json_is_integer(number) || (n = json_integer_value(number)) < 0 ||
	    (uint64_t)n >= job->frames_count)
		return false;
	*ret_frame = job->frames[n];
	return true;
}

static int weight_add(struct job *job, const uint32_t *leaf_first, size_t count, double weight)
{
	double value = weight * job->scale + job->carry;

	if (!isfinite(value) || weight < 0 || value > 0x1p62)
		return -EINVAL;
	double whole = MAX(0.0, floor(value + 0.5)); /* the carry may be below 0 */

	job->carry = value - whole;
	return ingest_stacks_add_frames(&job->stacks, leaf_first, count, (int64_t)whole);
}

static int added(struct job *job, size_t profile, int rc)
{
	if (rc == -EINVAL)
		return wrong(job, profile, "a weight is below zero or not a number");
	return rc ? ingest_failed(job->out, rc, job->err) : 0;
}

/* Stacks are written root first. */
static int sampled_read(struct job *job, const json_t *profile, size_t number)
{
	const json_t *samples = json_object_get(profile, "samples"), *stack;
	const json_t *weights = json_object_get(profile, "weights");
	size_t i;

	if (weights && json_array_size(weights) != json_array_size(samples))
		return wrong(job, number, "samples and weights are not as many");
	json_array_foreach(samples, i, stack)
	{
		size_t depth = json_array_size(stack);

		if (depth > INGEST_STACK_FRAMES_MAX)
			return wrong(job, number,
				     "a stack has more than 65536 frames (fixed limit)");
		for (size_t k = 0; k < depth; k++)
			if (!frame_of(job, json_array_get(stack, depth - 1 - k),
				      &job->stacks.frames[k]))
				return wrong(job, number,
					     "a frame's number is not in shared.frames");
		int rc = weight_add(job, job->stacks.frames, depth,
				    weights ? json_number_value(json_array_get(weights, i)) : 1);

		if (rc)
			return added(job, number, rc);
	}
	return 0;
}

/* Between two events what was open is what ran.  Open frames stand leaf first at the array's
 * end. */
static int evented_read(struct job *job, const json_t *profile, size_t number)
{
	const json_t *events = json_object_get(profile, "events"), *event;
	const size_t max = OPEN_MAX;
	double last = json_number_value(json_object_get(profile, "startValue"));
	size_t open = 0, i;

	json_array_foreach(events, i, event)
	{
		double at = json_number_value(json_object_get(event, "at"));
		struct str type = wire_json_text(event, "type");
		uint32_t frame;
		int rc = 0;

		if (at < last)
			return wrong(job, number, "events are not in order");
		if (open && at > last)
			rc = weight_add(job, job->stacks.frames + max - open, open, at - last);
		if (rc)
			return added(job, number, rc);
		last = at;
		if (!frame_of(job, json_object_get(event, "frame"), &frame))
			return wrong(job, number, "a frame's number is not in shared.frames");
		if (str_is(type, "O") && open == max)
			return wrong(job, number, "more than 4096 frames are open (fixed limit)");
		if (str_is(type, "O"))
			job->stacks.frames[max - ++open] = frame;
		else if (str_is(type, "C") && open && job->stacks.frames[max - open] == frame)
			open--;
		else
			return wrong(job, number,
				     "a frame is closed that is not the innermost open one");
	}
	return 0;
}

static int profile_read(struct job *job, const json_t *root, size_t number)
{
	const json_t *profile = json_array_get(json_object_get(root, "profiles"), number);
	struct ingest_request part = *job->request;
	struct str type = wire_json_text(profile, "type");
	int rc = unit_apply(job, wire_json_text(profile, "unit"), &part);

	if (rc)
		return rc;
	job->carry = 0;
	rc = ingest_stacks_init(&job->stacks, &part, 0, 0, job->out, job->err);
	if (!rc && str_is(type, "sampled"))
		rc = sampled_read(job, profile, number);
	else if (!rc && str_is(type, "evented"))
		rc = evented_read(job, profile, number);
	else if (!rc)
		rc = wrong(job, number, "its type is neither sampled nor evented");
	ingest_stacks_release(&job->stacks);
	return rc;
}

static int speedscope_decode(const struct ingest_request *request, struct profile_builder *out,
			     struct ingest_findings *findings, struct err *err)
{
	const struct ingest_limits *limits =
	    request->limits ? request->limits : &ingest_limits_default;
	struct job job = {.request = request, .out = out, .err = err, .stacks = {.out = out}};
	json_t *root;
	int rc = wire_json_parse(request->body, limits->decompressed_bytes / 2,
				 "half of limits.decompressed_bytes", &root, err);

	if (rc)
		return rc;
	size_t count = json_array_size(json_object_get(root, "profiles"));

	if (!count)
		rc = err_set(err, -EINVAL, "speedscope: no profiles");
	if (!rc)
		rc = frames_make(&job, root);
	for (size_t i = 0; !rc && i < count; i++)
		rc = profile_read(&job, root, i);
	findings->profiles += rc ? 0 : count;
	free(job.frames);
	json_decref(root);
	return rc;
}

const struct ingest_protocol ingest_speedscope = {
    .name = "speedscope",
    .sniff = speedscope_looks,
    .decode = speedscope_decode,
};
