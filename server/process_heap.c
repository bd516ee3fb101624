/* SPDX-License-Identifier: Apache-2.0 */
/* The live-heap table of a process, copied for ingest/. */
#include <errno.h>
#include <unistd.h>

#include "server/process.h"

static int copy(const struct process *p, uint8_t *to, size_t len)
{
	return pread(p->memfd, to, len, p->head.heap_at) == (ssize_t)len ? 0 : -EIO;
}

int process_heap(struct process *p)
{
	size_t len = p->head.heap_bytes, head;
	uint8_t *first CLEANUP(cleanup_free) = NULL, *second CLEANUP(cleanup_free) = NULL;

	if (!len)
		return 0;
	first = malloc(len);
	if (!first)
		return -ENOMEM;
	int rc = copy(p, first, len);

	/* The client changes it all the time: what is the same before and after is whole. */
	head = rc ? 0 : native_heap_head_bytes(first, len);
	second = malloc(head + 1);
	if (!rc && !second)
		rc = -ENOMEM;
	if (!rc && head)
		rc = copy(p, second, head);
	if (!rc && len >= sizeof(p->heap))
		memcpy(&p->heap, first, sizeof(p->heap));
	return rc ? rc : native_process_heap(p->native, first, len, second, head);
}
