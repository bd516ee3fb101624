/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's settings, from an environment: lines NAME=value, the first of a name counts.  What
 * comes out is inside its range and its texts are pairs.
 */
#include <stdio.h>
#include <string.h>

#include "client/config.h"
#include "client/hearth.h"
#include "tests/fuzz/fuzz.h"

#define LINES_MAX 64

static struct {
	char *name, *value;
} lines[LINES_MAX];
static size_t lines_count;

static const char *lookup(const char *name)
{
	for (size_t i = 0; i < lines_count; i++)
		if (!strcmp(lines[i].name, name))
			return lines[i].value;
	return NULL;
}

static void pairs_check(const char *text, uint32_t bytes, uint32_t max)
{
	size_t strings = 0;

	FUZZ_CHECK(bytes <= max && (!bytes || !text[bytes - 1]));
	for (uint32_t i = 0; i < bytes; i++)
		strings += !text[i];
	FUZZ_CHECK(strings % 2 == 0);
}

static void settings_check(const struct hearth_options *options, const char *executable)
{
	static struct config config;

	memset(&config, 0xa5, sizeof(config));
	config_read(&config, options, lookup, executable);
	FUZZ_CHECK(config.cpu_interval_us >= 1000 && config.cpu_interval_us <= 1000000);
	FUZZ_CHECK(config.alloc_mean_bytes >= 65536 && config.alloc_mean_bytes <= 1073741824);
	FUZZ_CHECK(config.labels_count <= CONFIG_LABELS_MAX);
	FUZZ_CHECK(memchr(config.agent, 0, sizeof(config.agent)) &&
		   memchr(config.runtime, 0, sizeof(config.runtime)));
	pairs_check(config.text, config.text_bytes, sizeof(config.text));
	pairs_check(config.notes, config.notes_bytes, sizeof(config.notes));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *text = strndup((const char *)bytes, len), *rest = text, *line;

	FUZZ_CHECK(text != NULL);
	for (lines_count = 0; lines_count < LINES_MAX && (line = strsep(&rest, "\n"));) {
		char *value = strchr(line, '=');

		if (!value)
			continue;
		*value = '\0';
		lines[lines_count].name = line;
		lines[lines_count++].value = value + 1;
	}
	settings_check(NULL, "/usr/bin/program");

	/* The same from the program itself, tags and all. */
	const struct hearth_tag tags[] = {
	    {"team", lookup("TAG")},
	    {lookup("KEY"), "value"},
	};
	const struct hearth_options options = {
	    .size = lookup("SIZE") ? (size_t)strlen(lookup("SIZE")) * 8 : sizeof(options),
	    .service = lookup("OPTION_SERVICE"),
	    .agent = lookup("OPTION_AGENT"),
	    .tags = tags,
	    .tags_count = 2,
	};

	settings_check(&options, lookup("EXECUTABLE"));
	free(text);
	return 0;
}
