/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/tree.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/varint.h"
#include "ingest/span.h"
#include "ingest/stacks.h"

/*
 * Nodes in preorder, the root first, whose name is empty:
 *
 *	node = varint(name length) name varint(value) varint(number of children)
 *
 * Source: Pyroscope, pkg/og/storage/tree and pkg/og/structs/transporttrie.
 */

#define DEPTH_MAX 65536
#define TEXT_MAX ((size_t)1 << 20) /* of one stack */
#define WRITTEN_OUT 8              /* times limits.decompressed_bytes: of all stacks as text */

/* An ancestor of the node that is read. */
struct parent {
	uint64_t children; /* that are to come */
	size_t text_len;   /* of the stack up to here */
};

struct job {
	const uint8_t *at, *end;
	bool joined;
	struct ingest_stacks stacks;
	struct parent *parents;
	size_t depth, capacity;
	struct buf text; /* "root;...;" */
	size_t left;     /* bytes of stacks that may still be written out */
	struct err *err;
};

static int cut_short(const struct job *job)
{
	return err_set(job->err, -EINVAL, "tree: cut short at depth %zu", job->depth);
}

static bool number(struct job *job, uint64_t *ret)
{
	const uint8_t *behind = varint_get(job->at, job->end, ret);

	job->at = behind ? behind : job->at;
	return behind;
}

static int push(struct job *job, uint64_t children)
{
	if (job->depth == DEPTH_MAX)
		return err_set(job->err, -E2BIG, "tree: deeper than %d (fixed limit)", DEPTH_MAX);
	if (array_grow(&job->parents, sizeof(*job->parents), &job->capacity, job->depth + 1))
		return err_set(job->err, -ENOMEM, "tree: out of memory");
	job->parents[job->depth++] = (struct parent){children, job->text.len};
	return 0;
}

static int value_add(struct job *job, uint64_t value)
{
	struct str stack = {job->text.data, job->text.len};

	if (!value || !stack.len)
		return 0;
	/* A few bytes of tree can name a long stack again and again. */
	if (stack.len > job->left)
		return err_set(job->err, -E2BIG,
			       "tree: its stacks are longer than %d x limits.decompressed_bytes",
			       WRITTEN_OUT);
	job->left -= stack.len;
	int rc = ingest_stacks_add(&job->stacks, stack, (int64_t)MIN(value, (uint64_t)INT64_MAX));

	if (rc == -EMSGSIZE)
		return err_set(job->err, -E2BIG, "tree: more than %d frames (fixed limit)",
			       INGEST_STACK_FRAMES_MAX);
	return rc ? ingest_failed(job->stacks.out, rc, job->err) : 0;
}

static int node_read(struct job *job)
{
	uint64_t len, value, children;

	job->text.len = job->depth ? job->parents[job->depth - 1].text_len : 0;
	if (!number(job, &len) || len > (uint64_t)(job->end - job->at))
		return cut_short(job);
	if (!job->joined && job->text.len)
		(void)buf_add_byte(&job->text, ';');
	if (buf_add(&job->text, job->at, len))
		return err_set(job->err, -E2BIG,
			       "tree: a stack of more than %zu bytes (fixed limit)", TEXT_MAX);
	job->at += len;
	if (!number(job, &value) || !number(job, &children))
		return cut_short(job);
	/* A child takes three bytes at least. */
	if (children > (uint64_t)(job->end - job->at) / 3)
		return cut_short(job);
	int rc = value_add(job, value);

	return rc || !children ? rc : push(job, children);
}

static int nodes_read(struct job *job)
{
	int rc = node_read(job);

	while (!rc && job->depth) {
		struct parent *parent = &job->parents[job->depth - 1];

		if (!parent->children) {
			job->depth--;
			continue;
		}
		parent->children--;
		rc = node_read(job);
	}
	if (!rc && job->at != job->end)
		rc = err_set(job->err, -EINVAL, "tree: %td bytes behind the last node",
			     job->end - job->at);
	return rc;
}

int ingest_tree_decode(const struct ingest_request *request, bool joined,
		       struct profile_builder *out, struct ingest_findings *findings,
		       struct err *err)
{
	const uint8_t *body = (const uint8_t *)request->body.ptr;
	const size_t most =
	    (request->limits ? request->limits : &ingest_limits_default)->decompressed_bytes;
	struct job job = {.at = body,
			  .end = body + request->body.len,
			  .joined = joined,
			  .left = most ? most * WRITTEN_OUT : SIZE_MAX,
			  .err = err};

	buf_init(&job.text, TEXT_MAX);
	int rc = ingest_stacks_init(&job.stacks, request, 0, 0, out, err);

	if (!rc)
		rc = nodes_read(&job);
	ingest_stacks_release(&job.stacks);
	buf_release(&job.text);
	free(job.parents);
	findings->profiles += !rc;
	return rc;
}

static int tree_decode(const struct ingest_request *request, struct profile_builder *out,
		       struct ingest_findings *findings, struct err *err)
{
	return ingest_tree_decode(request, false, out, findings, err);
}

const struct ingest_protocol ingest_tree = {
    .name = "tree",
    .decode = tree_decode,
};
