/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/connect_error.h"

#include <errno.h>

#include "base/json.h"

static const struct connect_code {
	int rc, status;
	const char *name;
} codes[] = {
    {-EINVAL, 400, "invalid_argument"},
    {-E2BIG, 429, "resource_exhausted"},
    {-EDQUOT, 429, "resource_exhausted"},
    {-EOPNOTSUPP, 501, "unimplemented"},
    {-ENOENT, 404, "not_found"},
    {-EPERM, 403, "permission_denied"},
    {-EAGAIN, 503, "unavailable"},
    {-ENOMEM, 503, "unavailable"},
    {-ENOSPC, 503, "unavailable"},
    {-ETIME, 504, "deadline_exceeded"},
    {0, 500, "internal"}, /* any other */
};

int connect_error_write(struct buf *out, int rc, const char *message)
{
	const struct connect_code *code = codes;
	struct json json;

	while (code->rc && code->rc != rc)
		code++;
	json_init(&json, out);
	json_open(&json, '{');
	json_key_text(&json, "code", code->name);
	json_key_text(&json, "message", message);
	json_close(&json, '}');
	return code->status;
}
