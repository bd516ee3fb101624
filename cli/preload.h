/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/preload.h - finds the files that are installed with `hearth` and that it puts into programs.
 */
#ifndef CLI_PRELOAD_H
#define CLI_PRELOAD_H

#include <stdbool.h>
#include <stddef.h>

/* Where `name` is, from where this program stands: beside it, or in the libraries' directory. */
bool preload_find(const char *name, char *path, size_t max);

#endif
