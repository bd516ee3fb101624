/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gperftools' own profiles: CPU (binary), and heap, growth and contention (text).  Source of the
 * formats and of what is done with them: google/pprof, legacy_profile.go, with whose totals ours
 * agree.
 */
#include "ingest/gperftools.h"

#include <errno.h>
#include <string.h>

#include "ingest/hex.h"
#include "ingest/span.h"

#define MAPS_MAX 65536

static bool hex_take(struct str *s, char behind, uint64_t *ret)
{
	size_t i = 0;

	*ret = 0;
	for (int digit; i < s->len && i < 16 && (digit = ingest_hex_digit(s->ptr[i])) >= 0; i++)
		*ret = *ret << 4 | (unsigned)digit;
	if (!i || i == s->len || s->ptr[i] != behind)
		return false;
	*s = (struct str){s->ptr + i + 1, s->len - i - 1};
	return true;
}

static struct str word_take(struct str *s)
{
	size_t len = 0;

	*s = str_trim(*s);
	while (len < s->len && !strchr(" \t", s->ptr[len]))
		len++;
	struct str word = {s->ptr, len};

	*s = str_trim((struct str){s->ptr + len, s->len - len});
	return word;
}

/* "start-end rwxp offset device inode file", or "start-end: file". */
static bool map_parse(struct str line, struct gperftools_map *map, struct str *ret_file)
{
	struct str offset;

	line = str_trim(line);
	if (!hex_take(&line, '-', &map->start))
		return false;
	map->offset = 0;
	struct str rest = line;

	if (hex_take(&rest, ':', &map->end)) {
		*ret_file = str_trim(rest);
		return map->end > map->start;
	}
	if (!hex_take(&line, ' ', &map->end) || map->end <= map->start)
		return false;
	struct str access = word_take(&line);

	if (access.len < 4 || access.ptr[2] != 'x')
		return false;
	offset = word_take(&line);
	for (size_t i = 0; i < offset.len && i < 16; i++)
		map->offset = map->offset << 4 | (unsigned)MAX(ingest_hex_digit(offset.ptr[i]), 0);
	(void)word_take(&line);
	(void)word_take(&line);
	*ret_file = line;
	return true;
}

static int by_start(const void *a, const void *b)
{
	const struct gperftools_map *left = a, *right = b;

	return (left->start > right->start) - (left->start < right->start);
}

int gperftools_maps_read(struct gperftools *job, struct str text)
{
	while (text.len) {
		struct profile_module module = {0};
		struct gperftools_map map;
		struct str file;

		if (!map_parse(str_cut(&text, '\n'), &map, &file) || !file.len)
			continue;
		if (job->maps_count == MAPS_MAX)
			return err_set(job->err, -E2BIG,
				       "gperftools: more than %d maps (fixed limit)", MAPS_MAX);
		if (array_grow(&job->maps, sizeof(*job->maps), &job->maps_capacity,
			       job->maps_count + 1))
			return err_set(job->err, -ENOMEM, "gperftools: out of memory");
		int rc = ingest_string(job->out, file, &module.path);

		if (!rc)
			rc = profile_builder_module(job->out, &module, &map.module);
		if (rc)
			return ingest_failed(job->out, rc, job->err);
		job->maps[job->maps_count++] = map;
	}
	if (job->maps_count)
		qsort(job->maps, job->maps_count, sizeof(*job->maps), by_start);
	return 0;
}

static const struct gperftools_map *map_of(const struct gperftools *job, uint64_t address)
{
	size_t low = 0, high = job->maps_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (job->maps[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low && address < job->maps[low - 1].end ? &job->maps[low - 1] : NULL;
}

int gperftools_add(struct gperftools *job, const uint64_t *addresses, size_t count,
		   const int64_t *values)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < count; i++) {
		const struct gperftools_map *map = map_of(job, addresses[i]);
		struct profile_frame frame = {.flags = PROFILE_FRAME_ADDRESS,
					      .address = addresses[i]};

		if (map) {
			frame.module = map->module;
			frame.flags |= PROFILE_FRAME_FILE_OFFSET;
			frame.address = addresses[i] - map->start + map->offset;
		}
		rc = profile_builder_frame(job->out, &frame, &job->frames[i]);
	}
	if (!rc)
		rc = profile_builder_stack(job->out, job->frames, count, &job->record.node);
	if (!rc)
		rc = profile_builder_record(job->out, &job->record, values);
	return rc ? ingest_failed(job->out, rc, job->err) : 0;
}

static bool gperftools_looks(struct str body)
{
	return gperftools_cpu_looks(body) || gperftools_text_looks(body);
}

static int gperftools_decode(const struct ingest_request *request, struct profile_builder *out,
			     struct ingest_findings *findings, struct err *err)
{
	struct gperftools job = {.request = request, .out = out, .err = err};
	int rc;

	job.frames = malloc(GPERFTOOLS_FRAMES_MAX * sizeof(*job.frames));
	if (!job.frames)
		return err_set(err, -ENOMEM, "gperftools: out of memory");
	job.record.time_ns = ingest_span(request, 0, 0, profile_builder_profile(out));
	if (gperftools_cpu_looks(request->body))
		rc = gperftools_cpu_read(&job, request->body);
	else if (gperftools_text_looks(request->body))
		rc = gperftools_text_read(&job, request->body);
	else
		rc = err_set(err, -EINVAL,
			     "gperftools: neither a CPU, heap, growth nor contention profile");
	free(job.frames);
	free(job.maps);
	findings->profiles += !rc;
	return rc;
}

const struct ingest_protocol ingest_gperftools = {
    .name = "gperftools",
    .sniff = gperftools_looks,
    .decode = gperftools_decode,
};
