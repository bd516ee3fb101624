/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of the profiled machine's size and order:
 *
 *	0  3  0  period (us)  0         the head
 *	count  n  address x n           a sample, leaf first
 *	0  1  0                         the end; behind it the text of /proc/self/maps
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "ingest/gperftools.h"
#include "ingest/span.h"

#define HEAD_WORDS 5

struct words {
	const uint8_t *bytes;
	size_t count; /* whole words */
	size_t size;  /* 4 or 8 */
	bool big;
};

static uint64_t word(const struct words *w, size_t i)
{
	const uint8_t *p = w->bytes + i * w->size;
	uint64_t value = 0;

	for (size_t k = 0; k < w->size; k++)
		value |= (uint64_t)p[k] << 8 * (w->big ? w->size - 1 - k : k);
	return value;
}

static bool words_of(struct str body, struct words *ret)
{
	for (int i = 0; i < 4; i++) {
		*ret = (struct words){
		    .bytes = (const uint8_t *)body.ptr, .size = i & 1 ? 4 : 8, .big = i & 2};
		ret->count = body.len / ret->size;
		if (ret->count >= HEAD_WORDS + 3 && word(ret, 0) == 0 && word(ret, 1) == 3 &&
		    word(ret, 2) == 0 && word(ret, 3) > 0 && word(ret, 3) < 1000000000 &&
		    word(ret, 4) == 0)
			return true;
	}
	return false;
}

bool gperftools_cpu_looks(struct str body)
{
	struct words w;

	return words_of(body, &w);
}

/* The next sample: its first address in *at, which is moved behind it. Returns 1, 0 at the end,
 * -EINVAL. */
static int sample_next(const struct words *w, size_t *at, uint64_t *ret_count, size_t *ret_from,
		       size_t *ret_n)
{
	if (w->count - *at < 3)
		return -EINVAL;
	*ret_count = word(w, *at);
	uint64_t n = word(w, *at + 1);

	if (n > w->count - *at - 2 || n > GPERFTOOLS_FRAMES_MAX)
		return -EINVAL;
	*ret_from = *at + 2;
	*ret_n = (size_t)n;
	*at = *ret_from + (size_t)n;
	/* The end looks like a sample of no count at the address 0. */
	return *ret_count != 0 || n != 1 || word(w, *ret_from) != 0;
}

/*
 * The second address of nearly all stacks is where the signal's handler returns to, which is no
 * caller. *ret_handler is 0 when there is none.  Also finds the end.
 */
static int survey(const struct words *w, uint64_t *ret_handler, size_t *ret_end)
{
	size_t at = HEAD_WORDS, from, n, samples = 0, same = 0;
	uint64_t count;
	int rc;

	*ret_handler = 0;
	while ((rc = sample_next(w, &at, &count, &from, &n)) == 1) {
		uint64_t second = n > 1 ? word(w, from + 1) : 0;

		if (!samples++)
			*ret_handler = second;
		same += second && second == *ret_handler;
	}
	*ret_end = at;
	if (samples < 2 || same * 100 < samples * 95)
		*ret_handler = 0;
	return rc;
}

static int samples_read(struct gperftools *job, const struct words *w, uint64_t handler)
{
	uint64_t *stack = malloc(GPERFTOOLS_FRAMES_MAX * sizeof(*stack)), count;
	int64_t period_ns = (int64_t)word(w, 3) * 1000;
	size_t at = HEAD_WORDS, from, n;
	int rc = stack ? 0 : err_set(job->err, -ENOMEM, "gperftools: out of memory");

	while (!rc && sample_next(w, &at, &count, &from, &n) == 1) {
		int64_t values[2] = {0, (int64_t)MIN(count, (uint64_t)INT64_MAX)};
		size_t depth = 0;

		for (size_t i = 0; i < n; i++) {
			uint64_t address = word(w, from + i);

			if (i == 1 && handler && address == handler)
				continue;
			stack[depth++] = address - (i > 0);
		}
		if (__builtin_mul_overflow(values[1], period_ns, &values[0]))
			values[0] = INT64_MAX;
		job->record.count = (uint32_t)MIN(MAX(values[1], 1), (int64_t)UINT32_MAX);
		rc = gperftools_add(job, stack, depth, values);
	}
	free(stack);
	return rc;
}

int gperftools_cpu_read(struct gperftools *job, struct str body)
{
	struct words w;
	uint64_t handler;
	size_t end;
	uint32_t kind;

	if (!words_of(body, &w) || survey(&w, &handler, &end) < 0)
		return err_set(job->err, -EINVAL,
			       "gperftools: the CPU profile is cut short: no end (0 1 0)");
	int rc = gperftools_maps_read(
	    job, (struct str){body.ptr + end * w.size, body.len - end * w.size});

	if (rc)
		return rc;
	rc = profile_builder_known_kind(job->out, PROFILE_KIND_CPU, (int64_t)word(&w, 3) * 1000,
					&kind);
	if (!rc)
		rc = ingest_series(job->request, job->out, kind, NULL, &job->record.series);
	return rc ? ingest_failed(job->out, rc, job->err) : samples_read(job, &w, handler);
}
