/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/otlp_stacks.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ingest/hex.h"
#include "ingest/span.h"

#define UNSET UINT32_MAX
#define BROKEN (UINT32_MAX - 1) /* a stack that was followed once, and is not again */
/* of a stack, or of a location's lines, that is too deep */
#define HALF (PROFILE_STACK_DEPTH_MAX / 2 + 1u)

int ingest_otlp_broken(struct err *err, const char *what, uint64_t index, size_t count)
{
	return err_set(err, -EINVAL, "otlp: %s %" PRIu64 " of %zu", what, index, count);
}

static struct str attribute_text(const struct ingest_otlp_stacks *s, struct otlp_run run,
				 const char *key)
{
	for (uint32_t i = 0; i < run.count; i++) {
		uint32_t index = s->d->indexes[run.at + i];

		if (index < s->d->attributes_count && str_is(s->d->attributes[index].key, key))
			return s->d->attributes[index].value.text;
	}
	return (struct str){0};
}

static int module_of(struct ingest_otlp_stacks *s, uint32_t mapping, uint32_t *ret_module)
{
	struct profile_module module = {0};
	const struct otlp_mapping *m = &s->d->mappings[mapping];

	*ret_module = 0;
	if (!mapping || s->modules[mapping] != UNSET) {
		*ret_module = mapping ? s->modules[mapping] : 0;
		return 0;
	}
	struct str id = attribute_text(s, m->attributes, "process.executable.build_id.gnu");

	/* A hash of the file in place of a build id names files, too, within one owner. */
	if (!id.len) {
		id = attribute_text(s, m->attributes, "process.executable.build_id.htlhash");
		module.is_hash = id.len != 0;
	}
	if (id.len && !ingest_hex(id, module.build_id, &module.build_id_len))
		module.is_hash = false;
	int rc = ingest_string(s->out, otlp_string(s->d, m->filename), &module.path);

	if (!rc)
		rc = profile_builder_module(s->out, &module, &s->modules[mapping]);
	*ret_module = s->modules[mapping];
	return rc;
}

static uint32_t small(int64_t value)
{
	return value > 0 && value <= INT32_MAX ? (uint32_t)value : 0;
}

static int line_frame(struct ingest_otlp_stacks *s, const struct otlp_line *line, uint32_t module,
		      bool inlined, uint32_t *ret_frame)
{
	struct profile_frame frame = {.module = module,
				      .line = small(line->line),
				      .flags = inlined ? PROFILE_FRAME_INLINED : 0};

	if (line->function >= s->d->functions_count)
		return ingest_otlp_broken(s->err, "function", line->function,
					  s->d->functions_count);
	const struct otlp_function *f = &s->d->functions[line->function];
	struct str name = otlp_string(s->d, f->name);

	if (!name.len)
		name = otlp_string(s->d, f->system_name);
	frame.start_line = small(f->start_line);
	int rc = ingest_string(s->out, name.len ? name : STR("[unknown]"), &frame.function);

	if (!rc)
		rc = ingest_string(s->out, otlp_string(s->d, f->filename), &frame.file);
	return rc ? rc : profile_builder_frame(s->out, &frame, ret_frame);
}

/* An address inside the mapping is one of the process; any other is the file's own already. */
static int address_frame(struct ingest_otlp_stacks *s, const struct otlp_location *location,
			 uint32_t module, uint32_t *ret_frame)
{
	const struct otlp_mapping *m = &s->d->mappings[location->mapping];
	struct profile_frame frame = {
	    .flags = PROFILE_FRAME_ADDRESS, .module = module, .address = location->address};

	if (!location->address) {
		frame.flags = 0;
		int rc = profile_builder_string(s->out, STR("[unknown]"), &frame.function);

		return rc ? rc : profile_builder_frame(s->out, &frame, ret_frame);
	}
	if (module && m->limit > m->start && location->address >= m->start &&
	    location->address < m->limit) {
		frame.flags |= PROFILE_FRAME_FILE_OFFSET;
		frame.address = location->address - m->start + m->file_offset;
	}
	return profile_builder_frame(s->out, &frame, ret_frame);
}

static int frames_room(struct ingest_otlp_stacks *s, size_t want)
{
	size_t capacity = s->frames_capacity;
	int rc = array_grow(&s->frames, sizeof(*s->frames), &capacity, want);

	s->frames_capacity = (uint32_t)capacity;
	return rc;
}

static int location_frames(struct ingest_otlp_stacks *s, uint32_t index, size_t *count)
{
	uint32_t module = 0;

	if (index >= s->d->locations_count)
		return ingest_otlp_broken(s->err, "location", index, s->d->locations_count);
	const struct otlp_location *l = &s->d->locations[index];

	if (l->mapping >= s->d->mappings_count)
		return ingest_otlp_broken(s->err, "mapping", l->mapping, s->d->mappings_count);
	int rc = module_of(s, l->mapping, &module);

	if (!rc)
		rc = frames_room(s, *count + MIN(l->lines.count, 2 * HALF) + 1);
	if (!rc && !l->lines.count)
		return address_frame(s, l, module, &s->frames[(*count)++]);
	for (uint32_t i = 0; !rc && i < l->lines.count; i++) {
		if (l->lines.count > 2 * HALF && i == HALF)
			i = l->lines.count - HALF;
		rc = line_frame(s, &s->d->lines[l->lines.at + i], module, i + 1 < l->lines.count,
				&s->frames[(*count)++]);
	}
	return rc;
}

/*
 * A stack may name one location of many lines many times, so of a deep one only the ends are
 * followed: the builder cuts what is between, marks it and counts it.
 */
int ingest_otlp_node(struct ingest_otlp_stacks *s, uint32_t stack, uint32_t *ret_node)
{
	size_t count = 0;
	int rc = 0;

	if (stack >= s->d->stacks_count)
		return ingest_otlp_broken(s->err, "stack", stack, s->d->stacks_count);
	if (s->nodes[stack] == UNSET) {
		struct otlp_run run = s->d->stacks[stack];
		bool deep = run.count > 2 * HALF;

		for (uint32_t i = 0; !rc && i < run.count; i++) {
			if (deep && i == HALF)
				i = run.count - HALF;
			if (count <= 4 * PROFILE_STACK_DEPTH_MAX)
				rc = location_frames(s, s->d->indexes[run.at + i], &count);
		}
		if (!rc)
			rc = profile_builder_stack(s->out, s->frames, count, &s->nodes[stack]);
		if (rc == -EINVAL)
			s->nodes[stack] = BROKEN;
	} else if (s->nodes[stack] == BROKEN) {
		rc = err_set(s->err, -EINVAL, "otlp: stack %" PRIu32 " is broken", stack);
	}
	*ret_node = s->nodes[stack];
	return rc;
}

int ingest_otlp_stacks_init(struct ingest_otlp_stacks *s, const struct otlp_dictionary *d,
			    struct profile_builder *out, struct err *err)
{
	*s = (struct ingest_otlp_stacks){.d = d, .out = out, .err = err};
	s->nodes = malloc(d->stacks_count * sizeof(*s->nodes));
	s->modules = malloc(d->mappings_count * sizeof(*s->modules));
	if (!s->nodes || !s->modules || frames_room(s, 64))
		return err_set(err, -ENOMEM, "otlp: out of memory");
	memset(s->nodes, 0xff, d->stacks_count * sizeof(*s->nodes));
	memset(s->modules, 0xff, d->mappings_count * sizeof(*s->modules));
	return 0;
}

void ingest_otlp_stacks_release(struct ingest_otlp_stacks *s)
{
	free(s->nodes);
	free(s->modules);
	free(s->frames);
}
