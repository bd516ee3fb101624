/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/rows.h - a hearth.top/1 answer as a table.
 */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H

#include "cli/ask.h"

/* Print it in pprof's columns, with notes on stderr. Returns 0, or EXIT_NO_DATA, having complained.
 */
int rows_print(json_t *answer);

#endif
