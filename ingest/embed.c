/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/embed.h"

#include <errno.h>

#include "ingest/ingest.h"

int ingest_embedded_plain(const struct ingest_request *part, size_t *left, struct buf *ret_plain,
			  struct err *err)
{
	struct ingest_limits limits = part->limits ? *part->limits : ingest_limits_default;

	if (!*left)
		return err_set(err, -E2BIG,
			       "the request's bodies together are above %zu bytes decompressed "
			       "(limits.decompressed_bytes)",
			       limits.decompressed_bytes);
	limits.decompressed_bytes = *left;
	int rc = ingest_decompress(part->body.ptr, part->body.len, &limits, ret_plain, err);

	if (!rc)
		*left -= ret_plain->len;
	return rc;
}

int ingest_embedded(const struct ingest_request *part, const struct ingest_protocol *format,
		    size_t *left, struct profile_builder *out, struct ingest_findings *findings,
		    struct err *err)
{
	struct ingest_request plain_part = *part;
	struct buf plain;
	int rc = ingest_embedded_plain(part, left, &plain, err);

	if (rc)
		return rc;
	plain_part.body = (struct str){plain.data ? plain.data : "", plain.len};
	if (!format)
		format = ingest_sniff(&plain_part);
	rc = format ? format->decode(&plain_part, out, findings, err)
		    : err_set(err, -EOPNOTSUPP, "a body is in no format that is known here");
	buf_release(&plain);
	return rc;
}
