/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/dict_tables.h - how things are found in a dictionary: what adding (dict.c) and importing
 * (dict_import.c, dict_decode.c) share. Private to these.
 */
#ifndef STORAGE_DICT_TABLES_H
#define STORAGE_DICT_TABLES_H

#include "storage/dict.h"

/* Keys of the indexes; padding and unused fields are zero. */
struct hash128 dict_module_key(const struct profile_module *module);
struct hash128 dict_frame_key(const struct profile_frame *frame);
struct hash128 dict_instance_key(const struct profile_instance *instance);
struct hash128 dict_part_key(const struct dict *dict, uint32_t owner,
			     const struct profile_label *labels, size_t count);

/* The child of `parent` whose frame has this identity, and whose hash follows; or INDEX_NONE. */
uint32_t dict_find_child(const struct dict *dict, uint32_t parent, struct hash128 identity);

/* The hash of a node that is told, or NULL. */
const struct hash128 *dict_told_hash(const struct dict_tables *tables, uint32_t node);

/* Identities of the frames so far: of what every file of this owner has, without a process.
 * Returns 0 or -ENOMEM. */
MUST_CHECK int dict_identify(struct dict *dict);

/* As dict_add_string and dict_add_frame, for who knows tag and key already. */
MUST_CHECK int dict_add_string_tagged(struct dict *dict, uint32_t tag, struct str text,
				      uint32_t *ret_id);
/* `identity`: where it is at hand. */
MUST_CHECK int dict_add_frame_keyed(struct dict *dict, const struct profile_frame *frame,
				    struct hash128 key, const struct hash128 *identity);

/* The node behind the last, which stands in `chains` already, becomes one. Returns 0 or -ENOMEM. */
MUST_CHECK int dict_accept_node(struct dict *dict, const struct hash128 *told);

/* Room for `more` nodes. Returns 0 or -ENOMEM. */
MUST_CHECK int dict_reserve_nodes(struct dict *dict, size_t more);

/* For which there is room: the node that was added last gets a child. */
static inline void dict_add_only_child(struct dict *d, uint32_t frame)
{
	chains_go_on(&d->t.chains, frame);
	d->t.nodes_count++;
}

#endif
