/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/tree.h - Pyroscope's two serialised trees, which differ in what a node's name is.  Private
 * to ingest/.
 */
#ifndef INGEST_TREE_H
#define INGEST_TREE_H

#include "ingest/protocol.h"

/* `joined`: names are pieces of "root;...;leaf", to be joined as they are (a trie of texts);
 * otherwise each is a frame.  Returns as decode does. */
MUST_CHECK int ingest_tree_decode(const struct ingest_request *request, bool joined,
				  struct profile_builder *out, struct ingest_findings *findings,
				  struct err *err);

#endif
