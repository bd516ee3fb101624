/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that go into the records themselves: of a static lock, of the function that made one, of an
 * exception's type.  They are found on the symbolizer's thread, locks behind the files that the
 * process has handed over; its batch waits for them, but not for long.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "server/processes_private.h"

#define QUESTIONS_MAX 256
#define WAIT_NS (INT64_C(10) * NS_PER_S)
#define WAIT_GONE_NS (INT64_C(60) * NS_PER_S) /* nothing is lost by waiting */
#define FILES_NS (INT64_C(30) * NS_PER_S)     /* until then a file may still be handed over */

struct place {
	bool known;
	struct symbols_id id;
	uint64_t address;
};

struct ask {
	struct native_question question;
	char *type;
	struct place lock, creator;
	bool answered;
	char name[NATIVE_NAME_MAX];
};

struct request {
	struct mailbox_letter letter;
	struct processes *all;
	uint8_t runtime_id[16];
	bool last; /* what has no file now will have none */
	size_t count;
	struct ask asks[];
};

static void request_free(struct request *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->asks[i].type);
	free(r);
}

/* ---- on the symbolizer's thread ---- */

static void ask_lock(struct symbols *symbols, struct ask *ask, bool last)
{
	char function[NATIVE_NAME_MAX - sizeof("created in ")];
	bool files = true;

	if (ask->lock.known && symbols_name_object(symbols, &ask->lock.id, ask->lock.address,
						   ask->name, sizeof(ask->name), &files)) {
		ask->answered = true;
		return;
	}
	if (ask->creator.known &&
	    symbols_name_function(symbols, &ask->creator.id, ask->creator.address, function,
				  sizeof(function), &files)) {
		(void)snprintf(ask->name, sizeof(ask->name), "created in %s", function);
		ask->answered = true;
		return;
	}
	ask->name[0] = '\0';
	ask->answered = files || last;
}

static void answered(void *arg);

static void find(struct symbols *symbols, void *arg)
{
	struct request *r = arg;

	for (size_t i = 0; symbols && i < r->count; i++) {
		struct ask *ask = &r->asks[i];

		if (!ask->type)
			ask_lock(symbols, ask, r->last);
		else
			ask->answered =
			    symbols_name_type(symbols, ask->type, ask->name, sizeof(ask->name)) ||
			    r->last;
	}
	mailbox_post(r->all->mailbox, &r->letter, answered, r);
}

/* ---- on the loop ---- */

static struct process *process_of(const struct request *r)
{
	struct process *p = r->all->first;

	while (p && memcmp(p->head.runtime_id, r->runtime_id, sizeof(r->runtime_id)) != 0)
		p = p->next;
	return p;
}

static void answered(void *arg)
{
	struct request *r = arg;
	struct process *p = process_of(r);

	if (p)
		p->unanswered = 0;
	for (size_t i = 0; p && i < r->count; i++) {
		struct native_question question = r->asks[i].question;

		p->unanswered += !r->asks[i].answered;
		question.type = r->asks[i].type;
		/* Without memory it is asked again. */
		if (r->asks[i].answered)
			(void)!native_process_answer(p->native, &question, r->asks[i].name);
	}
	if (p) {
		p->naming = false;
		p->named = true;
		process_turn(p, true);
		p->named = false;
	}
	request_free(r);
}

static struct place place_of(const struct process *p, uint64_t word)
{
	struct place place = {.id.owner = p->owner};
	struct native_build_id build_id;
	uint32_t module;

	if (!native_process_place(p->native, word, &module, &place.address) ||
	    !native_process_build_id(p->native, module, &build_id))
		return place;
	memcpy(place.id.build_id, build_id.bytes, sizeof(place.id.build_id));
	place.id.len = build_id.len;
	place.id.is_hash = build_id.is_hash;
	place.known = true;
	return place;
}

static struct request *request_make(const struct process *p,
				    const struct native_question *questions, size_t count)
{
	struct request *r = calloc(1, sizeof(*r) + count * sizeof(r->asks[0]));

	if (!r)
		return NULL;
	r->all = p->all;
	r->count = count;
	r->last = p->gone || clock_monotonic_ns() - p->attached_ns > FILES_NS;
	memcpy(r->runtime_id, p->head.runtime_id, sizeof(r->runtime_id));
	for (size_t i = 0; i < count; i++) {
		struct ask *ask = &r->asks[i];

		ask->question = questions[i];
		ask->type = questions[i].type ? strdup(questions[i].type) : NULL;
		ask->lock = place_of(p, questions[i].lock);
		ask->creator = place_of(p, questions[i].creator);
		if (questions[i].type && !ask->type) {
			request_free(r);
			return NULL;
		}
	}
	return r;
}

static bool is_late(struct process *p, int64_t now_ns)
{
	if (p->gone)
		return now_ns - p->naming_ns > WAIT_GONE_NS;
	return now_ns - p->naming_ns > WAIT_NS || process_is_half_full(p);
}

/* Types need no files, and the batch of a program that throws a lot cannot wait: they are asked for
 * alone. */
static size_t types_alone(struct native_question *questions, size_t count)
{
	size_t types = 0;

	for (size_t i = 0; i < count; i++)
		if (questions[i].type)
			questions[types++] = questions[i];
	return types;
}

bool process_names_ready(struct process *p)
{
	struct native_question questions[QUESTIONS_MAX];
	int64_t now_ns = clock_monotonic_ns();

	if (p->all->stopping)
		return true;
	if ((p->naming || p->named) && is_late(p, now_ns))
		return true;
	if (p->naming)
		return false;
	size_t count = native_process_questions(p->native, questions, QUESTIONS_MAX);

	/* What could not be found is not asked for twice on end; but more may have come
	 * meanwhile. */
	if (p->named && count <= p->unanswered)
		return true;
	size_t types = p->named ? 0 : types_alone(questions, count);
	struct request *r = count ? request_make(p, questions, types ? types : count) : NULL;

	if (!r)
		return true;
	p->naming = true;
	if (!p->named)
		p->naming_ns = now_ns;
	if (!symbols_task(p->all->symbols, find, r, types > 0))
		return false;
	p->naming = false;
	request_free(r);
	return true;
}
