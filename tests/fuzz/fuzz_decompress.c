/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "tests/fuzz/fuzz.h"
#include "wire/decompress.h"

/* Whatever the bytes are: no more comes out than the limits allow. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct decompress_limits limits = {(size_t)1 << 20, (size_t)4 << 20, 100,
						 "compressed",    "plain",         "ratio"};
	struct err err = {0};
	struct buf plain;
	int rc = wire_decompress(bytes, len, &limits, &plain, &err);

	FUZZ_CHECK(rc == 0 || rc == -EINVAL || rc == -E2BIG || rc == -ENOMEM);
	FUZZ_CHECK(rc == 0 || err.message[0]);
	if (rc)
		return 0;
	FUZZ_CHECK(plain.len <= limits.plain_bytes);
	FUZZ_CHECK(plain.len <= len * 100 || plain.len <= DECOMPRESS_RATIO_FREE);
	buf_release(&plain);
	return 0;
}
