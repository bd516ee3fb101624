/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/tree.h"

static int trie_decode(const struct ingest_request *request, struct profile_builder *out,
		       struct ingest_findings *findings, struct err *err)
{
	return ingest_tree_decode(request, true, out, findings, err);
}

const struct ingest_protocol ingest_trie = {
    .name = "trie",
    .decode = trie_decode,
};
