/* SPDX-License-Identifier: Apache-2.0 */
/* What gRPC says on top of HTTP/2: the first byte chooses headers, up to a NUL, before the body. */
#include <errno.h>
#include <string.h>

#include "server/grpc.h"
#include "tests/fuzz/fuzz.h"

static void text_check(const char *text)
{
	char message[GRPC_MESSAGE_MAX], details[GRPC_DETAILS_MAX];
	int64_t ns = -1;

	(void)grpc_is_proto(text);
	if (grpc_timeout_parse(text, &ns) == 0)
		FUZZ_CHECK(ns >= 0);
	grpc_message_encode(text, message);
	FUZZ_CHECK(strlen(message) < sizeof(message));
	for (const char *c = message; *c; c++)
		FUZZ_CHECK(*c >= ' ' && *c <= '~');
	grpc_details_encode(GRPC_UNAVAILABLE, text, details);
	FUZZ_CHECK(*details && strlen(details) < sizeof(details));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *nul = len ? memchr(bytes, '\0', len) : NULL;
	struct str body, message = { 0 };
	struct err err;

	if (!nul)
		return 0;
	text_check((const char *)bytes);
	body = (struct str){ nul + 1, len - (size_t)(nul + 1 - (const char *)bytes) };
	int rc = grpc_unary(body, (const char *)bytes, &message, &err);

	FUZZ_CHECK(rc == 0 || rc == -EINVAL || rc == -EOPNOTSUPP);
	if (rc)
		return 0;
	FUZZ_CHECK(message.ptr == body.ptr + GRPC_HEAD && message.len == body.len - GRPC_HEAD);
	/* What is written is read again. */
	struct buf out;
	struct str again;

	buf_init(&out, BUF_UNLIMITED);
	grpc_message_put(&out, message);
	FUZZ_CHECK(!grpc_unary((struct str){ out.data, out.len }, "", &again, &err));
	FUZZ_CHECK(again.len == message.len);
	buf_release(&out);
	return 0;
}
