/* SPDX-License-Identifier: Apache-2.0 */
/* The first line is the Content-Type, the rest the body. Parts lie inside the body, one behind
 * another. */
#include <errno.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "wire/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *text = (const char *)bytes, *end = len ? memchr(text, '\n', len) : NULL;
	struct multipart m;
	struct multipart_part part;
	struct err err = {0};
	const char *last;
	int rc;

	if (!end)
		return 0;
	struct str body = {end + 1, (size_t)(text + len - end - 1)};

	(void)multipart_is((struct str){text, (size_t)(end - text)});
	rc = multipart_init(&m, (struct str){text, (size_t)(end - text)}, body, &err);
	last = body.ptr;
	while (!rc && (rc = multipart_next(&m, &part, &err)) == 1) {
		FUZZ_CHECK(part.data.ptr >= last && part.data.ptr + part.data.len <= text + len);
		last = part.data.ptr + part.data.len;
		rc = 0;
	}
	FUZZ_CHECK(rc == 0 || ((rc == -EINVAL || rc == -E2BIG) && err.message[0]));
	return 0;
}
