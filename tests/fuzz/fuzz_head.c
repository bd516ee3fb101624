/* SPDX-License-Identifier: Apache-2.0 */
/* The head of a request: what is accepted once is accepted whatever follows it. */
#include <stdlib.h>
#include <string.h>

#include "server/head.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const char *const hosts[] = {"example.org", NULL};
	static const struct head_rules rules = {.hosts = hosts};
	struct err err;
	int status = 0;
	int end = head_check((const char *)bytes, len, &rules, &status, &err);

	if (end < 0 && (status < 400 || status > 599))
		abort();
	if (end > 0 && ((size_t)end > len ||
			head_check((const char *)bytes, (size_t)end, &rules, &status, &err) != end))
		abort();
	return 0;
}
