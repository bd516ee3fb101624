/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/fuzz/ingest_target.h - one body through one protocol, and a walk over what it made.
 */
#ifndef TESTS_FUZZ_INGEST_TARGET_H
#define TESTS_FUZZ_INGEST_TARGET_H

#include <errno.h>
#include <string.h>

#include "ingest/ingest.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/refuse.h"

/* Every number in a finished profile points at something that is there. */
static inline void profile_walk(const struct profile *p)
{
	for (size_t i = 1; i < p->nodes_count; i++)
		FUZZ_CHECK(p->nodes[i].parent < i && p->nodes[i].frame < p->frames_count);
	for (size_t i = 0; i < p->frames_count; i++)
		FUZZ_CHECK(p->frames[i].module < p->modules_count &&
			   p->frames[i].function < p->strings.count &&
			   p->frames[i].file < p->strings.count);
	for (size_t i = 0; i < p->series_count; i++)
		FUZZ_CHECK(p->series[i].kind < p->kinds_count &&
			   p->series[i].labels.at + p->series[i].labels.count <= p->labels_count);
	for (size_t i = 0; i < p->contexts_count; i++)
		FUZZ_CHECK(p->contexts[i].at + p->contexts[i].count <= p->labels_count);
	for (size_t i = 0; i < p->records_count; i++) {
		const struct profile_record *r = &p->records[i];

		FUZZ_CHECK(r->series < p->series_count && r->node < p->nodes_count &&
			   r->context < p->contexts_count && r->count);
		FUZZ_CHECK(r->values_at + p->kinds[p->series[r->series].kind].columns_count <=
			   p->values_count);
	}
}

/* One run. `head` has what the request says beside its body; `plain`: as from a file on the command
 * line, without limits of the request's own and without a window. */
static inline void ingest_run(const struct ingest_protocol *protocol, struct ingest_request head,
			      const uint8_t *bytes, size_t len, bool plain)
{
	const struct ingest_label labels[] = {{STR("service"), STR("fuzzed")}};
	struct ingest_limits limits = ingest_limits_default;
	struct profile_builder *out;
	struct err err = {0};

	limits.decompressed_bytes = (size_t)8 << 20;
	limits.profile.string_bytes = (size_t)1 << 20;
	struct ingest_request request = head;
	struct ingest_findings findings = {0};

	request.body = (struct str){(const char *)bytes, len};
	request.labels = labels;
	request.labels_count = 1;
	request.now_ns = NS_PER_S * 1000;
	request.limits = plain ? NULL : &limits;
	request.accept_from_ns = plain ? 0 : NS_PER_S;
	request.accept_until_ns = plain ? 0 : NS_PER_S * 2000;
	(void)ingest_sniff(&request);
	if (profile_builder_new(&limits.profile, &out) < 0)
		return;
	int rc = protocol->decode(&request, out, &findings, &err);

	FUZZ_CHECK(rc == 0 || rc == -EINVAL || rc == -EOPNOTSUPP || rc == -E2BIG || rc == -ENOMEM);
	FUZZ_CHECK(rc == 0 || err.message[0]);
	if (protocol->answer) {
		const struct ingest_outcome outcome = {
		    .code = rc, .err = &err, .findings = findings};
		struct buf body;
		struct ingest_answer answer = {.status = rc ? 400 : 200, .body = &body};

		buf_init(&body, (size_t)1 << 20);
		protocol->answer(&request, &outcome, &answer);
		FUZZ_CHECK(answer.status >= 200 && answer.status < 600);
		buf_release(&body);
	}
	if (rc) {
		profile_builder_free(out);
		return;
	}
	struct profile *p = profile_builder_finish(out);

	FUZZ_CHECK(p || refusing);
	if (p)
		profile_walk(p);
	profile_free(p);
}

static inline int ingest_one_with(const struct ingest_protocol *protocol,
				  struct ingest_request head, const uint8_t *bytes, size_t len)
{
	ingest_run(protocol, head, bytes, len, len % 8 == 0);
	/* Few bodies allocate more often; small numbers, the decoder's own tables, come more
	 * often. */
	refusing = true;
	refuse_left = refuse_draw(bytes, len, 1 + refuse_draw(bytes, len / 2, 64));
	ingest_run(protocol, head, bytes, len, false);
	refuse_left = 0;
	refusing = false;
	return 0;
}

static inline int ingest_one(const struct ingest_protocol *protocol, const uint8_t *bytes,
			     size_t len)
{
	return ingest_one_with(protocol, (struct ingest_request){0}, bytes, len);
}

/*
 * A request to one of a protocol's paths: a first line "PATH QUERY", where QUERY is name=value&...,
 * a second with the Content-Type, and the body behind them.
 */
static inline struct str fuzz_cut(struct str *text, char c)
{
	const char *at = text->len ? memchr(text->ptr, c, text->len) : NULL;
	struct str first = {text->ptr, at ? (size_t)(at - text->ptr) : text->len};

	text->ptr += first.len + (at != NULL);
	text->len -= first.len + (at != NULL);
	return first;
}

static inline int ingest_request_one(const struct ingest_protocol *protocol, const uint8_t *bytes,
				     size_t len)
{
	struct str text = {(const char *)bytes, len}, line = fuzz_cut(&text, '\n');
	struct ingest_label parameters[16];
	struct ingest_request head = {.path = fuzz_cut(&line, ' '),
				      .parameters = parameters,
				      .content_type = fuzz_cut(&text, '\n')};

	while (line.len && head.parameters_count < ARRAY_LEN(parameters)) {
		struct str value = fuzz_cut(&line, '&'), key = fuzz_cut(&value, '=');

		parameters[head.parameters_count++] = (struct ingest_label){key, value};
	}
	return ingest_one_with(protocol, head, (const uint8_t *)text.ptr, text.len);
}

#endif
