/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/contract/storage.h"

#include "tests/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tests/support/store.h"

#define SERIES_COUNT 6

struct world {
	uint64_t random;
	struct fixture f;
	struct model model;
	struct hash128 series[SERIES_COUNT];
	unsigned profiles;
	bool aging; /* files go: what is left is exact to the hour, without records */
};

static uint32_t draw(struct world *w, uint32_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)((w->random * UINT64_C(0x2545F4914F6CDD1D)) >> 33) % below;
}

/* Mostly around a few minutes, sometimes another hour or day: the borders of files and windows. */
static int64_t draw_time(struct world *w)
{
	static const int64_t bases[] = {0, 0, 0, 3590, 3590, 86390, -7200};
	int64_t at = T0 + SECONDS(bases[draw(w, ARRAY_LEN(bases))] + (int64_t)draw(w, 60));

	switch (draw(w, 4)) {
	case 0:
		return at; /* a whole second: on a border now and then */
	case 1:
		return at - 1;
	default:
		return at + (int64_t)draw(w, 1000) * NS_PER_MS;
	}
}

static void series_select(struct maker *m, unsigned which)
{
	switch (which % 3) {
	case 0:
		maker_series(m, PROFILE_KIND_CPU, "service=a,env=prod");
		break;
	case 1:
		maker_series(m, PROFILE_KIND_INUSE, "service=a");
		break;
	default:
		maker_series_of(m, "heap:space:bytes:alloc/bytes,live/bytes!", "service=b");
	}
}

static void records_add(struct world *w, struct maker *m)
{
	static const char *const names[] = {"main", "run", "parse", "0x10@app", "0x20@app", "free"};
	static const char *const contexts[] = {"", "thread=main", "thread=pool,span=#7",
					       "endpoint=/x,thread=main"};
	int64_t snapshot = draw_time(w);

	for (unsigned n = draw(w, 12); n-- > 0;) {
		char stack[256] = "";
		int64_t values[PROFILE_COLUMNS_MAX];

		for (unsigned depth = draw(w, 5), i = 0; i < depth; i++) {
			strcat(stack, i ? ";" : "");
			strcat(stack, names[draw(w, ARRAY_LEN(names))]);
		}
		for (size_t i = 0; i < m->columns; i++)
			values[i] = (int64_t)draw(w, 1000) - 100;
		maker_context(m, contexts[draw(w, ARRAY_LEN(contexts))]);
		/* Snapshots of gauges share a time, most of them. */
		maker_values(m, stack, draw(w, 3) ? snapshot : draw_time(w), 1 + draw(w, 5),
			     values);
	}
}

static struct profile *draw_profile(struct world *w)
{
	struct maker m;
	unsigned instance = draw(w, 4);
	int64_t until = draw_time(w);

	maker_init(&m, draw(w, 2) ? 1000 : PROFILE_OWNER_NOBODY, instance);
	for (unsigned n = 1 + draw(w, 3); n-- > 0;) {
		series_select(&m, draw(w, 3));
		records_add(w, &m);
		if (!draw(w, 3))
			maker_loss(&m, draw(w, 2) ? "ring_full" : "stack_depth", 1 + draw(w, 9),
				   draw_time(w));
	}
	maker_span(&m, until - SECONDS(draw(w, 10)), until, draw_time(w));
	if (instance && draw(w, 2))
		maker_cursor(&m, draw(w, 2), ++w->profiles);
	if (!draw(w, 10))
		maker_ended(&m);
	return maker_finish(&m);
}

static void put_some(struct world *w)
{
	const struct profile *batch[4];
	int results[4];
	size_t count = 1 + draw(w, 4);
	struct err err = {0};

	for (size_t i = 0; i < count; i++) {
		model_take(&w->model, draw_profile(w));
		batch[i] = w->model.profiles[w->model.count - 1];
	}
	if (storage_put(w->f.store, batch, count, results, &err))
		fail_msg("put: %s", err.message);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(results[i], STORAGE_STORED);
}

static void ask(struct world *w)
{
	static const int64_t steps[] = {10, 1, 15, 60, 7};
	struct storage_scan scan = {.series = w->series, .series_count = SERIES_COUNT};
	int64_t from = draw_time(w), until = draw_time(w);

	scan.column = draw(w, 2);
	if (draw(w, 2)) {
		from = clock_window_ns(from, SECONDS(10));
		until = clock_window_ns(until, SECONDS(10)) + SECONDS(10);
	}
	scan.from_ns = MIN(from, until);
	scan.until_ns = MAX(from, until) + 1;
	int64_t step = SECONDS(steps[draw(w, ARRAY_LEN(steps))]);

	if (w->aging) {
		scan.from_ns = clock_window_ns(scan.from_ns, SECONDS(3600));
		scan.until_ns = clock_window_ns(scan.until_ns, SECONDS(3600)) + SECONDS(3600);
		expect_totals_as_model(&w->f, &w->model, &scan, SECONDS(3600) * (1 + draw(w, 5)));
		return;
	}

	/* The model walks every step, so few of them where the range is a day. */
	if ((scan.until_ns - scan.from_ns) / step > 100)
		step = (scan.until_ns - scan.from_ns) / (3 + draw(w, 20));
	expect_as_model(&w->f, &w->model, &scan, step);
}

static void identities_set(struct world *w)
{
	for (unsigned i = 0; i < SERIES_COUNT; i++) {
		struct maker m;

		maker_init(&m, i < 3 ? 1000 : PROFILE_OWNER_NOBODY, 1);
		series_select(&m, i);
		struct profile *p = maker_finish(&m);

		w->series[i] = p->series[0].identity;
		profile_free(p);
	}
}

/* All of a level above the records, which are still there to derive it from. */
static void lose_sums(struct world *w)
{
	if (!w->aging)
		fixture_lose(&w->f, draw(w, 3) ? "l1" : "l2");
}

static void live(const struct storage_backend *backend, uint64_t seed)
{
	struct world w = {.random = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15)};

	fixture_init(&w.f, backend);
	identities_set(&w);
	w.aging = backend->durable && draw(&w, 2);
	if (w.aging) {
		fixture_close(&w.f);
		w.f.options.l0_age_ns = SECONDS(1800) * (1 + draw(&w, 6));
		w.f.options.l1_age_ns = SECONDS(3600) * (1 + draw(&w, 40));
		fixture_open(&w.f);
	}
	for (unsigned n = 10 + draw(&w, 15); n-- > 0;) {
		switch (draw(&w, 8)) {
		case 0:
		case 1:
			fixture_maintain(&w.f, draw_time(&w) + SECONDS(draw(&w, 200000)));
			break;
		case 2:
			switch (draw(&w, 6)) {
			case 0:
			case 1:
				fixture_reopen(&w.f);
				break;
			case 2:
				fixture_kill(&w.f);
				break;
			case 3:
				lose_sums(&w);
			}
			break;
		case 3:
		case 4:
			ask(&w);
			break;
		default:
			put_some(&w);
		}
	}
	ask(&w);
	fixture_maintain(&w.f, T0 + SECONDS(500000));
	ask(&w);
	fixture_release(&w.f);
	model_release(&w.model);
}

void random_histories_are_answered_as_by_the_model(void **state)
{
	const char *seeds = getenv("HEARTH_SEEDS"), *first = getenv("HEARTH_SEED");
	uint64_t from = first ? strtoull(first, NULL, 10) : 0;
	uint64_t count = seeds ? strtoull(seeds, NULL, 10) : 60;

	for (uint64_t seed = from; seed < from + count; seed++) {
		if (seed % 500 == 0)
			print_message("seed %llu\n", (unsigned long long)seed);
		live(*state, seed);
	}
}
