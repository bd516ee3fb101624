/* SPDX-License-Identifier: Apache-2.0 */
/* What is read beside the ring: a cgroup file, and a perf map in pieces, whose names are then asked
 * for. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "ingest/cgroup.h"
#include "ingest/native_process.h"

static void perf_map(const char *bytes, size_t len)
{
	struct native_process process = {0};
	size_t first = 0, second = 0, half = len / 2;
	int rc = native_process_jit(&process, bytes, half, &first);

	FUZZ_CHECK(first <= half);
	if (!rc)
		rc = native_process_jit(&process, bytes + first, len - first, &second);
	FUZZ_CHECK(second <= len - first);
	for (size_t i = 0; !rc && i < process.jit.count && i < 64; i++) {
		struct str name = native_jit_name(&process, process.jit.codes[i].start);

		/* The range itself holds its start, so that some name is there, inside the
		 * table. */
		FUZZ_CHECK(name.len && name.ptr >= process.jit.names &&
			   name.ptr + name.len <= process.jit.names + process.jit.names_len);
	}
	(void)native_jit_name(&process, UINT64_MAX);
	free(process.jit.codes);
	free(process.jit.names);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *copy = malloc(len + 1); /* exactly as long, so that a sanitizer sees a read beyond */
	struct cgroup cgroup;

	if (!copy)
		return 0;
	memcpy(copy, bytes, len);
	char *exact = realloc(copy, len ? len : 1);

	cgroup_parse((struct str){exact, len}, &cgroup);
	FUZZ_CHECK(memchr(cgroup.container, 0, sizeof(cgroup.container)) &&
		   memchr(cgroup.path, 0, sizeof(cgroup.path)));
	perf_map(exact, len);
	free(exact);
	return 0;
}
