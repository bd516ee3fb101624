/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/config_scrape.h - the list `scrape:` of the configuration.  Private to server/config*.c.
 *
 * libcyaml knows the keys of a mapping beforehand, so labels are texts: "key=value".
 */
#ifndef SERVER_CONFIG_SCRAPE_H
#define SERVER_CONFIG_SCRAPE_H

#include <cyaml/cyaml.h>

#include "server/config.h"

/* As libcyaml fills it; absent keys stay NULL. */
struct file_scrape {
	char *service, *url;
	uint64_t *interval;
	char **profiles, **labels;
	unsigned profiles_count, labels_count;
};

extern const cyaml_schema_value_t config_scrape_schema;

/* Check one entry and copy it. Returns 0 or -EINVAL. */
MUST_CHECK int config_scrape_apply(const struct file_scrape *from, struct config_scrape *to,
				   struct err *err);

#endif
