/* SPDX-License-Identifier: Apache-2.0 */
/* Names of code that a process made itself, from its perf map. */
#include <errno.h>
#include <string.h>

#include "ingest/hex.h"
#include "ingest/native_process.h"

#define NAME_MAX_BYTES 512
#define OVERLAPS_TRIED 16 /* a long function may have had short ones put into its place */

static const char *hex_parse(const char *at, const char *end, uint64_t *ret)
{
	const char *from = at;

	*ret = 0;
	if (end - at > 2 && at[0] == '0' && (at[1] == 'x' || at[1] == 'X'))
		from = at += 2;
	for (; at < end && at - from < 16; at++) {
		int digit = ingest_hex_digit(*at);

		if (digit < 0)
			break;
		*ret = *ret << 4 | (uint64_t)digit;
	}
	return at > from ? at : NULL;
}

static int name_add(struct native_jit *jit, const char *name, size_t len)
{
	int rc = array_grow(&jit->names, 1, &jit->names_capacity, jit->names_len + len);

	if (rc)
		return rc;
	memcpy(jit->names + jit->names_len, name, len);
	jit->names_len += len;
	return 0;
}

static int line_take(struct native_jit *jit, const char *at, const char *end)
{
	struct native_code code = {.order = (uint32_t)jit->count};
	uint64_t size;

	at = hex_parse(at, end, &code.start);
	if (!at || at >= end || *at != ' ')
		return 0;
	at = hex_parse(at + 1, end, &size);
	if (!at || end - at < 2 || *at != ' ' || !size || size > UINT64_MAX - code.start)
		return 0;
	at++;
	code.end = code.start + size;
	code.name_len = (uint32_t)MIN((size_t)(end - at), (size_t)NAME_MAX_BYTES);
	code.name_at = (uint32_t)jit->names_len;
	int rc = array_grow(&jit->codes, sizeof(*jit->codes), &jit->capacity, jit->count + 1);

	if (!rc)
		rc = name_add(jit, at, code.name_len);
	if (rc)
		return rc;
	jit->codes[jit->count++] = code;
	jit->sorted = false;
	return 0;
}

int native_process_jit(struct native_process *process, const char *bytes, size_t len,
		       size_t *ret_consumed)
{
	struct native_jit *jit = &process->jit;
	const char *at = bytes, *end = bytes + len, *newline;
	int rc = 0;

	while (!rc && at < end && (newline = memchr(at, '\n', (size_t)(end - at)))) {
		if (jit->count < NATIVE_JIT_ENTRIES_MAX)
			rc = line_take(jit, at, newline);
		at = newline + 1;
	}
	*ret_consumed = (size_t)(at - bytes);
	return rc;
}

static int by_start(const void *a, const void *b)
{
	const struct native_code *left = a, *right = b;

	if (left->start != right->start)
		return left->start < right->start ? -1 : 1;
	return left->order < right->order ? -1 : 1;
}

struct str native_jit_name(struct native_process *process, uint64_t address)
{
	struct native_jit *jit = &process->jit;
	const struct native_code *best = NULL;
	size_t low = 0, high = jit->count;

	if (!jit->sorted && jit->count)
		qsort(jit->codes, jit->count, sizeof(*jit->codes), by_start);
	jit->sorted = true;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (jit->codes[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low; i > 0 && low - i < OVERLAPS_TRIED; i--) {
		const struct native_code *code = &jit->codes[i - 1];

		if (address < code->end && (!best || code->order > best->order))
			best = code;
	}
	return best ? (struct str){jit->names + best->name_at, best->name_len} : (struct str){0};
}
