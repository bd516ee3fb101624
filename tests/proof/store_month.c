/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A month of a host with ten services, at the speed of the generator and under the default
 * retention: the store stays within its budget, and every hour that has not aged out of the last
 * level has the sum that was put, whatever level it comes from.
 *
 *	store_month [DAYS [SAMPLES]]     samples a service and minute
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tests/bench/store_model.h"
#include "tests/support/store.h"

#define SERVICES 10
#define MINUTE_NS SECONDS(60)
#define HOUR_NS SECONDS(3600)
#define BUDGET ((uint64_t)2 << 30)

static struct model_service model[SERVICES];
static uint64_t *sums; /* put, by service and hour */
static size_t hours;

struct seen {
	uint64_t *sums;
};

static int total(void *arg, size_t series, int64_t start_ns, int64_t sum, uint64_t count)
{
	(void)sum;
	((struct seen *)arg)->sums[series * hours + (size_t)((start_ns - T0) / HOUR_NS)] += count;
	return 0;
}

/* How many hours differ; hours before `from` have aged out. */
static size_t compare(struct storage_reader *reader, size_t from, size_t until)
{
	struct hash128 ids[SERVICES];
	struct seen seen = {calloc(SERVICES * hours, sizeof(uint64_t))};
	size_t differ = 0;
	struct err err = {0};

	for (size_t s = 0; s < SERVICES; s++)
		ids[s] = model[s].series;
	struct storage_scan scan = {.series = ids,
				    .series_count = SERVICES,
				    .column = 1,
				    .from_ns = T0 + (int64_t)from * HOUR_NS,
				    .until_ns = T0 + (int64_t)until * HOUR_NS};

	if (storage_timeline(reader, &scan, HOUR_NS, total, &seen, &err)) {
		(void)printf("# %s\n", err.message);
		return SIZE_MAX;
	}
	for (size_t s = 0; s < SERVICES; s++)
		for (size_t h = from; h < until; h++)
			differ += seen.sums[s * hours + h] != sums[s * hours + h];
	free(seen.sums);
	return differ;
}

static int put_minute(struct storage *store, int64_t at, size_t samples, struct err *err)
{
	const struct profile *list[SERVICES];
	size_t hour = (size_t)((at - T0) / HOUR_NS);

	for (size_t s = 0; s < SERVICES; s++) {
		list[s] = model_batch(&model[s], samples, at, MINUTE_NS, NULL);
		if (!list[s])
			return -1;
		sums[s * hours + hour] += samples;
	}
	int rc = storage_put(store, list, SERVICES, NULL, err);

	for (int i = 0; !rc && i < 4; i++)
		rc = storage_maintain(store, at + MINUTE_NS + SECONDS(i * 15), err);
	return rc;
}

int main(int argc, char **argv)
{
	size_t days = argc > 1 ? (size_t)atoi(argv[1]) : 31;
	size_t samples = argc > 2 ? (size_t)atoi(argv[2]) : 2400;
	struct storage_reader *reader;
	struct storage *store;
	struct storage_stats stats;
	struct err err = {0};
	char dir[64] = "/dev/shm/hearth-month-XXXXXX", location[96];
	uint64_t largest = 0, put = 0;
	size_t wrong = 0;

	hours = days * 24;
	sums = calloc(SERVICES * hours, sizeof(*sums));
	if (!mkdtemp(dir))
		return 1;
	(void)snprintf(location, sizeof(location), "sqlite:%s", dir);
	for (unsigned s = 0; s < SERVICES; s++)
		if (model_service_init(&model[s], s))
			return 1;
	if (storage_open(location, NULL, &store, &err) ||
	    storage_reader_open(store, &reader, &err)) {
		(void)printf("not ok store_month: %s\n", err.message);
		return 1;
	}
	for (int64_t at = T0; at < T0 + (int64_t)hours * HOUR_NS; at += MINUTE_NS) {
		if (put_minute(store, at, samples, &err)) {
			(void)printf("not ok store_month: %s\n", err.message);
			return 1;
		}
		put += SERVICES * samples;
		if ((at - T0 + MINUTE_NS) % SECONDS(86400))
			continue;
		size_t until = (size_t)((at - T0 + MINUTE_NS) / HOUR_NS), differ;

		differ = compare(reader, 0, until);
		wrong += differ;
		if (storage_stats(reader, &stats, &err))
			return 1;
		largest = MAX(largest, stats.bytes);
		(void)printf("# day %zu: %.1f MB: L0 %.1f, L1 %.1f, L2 %.1f; %zu hours differ\n",
			     until / 24, (double)stats.bytes / 1e6, (double)stats.l0_bytes / 1e6,
			     (double)stats.l1_bytes / 1e6, (double)stats.l2_bytes / 1e6, differ);
		(void)fflush(stdout);
	}
	storage_reader_close(reader);
	storage_close(store);
	int64_t start_ns = clock_monotonic_ns();

	if (storage_open(location, NULL, &store, &err))
		return 1;
	(void)printf("# %" PRIu64 " samples put, largest %.1f MB, opened in %.1f ms\n", put,
		     (double)largest / 1e6, (double)(clock_monotonic_ns() - start_ns) / 1e6);
	storage_close(store);
	(void)printf("%s store_month\n", wrong || largest > BUDGET ? "not ok" : "ok");
	remove_tree(dir);
	return wrong || largest > BUDGET;
}
