/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, int code, const char *fmt, ...)
{
	if (!err)
		return code;
	va_list args;

	err->code = code;
	va_start(args, fmt);
	(void)vsnprintf(err->message, sizeof(err->message), fmt, args);
	va_end(args);
	return code;
}

int err_prefix(struct err *err, int code, const char *fmt, ...)
{
	if (!err)
		return code;
	char prefix[sizeof(err->message) / 2], was[sizeof(err->message)];
	va_list args;

	memcpy(was, err->message, sizeof(was));
	va_start(args, fmt);
	(void)vsnprintf(prefix, sizeof(prefix), fmt, args);
	va_end(args);
	(void)snprintf(err->message, sizeof(err->message), "%s: %.*s", prefix,
		       (int)(sizeof(err->message) - sizeof(prefix) - 3), was);
	err->code = code;
	return code;
}
