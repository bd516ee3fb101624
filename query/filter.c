/* SPDX-License-Identifier: Apache-2.0 */
#include "query/filter.h"

#include <errno.h>
#include <string.h>

#include "query/context.h"
#include "query/regex.h"
#include "query/reshape.h"
#include "query/skeleton.h"
#include "query/tags.h"

enum pattern { FOCUS, IGNORE, HIDE, SHOW, SHOW_FROM, PATTERNS };

struct query_filter {
	struct query_regex *patterns[PATTERNS];
	struct query_tags *tagfocus, *tagignore;
};

static int pattern_new(struct query_filter *filter, enum pattern which, const char *text,
		       struct err *err)
{
	static const char *const names[PATTERNS] = {"focus", "ignore", "hide", "show", "show_from"};

	if (!text || !*text)
		return 0;
	return query_regex_new(str_of(text), names[which], &filter->patterns[which], err);
}

static bool is_empty(const struct query_filter *filter)
{
	return !query_filter_has_names(filter) && !filter->tagfocus && !filter->tagignore;
}

int query_filter_new(const struct query_filter_text *text, struct query_filter **ret_filter,
		     struct err *err)
{
	const char *const patterns[PATTERNS] = {text->focus, text->ignore, text->hide, text->show,
						text->show_from};
	struct query_filter *filter = calloc(1, sizeof(*filter));
	int rc = filter ? 0 : err_set(err, -ENOMEM, "filter: out of memory");

	for (int i = 0; !rc && i < PATTERNS; i++)
		rc = pattern_new(filter, (enum pattern)i, patterns[i], err);
	if (!rc && text->tagfocus && *text->tagfocus)
		rc = query_tags_new(str_of(text->tagfocus), "tagfocus", &filter->tagfocus, err);
	if (!rc && text->tagignore && *text->tagignore)
		rc = query_tags_new(str_of(text->tagignore), "tagignore", &filter->tagignore, err);
	if (rc || is_empty(filter)) {
		query_filter_free(filter);
		filter = NULL;
	}
	if (!rc)
		*ret_filter = filter;
	return rc;
}

void query_filter_free(struct query_filter *filter)
{
	if (!filter)
		return;
	for (size_t i = 0; i < PATTERNS; i++)
		query_regex_free(filter->patterns[i]);
	query_tags_free(filter->tagfocus);
	query_tags_free(filter->tagignore);
	free(filter);
}

bool query_filter_has_names(const struct query_filter *filter)
{
	for (size_t i = 0; filter && i < PATTERNS; i++)
		if (filter->patterns[i])
			return true;
	return false;
}

bool query_filter_keeps_stacks(const struct query_filter *filter)
{
	return query_filter_has_names(filter) && !filter->patterns[HIDE] &&
	       !filter->patterns[SHOW] && !filter->patterns[SHOW_FROM];
}

const struct query_tags *query_filter_tagfocus(const struct query_filter *filter)
{
	return filter ? filter->tagfocus : NULL;
}

const struct query_tags *query_filter_tagignore(const struct query_filter *filter)
{
	return filter ? filter->tagignore : NULL;
}

/* ---- which patterns a key matches: each distinct string is searched once ---- */

#define KNOWN 0x80

struct verdicts {
	const struct query_filter *filter;
	const struct query_tree *tree;
	uint8_t *strings; /* bits of a string, KNOWN once searched */
	uint8_t *aliases; /* bits of what else the string is called; KNOWN: it is */
};

static uint8_t string_bits(struct verdicts *v, uint32_t string)
{
	struct str text = intern_get(&v->tree->strings, string);

	if (v->strings[string] & KNOWN)
		return v->strings[string];
	for (size_t i = 0; i < PATTERNS; i++)
		if (v->filter->patterns[i] && query_regex_found(v->filter->patterns[i], text))
			v->strings[string] |= (uint8_t)(1U << i);
	return v->strings[string] |= KNOWN;
}

static void aliases_read(struct verdicts *v)
{
	const struct intern *pairs = &v->tree->alias_index;

	for (uint32_t i = 1; i < pairs->count; i++) {
		uint32_t pair[2];

		memcpy(pair, pairs->strings[i].ptr, sizeof(pair));
		v->aliases[pair[0]] |= string_bits(v, pair[1]) | KNOWN;
	}
}

/* A library is matched by its paths, of which its name is the end; by its name where none is
 * known. */
static uint8_t key_bits(struct verdicts *v, const struct query_key *key)
{
	uint8_t bits = string_bits(v, key->function) | string_bits(v, key->file) |
		       v->aliases[key->function] | v->aliases[key->library];

	if (key->library && !v->aliases[key->library])
		bits |= string_bits(v, key->library);
	return bits;
}

static uint8_t *bits_by_key(const struct query_filter *filter, const struct query_tree *tree)
{
	struct verdicts v = {filter, tree, calloc(tree->strings.count, 1),
			     calloc(tree->strings.count, 1)};
	uint8_t *bits = calloc(tree->keys_count, 1);

	if (bits && v.strings && v.aliases) {
		aliases_read(&v);
		for (size_t i = 1; i < tree->keys_count; i++)
			bits[i] = key_bits(&v, &tree->keys[i]);
	} else {
		free(bits);
		bits = NULL;
	}
	free(v.strings);
	free(v.aliases);
	return bits;
}

/* ---- the step ---- */

/* What is known of a path at one of its nodes. */
enum path_state { FOCUSED = 1, IGNORED = 2, VISIBLE = 4, REACHED = 8 };

static bool has(const struct query_filter *filter, enum pattern pattern)
{
	return filter->patterns[pattern];
}

static bool frame_is_shown(const struct query_filter *filter, uint8_t bits)
{
	return !(bits & 1U << HIDE) && (!has(filter, SHOW) || bits & 1U << SHOW);
}

static uint8_t state_below(const struct query_filter *filter, uint8_t above, uint8_t bits)
{
	uint8_t state = above;

	if (bits & 1U << FOCUS || !has(filter, FOCUS))
		state |= FOCUSED;
	if (bits & 1U << IGNORE)
		state |= IGNORED;
	if (!frame_is_shown(filter, bits))
		return state;
	state |= VISIBLE;
	/* What is hidden is no match of show_from: it comes after. */
	if (bits & 1U << SHOW_FROM || !has(filter, SHOW_FROM))
		state |= REACHED;
	return state;
}

int query_filter_nodes(const struct query_filter *filter, const struct skeleton *skeleton,
		       bool **ret_passes)
{
	uint8_t *CLEANUP(cleanup_free) bits = bits_by_key(filter, &skeleton->names);
	uint8_t *state = calloc(skeleton->tree.nodes_count, 1);

	if (!bits || !state) {
		free(state);
		return -ENOMEM;
	}
	for (size_t i = 1; i < skeleton->names.keys_count; i++)
		bits[i] = state_below(filter, 0, bits[i]) & (FOCUSED | IGNORED);
	for (size_t i = 1; i < skeleton->tree.nodes_count; i++)
		state[i] = state[skeleton_parent(skeleton, i)] | bits[skeleton_key(skeleton, i)];
	/* A sample without a stack, the root's, has no frame that could match: it is dropped. */
	for (size_t i = 0; i < skeleton->tree.nodes_count; i++)
		state[i] = state[i] == FOCUSED;
	*ret_passes = (bool *)state;
	return 0;
}

int query_filter_step(const struct query_filter *filter, struct reshape_step *step)
{
	const uint8_t wanted = FOCUSED | VISIBLE | REACHED;
	uint8_t *CLEANUP(cleanup_free) bits = bits_by_key(filter, step->tree);
	uint8_t *CLEANUP(cleanup_free) state = calloc(step->count, 1);
	bool *CLEANUP(cleanup_free) needed = calloc(step->count, sizeof(*needed));
	uint32_t *CLEANUP(cleanup_free) place = calloc(step->count, sizeof(*place));
	int rc = bits && state && needed && place ? 0 : -ENOMEM;

	if (rc)
		return rc;
	/* A sample without a stack, the root's, has no frame that could match: it is dropped. */
	for (size_t i = 1; i < step->count; i++) {
		state[i] =
		    state_below(filter, state[step->from[i].parent], bits[step->from[i].key]);
		needed[i] = step->live[i] && state[i] == wanted;
	}
	reshape_mark_ancestors(step, needed);
	for (uint32_t i = 1; !rc && i < step->count; i++) {
		uint32_t key = step->from[i].key;

		if (!needed[i])
			continue;
		place[i] = place[step->from[i].parent];
		if (frame_is_shown(filter, bits[key]) && state[i] & REACHED)
			rc = reshape_child(step, place[i], key, &place[i]);
		if (state[i] == wanted)
			step->map[i] = place[i];
	}
	return rc;
}
