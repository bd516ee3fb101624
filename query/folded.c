/* SPDX-License-Identifier: Apache-2.0 */
#include "query/folded.h"

#include "base/utf8.h"

void folded_name(struct buf *out, struct str name)
{
	const uint8_t *p = (const uint8_t *)name.ptr;

	for (size_t i = 0, n; i < name.len; i += n) {
		n = utf8_length(p + i, name.len - i);
		if (!n) {
			(void)buf_add_str(out, UTF8_REPLACEMENT);
			n = 1;
		} else if (p[i] == ';' || p[i] < 0x20 || p[i] == 0x7f) {
			(void)buf_printf(out, "\\x%02x", p[i]);
		} else {
			(void)buf_add(out, p + i, n);
		}
	}
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Only what folded_name escapes: other backslashes are the name's own. */
static bool escape_at(struct str s, size_t i, uint8_t *ret_byte)
{
	if (s.len - i < 4 || s.ptr[i] != '\\' || s.ptr[i + 1] != 'x' || digit(s.ptr[i + 2]) < 0 ||
	    digit(s.ptr[i + 3]) < 0)
		return false;
	*ret_byte = (uint8_t)(digit(s.ptr[i + 2]) << 4 | digit(s.ptr[i + 3]));
	return *ret_byte == ';' || *ret_byte < 0x20 || *ret_byte == 0x7f;
}

bool folded_next(struct str *stack, struct buf *name)
{
	uint8_t byte;

	if (!stack->len)
		return false;
	struct str first = str_cut(stack, ';');

	buf_clear(name);
	for (size_t i = 0; i < first.len; i++) {
		if (escape_at(first, i, &byte)) {
			(void)buf_add_byte(name, byte);
			i += 3;
		} else {
			(void)buf_add_byte(name, (uint8_t)first.ptr[i]);
		}
	}
	return true;
}
