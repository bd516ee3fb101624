/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile/builder.h - makes a `struct profile` from what a decoder reads.
 *
 * Equal things get equal numbers (strings, modules, frames, stacks, kinds, series, contexts), so a
 * decoder just says what it sees.  Limits hold on the result, whatever the wire looked like.
 * Every function returns 0, -ENOMEM, or -E2BIG with limit and setting named in the builder's
 * `err`.
 * One thread.
 */
#ifndef PROFILE_BUILDER_H
#define PROFILE_BUILDER_H

#include "profile/profile.h"

/* Each is a setting (server/limits.def), which an error names as the agent's file has it. */
struct profile_limits {
	size_t string_bytes; /* all text together */
	size_t string_max;   /* one string; a longer one is cut */
	size_t frames, nodes, records;
	size_t depth; /* of a stack; at most PROFILE_STACK_DEPTH_MAX */
	size_t labels_per_context, labels_per_series; /* at most PROFILE_LABELS_MAX */
};

#define PROFILE_LIMITS_DEFAULT                                                                     \
	{                                                                                          \
		.string_bytes = (size_t)64 << 20, .string_max = 4096, .frames = 1 << 20,           \
		.nodes = 1 << 22, .records = 1 << 21, .depth = PROFILE_STACK_DEPTH_MAX,            \
		.labels_per_context = 64, .labels_per_series = 32,                                 \
	}

extern const struct profile_limits profile_limits_default;

/* What had to be cut to keep what could be kept. */
struct profile_cuts {
	size_t stacks_truncated, strings_truncated, labels_dropped;
};

struct profile_builder;

/* `limits` NULL: the defaults. */
MUST_CHECK int profile_builder_new(const struct profile_limits *limits,
				   struct profile_builder **ret_builder);
void profile_builder_free(struct profile_builder *builder);

/* The profile so far: to set instance, from_ns, until_ns..., and to read what was added. */
struct profile *profile_builder_profile(struct profile_builder *builder);
const struct profile_cuts *profile_builder_cuts(const struct profile_builder *builder);
const char *profile_builder_error(const struct profile_builder *builder);

/* Finish: the profile is the caller's, and the builder is freed. NULL when an add failed. */
struct profile *profile_builder_finish(struct profile_builder *builder);

/* For who builds one after another: hand out the profile, or NULL, and keep the builder, which is
 * good for profile_builder_again and profile_builder_free alone. */
struct profile *profile_builder_take(struct profile_builder *builder);

/* Give back the one that was taken last, when nobody needs it any more: the next is built in its
 * memory too. */
void profile_builder_give_back(struct profile_builder *builder, struct profile *profile);

/* Begin the next one, with the same limits, in the memory of the last.  Returns 0 or -ENOMEM. */
MUST_CHECK int profile_builder_again(struct profile_builder *builder);

/* About how many a decoder will add, so that no table grows by and by.  Asks for memory; bind it to
 * what was read. */
struct profile_counts {
	size_t strings, frames, records, columns; /* columns: of a record */
	size_t nodes;                             /* 0: as many as frames make likely */
	size_t stacks; /* of who keeps them apart: the builder has no table of them to make */
};

MUST_CHECK int profile_builder_expect(struct profile_builder *builder,
				      const struct profile_counts *counts);

MUST_CHECK int profile_builder_string(struct profile_builder *builder, struct str text,
				      uint32_t *ret_string);
MUST_CHECK int profile_builder_module(struct profile_builder *builder,
				      const struct profile_module *module, uint32_t *ret_module);
MUST_CHECK int profile_builder_frame(struct profile_builder *builder,
				     const struct profile_frame *frame, uint32_t *ret_frame);

/*
 * The same for who has a table of texts of its own and asks once for each: a name of a frame is
 * kept without looking for an equal one, and the frame is known again by what its names say.  Such
 * a number is good for `function` and `file` of profile_builder_named_frame alone.
 */
MUST_CHECK int profile_builder_name(struct profile_builder *builder, struct str text,
				    uint32_t *ret_string);
MUST_CHECK int profile_builder_named_frame(struct profile_builder *builder,
					   const struct profile_frame *frame, uint32_t *ret_frame);

/* A stack of `count` frames, leaf first. 0 frames is the root. */
MUST_CHECK int profile_builder_stack(struct profile_builder *builder, const uint32_t *frames,
				     size_t count, uint32_t *ret_node);

/* The same for who keeps apart which stacks are new: what is there already is found, but not at
 * once. */
MUST_CHECK int profile_builder_new_stack(struct profile_builder *builder, const uint32_t *frames,
					 size_t count, uint32_t *ret_node);

/* The same for who has mostly stacks that are there once, but grow from the same roots in any
 * order: those that are not deep are found by their way down and not as a whole. */
MUST_CHECK int profile_builder_lone_stack(struct profile_builder *builder, const uint32_t *frames,
					  size_t count, uint32_t *ret_node);

/* Count a stack that its sender had cut before, and labels that its decoder had no room for. */
void profile_builder_stack_was_cut(struct profile_builder *builder);
void profile_builder_labels_were_cut(struct profile_builder *builder, size_t count);

/* A part of a type id that has a colon has "_" in its place; one that is longer than
 * PROFILE_TYPE_PART_MAX ends in its hash. */
MUST_CHECK int profile_builder_kind(struct profile_builder *builder,
				    const struct profile_kind *kind, uint32_t *ret_kind);
MUST_CHECK int profile_builder_known_kind(struct profile_builder *builder, enum profile_kind_id id,
					  int64_t period, uint32_t *ret_kind);

/* A series of `kind` with these labels, in any order; the last of equal keys counts.  Of more than
 * may be those that profile_label_stays names are kept, and the first of the others.
 * Set the instance's owner before the first series: it is part of the identity. */
MUST_CHECK int profile_builder_series(struct profile_builder *builder, uint32_t kind,
				      const struct profile_label *labels, size_t count,
				      uint32_t *ret_series);
MUST_CHECK int profile_builder_context(struct profile_builder *builder,
				       const struct profile_label *labels, size_t count,
				       uint32_t *ret_context);

/* A text label of these two strings; a convenience for the two calls above. */
MUST_CHECK int profile_builder_label(struct profile_builder *builder, struct str key,
				     struct str value, struct profile_label *ret_label);

/* `record->values_at` is set here; `values` holds as many as the series' kind has columns. */
MUST_CHECK int profile_builder_record(struct profile_builder *builder,
				      const struct profile_record *record, const int64_t *values);
MUST_CHECK int profile_builder_cursor(struct profile_builder *builder,
				      const struct profile_cursor *cursor);
MUST_CHECK int profile_builder_loss(struct profile_builder *builder, uint32_t series,
				    struct str reason, uint64_t count, int64_t time_ns);

#endif
