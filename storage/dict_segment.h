/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/dict_segment.h - what writing (dict_encode.c) and reading (dict_decode.c) of segments
 * share.  Private to these.
 *
 * A segment has for each table the number of new entries, then the entries, as varints; numbers of
 * parents and frames are deltas from the entry before.  A long one has its nodes behind all else,
 * in pieces of one kind each.  The layout stands in docs/formats/storage.md.
 */
#ifndef STORAGE_DICT_SEGMENT_H
#define STORAGE_DICT_SEGMENT_H

#include "storage/dict.h"

/* How the frames of a segment's nodes are written; the last is of releases before NODES_APART. */
enum { FRAMES_PLAIN, FRAMES_DELTAS, FRAMES_APART };

/* Begins a segment that has its nodes apart; as a count of strings it would be damage. */
#define NODES_APART UINT64_MAX

/* Code without a file has its process in its identity. */
static inline bool dict_has_process(const struct profile_frame *frame)
{
	return !frame->module && frame->flags & PROFILE_FRAME_ADDRESS;
}

static inline struct dict_counts dict_counts_of(const struct dict *d)
{
	return (struct dict_counts){d->strings.count,  d->t.modules_count,  d->t.frames_count,
				    d->t.nodes_count,  d->t.labels_count,   d->t.contexts_count,
				    d->t.series_count, d->t.instances_count};
}

#endif
