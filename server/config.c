/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config_scrape.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_FILE "/etc/hearth/hearthd.yaml"

/* ---- the file, as libcyaml sees it: absent keys stay NULL ---- */

#define CUT(...) LIMIT(__VA_ARGS__)

struct file_limits {
#define LIMIT(key, to, least, most) uint64_t *key;
#include "server/limits.def"
#undef LIMIT
};

struct file_retention {
	uint64_t *l0_hours, *l1_days, *l2_days, *l0_bytes, *bytes, *free_percent;
};

struct file {
	char *data, *run, *store, *auth, *grpc;
	uint64_t *sync_within_seconds;
	char **listen;
	unsigned listen_count;
	char **hosts;
	unsigned hosts_count;
	char **cors;
	unsigned cors_count;
	struct file_limits *limits;
	struct file_retention *retention;
	struct file_scrape *scrape;
	unsigned scrape_count;
};

static const cyaml_schema_value_t string_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 500),
};

#define NUMBER(key, type, member)                                                                  \
	CYAML_FIELD_UINT_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member)

static const cyaml_schema_field_t limits_fields[] = {
#define LIMIT(key, to, least, most) NUMBER(#key, struct file_limits, key),
#include "server/limits.def"
#undef LIMIT
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t retention_fields[] = {
    NUMBER("raw_hours", struct file_retention, l0_hours),
    NUMBER("window_days", struct file_retention, l1_days),
    NUMBER("hour_days", struct file_retention, l2_days),
    NUMBER("free_percent", struct file_retention, free_percent),
    NUMBER("raw_bytes", struct file_retention, l0_bytes),
    NUMBER("bytes", struct file_retention, bytes),
    CYAML_FIELD_END,
};

#define TEXT(key, member)                                                                          \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, member, \
			       1, 500)

static const cyaml_schema_field_t file_fields[] = {
    TEXT("data", data),
    TEXT("run", run),
    TEXT("store", store),
    TEXT("auth", auth),
    NUMBER("sync_within_seconds", struct file, sync_within_seconds),
    TEXT("grpc", grpc),
    CYAML_FIELD_SEQUENCE("listen", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, listen,
			 &string_schema, 1, CONFIG_LISTEN_MAX),
    CYAML_FIELD_SEQUENCE("hosts", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, hosts,
			 &string_schema, 0, CONFIG_HOSTS_MAX),
    CYAML_FIELD_SEQUENCE("cors", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, cors,
			 &string_schema, 0, CONFIG_HOSTS_MAX),
    CYAML_FIELD_MAPPING_PTR("limits", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, limits,
			    limits_fields),
    CYAML_FIELD_MAPPING_PTR("retention", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file,
			    retention, retention_fields),
    CYAML_FIELD_SEQUENCE("scrape", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, scrape,
			 &config_scrape_schema, 0, CONFIG_SCRAPES_MAX),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t file_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file, file_fields),
};

/* Keep the library's last words for the error. */
static void file_log(cyaml_log_t level, void *arg, const char *fmt, va_list args) PRINTF(3, 0);
static void file_log(cyaml_log_t level, void *arg, const char *fmt, va_list args)
{
	struct err *err = arg;
	char line[200];

	if (level < CYAML_LOG_ERROR)
		return;
	(void)vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	size_t len = strlen(err->message);

	(void)snprintf(err->message + len, sizeof(err->message) - len, "%s%s", len ? "; " : "",
		       line);
}

static int text_set(char *to, size_t max, const char *value, const char *key, struct err *err)
{
	if (!value)
		return 0;
	if (strlen(value) >= max)
		return err_set(err, -EINVAL, "%s: longer than %zu bytes", key, max - 1);
	(void)snprintf(to, max, "%s", value);
	return 0;
}

static int limit_check(const char *key, uint64_t value, uint64_t least, uint64_t most,
		       struct err *err)
{
	if (value >= least && value <= most)
		return 0;
	return err_set(err, -EINVAL, "limits.%s: %" PRIu64 " is not %" PRIu64 " to %" PRIu64, key,
		       value, least, most);
}

static int limits_apply(const struct file_limits *limits, struct config *config, struct err *err)
{
	int rc = 0;

#define LIMIT(key, to, least, most)                                                                \
	if (!rc && limits->key) {                                                                  \
		rc = limit_check(#key, *limits->key, least, most, err);                            \
		config->to = (__typeof__(config->to))*limits->key;                                 \
	}
#include "server/limits.def"
#undef LIMIT
	return rc;
}

static int file_apply(const struct file *file, struct config *config, struct err *err)
{
	int rc = text_set(config->data, sizeof(config->data), file->data, "data", err);

	if (!rc)
		rc = text_set(config->run, sizeof(config->run), file->run, "run", err);
	if (!rc)
		rc = text_set(config->store, sizeof(config->store), file->store, "store", err);
	if (!rc && file->auth && strcmp(file->auth, "open") && strcmp(file->auth, "token"))
		rc = err_set(err, -EINVAL, "auth: \"%s\" is neither token nor open", file->auth);
	if (!rc)
		rc = text_set(config->grpc, sizeof(config->grpc), file->grpc, "grpc", err);
	for (unsigned i = 0; !rc && i < file->listen_count; i++)
		rc = text_set(config->listen[i], sizeof(config->listen[i]), file->listen[i],
			      "listen", err);
	for (unsigned i = 0; !rc && i < file->hosts_count; i++)
		rc = text_set(config->hosts[i], sizeof(config->hosts[i]), file->hosts[i], "hosts",
			      err);
	for (unsigned i = 0; !rc && i < file->cors_count; i++)
		rc = text_set(config->cors[i], sizeof(config->cors[i]), file->cors[i], "cors", err);
	for (unsigned i = 0; !rc && i < file->scrape_count; i++)
		rc = config_scrape_apply(&file->scrape[i], &config->scrapes[i], err);
	if (!rc && file->limits)
		rc = limits_apply(file->limits, config, err);
	if (rc)
		return rc;
	config->scrapes_count = file->scrape_count;
	config->auth_open = file->auth && !strcmp(file->auth, "open");
	config->listen_count = file->listen_count;
	config->hosts_count = file->hosts_count;
	config->cors_count = file->cors_count;
	if (file->retention && file->retention->l0_hours)
		config->storage.l0_age_ns = (int64_t)*file->retention->l0_hours * 3600 * NS_PER_S;
	if (file->retention && file->retention->l1_days)
		config->storage.l1_age_ns = (int64_t)*file->retention->l1_days * 86400 * NS_PER_S;
	if (file->retention && file->retention->l2_days)
		config->storage.l2_age_ns = (int64_t)*file->retention->l2_days * 86400 * NS_PER_S;
	if (file->retention && file->retention->free_percent) {
		uint64_t percent = *file->retention->free_percent;

		if (percent > 90)
			return err_set(err, -EINVAL, "retention.free_percent: %u is more than 90",
				       (unsigned)MIN(percent, UINT_MAX));
		config->storage.free_permille = percent ? (unsigned)percent * 10 : STORAGE_NO_FLOOR;
	}
	if (file->sync_within_seconds)
		config->storage.sync_within_ns =
		    (int64_t)MIN(*file->sync_within_seconds, (uint64_t)3600) * NS_PER_S;
	if (file->retention && file->retention->l0_bytes)
		config->storage.l0_bytes_max = *file->retention->l0_bytes;
	if (file->retention && file->retention->bytes)
		config->storage.bytes_max = *file->retention->bytes;
	return 0;
}

static int file_load(const char *path, struct config *config, struct err *err)
{
	struct err said = {0};
	const cyaml_config_t settings = {.log_fn = file_log,
					 .log_ctx = &said,
					 .mem_fn = cyaml_mem,
					 .log_level = CYAML_LOG_ERROR,
					 .flags = CYAML_CFG_DEFAULT};
	cyaml_data_t *data = NULL;
	cyaml_err_t rc = cyaml_load_file(path, &settings, &file_schema, &data, NULL);

	if (rc != CYAML_OK)
		return err_set(err, -EINVAL, "%s: %s", path,
			       said.message[0] ? said.message : cyaml_strerror(rc));
	/* A file without a key is no document, and there is nothing to apply. */
	int result = data ? file_apply(data, config, err) : 0;

	(void)cyaml_free(&settings, &file_schema, data, 0);
	return result ? err_prefix(err, result, "%s", path) : 0;
}

/* ---- the defaults that depend on who runs it ---- */

static void defaults(struct config *config)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *state = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");

	*config = (struct config){.limits = ingest_limits_default,
				  .quota = quota_limits_default,
				  .connections = HTTP_CONNECTIONS_MAX,
				  .request_seconds = 60};
	if (geteuid() == 0) {
		(void)snprintf(config->run, sizeof(config->run), "/run/hearth");
		(void)snprintf(config->data, sizeof(config->data), "/var/lib/hearth");
		return;
	}
	if (runtime)
		(void)snprintf(config->run, sizeof(config->run), "%.200s/hearth", runtime);
	else
		(void)snprintf(config->run, sizeof(config->run), "/tmp/hearth-%u", geteuid());
	if (state)
		(void)snprintf(config->data, sizeof(config->data), "%.400s/hearth", state);
	else
		(void)snprintf(config->data, sizeof(config->data), "%.400s/.local/state/hearth",
			       home ? home : "/tmp");
}

static const char usage[] =
    "usage: hearthd [--config FILE] [--data DIR] [--run DIR] [--listen ADDRESS]...\n"
    "               [--grpc ADDRESS] [--store LOCATION] [--check] [--version]\n"
    "\n"
    "  --config FILE     settings (default " DEFAULT_FILE ", when it exists)\n"
    "  --data DIR        where profiles are kept\n"
    "  --run DIR         sockets, token and hearthd.json\n"
    "  --listen ADDRESS  127.0.0.1:4040, [::1]:0 or unix:/path; replaces the defaults\n"
    "  --grpc ADDRESS    127.0.0.1:4317, or none; not served when --listen is given without it\n"
    "  --store LOCATION  sqlite:DIR (default sqlite:<data>) or memory:\n"
    "  --check           read the settings, say what is wrong, and end\n";

enum option_id {
	OPTION_CONFIG,
	OPTION_DATA,
	OPTION_RUN,
	OPTION_LISTEN,
	OPTION_GRPC,
	OPTION_STORE,
	OPTION_CHECK,
	OPTION_VERSION,
	OPTION_HELP
};

static const struct option options[] = {
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"data", required_argument, NULL, OPTION_DATA},
    {"run", required_argument, NULL, OPTION_RUN},
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"grpc", required_argument, NULL, OPTION_GRPC},
    {"store", required_argument, NULL, OPTION_STORE},
    {"check", no_argument, NULL, OPTION_CHECK},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};

static int option_apply(struct config *config, int option, bool *listened, struct err *err)
{
	switch (option) {
	case OPTION_DATA:
		return text_set(config->data, sizeof(config->data), optarg, "--data", err);
	case OPTION_RUN:
		return text_set(config->run, sizeof(config->run), optarg, "--run", err);
	case OPTION_STORE:
		return text_set(config->store, sizeof(config->store), optarg, "--store", err);
	case OPTION_GRPC:
		return text_set(config->grpc, sizeof(config->grpc), optarg, "--grpc", err);
	case OPTION_LISTEN:
		if (!*listened)
			config->listen_count = 0;
		*listened = true;
		if (config->listen_count == CONFIG_LISTEN_MAX)
			return err_set(err, -EINVAL, "more than %d --listen", CONFIG_LISTEN_MAX);
		return text_set(config->listen[config->listen_count++], sizeof(config->listen[0]),
				optarg, "--listen", err);
	case OPTION_CHECK:
		config->check_only = true;
		return 0;
	case OPTION_VERSION:
		(void)printf("hearthd %s\n", HEARTH_VERSION);
		return 1;
	case OPTION_HELP:
		(void)fputs(usage, stdout);
		return 1;
	case OPTION_CONFIG:
		return 0; /* was read first */
	default:
		(void)fputs(usage, stderr);
		return err_set(err, -EINVAL, "an option is not understood");
	}
}

static const char *config_path(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--config") && i + 1 < argc)
			return argv[i + 1];
		if (!strncmp(argv[i], "--config=", 9))
			return argv[i] + 9;
	}
	return access(DEFAULT_FILE, R_OK) == 0 ? DEFAULT_FILE : NULL;
}

int config_load(int argc, char **argv, struct config *ret_config, struct err *err)
{
	const char *path = config_path(argc, argv);
	bool listened = false;
	int option;

	defaults(ret_config);
	int rc = path ? file_load(path, ret_config, err) : 0;

	optind = 1;
	while (!rc && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
		rc = option_apply(ret_config, option, &listened, err);
	if (!rc && optind < argc)
		rc = err_set(err, -EINVAL, "\"%s\" is not an option", argv[optind]);
	if (!rc && !ret_config->store[0])
		(void)snprintf(ret_config->store, sizeof(ret_config->store), "sqlite:%s",
			       ret_config->data);
	return rc;
}
