/* SPDX-License-Identifier: Apache-2.0 */
/* The C side of ingest_arena.cc: our decoder, and the inputs. */
#include <stdio.h>
#include <string.h>

#include "tests/bench/ingest_pprof_input.h"
#include "wire/pprof.h"

long ingest_arena_ours(const void *bytes, size_t len);
const char *ingest_arena_input(size_t n, const void **bytes, size_t *len);

long ingest_arena_ours(const void *bytes, size_t len)
{
	const struct pprof_limits limits = {(size_t)256 << 20, "limit"};
	static struct pprof_room room; /* kept from body to body, as the agent's and the arena's */
	struct pprof p;

	return pprof_decode_in(&room, bytes, len, &limits, &p, NULL) ? -1 : (long)p.samples_count;
}

const char *ingest_arena_input(size_t n, const void **bytes, size_t *len)
{
	static struct buf body;
	const char *source;

	if (!bench_inputs[n] || bench_input(bench_inputs[n], &body, &source) < 0)
		return NULL;
	*bytes = body.data;
	*len = body.len;
	return bench_inputs[n];
}
