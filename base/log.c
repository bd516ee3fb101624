/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DOMAINS_MAX 16
#define LINE_BYTES 1024

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static struct {
	enum log_level level;
	bool journal;
	size_t domains;
	struct {
		char name[24];
		enum log_level level;
	} domain[DOMAINS_MAX];
} config = {.level = LOG_INFO};

static int level_parse(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
		if (strlen(level_names[i]) == len && !memcmp(level_names[i], text, len))
			return (int)i;
	return -1;
}

static void entry_parse(const char *entry, size_t len)
{
	const char *colon = memchr(entry, ':', len);

	if (!colon) {
		int level = level_parse(entry, len);

		if (level >= 0)
			config.level = (enum log_level)level;
		return;
	}
	size_t name = (size_t)(colon - entry);
	int level = level_parse(colon + 1, len - name - 1);

	if (level < 0 || config.domains == DOMAINS_MAX || name >= sizeof(config.domain[0].name))
		return;
	memcpy(config.domain[config.domains].name, entry, name);
	config.domain[config.domains].name[name] = '\0';
	config.domain[config.domains++].level = (enum log_level)level;
}

void log_init(const char *spec)
{
	config.journal = getenv("JOURNAL_STREAM") != NULL;
	if (!spec)
		spec = getenv("HEARTH_LOG");
	while (spec && *spec) {
		size_t len = strcspn(spec, ",");

		entry_parse(spec, len);
		spec += len + (spec[len] == ',');
	}
}

static enum log_level level_of(const char *domain)
{
	for (size_t i = 0; i < config.domains; i++)
		if (!strcmp(config.domain[i].name, domain))
			return config.domain[i].level;
	return config.level;
}

void log_write(enum log_level level, const char *domain, const char *fmt, ...)
{
	static const char *const journal_levels[] = {"<3>", "<4>", "<6>", "<7>"};

	if (level > level_of(domain))
		return;
	char text[LINE_BYTES];
	char line[LINE_BYTES * 2 + 64];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);

	size_t n = (size_t)snprintf(
	    line, 64, "%shearth: %s %s: ", config.journal ? journal_levels[level] : "",
	    level_names[level], domain);

	for (const char *c = text; *c && n < sizeof(line) - 8; c++) {
		if ((unsigned char)*c < 0x20 || (unsigned char)*c == 0x7f)
			n += (size_t)snprintf(line + n, 5, "\\x%02x", (unsigned char)*c);
		else
			line[n++] = *c;
	}
	line[n++] = '\n';
	ssize_t written = write(STDERR_FILENO, line, n);

	(void)written; /* Nowhere is left to complain. */
}
