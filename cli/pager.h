/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/pager.h - a pager between a verb's output and the terminal, by git's rules.
 */
#ifndef CLI_PAGER_H
#define CLI_PAGER_H

#include <stdbool.h>

/*
 * When standard output is a terminal, let $HEARTH_PAGER, $PAGER or less show it from now on; "" and
 * "cat" are no pager, and a command that is not there is none either.  less gets LESS=FRX unless
 * the environment has another: what fits on the screen is just printed.  The process ends with the
 * pager.
 */
void pager_start(void);

/* Whether standard output ends on a terminal: for colours. */
bool output_is_terminal(void);

#endif
