/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile/profile.h - the data model that every room speaks (docs/formats/model.md).
 *
 * A `struct profile` is one batch: what one upload held, or what one drain of a process's rings
 * gave. It is a set of tables that name each other by number, and records on top.  Numbers are
 * local to the batch; what is the same in two batches has the same 128-bit identity.  A batch is
 * built by one thread through `profile/builder.h`, then handed over by ownership and never changed.
 *
 *	strings   text            0 is ""; a frame's name may be there more than once
 *	modules   build id, path  0 is unknown
 *	frames    address | name
 *	nodes     parent, frame   0 is the root; a parent's number is below its children's
 *	kinds     columns (type, unit)
 *	series    kind + labels, sorted by key
 *	contexts  labels of a record: thread, span, endpoint, lock...   0 has none
 *	records   series, node, context, time, values[columns], count
 */
#ifndef PROFILE_PROFILE_H
#define PROFILE_PROFILE_H

#include <stdbool.h>

#include "base/hash.h"
#include "base/intern.h"
#include "profile/type.h"

#define PROFILE_BUILD_ID_MAX 32
#define PROFILE_STACK_DEPTH_MAX 1024 /* frames; a deeper stack keeps both ends around [truncated] */
#define PROFILE_LABELS_MAX 128       /* of a series, and of a context */
#define PROFILE_OWNER_NOBODY 65534u  /* uploads over TCP that no token names */

/* A file whose code runs.  Without a build id, `build_id` is a hash of the text segment and
 * `is_hash` is set: such an identity holds within one owner only. */
struct profile_module {
	uint8_t build_id[PROFILE_BUILD_ID_MAX];
	uint8_t build_id_len; /* bytes, 0: unknown */
	bool is_hash;
	uint32_t path; /* string */
};

enum profile_frame_flags {
	PROFILE_FRAME_ADDRESS = 1,     /* `address` in `module` counts; otherwise the names do */
	PROFILE_FRAME_INLINED = 2,     /* a name that was inlined into its parent frame */
	PROFILE_FRAME_KERNEL = 4,      /* the leaf was interrupted on the kernel's side */
	PROFILE_FRAME_FILE_OFFSET = 8, /* `address` is an offset in the file, not an ELF address */
};

/* `address` is what to look up: for a caller it already points into the call, not behind it. */
struct profile_frame {
	uint32_t flags; /* enum profile_frame_flags */
	uint32_t module;
	uint64_t address;        /* ELF virtual address (pc - load bias); raw pc when module is 0 */
	uint32_t function, file; /* strings */
	uint32_t line, start_line;
};

struct profile_node {
	uint32_t parent, frame; /* node 0 has neither */
};

struct profile_kind {
	uint32_t name, period_type, period_unit; /* strings */
	int64_t period;
	uint32_t columns_count;
	struct {
		uint32_t type, unit; /* strings */
		bool gauge;
	} columns[PROFILE_COLUMNS_MAX];
};

/* A label of a series (text) or of a context (text or number). */
struct profile_label {
	uint32_t key, text, unit; /* strings; `unit` of a number, often "" */
	bool is_number;
	int64_t number;
};

/* A run of `count` labels from `labels[at]`. */
struct profile_labels {
	uint32_t at, count;
};

struct profile_series {
	uint32_t kind;
	struct profile_labels labels;
	struct hash128 identity; /* of (owner, kind, labels); the period does not count */
};

struct profile_record {
	uint32_t series, node, context;
	uint32_t count;   /* samples behind it, at least 1 */
	int64_t time_ns;  /* UTC */
	size_t values_at; /* `values[values_at]`, as many as the kind has columns */
};

/* How far a ring was read: committed in the transaction of the samples that it covers. */
struct profile_cursor {
	uint8_t runtime_id[16];
	uint32_t ring;
	uint64_t position; /* bytes since the ring was made */
};

/* Samples that did not come through, with the reason ("ring_full", "stack_depth"...). */
struct profile_loss {
	uint32_t series; /* whose; any of the batch's */
	uint32_t reason; /* string */
	uint64_t count;
	int64_t time_ns;
};

/* The process, as the kernel names it where it can (model.md, Identity 3). */
struct profile_instance {
	uint8_t runtime_id[16]; /* all zero: unknown */
	int64_t pid, start_ns;
	uint32_t owner;                 /* uid */
	uint32_t container, executable; /* strings */
	bool ended;                     /* closes the gauges of this instance */
};

struct profile {
	struct intern strings;
	struct profile_module *modules;
	size_t modules_count;
	struct profile_frame *frames;
	struct hash128 *frame_identities; /* of each frame; NULL: not at hand */
	size_t frames_count;
	struct profile_node *nodes;
	struct hash128 *node_hashes; /* h(node) = H(h(parent), frame); the root's is zero */
	size_t nodes_count;
	struct profile_kind *kinds;
	size_t kinds_count;
	struct profile_label *labels;
	size_t labels_count;
	struct profile_series *series;
	size_t series_count;
	struct profile_labels *contexts;
	size_t contexts_count;
	struct profile_record *records;
	size_t records_count;
	int64_t *values;
	size_t values_count;
	struct profile_cursor *cursors;
	size_t cursors_count;
	struct profile_loss *losses;
	size_t losses_count;

	struct profile_instance instance;
	int64_t from_ns, until_ns; /* the span that it covers, UTC */
	int64_t arrived_ns;        /* by the agent's clock; chooses the L0 file of a native batch */
	uint32_t upload_id;        /* string; "": none.  The same id within 24 h counts once */
	bool clamped;              /* its own time lay outside the accepted window */
};

/* Free what a builder handed out. NULL is fine. */
void profile_free(struct profile *profile);

/* Identity of a frame: (build id, address) or (function, file, line, library). Scoped by `owner`
 * where the module has only a text hash. */
struct hash128 profile_frame_identity(const struct profile *profile,
				      const struct profile_frame *frame, uint32_t owner);

/* The same, for who knows what the texts are: hash128 of each. Of an address only `module`
 * counts. */
struct profile_frame_texts {
	struct hash128 module, function, file;
};

struct hash128 profile_frame_identity_of(const struct profile *profile,
					 const struct profile_frame *frame, uint32_t owner,
					 const struct profile_frame_texts *texts);

static inline struct str profile_string(const struct profile *profile, uint32_t id)
{
	return intern_get(&profile->strings, id);
}

/* Keys of the labels that a series keeps before others when it has more than it may, in this order,
 * ended by NULL: what services are told apart by, and the sender's names of its types. */
extern const char *const profile_labels_that_stay[];
bool profile_label_stays(struct str key);

/* The label of `labels` with this key, or NULL. */
const struct profile_label *profile_label_find(const struct profile *profile,
					       struct profile_labels labels, struct str key);

/* Fill `ret_type` with the type of one column of a kind; it borrows the profile's strings. */
void profile_column_type(const struct profile *profile, const struct profile_kind *kind,
			 size_t column, struct profile_type *ret_type);

#endif
