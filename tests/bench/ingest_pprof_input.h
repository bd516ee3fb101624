/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/bench/ingest_pprof_input.h - the profiles that the benchmark decodes.
 */
#ifndef BENCH_INGEST_PPROF_INPUT_H
#define BENCH_INGEST_PPROF_INPUT_H

#include "base/buf.h"

extern const char *const bench_inputs[]; /* names, NULL-terminated */

/* Make the input of this name, the same bytes each time. `ret_source` says where it is from. */
MUST_CHECK int bench_input(const char *name, struct buf *ret_body, const char **ret_source);

#endif
