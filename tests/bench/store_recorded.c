/* SPDX-License-Identifier: Apache-2.0 */
/* A model of stacks that some program really had: a pprof's, by line, as often as it holds them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/ingest.h"
#include "tests/bench/store_model.h"

struct seen {
	uint32_t node; /* of the recorded profile */
	uint64_t samples;
};

static int read_all(const char *path, struct buf *ret)
{
	FILE *file = fopen(path, "re");
	char some[65536];
	size_t n;
	int rc = file ? 0 : -errno;

	while (!rc && (n = fread(some, 1, sizeof(some), file)) > 0)
		rc = buf_add(ret, some, n);
	if (file)
		(void)fclose(file);
	return rc;
}

static int decode(const char *path, struct profile_builder *into)
{
	struct buf packed, plain = {0};
	struct ingest_findings findings = {0};
	struct err err = {0};

	buf_init(&packed, BUF_UNLIMITED);
	int rc = read_all(path, &packed);

	if (!rc)
		rc = ingest_decompress(packed.data, packed.len, &ingest_limits_default, &plain,
				       &err);
	struct ingest_request request = {.body = {plain.data, plain.len},
					 .limits = &ingest_limits_default,
					 .now_ns = 1,
					 .accept_until_ns = INT64_MAX};

	if (!rc)
		rc = ingest_find(STR("pprof"))->decode(&request, into, &findings, &err);
	if (rc)
		(void)fprintf(stderr, "%s: %s\n", path, err.message);
	buf_release(&packed);
	buf_release(&plain);
	return rc;
}

static int rarest_last(const void *x, const void *y)
{
	const struct seen *a = x, *b = y;

	if (a->samples != b->samples)
		return a->samples > b->samples ? -1 : 1;
	return (a->node > b->node) - (a->node < b->node);
}

/* Each stack once, the most frequent first; `samples` of a stack is the first value of its records.
 */
static size_t stacks_of(const struct profile *p, struct seen *all)
{
	size_t count = 0;

	for (size_t i = 0; i < p->nodes_count; i++)
		all[i] = (struct seen){.node = (uint32_t)i};
	for (size_t i = 0; i < p->records_count; i++)
		all[p->records[i].node].samples += (uint64_t)p->values[p->records[i].values_at];
	for (size_t i = 1; i < p->nodes_count; i++)
		if (all[i].samples)
			all[count++] = all[i];
	qsort(all, count, sizeof(*all), rarest_last);
	return MIN(count, MODEL_STACKS);
}

/* The frame of the recorded profile among the model's. */
static int frame_of(struct model_service *m, const struct profile *p, uint32_t frame, uint32_t *ret)
{
	const struct profile_frame *from = &p->frames[frame];
	struct profile_frame to = {.line = from->line, .start_line = from->start_line};
	int rc =
	    profile_builder_string(m->builder, p->strings.strings[from->function], &to.function);

	if (!rc)
		rc = profile_builder_string(m->builder, p->strings.strings[from->file], &to.file);
	return rc ? rc : profile_builder_frame(m->builder, &to, ret);
}

static int stack_add(struct model_service *m, const struct profile *p, const struct seen *stack)
{
	uint32_t frames[PROFILE_STACK_DEPTH_MAX], depth = 0;
	int rc = 0;

	for (uint32_t at = stack->node; !rc && at; at = p->nodes[at].parent)
		rc = frame_of(m, p, p->nodes[at].frame, &frames[depth++]);
	if (!rc)
		rc = profile_builder_stack(m->builder, frames, depth, &m->leaves[m->stacks]);
	m->probability[m->stacks++] = (double)stack->samples;
	m->depth = MAX(m->depth, depth);
	return rc;
}

int model_service_read(struct model_service *m, unsigned number, const char *path)
{
	struct profile_builder *recorded;
	struct seen *stacks = NULL;
	int rc = profile_builder_new(&profile_limits_default, &recorded);

	if (rc)
		return rc;
	rc = decode(path, recorded);
	const struct profile *p = profile_builder_profile(recorded);

	if (!rc)
		rc = model_service_begin(m, number);
	if (!rc && !(stacks = calloc(p->nodes_count, sizeof(*stacks))))
		rc = -ENOMEM;
	size_t count = rc ? 0 : stacks_of(p, stacks);

	for (size_t i = 0; !rc && i < count; i++)
		rc = stack_add(m, p, &stacks[i]);
	if (!rc && !m->stacks)
		rc = -ENODATA;
	free(stacks);
	profile_builder_free(recorded);
	return rc ? rc : model_service_ready(m);
}
