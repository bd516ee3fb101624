/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/question.h - the parameters that every question of the native API may have, as a struct
 * query.
 *
 * Private to server/route_*.c; pool threads.
 */
#ifndef SERVER_QUESTION_H
#define SERVER_QUESTION_H

#include "query/filter.h"
#include "query/query.h"
#include "server/route.h"

#define QUESTION_IDS_MAX 256   /* span or trace ids of one question */
#define QUESTION_PATH_MAX 1024 /* frames of `path` */

/* A query and what it borrows. */
struct question {
	struct query query;
	struct selector *selector;
	struct query_filter *filter;
	struct query_context context;
	struct arena arena; /* of ids and paths */
	struct storage_reader *reader;
	struct symbols_view *view;
	struct query_names names;
	bool closed; /* the range has ended: its answer may be asked for by ETag */
	struct err err;
};

/* Read the parameters and borrow a reader. `needs_type`: of samples, with filters and shape;
 * otherwise of the catalogue.  Close it whatever is returned. */
MUST_CHECK int question_open(struct route_call *call, bool needs_type, struct question *q);

/* Give back what was borrowed; answer with the problem that rc stands for, or tag the answer. */
void question_close(struct route_call *call, struct question *q, int rc);

/* A range under other names, with the same defaults: "base_from", "base_until". */
MUST_CHECK int question_range(struct route_call *call, const char *from, const char *until,
			      struct query_range *ret_range, struct err *err);

/* A count in a parameter; `initial` when absent. */
MUST_CHECK int question_count(struct route_call *call, const char *name, size_t initial,
			      size_t *ret_value, struct err *err);

/* One of `names` (NULL ends them) in a parameter; 0 when absent. */
MUST_CHECK int question_choice(struct route_call *call, const char *name, const char *const *names,
			       size_t *ret_number, struct err *err);

#endif
