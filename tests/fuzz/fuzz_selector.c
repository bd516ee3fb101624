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

/* Labels of one letter are known, and are the text itself. */
static bool known(void *arg, struct str name, struct str *ret_value)
{
	*ret_value = *(struct str *)arg;
	return name.len == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct str text = {(const char *)bytes, len};
	struct selector *selector = NULL;
	struct err err;
	int64_t ns;

	if (selector_parse(text, &selector, &err) == 0) {
		struct str value = text;
		bool all = selector_matches(selector, label, &text);

		FUZZ_CHECK(!selector_value(selector, STR("service"), &value) || value.len <= len);
		FUZZ_CHECK(selector_rename(selector, STR("service"), STR("s")) == 0);
		FUZZ_CHECK(!selector_value(selector, STR("service"), &value));
		/* Whether all hold does not depend on which are asked first. */
		bool settled = selector_settle(selector, known, &text);

		FUZZ_CHECK((settled && selector_matches(selector, label, &text)) == all);
	}
	selector_free(selector);
	if (time_parse(text, 0, &ns, &err) == 0)
		return 0;
	if (duration_parse(text, &ns, &err) == 0)
		return 0;
	return 0;
}
