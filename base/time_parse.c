/* SPDX-License-Identifier: Apache-2.0 */
#include "base/time_parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TEXT_MAX 64

static int wrong(struct str text, const char *what, struct err *err)
{
	return err_set(
	    err, -EINVAL,
	    "%s \"%.*s\" is not understood: write RFC 3339, Unix s/ms/us/ns, now, now-1h", what,
	    (int)MIN(text.len, (size_t)TEXT_MAX), text.ptr);
}

/* One "90s": number and unit. Returns the place behind it, or NULL. */
static const char *duration_part(const char *p, const char *end, int64_t *sum)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {
	    {"ms", NS_PER_MS},       {"us", NS_PER_US},           {"ns", 1},
	    {"s", NS_PER_S},         {"m", 60 * NS_PER_S},        {"h", 3600 * NS_PER_S},
	    {"d", 86400 * NS_PER_S}, {"w", 7 * 86400 * NS_PER_S},
	};
	int64_t number = 0;
	const char *digits = p;

	for (; p < end && isdigit((unsigned char)*p); p++) {
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, *p - '0', &number))
			return NULL;
	}
	if (p == digits)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		size_t len = strlen(units[i].name);

		if ((size_t)(end - p) < len || memcmp(p, units[i].name, len))
			continue;
		if (p + len < end && !isdigit((unsigned char)p[len]))
			continue;
		if (__builtin_mul_overflow(number, units[i].ns, &number) ||
		    __builtin_add_overflow(*sum, number, sum))
			return NULL;
		return p + len;
	}
	return NULL;
}

int duration_parse(struct str text, int64_t *ret_ns, struct err *err)
{
	const char *p = text.ptr, *end = text.ptr + text.len;
	int64_t sum = 0;
	char with_unit[TEXT_MAX];
	bool bare = text.len > 0;

	for (size_t i = 0; i < text.len; i++)
		bare = bare && isdigit((unsigned char)text.ptr[i]);
	if (bare && text.len < TEXT_MAX - 2) {
		memcpy(with_unit, text.ptr, text.len);
		with_unit[text.len] = 's';
		p = with_unit;
		end = with_unit + text.len + 1;
	}
	if (p == end)
		return err_set(err, -EINVAL, "an empty duration: write 90s, 15m, 1h30m, 2d");
	while (p && p < end)
		p = duration_part(p, end, &sum);
	if (!p)
		return err_set(err, -EINVAL,
			       "duration \"%.*s\" is not understood: write 90s, 15m, "
			       "1h30m, 2d",
			       (int)MIN(text.len, (size_t)TEXT_MAX), text.ptr);
	*ret_ns = sum;
	return 0;
}

/* now, now-1h, now+5m, -1h */
static int relative(struct str text, int64_t now_ns, int64_t *ret_ns, struct err *err)
{
	struct str rest = text;
	int64_t offset = 0;

	if (rest.len >= 3 && !memcmp(rest.ptr, "now", 3)) {
		rest.ptr += 3;
		rest.len -= 3;
	}
	if (!rest.len) {
		*ret_ns = now_ns;
		return 0;
	}
	bool minus = rest.ptr[0] == '-';
	struct str duration = {rest.ptr + 1, rest.len - 1};

	if ((!minus && rest.ptr[0] != '+') || duration_parse(duration, &offset, NULL) < 0)
		return wrong(text, "time", err);
	if (__builtin_add_overflow(now_ns, minus ? -offset : offset, ret_ns))
		return wrong(text, "time", err);
	return 0;
}

static int unix_time(struct str text, int64_t *ret_ns, struct err *err)
{
	static const struct {
		size_t digits;
		int64_t ns;
	} units[] = {{11, NS_PER_S}, {14, NS_PER_MS}, {17, NS_PER_US}, {20, 1}};
	size_t digits = 0;
	int64_t number = 0, fraction = 0, scale = NS_PER_S;

	for (; digits < text.len && isdigit((unsigned char)text.ptr[digits]); digits++) {
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, text.ptr[digits] - '0', &number))
			return wrong(text, "time", err);
	}
	bool has_fraction = digits < text.len && text.ptr[digits] == '.';

	for (size_t i = digits + 1; has_fraction && i < text.len; i++) {
		if (!isdigit((unsigned char)text.ptr[i]))
			return wrong(text, "time", err);
		scale /= 10;
		fraction += (text.ptr[i] - '0') * scale;
	}
	if (!digits || (!has_fraction && digits != text.len) || (has_fraction && digits > 11))
		return wrong(text, "time", err);
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (digits > units[i].digits)
			continue;
		if (__builtin_mul_overflow(number, units[i].ns, &number) ||
		    __builtin_add_overflow(number, fraction, ret_ns))
			break;
		return 0;
	}
	return wrong(text, "time", err);
}

static int rfc3339(struct str text, int64_t *ret_ns, struct err *err)
{
	char copy[TEXT_MAX];
	struct tm tm = {0};
	int used = 0, hours = 0, minutes = 0;
	int64_t fraction = 0, scale = NS_PER_S;

	if (text.len >= sizeof(copy))
		return wrong(text, "time", err);
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	if (sscanf(copy, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6 ||
	    !used)
		return wrong(text, "time", err);
	const char *p = copy + used;

	if (*p == '.')
		for (p++; isdigit((unsigned char)*p); p++) {
			scale /= 10;
			fraction += (*p - '0') * scale;
		}
	if (*p == '+' || *p == '-') {
		int sign = *p == '-' ? -1 : 1;

		used = 0;
		if (sscanf(p + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || !used ||
		    p[1 + used])
			return wrong(text, "time", err);
		hours *= sign;
		minutes *= sign;
	} else if ((*p != 'Z' && *p != 'z') || p[1]) {
		return wrong(text, "time", err);
	}
	if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60 || tm.tm_year > 2260)
		return wrong(text, "time", err);
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	int64_t seconds = (int64_t)timegm(&tm) - hours * 3600 - minutes * 60;

	if (__builtin_mul_overflow(seconds, NS_PER_S, ret_ns) ||
	    __builtin_add_overflow(*ret_ns, fraction, ret_ns))
		return wrong(text, "time", err);
	return 0;
}

int time_parse(struct str text, int64_t now_ns, int64_t *ret_ns, struct err *err)
{
	if (!text.len)
		return wrong(text, "time", err);
	if (text.ptr[0] == 'n' || text.ptr[0] == '-' || text.ptr[0] == '+')
		return relative(text, now_ns, ret_ns, err);
	if (text.len > 10 && text.ptr[4] == '-')
		return rfc3339(text, ret_ns, err);
	return unix_time(text, ret_ns, err);
}
