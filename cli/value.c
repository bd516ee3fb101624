/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/pager.h"

struct scale {
	double from;
	const char *unit;
};

static void scaled(double value, const struct scale *scales, size_t count, char *to, size_t max)
{
	size_t i = 0;

	while (i + 1 < count && fabs(value) < scales[i].from)
		i++;
	double shown = value / scales[i].from;

	(void)snprintf(to, max, shown == floor(shown) ? "%.0f%s" : "%.2f%s", shown, scales[i].unit);
}

void value_format(double value, const char *unit, char *to, size_t max)
{
	static const struct scale times[] = {{3600e9, "hrs"}, {60e9, "mins"}, {1e9, "s"},
					     {1e6, "ms"},     {1e3, "us"},    {1, "ns"}};
	static const struct scale bytes[] = {{1099511627776.0, "TB"},
					     {1073741824.0, "GB"},
					     {1048576.0, "MB"},
					     {1024.0, "kB"},
					     {1, "B"}};

	if (!value)
		(void)snprintf(to, max, "0");
	else if (!strcmp(unit, "nanoseconds"))
		scaled(value, times, ARRAY_LEN(times), to, max);
	else if (!strcmp(unit, "bytes"))
		scaled(value, bytes, ARRAY_LEN(bytes), to, max);
	else
		(void)snprintf(to, max, "%.0f", value);
}

double answer_number(json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

const char *answer_text(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static const char *colour_of(double share)
{
	const char *refused = getenv("NO_COLOR"), *terminal = getenv("TERM");

	if ((refused && *refused) || !terminal || !strcmp(terminal, "dumb") ||
	    !output_is_terminal())
		return NULL;
	return share >= 0.1    ? "\033[1;31m"
	       : share >= 0.05 ? "\033[33m"
	       : share < 0.005 ? "\033[2m"
			       : NULL;
}

void share_begin(double share)
{
	const char *colour = colour_of(share);

	if (colour)
		(void)fputs(colour, stdout);
}

void share_end(double share)
{
	if (colour_of(share))
		(void)fputs("\033[0m", stdout);
}

void name_print(const char *name)
{
	for (const char *c = name; *c; c++) {
		unsigned char u = (unsigned char)*c;

		/* C1 controls reach a terminal as UTF-8: 0xc2 and 0x80 to 0x9f. */
		if (u < 0x20 || u == 0x7f ||
		    (u == 0xc2 && (unsigned char)c[1] >= 0x80 && (unsigned char)c[1] < 0xa0))
			(void)printf("\\x%02x", u);
		else
			(void)putchar(u);
	}
}
