/* SPDX-License-Identifier: Apache-2.0 */
#include "server/grpc.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "wire/protobuf.h"

/* ---- content types ---- */

#define TYPE "application/grpc"

bool grpc_is_content_type(const char *type)
{
	return !strncasecmp(type, TYPE, strlen(TYPE)) && strchr("+; ", type[strlen(TYPE)]);
}

bool grpc_is_proto(const char *type)
{
	if (!grpc_is_content_type(type))
		return false;
	const char *rest = type + strlen(TYPE);

	return *rest != '+' || (!strncasecmp(rest, "+proto", 6) && strchr("; ", rest[6]));
}

/* ---- messages ---- */

static bool is_gzip(struct str bytes)
{
	return bytes.len >= 2 && (uint8_t)bytes.ptr[0] == 0x1f && (uint8_t)bytes.ptr[1] == 0x8b;
}

static int compressed_check(struct str message, const char *encoding, struct err *err)
{
	if (!*encoding || !strcasecmp(encoding, "identity"))
		return err_set(err, -EINVAL,
			       "grpc: the message is compressed and grpc-encoding is not given");
	if (!is_gzip(message))
		return err_set(err, -EINVAL, "grpc: the message is said to be gzip and is not");
	return 0;
}

int grpc_unary(struct str body, const char *encoding, struct str *ret_message, struct err *err)
{
	const uint8_t *head = (const uint8_t *)body.ptr;

	if (*encoding && strcasecmp(encoding, "gzip") && strcasecmp(encoding, "identity"))
		return err_set(err, -EOPNOTSUPP,
			       "grpc: grpc-encoding \"%.40s\" is not undone here: gzip, identity",
			       encoding);
	if (body.len < GRPC_HEAD)
		return err_set(err, -EINVAL, "grpc: a call without a whole message");
	uint32_t len =
	    (uint32_t)head[1] << 24 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 8 | head[4];
	struct str message = {body.ptr + GRPC_HEAD, body.len - GRPC_HEAD};

	if (head[0] > 1)
		return err_set(err, -EINVAL, "grpc: a message with flags %u", head[0]);
	if (len > message.len)
		return err_set(err, -EINVAL, "grpc: a message of %u bytes ends after %zu", len,
			       message.len);
	if (len < message.len)
		return err_set(err, -EINVAL, "grpc: more than one message in a unary call");
	if (head[0]) {
		int rc = compressed_check(message, encoding, err);

		if (rc)
			return rc;
	}
	*ret_message = message;
	return 0;
}

void grpc_message_put(struct buf *to, struct str message)
{
	const uint8_t head[GRPC_HEAD] = {0, (uint8_t)(message.len >> 24),
					 (uint8_t)(message.len >> 16), (uint8_t)(message.len >> 8),
					 (uint8_t)message.len};

	(void)buf_add(to, head, sizeof(head));
	if (message.len)
		(void)buf_add(to, message.ptr, message.len);
}

/* ---- timeouts ---- */

int grpc_timeout_parse(const char *text, int64_t *ret_ns)
{
	static const char units[] = "HMSmun";
	static const int64_t ns[] = {3600 * NS_PER_S, 60 * NS_PER_S, NS_PER_S,
				     NS_PER_MS,       NS_PER_US,     1};
	int64_t value = 0;
	size_t digits = 0;

	for (; text[digits] >= '0' && text[digits] <= '9'; digits++) {
		if (digits == 8)
			return -EINVAL;
		value = value * 10 + (text[digits] - '0');
	}
	const char *unit = text[digits] ? strchr(units, text[digits]) : NULL;

	if (!digits || !unit || text[digits + 1])
		return -EINVAL;
	if (__builtin_mul_overflow(value, ns[unit - units], ret_ns))
		*ret_ns = INT64_MAX;
	return 0;
}

/* ---- statuses ---- */

void grpc_message_encode(const char *text, char to[GRPC_MESSAGE_MAX])
{
	static const char hex[] = "0123456789ABCDEF";
	size_t len = 0;

	for (; *text && len + 4 <= GRPC_MESSAGE_MAX; text++) {
		uint8_t c = (uint8_t)*text;

		if (c >= ' ' && c <= '~' && c != '%') {
			to[len++] = *text;
			continue;
		}
		to[len++] = '%';
		to[len++] = hex[c >> 4];
		to[len++] = hex[c & 15];
	}
	to[len] = '\0';
}

static void base64(const uint8_t *from, size_t len, char *to)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	/* Without padding, as gRPC's binary values are written. */
	for (size_t i = 0; i < len; i += 3) {
		uint32_t three = (uint32_t)from[i] << 16 |
				 (i + 1 < len ? (uint32_t)from[i + 1] << 8 : 0) |
				 (i + 2 < len ? from[i + 2] : 0);
		size_t chars = MIN(len - i, (size_t)3) + 1;

		for (size_t k = 0; k < chars; k++)
			*to++ = digits[three >> (18 - 6 * k) & 63];
	}
	*to = '\0';
}

/*
 *	Status      1 code, 2 message, 3 details (Any)
 *	Any         1 type_url, 2 value: RetryInfo
 *	RetryInfo   1 retry_delay (Duration: 1 seconds)
 */
void grpc_details_encode(enum grpc_status status, const char *text, char to[GRPC_DETAILS_MAX])
{
	static const char url[] = "type.googleapis.com/google.rpc.RetryInfo";
	struct buf out;

	buf_init(&out, (GRPC_DETAILS_MAX - 1) / 4 * 3);
	proto_put_varint(&out, 1, status);
	proto_put_bytes(&out, 2, text, strnlen(text, 320));
	size_t any = proto_message_begin(&out, 3);

	proto_put_bytes(&out, 1, url, sizeof(url) - 1);
	size_t info = proto_message_begin(&out, 2);
	size_t delay = proto_message_begin(&out, 1);

	proto_put_varint(
	    &out, 1, status == GRPC_RESOURCE_EXHAUSTED ? GRPC_QUOTA_SECONDS : GRPC_RETRY_SECONDS);
	proto_message_end(&out, delay);
	proto_message_end(&out, info);
	proto_message_end(&out, any);
	to[0] = '\0';
	if (!out.failed)
		base64((const uint8_t *)out.data, out.len, to);
	buf_release(&out);
}
