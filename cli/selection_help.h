/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/selection_help.h - how --help says what a verb looks at: one wording for all that take it.
 */
#ifndef CLI_SELECTION_HELP_H
#define CLI_SELECTION_HELP_H

/* clang-format off */
#define FILTER_HELP                                                                                \
	"  --focus RE, --ignore RE, --hide RE, --show RE, --show-from RE,\n"                       \
	"  --tagfocus [KEY=]VALUE, --tagignore [KEY=]VALUE      pprof's filters\n"                 \
	"  --thread NAME, --names full|plain|folded             one thread; how much of names\n"

#define SELECTION_HELP                                                                             \
	"  -t, --type TYPE    cpu (default), wall, alloc_space, inuse_space, lock_delay, ... or "  \
	"a type id\n"                                                                              \
	"  -S, --service NAME, -s, --select '{label=\"value\"}'   what to look at\n"               \
	"  --since 1h, --from TIME, --to TIME                   when (default: the last hour)\n"   \
	FILTER_HELP                                                                                \
	"  --server unix:PATH|URL                               which agent\n"

#define SHAPE_HELP                                                                                 \
	"  --invert, --collapse                                 leaves first; recursion in one "   \
	"place\n"

#define PAGER_HELP                                                                                 \
	"  --no-pager         straight to the terminal, not through HEARTH_PAGER, PAGER or less\n"

/* clang-format on */
#endif
