/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/dict.h - the tables that the blocks of one file name things by.  Private to storage/.
 *
 * Strings, modules, frames, stack nodes, contexts, series and process instances get dense numbers
 * in the order in which the file first saw them; a parent is numbered below its children; 0 is
 * "none" (the root for nodes), except for series, which start at 0 themselves.  A dictionary only
 * grows.  What a transaction added is one packed segment, written in that transaction; a reader
 * that has read n segments reads the later ones and goes on.
 *
 * A file has several: the catalogue holds series and instances, and one part for each (owner,
 * service) the stacks and contexts of its series, so that a question about one service does not
 * load the others' trees.  Numbers are each dictionary's own.
 *
 * One thread.  After a rollback the dictionary knows more than the file: drop it and load again.
 */
#ifndef STORAGE_DICT_H
#define STORAGE_DICT_H

#include "profile/profile.h"
#include "base/buf.h"
#include "base/index.h"
#include "base/chains.h"

#define DICT_CONTEXTS_MAX ((size_t)1 << 20) /* a file; later ones share the overflow context */

struct dict_series {
	struct hash128 identity;
	uint32_t owner;
	uint32_t name, period_type, period_unit; /* strings */
	int64_t period;
	uint32_t columns_count;
	struct {
		uint32_t type, unit;
		bool gauge;
	} columns[PROFILE_COLUMNS_MAX];
	struct profile_labels labels; /* key and text of each count */
	uint32_t part;                /* of the file's dictionaries: its stacks'; from 1 */
};

/* A node whose hash does not follow from its parent's and its frame's identity. */
struct dict_told {
	uint32_t node;
	struct hash128 hash;
};

/* Growing tables; also what an import reads from, whatever its origin. */
struct dict_tables {
	const struct str *strings;
	size_t strings_count;
	struct profile_module *modules;
	struct profile_frame *frames;
	/* Of what is imported; NULL: not at hand.  A dictionary's are those without a process. */
	struct hash128 *frame_identities;
	size_t identities_count;    /* of the first frames */
	struct profile_node *nodes; /* a batch's; NULL: they are chains, a dictionary's */
	struct chains chains;
	/* A batch's; NULL: they follow, but for those that are told. */
	const struct hash128 *node_hashes;
	struct dict_told *told; /* by node */
	size_t told_count;
	struct profile_label *labels;
	struct profile_labels *contexts;
	struct dict_series *series;
	struct profile_instance *instances; /* `ended` is not used */
	size_t modules_count, frames_count, nodes_count, labels_count, contexts_count, series_count,
	    instances_count;
};

static inline struct profile_node dict_node(const struct dict_tables *t, uint32_t node)
{
	return t->nodes ? t->nodes[node]
			: (struct profile_node){chains_parent(&t->chains, node),
						chains_key(&t->chains, node)};
}

struct dict_counts {
	size_t strings, modules, frames, nodes, labels, contexts, series, instances;
};

struct dict {
	uint64_t id; /* no other dictionary of this process has, or had, the same */
	struct dict_tables t;
	struct intern strings;
	struct dict_counts capacity, written;
	size_t hashes_capacity;
	bool indexed; /* for writing */
	struct index modules, frames, contexts, series, instances;
	struct index stacks;    /* that were asked for, and nodes that are told, by their hashes */
	struct slots children;  /* that do not follow their parent: dict_find_child */
	uint64_t secret[2];     /* of their places */
	struct index parts;     /* of a catalogue, by (owner, service) */
	uint32_t parts_count;   /* the highest number */
	uint32_t owner;         /* of a part: what its frames' identities are scoped by */
	bool odd;               /* a segment told a hash of a frame without a process */
	struct hash128 *hashes; /* of nodes, as many as there were when somebody asked */
	size_t hashes_count;
	size_t told_capacity;
	size_t identities_capacity; /* a reader has those that were asked for */
};

/* `indexed`: things will be added, not only loaded. Returns 0 or -ENOMEM. */
MUST_CHECK int dict_init(struct dict *dict, bool indexed);
void dict_release(struct dict *dict);

/* The identities of all nodes; NULL without memory. */
const struct hash128 *dict_hashes(struct dict *dict);

size_t dict_text_bytes(const struct dict_tables *tables);

/* Whether there is anything that no segment holds yet. */
bool dict_is_dirty(const struct dict *dict);

/* Where the pieces of a segment end, which are worth a frame each (codec_pack_pieces). */
struct dict_pieces {
	size_t ends[8], count;
};
#define DICT_LETTERS 2 /* texts; what names them.  The others are numbers of nodes */

/* Append what is not written to `to`, which is empty, and count it as written; of more text than
 * DICT_SEGMENT_TEXT only the first so many bytes, and a next call goes on.  Returns 0 or
 * -ENOMEM. */
#define DICT_SEGMENT_TEXT ((size_t)64 << 20)
MUST_CHECK int dict_encode(struct dict *dict, struct buf *to, struct dict_pieces *ret_pieces);

/* Count nothing as written: the next segment holds it all. */
void dict_unwrite(struct dict *dict);

/* Add a segment. Returns 0, -EBADMSG (damaged) or -ENOMEM. */
MUST_CHECK int dict_decode(struct dict *dict, struct str segment);

/* The number of a series, or INDEX_NONE. */
uint32_t dict_find_series(const struct dict *dict, struct hash128 identity);

/* Adding what is known to be new, in the dictionary's own numbers. Each returns 0 or -ENOMEM. */
MUST_CHECK int dict_add_string(struct dict *dict, struct str text, uint32_t *ret_id);
MUST_CHECK int dict_add_module(struct dict *dict, const struct profile_module *module);
MUST_CHECK int dict_add_frame(struct dict *dict, const struct profile_frame *frame);
/* `told`: its hash, where it does not follow; NULL. */
MUST_CHECK int dict_add_node(struct dict *dict, struct profile_node node,
			     const struct hash128 *told);
MUST_CHECK int dict_add_context(struct dict *dict, const struct profile_label *labels,
				size_t count);
MUST_CHECK int dict_add_series(struct dict *dict, const struct dict_series *series,
			       const struct profile_label *labels);
MUST_CHECK int dict_add_instance(struct dict *dict, const struct profile_instance *instance);

/* Stacks and frames that some dictionary was asked for lately, each in the one place that its
 * identity gives it: the few that are in every batch are found without a look into tables that are
 * large and cold, and frames without their texts. */
#define DICT_LATELY 8192 /* places for stacks, and as many for frames */
#define DICT_LATELY_ALL (2 * DICT_LATELY)
struct dict_lately {
	uint64_t dict; /* its id */
	struct hash128 hash;
	uint32_t number;
};

/* What of a map was set: maps are long, and of a batch's tables few things are asked for. */
struct dict_marks {
	uint32_t *ids;
	size_t count, capacity;
};

/* Adding with the numbers of another set of tables, remembered from call to call. */
struct dict_import {
	struct dict *to;
	struct dict_tables from;
	uint32_t *strings, *modules, *frames, *nodes, *contexts; /* INDEX_NONE: not met yet */
	struct slots met; /* instead of `nodes`, where they are chains: dict_import_met */
	struct dict_counts capacity, valid; /* valid: below is a number, or INDEX_NONE */
	struct dict_marks strings_set, frames_set;
	struct dict_lately *lately; /* DICT_LATELY_ALL, borrowed, or NULL */
	bool names_only;            /* strings, series and instances: a catalogue has no stacks */
	uint32_t *path;
	size_t path_capacity;
};

/* `from` is borrowed until release. Returns 0 or -ENOMEM. */
MUST_CHECK int dict_import_init(struct dict_import *import, struct dict *to,
				const struct dict_tables *from);
/* Go on with the same tables, which have grown and moved. Returns 0 or -ENOMEM. */
MUST_CHECK int dict_import_follow(struct dict_import *import, const struct dict_tables *from);
/* Begin anew, for others, in the memory that is there; of a zeroed one as dict_import_init. Release
 * it in every case. */
MUST_CHECK int dict_import_again(struct dict_import *import, struct dict *to,
				 const struct dict_tables *from, bool names_only);
void dict_import_release(struct dict_import *import);

/* Each returns 0, -ENOMEM, or -E2BIG when the file's text or numbers are used up. */
MUST_CHECK int dict_import_string(struct dict_import *import, uint32_t id, uint32_t *ret_id);
MUST_CHECK int dict_import_new_node(struct dict_import *import, uint32_t id, uint32_t *ret_id);
MUST_CHECK int dict_import_new_context(struct dict_import *import, uint32_t id, uint32_t *ret_id);

/*
 * Of a dictionary's nodes only stacks that were asked for are remembered, and what others hang on:
 * a number for each node would be as much as both dictionaries' nodes.  Times an odd number is one
 * to one, so that a tag is a node.
 */
static inline uint32_t dict_import_tag(uint32_t node)
{
	return node * UINT32_C(0x9E3779B1);
}

static inline uint32_t dict_import_met(const struct dict_import *import, uint32_t node)
{
	uint32_t tag = dict_import_tag(node);
	size_t at = slots_first(&import->met, tag);

	return node ? slots_next(&import->met, tag, &at) : 0;
}

MUST_CHECK static inline int dict_import_node(struct dict_import *import, uint32_t id,
					      uint32_t *ret_id)
{
	*ret_id = import->from.nodes ? import->nodes[id] : dict_import_met(import, id);
	return *ret_id != INDEX_NONE ? 0 : dict_import_new_node(import, id, ret_id);
}

MUST_CHECK static inline int dict_import_context(struct dict_import *import, uint32_t id,
						 uint32_t *ret_id)
{
	*ret_id = import->contexts[id];
	return *ret_id != INDEX_NONE ? 0 : dict_import_new_context(import, id, ret_id);
}

/* The line that dict_import_node will read first for a node that is not met, for who has others
 * meanwhile. */
static inline struct dict_lately *dict_import_lately(const struct dict_import *import,
						     struct hash128 hash)
{
	return import->lately ? &import->lately[(hash.lo ^ import->to->id) % DICT_LATELY] : NULL;
}

/* What is no stack of `from`: the child of `parent`, a node of `to`, that has this name alone. */
MUST_CHECK int dict_import_child(struct dict_import *import, uint32_t parent, struct str function,
				 uint32_t *ret_id);
/* `series` and `instance` are described with the numbers of `from`. */
MUST_CHECK int dict_import_series(struct dict_import *import, const struct dict_series *series,
				  uint32_t *ret_id);
MUST_CHECK int dict_import_instance(struct dict_import *import,
				    const struct profile_instance *instance, uint32_t *ret_id);

#endif
