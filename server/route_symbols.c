/* SPDX-License-Identifier: Apache-2.0 */
/* POST /api/v1/symbols?build_id=HEX: a debug file or a binary, to name frames that have no name. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/json.h"
#include "server/route.h"

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int build_id_parse(const char *text, struct symbols_id *id, struct err *err)
{
	size_t len = text ? strlen(text) : 0;

	if (len < 8 || len > 2 * PROFILE_BUILD_ID_MAX || len % 2)
		return err_set(err, -EINVAL, "build_id: 8 to %d lower-case hexadecimal digits",
			       2 * PROFILE_BUILD_ID_MAX);
	for (size_t i = 0; i < len; i += 2) {
		int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);

		if (high < 0 || low < 0)
			return err_set(err, -EINVAL,
				       "build_id: \"%.80s\" is not lower-case hexadecimal", text);
		id->build_id[id->len++] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

static int body_to_fd(struct str body, int *ret_fd, struct err *err)
{
	int CLOSING fd = memfd_create("hearth-symbols", MFD_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "symbols: %s", strerror(errno));
	int rc = fd_write_all(fd, body.ptr, body.len);

	if (rc)
		return err_set(err, rc, "symbols: %s", strerror(-rc));
	*ret_fd = fd;
	fd = -1;
	return 0;
}

void route_symbols(struct route_call *call)
{
	struct symbols_id id = {.owner = call->request->caller.uid};
	struct err err = {0};
	struct json json;
	int fd = -1;
	int rc = build_id_parse(http_query(call->request, "build_id"), &id, &err);

	if (!rc)
		rc = body_to_fd(call->request->body, &fd, &err);
	/* Root speaks for the host; anybody else's file names their own frames alone. */
	if (!rc)
		rc = symbols_read_now(call->agent->symbols, fd, &id, call->request->caller.uid == 0,
				      &err);
	if (rc) {
		route_fail(call, rc, &err);
		return;
	}
	json_init(&json, &call->answer->body);
	json_open(&json, '{');
	json_key_text(&json, "schema", "hearth.symbols/1");
	json_key(&json, "stored");
	json_bool(&json, true);
	json_close(&json, '}');
}
