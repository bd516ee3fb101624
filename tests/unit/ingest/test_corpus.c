/* SPDX-License-Identifier: Apache-2.0 */
/* Real profiles: what we add up is what `go tool pprof -raw` adds up (expected.tsv). */
#include "tests/cmocka.h"

#include <inttypes.h>

#include "ingest/ingest.h"
#include "tests/corpus.h"

static struct profile *ingest(const char *name)
{
	struct ingest_request request = {.now_ns = NS_PER_S, .limits = &ingest_limits_default};
	char folder[4096];
	struct profile_builder *out;
	struct buf body;
	struct err err;
	size_t len;

	(void)snprintf(folder, sizeof(folder), "%s/pprof", corpus_folder());
	char *bytes = corpus_read(folder, name, &len);

	if (!bytes)
		return NULL;
	if (ingest_decompress(bytes, len, &ingest_limits_default, &body, &err) < 0)
		fail_msg("%s: %s", name, err.message);
	free(bytes);
	request.body = (struct str){body.data, body.len};
	const struct ingest_protocol *protocol = ingest_sniff(&request);

	assert_ptr_equal(protocol, ingest_find(STR("pprof")));
	assert_int_equal(profile_builder_new(NULL, &out), 0);
	if (protocol->decode(&request, out, &(struct ingest_findings){0}, &err) < 0)
		fail_msg("%s: %s", name, err.message);
	buf_release(&body);
	struct profile *p = profile_builder_finish(out);

	assert_non_null(p);
	return p;
}

/* The sum of all columns of this type; *ret_found counts such columns. */
static int64_t total_of(const struct profile *p, const char *type, const char *unit,
			size_t *ret_found)
{
	int64_t sum = 0;

	*ret_found = 0;
	for (size_t k = 0; k < p->kinds_count; k++) {
		for (size_t c = 0; c < p->kinds[k].columns_count; c++) {
			if (strcmp(profile_string(p, p->kinds[k].columns[c].type).ptr, type) ||
			    strcmp(profile_string(p, p->kinds[k].columns[c].unit).ptr, unit))
				continue;
			++*ret_found;
			for (size_t i = 0; i < p->records_count; i++)
				if (p->series[p->records[i].series].kind == k)
					sum += p->values[p->records[i].values_at + c];
		}
	}
	return sum;
}

/* What our table calls a column of the corpus. */
static const char *our_name(const char *type, const char *unit)
{
	if (!strcmp(type, "objects") && !strcmp(unit, "count"))
		return "inuse_objects";
	if (!strcmp(type, "space") && !strcmp(unit, "bytes"))
		return "inuse_space";
	return type;
}

static void check_line(char *line)
{
	char *save, *name = strtok_r(line, "\t", &save), *samples = strtok_r(NULL, "\t", &save);
	struct profile *p = ingest(name);

	if (!p)
		fail_msg("%s is in expected.tsv but not there", name);
	assert_true(p->records_count > 0);
	for (char *part; (part = strtok_r(NULL, " \t\n", &save));) {
		char type[128], unit[128];
		int64_t want;
		size_t found;

		if (!strcmp(samples, "-"))
			break;
		if (sscanf(part, "%127[^/]/%127[^=]=%" SCNd64, type, unit, &want) != 3)
			fail_msg("expected.tsv: %s", part);
		int64_t sum = total_of(p, our_name(type, unit), unit, &found);

		if (found != 1 || sum != want)
			fail_msg("%s: %s/%s is %" PRId64 " in %zu columns, not %" PRId64, name,
				 type, unit, sum, found, want);
		/* pprof adds up equal stacks and drops those of zeros before it counts. */
		assert_true(p->records_count >= strtoul(samples, NULL, 10));
	}
	profile_free(p);
}

static void test_totals(void **state)
{
	(void)state;
	char path[8192], line[1024];
	size_t files = 0;

	(void)snprintf(path, sizeof(path), "%s/expected.tsv", corpus_folder());
	FILE *f = fopen(path, "r");

	if (!f) {
		printf("no corpus in %s\n", corpus_folder());
		skip();
	}
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		check_line(line);
		files++;
	}
	(void)fclose(f);
	printf("%zu files\n", files);
	assert_true(files >= 20);
}

static bool has_function(const struct profile *p, const char *name)
{
	for (size_t i = 1; i < p->frames_count; i++)
		if (str_is(profile_string(p, p->frames[i].function), name))
			return true;
	return false;
}

/* The .NET client's functions have no ids; its names must come through all the same. */
static void test_dotnet(void **state)
{
	(void)state;
	struct profile *p = ingest("pyroscope-dotnet-pprof-3.pb.gz");

	if (!p) {
		printf("no corpus in %s\n", corpus_folder());
		skip();
	}
	assert_true(has_function(p, "WebApplication1.Controllers!CpuController.fib"));
	assert_false(has_function(p, "[unknown]"));
	profile_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_totals),
					   cmocka_unit_test(test_dotnet)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
