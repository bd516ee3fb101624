/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store to ask: the model of store_model.h for DAYS that end now, the last one as it comes live,
 * in windows of ten seconds, those before by the minute.
 *
 *	bench/query_store DIRECTORY [DAYS [SERVICES [SAMPLES]]]    samples a service and ten seconds
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tests/bench/store_model.h"

#define SERVICES_MAX 16

static struct model_service model[SERVICES_MAX];
static unsigned services = 1;

static int window_put(struct storage *store, int64_t at, int64_t width_ns, size_t samples,
		      struct err *err)
{
	const struct profile *list[SERVICES_MAX];

	for (unsigned s = 0; s < services; s++) {
		list[s] = model_batch(&model[s], samples, at, width_ns, NULL);
		if (!list[s])
			return err_set(err, -1, "out of memory");
	}
	int rc = storage_put(store, list, services, NULL, err);

	return rc ? rc : storage_maintain(store, at + width_ns, err);
}

static int fill(struct storage *store, int64_t now_ns, int64_t days, size_t samples,
		struct err *err)
{
	const int64_t day = INT64_C(86400) * NS_PER_S, minute = 60 * NS_PER_S, live = 10 * NS_PER_S;
	int64_t end = clock_window_ns(now_ns, live), at = clock_window_ns(end - days * day, minute);
	int rc = 0;

	/* By the minute fewer: a month at full speed would take an hour to write. */
	for (; !rc && at + minute <= end - day; at += minute)
		rc = window_put(store, at, minute, samples * 3 / 2, err);
	for (; !rc && at < end; at += live)
		rc = window_put(store, at, live, samples, err);
	for (int i = 0; !rc && i < 400; i++) /* bounded work a call */
		rc = storage_maintain(store, now_ns, err);
	return rc;
}

int main(int argc, char **argv)
{
	struct storage_options options = {.l0_bytes_max = UINT64_MAX / 4,
					  .bytes_max = UINT64_MAX / 4};
	int64_t days = argc > 2 ? atoi(argv[2]) : 1;
	size_t samples = argc > 4 ? (size_t)atoi(argv[4]) : 400;
	struct storage *store = NULL;
	char location[512];
	struct err err = {0};

	services = argc > 3 ? (unsigned)atoi(argv[3]) : 1;
	if (argc < 2 || !services || services > SERVICES_MAX)
		return 2;
	for (unsigned s = 0; s < services; s++)
		if (model_service_init(&model[s], s))
			return 1;
	(void)snprintf(location, sizeof(location), "sqlite:%.500s", argv[1]);
	int rc = storage_open(location, &options, &store, &err);

	if (!rc)
		rc = fill(store, clock_real_ns(), days, samples, &err);
	if (rc)
		(void)fprintf(stderr, "query_store: %s\n", err.message);
	storage_close(store);
	for (unsigned s = 0; s < services; s++)
		model_service_release(&model[s]);
	return rc ? 1 : 0;
}
