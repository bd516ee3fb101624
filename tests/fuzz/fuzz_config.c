/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's configuration file: what is taken is complete, what is refused has a reason. */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/config.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct config config;
	char path[64], name[] = "hearthd", option[] = "--config";
	char *argv[] = { name, option, path, NULL };
	struct err err = { 0 };
	int fd = memfd_create("config", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0);
	FUZZ_CHECK(write(fd, bytes, len) == (ssize_t)len);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int rc = config_load(3, argv, &config, &err);

	(void)close(fd);
	FUZZ_CHECK(rc <= 0 && (rc == 0 || err.message[0]));
	if (rc)
		return 0;
	FUZZ_CHECK(config.store[0]);
	FUZZ_CHECK(config.listen_count <= CONFIG_LISTEN_MAX && config.hosts_count <= CONFIG_HOSTS_MAX &&
		   config.cors_count <= CONFIG_HOSTS_MAX && config.scrapes_count <= CONFIG_SCRAPES_MAX);
	return 0;
}
