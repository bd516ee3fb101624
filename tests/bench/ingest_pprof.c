/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decode cost of pprof: wire/pprof against protobuf-c with its own allocator, in instructions as
 * callgrind counts them and in MB/s of the same run.
 *
 *	ingest_pprof                         all, as JSON lines
 *	ingest_pprof --run DECODER INPUT N   decode N times; what callgrind is started on
 *
 * Two counts of repetitions are measured and subtracted, so that making the input, starting and
 * warming up do not count.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "pprof.pb-c.h"
#include "tests/bench/ingest_pprof_input.h"
#include "wire/pprof.h"

static int decode_ours(const struct buf *body)
{
	const struct pprof_limits limits = {(size_t)256 << 20, "limit"};
	struct pprof p;
	int rc = pprof_decode(body->data, body->len, &limits, &p, NULL);

	if (!rc)
		pprof_release(&p);
	return rc;
}

static int decode_protobuf_c(const struct buf *body)
{
	Perftools__Profiles__Profile *p =
	    perftools__profiles__profile__unpack(NULL, body->len, (const uint8_t *)body->data);

	if (!p)
		return -EINVAL;
	perftools__profiles__profile__free_unpacked(p, NULL);
	return 0;
}

static const struct {
	const char *name;
	int (*decode)(const struct buf *body);
} decoders[] = {{"hearth", decode_ours}, {"protobuf-c", decode_protobuf_c}};

static int run(const char *decoder, const char *input, long count)
{
	struct buf body;
	const char *source;
	int rc = bench_input(input, &body, &source);

	for (size_t d = 0; !rc && d < ARRAY_LEN(decoders); d++)
		for (long i = 0; !strcmp(decoders[d].name, decoder) && !rc && i < count; i++)
			rc = decoders[d].decode(&body);
	if (rc)
		fprintf(stderr, "ingest_pprof: %s: %s\n", input, strerror(-rc));
	return rc ? 1 : 0;
}

/* Instructions of `count` repetitions and everything around them, or -1. */
static int64_t instructions(const char *self, const char *decoder, const char *input, long count)
{
	char command[8192], line[512];
	long long seen = -1;

	(void)snprintf(command, sizeof(command),
		       "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
		       "'%s' --run %s %s %ld 2>&1",
		       self, decoder, input, count);
	FILE *f = popen(command, "r");

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		const char *collected = strstr(line, "Collected :");

		if (collected)
			(void)sscanf(collected, "Collected : %lld", &seen);
	}
	return pclose(f) == 0 ? seen : -1;
}

static int64_t instructions_each(const char *self, const char *decoder, const char *input)
{
	int64_t few = instructions(self, decoder, input, 1),
		more = instructions(self, decoder, input, 4);

	return few < 0 || more < 0 ? -1 : (more - few) / 3;
}

/* The best of several rounds, interleaved by the caller. */
static double mb_per_s(size_t d, const struct buf *body)
{
	int64_t begin = clock_monotonic_ns(), end;
	long count = 0;

	do {
		if (decoders[d].decode(body) < 0)
			return 0;
		count++;
		end = clock_monotonic_ns();
	} while (end - begin < 100 * NS_PER_MS);
	return (double)body->len * (double)count / ((double)(end - begin) / 1e9) / 1e6;
}

static void print(const char *input, const char *what, double value, const char *unit,
		  double baseline)
{
	printf("{\"bench\":\"ingest-pprof\",\"metric\":\"%s.%s\",\"value\":%.2f,\"unit\":\"%s\","
	       "\"baseline\":%.2f}\n",
	       input, what, value, unit, baseline);
}

static int measure(const char *self, const char *input)
{
	double speed[2] = {0, 0};
	const char *source;
	struct buf body;
	struct pprof p;

	if (bench_input(input, &body, &source) < 0 ||
	    pprof_decode(body.data, body.len, &(struct pprof_limits){0}, &p, NULL) < 0)
		return 1;
	for (int round = 0; round < 5; round++)
		for (size_t d = 0; d < 2; d++)
			speed[d] = MAX(speed[d], mb_per_s(d, &body));
	int64_t ours = instructions_each(self, "hearth", input);
	int64_t theirs = instructions_each(self, "protobuf-c", input);

	if (ours <= 0 || theirs <= 0) {
		fprintf(stderr, "ingest_pprof: valgrind --tool=callgrind did not run\n");
		return 1;
	}
	fprintf(stderr, "%s: %s, %zu bytes, %zu samples, %zu locations\n", input, source, body.len,
		p.samples_count, p.locations_count);
	print(input, "instructions", (double)ours, "instructions/decode", (double)theirs);
	print(input, "instructions_ratio", (double)theirs / (double)ours, "times fewer", 5);
	print(input, "speed", speed[0], "MB/s", speed[1]);
	print(input, "memory", (double)p.memory_bytes / (double)body.len, "times the body", 2);
	pprof_release(&p);
	buf_release(&body);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = 0;

	if (argc == 5 && !strcmp(argv[1], "--run"))
		return run(argv[2], argv[3], strtol(argv[4], NULL, 10));
	if (argc != 1) {
		fprintf(stderr, "usage: ingest_pprof\n");
		return 2;
	}
	for (size_t i = 0; bench_inputs[i]; i++)
		failed |= measure(argv[0], bench_inputs[i]);
	return failed;
}
