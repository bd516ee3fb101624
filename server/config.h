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
#include "server/quota.h"
#include "storage/storage.h"

#define CONFIG_LISTEN_MAX 16
#define CONFIG_HOSTS_MAX 16

struct config {
	char data[512], run[256], store[600];
	char listen[CONFIG_LISTEN_MAX][128];
	size_t listen_count; /* 0: the defaults of contract.md */
	char hosts[CONFIG_HOSTS_MAX][128];
	size_t hosts_count;
	bool auth_open;
	struct ingest_limits limits;
	struct quota_limits quota;
	struct storage_options storage;
	bool check_only, version_only;
};

/* Read defaults, the file that `--config` names (none: /etc/hearth/hearthd.yaml when it exists) and
 * the options. Returns 0, 1 when the program should end well (--version, --help), or -EINVAL. */
MUST_CHECK int config_load(int argc, char **argv, struct config *ret_config, struct err *err);

#endif
