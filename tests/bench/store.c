/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store under the model of store_model.h: size by level beside what the stream is worth, speed
 * on one core with fsync, write amplification, memory, time to open and to ask.
 *
 *	bench/store [SERVICES [HOURS [COMMITS]]]
 *
 * 1, 24 and 5 when not given: the model of one service and a day, each window in five commits; 10
 * services as a host. HEARTH_STACKS=DIR: their stacks are those of the pprofs in DIR, in the order
 * of their names (tests/bench/recorded.py). HEARTH_RATE=N: only 20, 400 or 4000 samples a window.
 * HEARTH_BEHIND=1: only the writer that is behind.
 */
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/bench/store_model.h"
#include "tests/support/store.h"

#define WINDOW_NS SECONDS(10)

/* Of a window each two seconds of a service come together. */
static unsigned services = 1, hours = 24, batches = 5;
static struct model_service *model;
static struct model_stream *streams;

static void print(const char *metric, unsigned rate, double value, const char *unit,
		  const char *baseline, double of)
{
	(void)printf("{\"bench\":\"store\",\"metric\":\"%s\"", metric);
	if (rate)
		(void)printf(",\"samples_a_window\":%u", rate);
	(void)printf(",\"value\":%.6g,\"unit\":\"%s\"", value, unit);
	if (baseline)
		(void)printf(",\"baseline\":{\"what\":\"%s\",\"value\":%.6g}", baseline, of);
	(void)printf("}\n");
	(void)fflush(stdout);
}

static double cpu_seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t written_bytes(void)
{
	FILE *io = fopen("/proc/self/io", "re");
	unsigned long long bytes = 0;
	char line[128];

	while (io && fgets(line, sizeof(line), io))
		if (sscanf(line, "wchar: %llu", &bytes) == 1)
			break;
	if (io)
		(void)fclose(io);
	return bytes;
}

/* VmRSS or VmHWM of this process. */
static double status_mb(const char *field)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[128];
	double mb = 0;

	while (status && fgets(line, sizeof(line), status))
		if (!strncmp(line, field, strlen(field)))
			mb = strtod(line + strlen(field) + 1, NULL) / 1024;
	if (status)
		(void)fclose(status);
	return mb;
}

/* From now on the peak is counted anew, and the model's memory is none of it. */
static double peak_begin(void)
{
	FILE *refs = fopen("/proc/self/clear_refs", "we");

	if (refs) {
		(void)fputs("5", refs);
		(void)fclose(refs);
	}
	return status_mb("VmRSS");
}

static double streams_mb(void)
{
	double bytes = 0;

	for (unsigned s = 0; s < services; s++)
		bytes += 2.0 * (double)streams[s].capacity;
	return bytes / (1 << 20);
}

static int fail(const char *what, const struct err *err)
{
	(void)fprintf(stderr, "bench store: %s: %s\n", what, err->message);
	return 1;
}

struct cost {
	double cpu_s, wall_s;
	uint64_t written;
};

/* The CPU last here and first at the end: to read /proc is no work of the store. */
static void cost_begin(struct cost *c)
{
	c->written -= written_bytes();
	c->wall_s -= (double)clock_monotonic_ns() / 1e9;
	c->cpu_s -= cpu_seconds();
}

static void cost_end(struct cost *c)
{
	c->cpu_s += cpu_seconds();
	c->wall_s += (double)clock_monotonic_ns() / 1e9;
	c->written += written_bytes();
}

/* One window of every service: `batches` transactions, then maintenance as the agent does it. */
static int live_window(struct storage *store, unsigned rate, int64_t at, uint32_t *drawn,
		       struct cost *cost, struct err *err)
{
	const struct profile *list[64];
	int rc = 0;

	for (unsigned b = 0, from = 0; !rc && b < batches; b++) {
		unsigned until = rate * (b + 1) / batches;

		for (unsigned s = 0; s < services; s++) {
			list[s] = model_batch(&model[s], until - from, at + b * WINDOW_NS / batches,
					      WINDOW_NS / batches, drawn + s * rate + from);
			if (!list[s])
				return -ENOMEM;
		}
		from = until;
		cost_begin(cost);
		rc = storage_put(store, list, services, NULL, err);
		if (!rc)
			rc = storage_maintain(store, at + (b + 1) * WINDOW_NS / batches, err);
		cost_end(cost);
	}
	for (unsigned s = 0; !rc && s < services; s++)
		rc = model_stream_window(&streams[s], drawn + s * rate, rate);
	return rc;
}

#define BEHIND                                                                                     \
	10 /* windows that wait, and then are one commit, as server/writer.c makes of up to 64     \
	      batches */

/* The batches of some windows, which the model makes one at a time. */
static int hold_window(unsigned rate, int64_t at, struct profile *held, size_t *count)
{
	for (unsigned b = 0; b < batches; b++) {
		if (!model_batch(&model[0], rate / batches, at + b * WINDOW_NS / batches,
				 WINDOW_NS / batches, NULL))
			return -ENOMEM;
		held[(*count)++] = model[0].batch;
		memset(&model[0].batch, 0, sizeof(model[0].batch));
	}
	return 0;
}

static int put_held(struct storage *store, struct profile *held, size_t count, int64_t now_ns,
		    struct cost *cost, struct err *err)
{
	const struct profile *list[64];

	for (size_t i = 0; i < count; i++)
		list[i] = &held[i];
	cost_begin(cost);
	int rc = storage_put(store, list, count, NULL, err);

	if (!rc)
		rc = storage_maintain(store, now_ns, err);
	cost_end(cost);
	for (size_t i = 0; i < count; i++) {
		free(held[i].nodes);
		free(held[i].node_hashes);
		free(held[i].records);
		free(held[i].values);
	}
	return rc;
}

/* The same stream of one service when the writer is behind: a sync is shared by what waited. */
static int run_behind(const char *dir, unsigned rate)
{
	struct storage_options options = {.l0_bytes_max = UINT64_MAX / 4,
					  .bytes_max = UINT64_MAX / 4};
	struct profile held[64];
	struct storage *store = NULL;
	struct cost cost = {0};
	struct err err = {0};
	char location[256];
	int64_t at = T0, end = T0 + SECONDS(3600) * hours;
	int rc = 0;

	(void)snprintf(location, sizeof(location), "sqlite:%s", dir);
	if (storage_open(location, &options, &store, &err))
		return fail("open", &err);
	while (!rc && at < end) {
		size_t count = 0;

		for (int w = 0; !rc && w < BEHIND && (count + batches) <= ARRAY_LEN(held); w++) {
			rc = hold_window(rate, at, held, &count);
			at += WINDOW_NS;
		}
		if (!rc)
			rc = put_held(store, held, count, at, &cost, &err);
	}
	storage_close(store);
	if (rc)
		return fail("behind", &err);
	print("samples/s on one core when the queue is behind, ten windows a commit", rate,
	      hours * 360.0 * (rate / batches * batches) / cost.cpu_s, "1/s", "to reach", 8e6);
	return 0;
}

static int count_segment(void *arg, const struct storage_segment *s)
{
	for (size_t i = 0; i < s->leaves_count; i++)
		*(uint64_t *)arg += s->counts[i];
	return 0;
}

/* The day of one service, as a flame graph of all of it and of a range that cuts windows. */
static int ask(struct storage *store, unsigned rate, struct err *err)
{
	struct storage_reader *reader;
	int rc = storage_reader_open(store, &reader, err);
	const struct {
		const char *what;
		int64_t from_ns, until_ns;
	} questions[] = {
	    {"whole hours of all the time, first", T0, T0 + SECONDS(3600) * hours},
	    {"whole hours of all the time, again", T0, T0 + SECONDS(3600) * hours},
	    {"from and until the middle of an hour", T0 + SECONDS(1210),
	     T0 + SECONDS(3600) * hours - SECONDS(1210)},
	};

	for (size_t i = 0; !rc && i < ARRAY_LEN(questions); i++) {
		struct storage_scan scan = {.series = &model[0].series,
					    .series_count = 1,
					    .from_ns = questions[i].from_ns,
					    .until_ns = questions[i].until_ns};
		int64_t start = clock_monotonic_ns();
		uint64_t got = 0;

		rc = storage_scan(reader, &scan, count_segment, &got, err);
		print(questions[i].what, rate, (double)(clock_monotonic_ns() - start) / 1e6, "ms",
		      "samples", (double)got);
	}
	if (!rc)
		storage_reader_close(reader);
	return rc;
}

static void report_size(const struct storage_stats *stats, unsigned rate)
{
	double windows = hours * 360.0, samples = windows * rate * services, days = hours / 24.0;
	double entropy = 0, names = 0, zstd = 0, bound = 0, record = 0;
	double upper = (double)(stats->l1_bytes + stats->l2_bytes);

	for (unsigned s = 0; s < services; s++) {
		entropy += model_stream_entropy(&streams[s]);
		names += model_dictionary_entropy(&model[s], &streams[s]);
		zstd += model_stream_zstd19(&streams[s]);
		bound += model_bound(&model[s], rate) * windows;
		record += model_record_entropy(&model[s], rate, WINDOW_NS) / services;
	}
	print("MB a host and day, L0", rate, (double)stats->l0_bytes / 1e6 / days * 10 / services,
	      "MB", NULL, 0);
	print("MB a host and day, L1", rate, (double)stats->l1_bytes / 1e6 / days * 10 / services,
	      "MB", NULL, 0);
	print("MB a host and day, L2", rate, (double)stats->l2_bytes / 1e6 / days * 10 / services,
	      "MB", NULL, 0);
	print("L0 bytes a record", rate, (double)stats->l0_bytes / samples, "B", "to reach", 3);
	print("a record's entropy: time, stack and thread", rate, record, "B", NULL, 0);
	print("L1+L2 bytes a sample", rate, upper / samples, "B", "to reach at 4000", 0.30);
	print("the stream's order-0 entropy", rate, entropy / samples, "B", "zstd -19 of it",
	      zstd / samples);
	print("the stream's Poisson bound", rate, bound / samples, "B", NULL, 0);
	print("the dictionary's order-0 entropy", rate, names / samples, "B", NULL, 0);
	print("L1+L2 over entropy of stream and dictionary", rate, upper / (entropy + names), "x",
	      "to reach", 2.5);
}

static int run(const char *dir, unsigned rate)
{
	struct storage_options options = {.l0_age_ns = SECONDS(86400) * 366,
					  .l1_age_ns = SECONDS(86400) * 366,
					  .l0_bytes_max = UINT64_MAX / 4,
					  .bytes_max = UINT64_MAX / 4};
	uint32_t *drawn = malloc((size_t)services * rate * sizeof(*drawn));
	struct storage_reader *reader = NULL;
	struct storage_stats stats;
	struct storage *store = NULL;
	struct cost cost = {0};
	struct err err = {0};
	char location[256];

	(void)snprintf(location, sizeof(location), "sqlite:%s", dir);
	double model_mb = peak_begin(), peak_mb = 0;

	if (storage_open(location, &options, &store, &err))
		return fail("open", &err);
	int64_t at = T0, end = T0 + SECONDS(3600) * hours;
	int rc = 0;

	for (; !rc && at < end; at += WINDOW_NS)
		rc = live_window(store, rate, at, drawn, &cost, &err);
	free(drawn);
	if (rc)
		return fail("live", &err);
	for (int i = 0; !rc && i < 400; i++) /* bounded work a call */
		rc = storage_maintain(store, end + SECONDS(3 * 3600), &err);
	if (!rc)
		rc = ask(store, rate, &err);
	peak_mb = status_mb("VmHWM") - model_mb - streams_mb();
	storage_close(store);
	if (rc)
		return fail("ask", &err);
	int64_t start = clock_monotonic_ns();

	if (storage_open(location, &options, &store, &err))
		return fail("open again", &err);
	print("open", rate, (double)(clock_monotonic_ns() - start) / 1e6, "ms", "to reach", 50);
	if (storage_reader_open(store, &reader, &err) || storage_stats(reader, &stats, &err))
		return fail("stats", &err);
	double samples = hours * 360.0 * rate * services;

	report_size(&stats, rate);
	print("samples/s on one core, CPU of put and maintain", rate, samples / cost.cpu_s, "1/s",
	      "to reach", 8e6);
	print("samples/s, wall with fsync", rate, samples / cost.wall_s, "1/s", NULL, 0);
	print("write amplification, bytes written over bytes kept", rate,
	      (double)cost.written / (double)stats.bytes, "x", NULL, 0);
	print("peak RSS, without the model", rate, peak_mb, "MB", "to reach", 64);
	storage_reader_close(reader);
	storage_close(store);
	return 0;
}

static int is_pprof(const struct dirent *entry)
{
	const char *end = strstr(entry->d_name, ".pb.gz");

	return end && !end[6];
}

/* Every service, of the model or of what was recorded; a service more than recordings is an error.
 */
static int services_init(void)
{
	const char *dir = getenv("HEARTH_STACKS");
	struct dirent **found = NULL;
	int count = dir ? scandir(dir, &found, is_pprof, alphasort) : 0,
	    rc = count < 0 ? -errno : 0;
	char path[4096];

	if (dir && !rc && (unsigned)count < services)
		rc = -ENOENT;
	for (unsigned s = 0; !rc && s < services; s++) {
		if (dir)
			(void)snprintf(path, sizeof(path), "%s/%s", dir, found[s]->d_name);
		rc =
		    dir ? model_service_read(&model[s], s, path) : model_service_init(&model[s], s);
		if (dir && !rc)
			(void)fprintf(stderr, "%s: %u stacks, the deepest %u, %zu nodes\n",
				      found[s]->d_name, model[s].stacks, model[s].depth,
				      model[s].all->nodes_count);
	}
	for (int i = 0; i < count; i++)
		free(found[i]);
	free(found);
	return rc;
}

int main(int argc, char **argv)
{
	static const unsigned rates[] = {20, 400, 4000};
	const char *only = getenv("HEARTH_RATE"), *parent = getenv("HEARTH_TEST_DIR");
	int rc = 0;

	/* As the agent does (server/main.c), or the peak tells of malloc's habits. */
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
	(void)mallopt(M_TOP_PAD, 1 << 20);

	services = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	hours = argc > 2 ? (unsigned)atoi(argv[2]) : 24;
	batches = argc > 3 ? (unsigned)atoi(argv[3]) : 5;
	if (!services || services > 64 || !hours || !batches || batches > 20)
		return 2;
	model = calloc(services, sizeof(*model));
	streams = calloc(services, sizeof(*streams));
	rc = model && streams ? services_init() : -ENOMEM;
	if (rc) {
		(void)fprintf(stderr, "bench store: model: %s\n", strerror(-rc));
		return 1;
	}
	for (size_t i = 0; !rc && i < ARRAY_LEN(rates); i++) {
		char dir[128];

		if (only && (unsigned)atoi(only) != rates[i])
			continue;
		(void)snprintf(dir, sizeof(dir), "%.90s/hearth-bench-XXXXXX",
			       parent ? parent : "/var/tmp");
		if (!mkdtemp(dir))
			return 1;
		memset(streams, 0, services * sizeof(*streams));
		if (!getenv("HEARTH_BEHIND"))
			rc = run(dir, rates[i]);
		for (unsigned s = 0; s < services; s++)
			model_stream_release(&streams[s]);
		if (!getenv("HEARTH_KEEP"))
			remove_tree(dir);
		if (!rc && services == 1 && !mkdir(dir, 0700)) {
			rc = run_behind(dir, rates[i]);
			remove_tree(dir);
		}
	}
	for (unsigned s = 0; s < services; s++)
		model_service_release(&model[s]);
	free(model);
	free(streams);
	return rc;
}
