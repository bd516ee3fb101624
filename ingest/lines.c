/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "ingest/span.h"
#include "ingest/stacks.h"

/*
 * Pyroscope's format=lines: one sample a line, "root;...;leaf", no number.  Empty lines are
 * skipped. What is counted: ingest/stacks.h.
 */

static int lines_decode(const struct ingest_request *request, struct profile_builder *out,
			struct ingest_findings *findings, struct err *err)
{
	struct str text = request->body;
	struct ingest_stacks stacks;
	int rc = ingest_stacks_init(&stacks, request, 0, 0, out, err);

	while (!rc && text.len) {
		struct str line = str_cut(&text, '\n');

		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		rc = line.len ? ingest_stacks_add(&stacks, line, 1) : 0;
		if (rc == -EMSGSIZE)
			rc = err_set(err, -E2BIG, "lines: more than %d frames in one (fixed limit)",
				     INGEST_STACK_FRAMES_MAX);
		else if (rc)
			rc = ingest_failed(out, rc, err);
	}
	ingest_stacks_release(&stacks);
	findings->profiles += !rc;
	return rc;
}

const struct ingest_protocol ingest_lines = {
    .name = "lines",
    .decode = lines_decode,
};
