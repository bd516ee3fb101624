/* SPDX-License-Identifier: Apache-2.0 */
#include "base/chains.h"

#include <errno.h>

/* times what is filled now: tables grow a little, and what is not used is no memory */
#define ROOM 2

void chains_release(struct chains *c)
{
	free(c->heads);
	free(c->before);
	free(c->parents);
	free(c->keys);
	free(c->wide);
	*c = (struct chains){0};
}

/* Four bytes a key from now on. */
static int widen(struct chains *c)
{
	uint32_t *wide = malloc((c->capacity + 1) * sizeof(*wide));

	if (!wide)
		return -ENOMEM;
	for (size_t i = 0; i < c->nodes_count; i++)
		wide[i] = c->keys[i];
	free(c->keys);
	c->keys = NULL;
	c->wide = wide;
	return 0;
}

static int keys_reserve(struct chains *c, size_t nodes, bool narrow)
{
	if (!narrow && c->keys && widen(c))
		return -ENOMEM;
	if (nodes <= c->capacity)
		return 0;
	if (narrow && !c->wide)
		return array_grow(&c->keys, sizeof(*c->keys), &c->capacity, nodes * ROOM);
	return array_grow(&c->wide, sizeof(*c->wide), &c->capacity, nodes * ROOM);
}

int chains_reserve(struct chains *c, size_t nodes, uint32_t key)
{
	size_t old = c->heads_capacity;

	if (nodes >= UINT32_MAX / ROOM || keys_reserve(c, nodes, key <= UINT16_MAX))
		return -ENOMEM;
	size_t words = c->capacity / 64 + 1;

	if (array_grow(&c->heads, sizeof(*c->heads), &c->heads_capacity, words))
		return -ENOMEM;
	memset(c->heads + old, 0, (c->heads_capacity - old) * sizeof(*c->heads));
	if (array_grow(&c->before, sizeof(*c->before), &c->before_capacity, words))
		return -ENOMEM;
	if (c->nodes_count)
		return 0;
	chains_set_key(c, 0, 0);
	int rc = chains_hang(c, 0, 0);

	if (!rc)
		chains_accept(c, 1);
	return rc;
}

int chains_add(struct chains *c, uint32_t parent, uint32_t key)
{
	size_t node = c->nodes_count;
	int rc = chains_has_room(c, key) ? 0 : chains_reserve(c, node + 1, key);
	uint32_t before = (uint32_t)c->parents_count;

	if (!rc && parent + 1 != node)
		rc = chains_hang(c, node, parent);
	if (rc)
		return rc;
	if (node % 64 == 0)
		c->before[node / 64] = before;
	chains_set_key(c, node, key);
	c->nodes_count++;
	return 0;
}

int chains_hang(struct chains *c, size_t node, uint32_t parent)
{
	int rc = array_grow(&c->parents, sizeof(*c->parents), &c->parents_capacity,
			    c->parents_count + 1);

	if (rc)
		return rc;
	c->heads[node / 64] |= UINT64_C(1) << node % 64;
	c->parents[c->parents_count++] = parent;
	return 0;
}

void chains_accept(struct chains *c, size_t nodes)
{
	size_t word = c->nodes_count ? (c->nodes_count - 1) / 64 : 0;
	uint32_t before = c->nodes_count ? c->before[word] : 0;

	for (; word <= (nodes - 1) / 64; word++) {
		c->before[word] = before;
		before += (uint32_t)__builtin_popcountll(c->heads[word]);
	}
	c->nodes_count = nodes;
}
