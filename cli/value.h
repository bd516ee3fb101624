/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/value.h - numbers and names as a person reads them on a terminal.
 */
#ifndef CLI_VALUE_H
#define CLI_VALUE_H

#include <jansson.h>
#include <stddef.h>

/* "1.23s", "45ms", "3.10MB", "120": as pprof's text report scales them. */
void value_format(double value, const char *unit, char *to, size_t max);

/* A member of an answer; 0 and "" when it is not there. */
double answer_number(json_t *object, const char *key);
const char *answer_text(json_t *object, const char *key);

/*
 * Begin and end what holds this share (0 to 1) of a whole: what is large stands out, what is small
 * steps back. Nothing is printed unless standard output is a terminal and NO_COLOR is not set
 * (https://no-color.org).
 */
void share_begin(double share);
void share_end(double share);

/* Print a name with control characters shown as \xNN, so that it cannot drive the terminal. */
void name_print(const char *name);

#endif
