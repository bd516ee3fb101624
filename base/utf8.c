/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

size_t utf8_length(const uint8_t *p, size_t left)
{
	static const struct {
		uint8_t first, last, second_min, second_max, length;
	} shapes[] = {
	    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
	    {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
	    {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	if (p[0] < 0x80)
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		if (p[0] < shapes[i].first || p[0] > shapes[i].last)
			continue;
		if (left < shapes[i].length || p[1] < shapes[i].second_min ||
		    p[1] > shapes[i].second_max)
			return 0;
		for (size_t k = 2; k < shapes[i].length; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return shapes[i].length;
	}
	return 0;
}
