/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's configuration file: what is taken is complete, what is refused has a reason.  A first
 * line that begins with "#!" is the command line's: words whose first letter stands for an option.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/config.h"
#include "tests/fuzz/fuzz.h"

#define WORDS_MAX 40

static char words[WORDS_MAX][320];
static char *argv[WORDS_MAX + 2];

/* --help and --version end the agent, and what is no option is told to stderr: neither is here. */
static const char *option_of(char letter)
{
	switch (letter) {
	case 'd':
		return "--data=";
	case 'r':
		return "--run=";
	case 's':
		return "--store=";
	case 'g':
		return "--grpc=";
	case 'l':
		return "--listen=";
	case 'c':
		return "--check";
	default:
		return "";
	}
}

static int arguments_make(const char *config, const char *line)
{
	int argc = 0;
	char copy[4096];
	char *rest = copy, *word;

	(void)snprintf(copy, sizeof(copy), "%s", line);
	(void)snprintf(words[argc++], sizeof(words[0]), "hearthd");
	(void)snprintf(words[argc++], sizeof(words[0]), "--config");
	(void)snprintf(words[argc++], sizeof(words[0]), "%s", config);
	while (argc < WORDS_MAX && (word = strsep(&rest, " ")))
		if (*word)
			(void)snprintf(words[argc++], sizeof(words[0]), "%s%.300s",
				       option_of(*word), *word == 'c' ? "" : word + 1);
	for (int i = 0; i < argc; i++)
		argv[i] = words[i];
	argv[argc] = NULL;
	return argc;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct config config;
	char path[64], line[4096] = "";
	struct err err = {0};
	int fd = memfd_create("config", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0);
	FUZZ_CHECK(write(fd, bytes, len) == (ssize_t)len);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (len > 2 && !memcmp(bytes, "#!", 2)) {
		const uint8_t *end = memchr(bytes, '\n', len);

		(void)snprintf(line, sizeof(line), "%.*s",
			       (int)(end ? end - bytes - 2 : (ptrdiff_t)len - 2),
			       (const char *)bytes + 2);
	}
	int rc = config_load(arguments_make(path, line), argv, &config, &err);

	(void)close(fd);
	FUZZ_CHECK(rc <= 0 && (rc == 0 || err.message[0]));
	if (rc)
		return 0;
	FUZZ_CHECK(config.store[0]);
	FUZZ_CHECK(
	    config.listen_count <= CONFIG_LISTEN_MAX && config.hosts_count <= CONFIG_HOSTS_MAX &&
	    config.cors_count <= CONFIG_HOSTS_MAX && config.scrapes_count <= CONFIG_SCRAPES_MAX);
	return 0;
}
