/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/config.h - settings of the agent: built-in defaults < configuration file < options.
 *
 * The file is YAML; an unknown key, a wrong type or an impossible value is an error with its place.
 * docs/hearthd.yaml is an example with every key.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>

#include "ingest/ingest.h"
#include "server/http.h"
#include "server/limits.h"
#include "server/quota.h"
#include "storage/storage.h"

#define CONFIG_LISTEN_MAX 16
#define CONFIG_HOSTS_MAX 16

#define CONFIG_SCRAPES_MAX 32
#define CONFIG_SCRAPE_PROFILES_MAX 8
#define CONFIG_SCRAPE_LABELS_MAX 16

/* A program whose /debug/pprof/ is asked. */
struct config_scrape {
	char service[128], url[300]; /* url: up to /debug/pprof/ */
	unsigned interval_s;
	char profiles[CONFIG_SCRAPE_PROFILES_MAX][32];
	size_t profiles_count;
	struct {
		char key[64], value[256];
	} labels[CONFIG_SCRAPE_LABELS_MAX];
	size_t labels_count;
};

struct config {
	char data[512], run[256], store[600];
	char listen[CONFIG_LISTEN_MAX][128];
	size_t listen_count; /* 0: the defaults of contract.md */
	char hosts[CONFIG_HOSTS_MAX][128];
	size_t hosts_count;
	char cors[CONFIG_HOSTS_MAX][128]; /* origins whose pages may read; "*": all */
	size_t cors_count;
	char grpc[128]; /* "": the default, unless `listen` is given; "none" */
	bool auth_open;
	struct config_scrape scrapes[CONFIG_SCRAPES_MAX];
	size_t scrapes_count;
	struct ingest_limits limits;
	struct quota_limits quota;
	unsigned connections, request_seconds;
	struct storage_options storage;
	bool check_only, version_only;
};

/* Read defaults, the file that `--config` names (none: /etc/hearth/hearthd.yaml when it exists) and
 * the options. Returns 0, 1 when the program should end well (--version, --help), or -EINVAL. */
MUST_CHECK int config_load(int argc, char **argv, struct config *ret_config, struct err *err);

#endif
