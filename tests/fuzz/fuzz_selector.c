/* SPDX-License-Identifier: Apache-2.0 */
/* Selectors and times, as a query string brings them. */
#include "query/selector.h"
#include "base/time_parse.h"
#include "tests/fuzz/fuzz.h"

static struct str label(void *arg, struct str name)
{
	(void)name;
	return *(struct str *)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct str text = { (const char *)bytes, len };
	struct selector *selector = NULL;
	struct err err;
	int64_t ns;

	if (selector_parse(text, &selector, &err) == 0)
		(void)selector_matches(selector, label, &text);
	selector_free(selector);
	if (time_parse(text, 0, &ns, &err) == 0)
		return 0;
	if (duration_parse(text, &ns, &err) == 0)
		return 0;
	return 0;
}
