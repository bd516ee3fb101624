/* SPDX-License-Identifier: Apache-2.0 */
#include "query/tags.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "query/filter.h"
#include "query/regex.h"

#define UNIT_MAX 32

struct unit {
	const char *names; /* between blanks, lower case, without a plural s */
	double factor;
};

/* Units convert within their family; an unknown one within a family becomes its `standard`. */
struct family {
	struct unit units[7];
	double standard; /* factor of what unknown targets become */
};

static const struct family families[] = {
    {{{" b byte ", 1},
      {" kb kbyte kilobyte ", 1024.0},
      {" mb mbyte megabyte ", 1048576.0},
      {" gb gbyte gigabyte ", 1073741824.0},
      {" tb tbyte terabyte ", 1099511627776.0},
      {" pb pbyte petabyte ", 1125899906842624.0}},
     1},
    {{{" ns nanosecond ", 1},
      {" us \xce\xbcs microsecond ", 1e3},
      {" ms millisecond ", 1e6},
      {" s sec second ", 1e9},
      {" hour hr ", 3.6e12}},
     1e9},
};

struct bound {
	double value;
	char unit[UNIT_MAX];
};

struct query_tags {
	char *key; /* NULL: any */
	size_t key_len;
	bool is_range, has_low, has_high;
	struct bound low, high;
	struct query_regex *patterns[QUERY_TAG_PATTERNS_MAX];
	size_t count;
};

/* ---- units ---- */

static const struct family *unit_find(const char *unit, double *ret_factor)
{
	char wanted[UNIT_MAX + 3];
	size_t len = strnlen(unit, UNIT_MAX - 1);

	wanted[0] = ' ';
	for (size_t i = 0; i < len; i++)
		wanted[i + 1] = (char)tolower((unsigned char)unit[i]);
	if (len > 2 && wanted[len] == 's')
		len--;
	if (!len)
		return NULL;
	wanted[len + 1] = ' ';
	wanted[len + 2] = '\0';
	for (size_t f = 0; f < ARRAY_LEN(families); f++)
		for (const struct unit *u = families[f].units; u->names; u++)
			if (strstr(u->names, wanted)) {
				*ret_factor = u->factor;
				return &families[f];
			}
	return NULL;
}

/* `value` in the unit `to`; *ret_same is false when that cannot be. */
static double unit_convert(int64_t value, const char *from, const char *to, bool *ret_same)
{
	double factor, wanted;
	const struct family *family = unit_find(from, &factor);
	const struct family *other = unit_find(to, &wanted);

	/* A unit of no family is taken for the one that is asked for, as pprof does. */
	*ret_same = !family || family == other;
	if (!family)
		return (double)value;
	return (double)value * factor / (family == other ? wanted : family->standard);
}

/* ---- ranges: 32kb, :64kb, 4mb:, 12kb:64mb ---- */

static bool bound_scan(struct str *text, int64_t *ret_value, char unit[UNIT_MAX])
{
	const char *p = text->ptr, *end = p + text->len;
	uint64_t value = 0;
	bool minus = p < end && *p == '-';
	size_t digits = 0, letters = 0;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	for (; p < end && isdigit((unsigned char)*p); p++, digits++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value) ||
		    value > INT64_MAX)
			return false;
	}
	for (; p < end && isalpha((unsigned char)*p); p++) {
		if (letters == UNIT_MAX - 1)
			return false;
		unit[letters++] = *p;
	}
	unit[letters] = '\0';
	if (!digits)
		return false;
	*ret_value = minus ? -(int64_t)value : (int64_t)value;
	*text = (struct str){p, (size_t)(end - p)};
	return true;
}

/* False: it is no range, so a pattern. */
static bool range_parse(struct query_tags *tags, struct str text)
{
	char unit[UNIT_MAX];
	int64_t value;
	bool same;

	if (text.len && text.ptr[0] == ':') {
		text = (struct str){text.ptr + 1, text.len - 1};
		tags->has_high = bound_scan(&text, &value, tags->high.unit) && !text.len;
		tags->high.value = tags->has_high ? (double)value : 0;
		return tags->has_high;
	}
	if (!bound_scan(&text, &value, tags->low.unit))
		return false;
	tags->has_low = true;
	tags->low.value = (double)value;
	if (!text.len) {
		tags->has_high = true;
		tags->high = tags->low;
		return true;
	}
	if (text.ptr[0] != ':')
		return false;
	text = (struct str){text.ptr + 1, text.len - 1};
	if (!text.len)
		return true;
	if (!bound_scan(&text, &value, unit) || text.len)
		return false;
	tags->high.value = unit_convert(value, unit, tags->low.unit, &same);
	memcpy(tags->high.unit, tags->low.unit, sizeof(unit));
	tags->has_high = same;
	return same;
}

/* ---- the filter ---- */

static int patterns_parse(struct query_tags *tags, struct str text, const char *what,
			  struct err *err)
{
	int rc = 0;

	for (bool more = true; !rc && more;) {
		more = text.len && memchr(text.ptr, ',', text.len);
		if (tags->count == QUERY_TAG_PATTERNS_MAX)
			return err_set(err, -E2BIG, "%s: more than %d patterns", what,
				       QUERY_TAG_PATTERNS_MAX);
		rc = query_regex_new(str_cut(&text, ','), what, &tags->patterns[tags->count], err);
		tags->count += !rc;
	}
	return rc;
}

int query_tags_new(struct str text, const char *what, struct query_tags **ret_tags, struct err *err)
{
	struct query_tags *tags = calloc(1, sizeof(*tags));
	const char *equal = text.len ? memchr(text.ptr, '=', text.len) : NULL;
	int rc = 0;

	if (tags && equal && equal > text.ptr) {
		tags->key_len = (size_t)(equal - text.ptr);
		tags->key = malloc(tags->key_len); /* any bytes */
		if (tags->key)
			memcpy(tags->key, text.ptr, tags->key_len);
	}
	if (!tags || (equal && equal > text.ptr && !tags->key)) {
		query_tags_free(tags);
		return err_set(err, -ENOMEM, "%s: out of memory", what);
	}
	if (equal)
		text = (struct str){equal + 1, (size_t)(text.ptr + text.len - equal) - 1};
	tags->is_range = range_parse(tags, text);
	if (!tags->is_range)
		rc = patterns_parse(tags, text, what, err);
	if (rc) {
		query_tags_free(tags);
		return rc;
	}
	*ret_tags = tags;
	return 0;
}

void query_tags_free(struct query_tags *tags)
{
	if (!tags)
		return;
	for (size_t i = 0; i < tags->count; i++)
		query_regex_free(tags->patterns[i]);
	free(tags->key);
	free(tags);
}

static bool key_is(const struct query_tags *tags, struct str key)
{
	return key.len == tags->key_len && !memcmp(key.ptr, tags->key, key.len);
}

bool query_tags_is_of(const struct query_tags *tags, struct str key)
{
	return tags->key && !tags->is_range && key_is(tags, key);
}

static uint32_t found(const struct query_tags *tags, struct str text)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < tags->count; i++)
		bits |= (uint32_t)query_regex_found(tags->patterns[i], text) << i;
	return bits;
}

uint32_t query_tags_text(const struct query_tags *tags, struct str key, struct str value)
{
	struct buf both;
	uint32_t bits = 0;

	if (tags->is_range || (tags->key && !key_is(tags, key)))
		return 0;
	if (tags->key)
		return found(tags, value);
	buf_init(&both, BUF_UNLIMITED);
	(void)buf_add(&both, key.ptr, key.len);
	(void)buf_add_byte(&both, ':');
	if (!buf_add(&both, value.ptr, value.len))
		bits = found(tags, (struct str){both.data, both.len});
	buf_release(&both);
	return bits;
}

/* A number without a unit is counted in its own name, as pprof takes it. */
static void unit_of(struct str key, struct str unit, char to[UNIT_MAX])
{
	struct str text = unit.len ? unit : key;

	if (!unit.len && (str_is(key, "alignment") || str_is(key, "request")))
		text = STR("bytes");
	text.len = MIN(text.len, (size_t)UNIT_MAX - 1);
	memcpy(to, text.ptr, text.len);
	to[text.len] = '\0';
}

uint32_t query_tags_number(const struct query_tags *tags, struct str key, int64_t value,
			   struct str unit)
{
	char own[UNIT_MAX];
	bool same_low = true, same_high = true;

	if (!tags->is_range || (tags->key && !key_is(tags, key)))
		return 0;
	unit_of(key, unit, own);
	double low = unit_convert(value, own, tags->low.unit, &same_low);
	double high = unit_convert(value, own, tags->high.unit, &same_high);

	return (!tags->has_low || (same_low && low >= tags->low.value)) &&
	       (!tags->has_high || (same_high && high <= tags->high.value));
}

bool query_tags_match(const struct query_tags *tags, uint32_t bits)
{
	if (tags->is_range || tags->key)
		return bits;
	return bits == (UINT32_C(1) << tags->count) - 1;
}
