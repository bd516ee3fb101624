/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/ingest_pprof_input.h"

#include <errno.h>

#include "tests/corpus.h"
#include "wire/pprof_write.h"

const char *const bench_inputs[] = {"small", "large", "real", NULL};

/* A name as C++ programs have them. */
static struct str name_of(char *to, size_t room, const char *what, uint64_t n)
{
	int len = snprintf(to, room, "shop::checkout::%s<int>::%s_%u", what,
			   n % 3 ? "process_request" : "operator()", (unsigned)n);

	return (struct str){to, (size_t)len};
}

/* Locations in files of many functions; a third of them holds an inlined function as well. */
static uint64_t location_of(struct pprof_writer *w, uint64_t mapping, uint64_t n)
{
	char names[2][96], files[2][96];
	struct pprof_write_line lines[2];

	for (size_t i = 0; i < 2; i++) {
		uint64_t function = n / 2 + i * 7;

		lines[i] =
		    (struct pprof_write_line){.function = name_of(names[i], sizeof(names[i]),
								  i ? "Outer" : "Inner", function),
					      .line = (int64_t)(n * 13 % 900),
					      .start_line = (int64_t)(n % 400)};
		(void)snprintf(files[i], sizeof(files[i]), "/build/src/checkout/unit_%u.cc",
			       (unsigned)(function / 20));
		lines[i].file = (struct str){files[i], strlen(files[i])};
	}
	return pprof_write_location(w, mapping, 0x55d0c0000000 + n * 4096, lines, n % 3 ? 1 : 2);
}

struct shape {
	size_t samples, depth, locations;
};

/* Stacks share their root part, as those of a server do: neighbours near the root, spread below. */
static int synthetic(struct shape shape, struct buf *ret_body)
{
	struct pprof_writer *w;
	uint64_t seed = 42, *ids = malloc(shape.locations * sizeof(*ids)), stack[64];
	int rc = ids ? pprof_writer_new((size_t)64 << 20, &w) : -ENOMEM;

	if (rc)
		return rc;
	pprof_write_type(w, STR("samples"), STR("count"));
	pprof_write_type(w, STR("cpu"), STR("nanoseconds"));
	pprof_write_period(w, STR("cpu"), STR("nanoseconds"), 10000000);
	uint64_t m =
	    pprof_write_mapping(w, &(struct pprof_write_mapping){.start = 0x55d0c0000000,
								 .limit = 0x55d0d0000000,
								 .filename = STR("/usr/bin/shop"),
								 .has_names = true});

	for (size_t i = 0; i < shape.locations; i++)
		ids[i] = location_of(w, m, i);
	for (size_t i = 0; i < shape.samples; i++) {
		const struct pprof_write_label label = {.key = STR("thread"),
							.text = STR("worker")};
		int64_t count = 1 + (int64_t)(seeded_next(&seed) % 5);

		for (size_t k = 0; k < shape.depth; k++)
			stack[k] = ids[seeded_next(&seed) % (shape.locations >> k / 4 % 8)];
		pprof_write_sample(w, stack, shape.depth, (int64_t[]){count, count * 10000000},
				   &label, i % 4 == 0);
	}
	buf_init(ret_body, BUF_UNLIMITED);
	rc = pprof_writer_finish(w, ret_body, NULL);
	pprof_writer_free(w);
	free(ids);
	return rc;
}

int bench_input(const char *name, struct buf *ret_body, const char **ret_source)
{
	char folder[4096];

	*ret_source = "generated";
	if (!strcmp(name, "small"))
		return synthetic((struct shape){500, 30, 2000}, ret_body);
	if (!strcmp(name, "large"))
		return synthetic((struct shape){10000, 40, 20000}, ret_body);
	(void)snprintf(folder, sizeof(folder), "%s/pprof", corpus_folder());
	if (!corpus_plain(folder, "parca-alloc_objects.pb.gz", ret_body)) {
		*ret_source = "parca-alloc_objects";
		return 0;
	}
	/* A Go heap's shape: many short stacks over few locations. */
	return synthetic((struct shape){4600, 12, 2400}, ret_body);
}
