/* SPDX-License-Identifier: Apache-2.0 */
#include "server/limits.h"

#include <inttypes.h>
#include <string.h>

static const char *const keys[] = {
#define LIMIT(key, member, least, most) #key,
#define CUT(key, member, least, most)
#include "server/limits.def"
#undef LIMIT
#undef CUT
};

static void count(uint64_t *counter, uint64_t more)
{
	(void)__atomic_add_fetch(counter, more, __ATOMIC_RELAXED);
}

static uint64_t counted(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* The reason is read, since each has to name its setting: so what is counted is what was said,
 * wherever below the limit was met. */
void limits_refused(struct limits *limits, const char *why)
{
	const char *key = strstr(why, "limits.");

	if (!key)
		return;
	key += strlen("limits.");
	size_t len = strspn(key, "abcdefghijklmnopqrstuvwxyz_");

	for (size_t i = 0; i < LIMITS_COUNT; i++)
		if (len == strlen(keys[i]) && !memcmp(key, keys[i], len))
			count(&limits->refused[i], 1);
}

void limits_cut(struct limits *limits, const struct profile_cuts *cuts)
{
	count(&limits->stacks, cuts->stacks_truncated);
	count(&limits->strings, cuts->strings_truncated);
	count(&limits->labels, cuts->labels_dropped);
}

void limits_status(const struct limits *limits, struct json *json)
{
	json_key(json, "limits");
	json_open(json, '{');
	json_key(json, "refused");
	json_open(json, '{');
	for (size_t i = 0; i < LIMITS_COUNT; i++)
		json_key_uint(json, keys[i], counted(&limits->refused[i]));
	json_close(json, '}');
	json_key(json, "cut");
	json_open(json, '{');
	json_key_uint(json, "stacks", counted(&limits->stacks));
	json_key_uint(json, "strings", counted(&limits->strings));
	json_key_uint(json, "labels", counted(&limits->labels));
	json_close(json, '}');
	json_close(json, '}');
}

void limits_metrics(const struct limits *limits, struct buf *out)
{
	(void)buf_add_str(out, "# HELP hearth_uploads_refused_total Refused by a limit, which is a "
			       "setting.\n# TYPE hearth_uploads_refused_total counter\n");
	for (size_t i = 0; i < LIMITS_COUNT; i++)
		(void)buf_printf(out, "hearth_uploads_refused_total{limit=\"%s\"} %" PRIu64 "\n",
				 keys[i], counted(&limits->refused[i]));
	(void)buf_printf(out,
			 "# HELP hearth_uploads_cut_total Cut in uploads that were kept.\n"
			 "# TYPE hearth_uploads_cut_total counter\n"
			 "hearth_uploads_cut_total{what=\"stacks\"} %" PRIu64 "\n"
			 "hearth_uploads_cut_total{what=\"strings\"} %" PRIu64 "\n"
			 "hearth_uploads_cut_total{what=\"labels\"} %" PRIu64 "\n",
			 counted(&limits->stacks), counted(&limits->strings),
			 counted(&limits->labels));
}
