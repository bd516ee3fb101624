/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/record.h - the parts of `hearth record`: of a command, of a service, and what both write.
 */
#ifndef CLI_RECORD_H
#define CLI_RECORD_H

#include "cli/ask.h"
#include "query/format.h"

/* When `record` began and, unless it is 0 and means now, ended: the agent's clock, half open. */
struct record_range {
	int64_t from_ns, until_ns;
};

/*
 * Wait until all of the time up to now is in the store and every binary was read: of processes that
 * have `ended`, or that go on.
 */
void record_settle(const struct place *place, bool ended);

/*
 * Write what the options ask for, of `o->service` or of all that the agent at `o->server` has: a
 * file in `format` (to standard output when none is named), or a table when it is NULL.  --heap and
 * --lock come beside -t, with their name in the file's.  Returns 0 or the first failure's code,
 * having complained.
 */
int record_show(const struct options *o, const struct query_format *format,
		const struct record_range *range);

/* Of a service that the agent has; 0: until SIGINT. */
int record_service(const struct options *o, const struct query_format *format, int64_t duration_ns);

#endif
