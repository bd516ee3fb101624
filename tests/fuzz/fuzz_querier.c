/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A question to Pyroscope's querier: the first byte chooses the method, the second whether the rest
 * is a request in binary form, one in JSON, or an answer that is to become JSON.
 */
#include <errno.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "wire/protojson.h"
#include "wire/querier.h"

/* Reads every byte that an item claims. */
static void list_check(const struct querier_list *list)
{
	unsigned sum = 0;

	FUZZ_CHECK(list->count <= QUERIER_LIST_MAX);
	for (size_t i = 0; i < list->count; i++)
		for (size_t k = 0; k < list->items[i].len; k++)
			sum += (unsigned char)list->items[i].ptr[k];
	FUZZ_CHECK(sum < UINT32_MAX);
}

static void decode(const struct querier_method *method, struct proto_reader bytes)
{
	struct querier_request request, side;
	struct err err = {0};
	int rc = querier_decode(method, bytes, &request, &err);

	FUZZ_CHECK(rc == 0 || ((rc == -EINVAL || rc == -E2BIG) && err.message[0]));
	if (rc)
		return;
	list_check(&request.matchers);
	list_check(&request.labels);
	list_check(&request.call_site);
	list_check(&request.spans);
	if (request.has_left)
		(void)!querier_decode(querier_method_find(STR("SelectMergeStacktraces")),
				      request.left, &side, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct querier_method *method = len < 2 ? NULL : querier_method_at(bytes[0] % 16);
	struct err err = {0};
	struct json json;
	struct buf out;

	if (!method)
		return 0;
	struct str rest = {(const char *)bytes + 2, len - 2};

	buf_init(&out, (size_t)16 << 20);
	if (bytes[1] % 3 == 0) {
		decode(method, proto_reader_of(rest.ptr, rest.len));
	} else if (bytes[1] % 3 == 1) {
		if (!querier_of_json(method, rest, (size_t)8 << 20, "limit", &out, &err))
			decode(method, proto_reader_of(out.data ? out.data : "", out.len));
	} else {
		json_init(&json, &out);
		(void)!wire_protojson(proto_reader_of(rest.ptr, rest.len), method->response, &json);
	}
	buf_release(&out);
	return 0;
}
