/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config_scrape.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define INTERVAL_S 15
#define INTERVAL_MAX_S 3600

static const char *const default_profiles[] = { "profile", "allocs", "block", "mutex", "goroutine" };

static const cyaml_schema_value_t string_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 320),
};

static const cyaml_schema_field_t fields[] = {
	CYAML_FIELD_STRING_PTR("service", CYAML_FLAG_POINTER, struct file_scrape, service, 1, 120),
	CYAML_FIELD_STRING_PTR("url", CYAML_FLAG_POINTER, struct file_scrape, url, 1, 290),
	CYAML_FIELD_UINT_PTR("interval", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file_scrape,
			     interval),
	CYAML_FIELD_SEQUENCE("profiles", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file_scrape,
			     profiles, &string_schema, 1, CONFIG_SCRAPE_PROFILES_MAX),
	CYAML_FIELD_SEQUENCE("labels", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file_scrape,
			     labels, &string_schema, 0, CONFIG_SCRAPE_LABELS_MAX),
	CYAML_FIELD_END,
};

const cyaml_schema_value_t config_scrape_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_scrape, fields),
};

/* The agent asks exactly there: no names and passwords that a status would show, no query. */
static int url_apply(const char *url, struct config_scrape *to, struct err *err)
{
	const char *host = !strncmp(url, "http://", 7)	? url + 7 :
			   !strncmp(url, "https://", 8) ? url + 8 :
							  NULL;

	if (!host || !*host || *host == '/' || *host == ':')
		return err_set(err, -EINVAL, "scrape: url \"%s\": write http://host:port or https://…", url);
	for (const char *c = host; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("@?#\\\"<>{}", *c))
			return err_set(err, -EINVAL, "scrape: url \"%s\": no '%c' can stand there", url, *c);
	size_t len = strlen(url);

	while (url[len - 1] == '/')
		len--;
	(void)snprintf(to->url, sizeof(to->url), "%.*s", (int)len, url);
	return 0;
}

static bool has_profile(const struct config_scrape *target, const char *name)
{
	for (size_t i = 0; i < target->profiles_count; i++)
		if (!strcmp(target->profiles[i], name))
			return true;
	return false;
}

static int profile_apply(const char *name, struct config_scrape *to, struct err *err)
{
	if (strlen(name) >= sizeof(to->profiles[0]) ||
	    name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")])
		return err_set(err, -EINVAL, "scrape: \"%.60s\" is no profile's name", name);
	if (has_profile(to, name))
		return err_set(err, -EINVAL, "scrape: %s is named twice", name);
	(void)snprintf(to->profiles[to->profiles_count++], sizeof(to->profiles[0]), "%s", name);
	return 0;
}

static int label_apply(const char *text, struct config_scrape *to, struct err *err)
{
	const char *equals = strchr(text, '=');
	size_t at = to->labels_count++;

	if (!equals || equals == text || (size_t)(equals - text) >= sizeof(to->labels[0].key) ||
	    strlen(equals + 1) >= sizeof(to->labels[0].value))
		return err_set(err, -EINVAL, "scrape: label \"%.60s\": write key=value", text);
	(void)snprintf(to->labels[at].key, sizeof(to->labels[0].key), "%.*s", (int)(equals - text), text);
	(void)snprintf(to->labels[at].value, sizeof(to->labels[0].value), "%s", equals + 1);
	return 0;
}

int config_scrape_apply(const struct file_scrape *from, struct config_scrape *to, struct err *err)
{
	uint64_t interval_s = from->interval ? *from->interval : INTERVAL_S;

	if (interval_s < 1 || interval_s > INTERVAL_MAX_S)
		return err_set(err, -EINVAL, "scrape: interval: 1 to %d seconds", INTERVAL_MAX_S);
	to->interval_s = (unsigned)interval_s;
	(void)snprintf(to->service, sizeof(to->service), "%s", from->service);
	int rc = url_apply(from->url, to, err);

	for (size_t i = 0; !rc && i < from->profiles_count; i++)
		rc = profile_apply(from->profiles[i], to, err);
	for (size_t i = 0; !rc && !from->profiles_count && i < ARRAY_LEN(default_profiles); i++)
		rc = profile_apply(default_profiles[i], to, err);
	for (size_t i = 0; !rc && i < from->labels_count; i++)
		rc = label_apply(from->labels[i], to, err);
	if (!rc && has_profile(to, "allocs") && has_profile(to, "heap"))
		rc = err_set(err, -EINVAL, "scrape: allocs and heap are the same numbers: name one of them");
	return rc;
}
