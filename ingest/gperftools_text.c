/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	heap profile: 144: 8498176 [ 144: 8498176] @ heapz_v2/524288
 *	  objects: bytes [objects: bytes] @ address...          live, and ever allocated
 *
 *	--- contentionz 1 ---
 *	cycles/second = 3201000000
 *	sampling period = 100
 *	  cycles count @ address...
 *
 * "growthz" and "fragmentationz" are heaps that were not sampled.  A sampled heap's numbers are
 * those of the sample: an object of `size` bytes was taken with the chance 1 - exp(-size / rate),
 * and stands for one over that.  Where what is live is all that was ever allocated, only the live
 * columns are kept, as pprof does.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ingest/gperftools.h"
#include "ingest/span.h"

#define HEAP "heap profile:"
#define CONTENTION "--- contention"
#define CONTENTION_OLD "--- mutex"

struct text {
	bool is_heap, v2, allocated; /* v2: to be scaled; allocated: has columns of its own */
	double rate;                 /* mean bytes between samples; 0: all were taken */
	double cycles_per_second, period;
};

static bool starts(struct str s, const char *with)
{
	size_t len = strlen(with);

	return s.len >= len && !memcmp(s.ptr, with, len);
}

static struct str line_next(struct str *text)
{
	return str_trim(str_cut(text, '\n'));
}

bool gperftools_text_looks(struct str body)
{
	return starts(body, HEAP) || starts(body, CONTENTION) || starts(body, CONTENTION_OLD);
}

/* The next whole number of a line, behind any of ": [@". */
static bool number_take(struct str *s, int64_t *ret)
{
	size_t digits = 0;

	while (s->len && strchr(" :[]\t", s->ptr[0]))
		*s = (struct str){s->ptr + 1, s->len - 1};
	*ret = 0;
	while (digits < s->len && s->ptr[digits] >= '0' && s->ptr[digits] <= '9') {
		if (__builtin_mul_overflow(*ret, 10, ret) ||
		    __builtin_add_overflow(*ret, s->ptr[digits] - '0', ret))
			return false;
		digits++;
	}
	*s = (struct str){s->ptr + digits, s->len - digits};
	return digits > 0;
}

/* "@ 0x1 0x2..."; each of them is where a call returns to. Returns the number, or -1. */
static ssize_t addresses_read(struct str s, uint64_t *to)
{
	const char *at = s.len ? memchr(s.ptr, '@', s.len) : NULL;
	size_t count = 0;

	if (!at)
		return -1;
	s = (struct str){at + 1, (size_t)(s.ptr + s.len - at - 1)};
	while (s.len) {
		uint64_t address = 0;
		size_t digits = 0;

		while (s.len && strchr(" \t\r", s.ptr[0]))
			s = (struct str){s.ptr + 1, s.len - 1};
		if (!s.len)
			break;
		if (s.len < 3 || s.ptr[0] != '0' || (s.ptr[1] | 0x20) != 'x' ||
		    count == GPERFTOOLS_FRAMES_MAX)
			return -1;
		s = (struct str){s.ptr + 2, s.len - 2};
		for (; digits < s.len && digits < 16; digits++) {
			char c = s.ptr[digits];
			int d = c >= '0' && c <= '9'                     ? c - '0'
				: (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
									 : -1;

			if (d < 0)
				break;
			address = address << 4 | (unsigned)d;
		}
		if (!digits)
			return -1;
		s = (struct str){s.ptr + digits, s.len - digits};
		to[count++] = address - 1;
	}
	return (ssize_t)count;
}

/* ---- heads ---- */

static double decimal(struct str s)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%.*s", (int)MIN(s.len, sizeof(text) - 1),
		       s.len ? s.ptr : "");
	double value = strtod(text, NULL);

	return isfinite(value) && value > 0 ? value : 0;
}

static bool has(struct str s, const char *what)
{
	return s.len && memmem(s.ptr, s.len, what, strlen(what));
}

/* "... @ heapz_v2/524288": whether numbers are to be scaled, and by which rate. */
static void heap_head(struct str line, struct text *t)
{
	const char *slash = line.len ? memrchr(line.ptr, '/', line.len) : NULL;
	struct str behind = slash
				? (struct str){slash + 1, (size_t)(line.ptr + line.len - slash - 1)}
				: (struct str){0};

	t->is_heap = true;
	t->v2 = has(line, "heap_v2") || has(line, "heapz_v2");
	t->rate = t->v2 || has(line, "heapprofile") ? decimal(behind) : 0;
	if (!t->v2)
		/* "heapprofile" counts all; an older sampling is not known by its rate alone */
		t->rate = 0;
}

static bool contention_head(struct str line, struct text *t)
{
	const char *equals = line.len ? memchr(line.ptr, '=', line.len) : NULL;
	struct str value =
	    equals ? (struct str){equals + 1, (size_t)(line.ptr + line.len - equals - 1)}
		   : (struct str){0};

	if (!equals)
		return false;
	if (starts(line, "cycles/second"))
		t->cycles_per_second = decimal(value);
	else if (starts(line, "sampling period"))
		t->period = decimal(value);
	return true;
}

/* ---- samples ---- */

static int64_t whole(double value)
{
	return value >= 0x1p62 ? (int64_t)1 << 62 : (int64_t)value;
}

static void unsample(int64_t *objects, int64_t *bytes, double rate)
{
	if (rate <= 1 || *objects <= 0 || *bytes <= 0)
		return;
	double scale = 1 / -expm1(-(double)*bytes / (double)*objects / rate);

	*objects = whole((double)*objects * scale);
	*bytes = whole((double)*bytes * scale);
}

static bool heap_numbers(struct str *line, int64_t n[4])
{
	for (int i = 0; i < 4; i++)
		if (!number_take(line, &n[i]))
			return false;
	return true;
}

static int heap_kind(struct gperftools *job, bool allocated, const struct text *t,
		     uint32_t series[2])
{
	static const enum profile_kind_id ids[2] = {PROFILE_KIND_INUSE, PROFILE_KIND_ALLOC};

	for (int i = 0; i < 1 + allocated; i++) {
		uint32_t kind;
		int rc =
		    profile_builder_known_kind(job->out, ids[i], whole(MAX(t->rate, 1)), &kind);

		if (!rc)
			rc = ingest_series(job->request, job->out, kind, NULL, &series[i]);
		if (rc)
			return ingest_failed(job->out, rc, job->err);
	}
	return 0;
}

static int heap_line(struct gperftools *job, struct str line, const struct text *t,
		     uint32_t series[2], uint64_t *stack)
{
	int64_t n[4];

	if (!heap_numbers(&line, n))
		return -EINVAL;
	ssize_t depth = addresses_read(line, stack);

	if (depth < 0)
		return -EINVAL;
	for (int i = 0; i < 1 + t->allocated; i++) {
		const uint32_t taken = (uint32_t)MIN(MAX(n[2 * i], 1), (int64_t)UINT32_MAX);

		if (t->v2)
			unsample(&n[2 * i], &n[2 * i + 1], t->rate);
		const int64_t values[2] = {n[2 * i + 1], n[2 * i]};

		job->record.series = series[i];
		job->record.count = taken;
		int rc = gperftools_add(job, stack, (size_t)depth, values);

		if (rc)
			return rc;
	}
	return 0;
}

static int contention_kind(struct gperftools *job, const struct text *t, uint32_t *ret_series)
{
	uint32_t kind;
	int rc = profile_builder_known_kind(job->out, PROFILE_KIND_LOCK, whole(t->period), &kind);

	if (!rc)
		rc = ingest_series(job->request, job->out, kind, NULL, ret_series);
	return rc ? ingest_failed(job->out, rc, job->err) : 0;
}

static int contention_line(struct gperftools *job, struct str line, const struct text *t,
			   uint64_t *stack)
{
	int64_t cycles, count;

	if (!number_take(&line, &cycles) || !number_take(&line, &count))
		return -EINVAL;
	ssize_t depth = addresses_read(line, stack);

	if (depth < 0)
		return -EINVAL;
	const int64_t values[2] = {whole((double)cycles * t->period * 1e9 / t->cycles_per_second),
				   whole((double)count * t->period)};

	job->record.count = (uint32_t)MIN(MAX(count, 1), (int64_t)UINT32_MAX);
	return gperftools_add(job, stack, (size_t)depth, values);
}

/* ---- the whole ---- */

static bool is_maps(struct str line)
{
	return starts(line, "MAPPED_LIBRARIES") || starts(line, "--- Memory map") ||
	       starts(line, "build=");
}

static bool is_sample(struct str line)
{
	return line.len && line.ptr[0] >= '0' && line.ptr[0] <= '9' &&
	       memchr(line.ptr, '@', line.len);
}

/* Where the maps begin; and whether a heap has columns of what was ever allocated. */
static void survey(struct str body, struct text *t, struct str *ret_maps)
{
	struct str rest = body;

	*ret_maps = (struct str){0};
	while (rest.len) {
		struct str line = line_next(&rest);
		int64_t n[4];

		if (is_maps(line)) {
			*ret_maps = rest;
			return;
		}
		if (t->is_heap && is_sample(line) && heap_numbers(&line, n))
			t->allocated |= n[0] != n[2] || n[1] != n[3];
	}
}

static int lines_read(struct gperftools *job, struct str body, struct text *t, uint64_t *stack)
{
	uint32_t series[2] = {0};
	int rc = 0;

	(void)line_next(&body);
	if (t->is_heap)
		rc = heap_kind(job, t->allocated, t, series);
	else
		rc = contention_kind(job, t, &job->record.series);
	for (size_t number = 2; !rc && body.len; number++) {
		struct str line = line_next(&body);

		if (is_maps(line))
			break;
		if (!is_sample(line))
			continue;
		rc = t->is_heap ? heap_line(job, line, t, series, stack)
				: contention_line(job, line, t, stack);
		if (rc == -EINVAL && !job->err->code)
			rc =
			    err_set(job->err, -EINVAL, "gperftools: line %zu is malformed", number);
	}
	return rc;
}

static void head_read(struct str body, struct text *t)
{
	struct str line = line_next(&body);

	*t = (struct text){.cycles_per_second = 1e9, .period = 1};
	if (starts(line, HEAP)) {
		heap_head(line, t);
		return;
	}
	while (body.len && contention_head(line_next(&body), t))
		;
	t->cycles_per_second = t->cycles_per_second > 0 ? t->cycles_per_second : 1e9;
	t->period = t->period > 0 ? t->period : 1;
}

int gperftools_text_read(struct gperftools *job, struct str body)
{
	uint64_t *stack = malloc(GPERFTOOLS_FRAMES_MAX * sizeof(*stack));
	struct err why = {0}, *err = job->err;
	struct text t;
	struct str maps;

	if (!stack)
		return err_set(job->err, -ENOMEM, "gperftools: out of memory");
	head_read(body, &t);
	survey(body, &t, &maps);
	job->err = &why;
	int rc = gperftools_maps_read(job, maps);

	if (!rc)
		rc = lines_read(job, body, &t, stack);
	free(stack);
	job->err = err;
	return rc ? err_set(err, rc, "%s", why.message) : 0;
}
