/* SPDX-License-Identifier: Apache-2.0 */
/* Heat maps, in the messages of Pyroscope's querier. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "query/heatmap.h"
#include "server/querier.h"

enum { QUERY_TYPE_SPAN = 2, EXEMPLAR_NONE = 1 };

static void put_label(struct buf *out, struct str name, struct str value)
{
	size_t begin = proto_message_begin(out, 1);

	proto_put_bytes(out, 1, name.ptr, name.len);
	proto_put_bytes(out, 2, value.ptr, value.len);
	proto_message_end(out, begin);
}

static void put_exemplar(struct buf *out, const struct query_heat_point *point)
{
	char span[17];
	size_t begin = proto_message_begin(out, 4);

	(void)snprintf(span, sizeof(span), "%016llx", (unsigned long long)point->span);
	proto_put_varint(out, 1, (uint64_t)(point->time_ns / 1000000));
	proto_put_bytes(out, 3, span, 16);
	proto_put_varint(out, 4, (uint64_t)point->value);
	proto_message_end(out, begin);
}

/* The points of one group in one step, by row. */
static void put_slot(struct querier_call *call, const struct query_heatmap *heatmap,
		     const struct query_heat_point *points, size_t count)
{
	uint32_t counts[QUERY_HEAT_ROWS] = {0};
	bool with_exemplars = call->request->exemplar_type != EXEMPLAR_NONE;
	size_t begin = proto_message_begin(call->out, 2), inner;

	for (size_t i = 0; i < count; i++)
		counts[points[i].row]++;
	proto_put_varint(call->out, 1,
			 (uint64_t)(call->request->start_ms +
				    (int64_t)(points[0].step * call->request->step_s * 1e3)));
	inner = proto_message_begin(call->out, 2);
	for (size_t i = 0; i < QUERY_HEAT_ROWS; i++) {
		uint64_t bits;

		memcpy(&bits, &heatmap->row_min[i], sizeof(bits));
		bits = htole64(bits);
		(void)buf_add(call->out, &bits, sizeof(bits));
	}
	proto_message_end(call->out, inner);
	inner = proto_message_begin(call->out, 3);
	for (size_t i = 0; i < QUERY_HEAT_ROWS; i++)
		(void)buf_add_varint(call->out, counts[i]);
	proto_message_end(call->out, inner);
	for (size_t i = 0; with_exemplars && i < count; i++)
		if (points[i].span && (!i || points[i].row != points[i - 1].row))
			put_exemplar(call->out, &points[i]);
	proto_message_end(call->out, begin);
}

static void put_series(struct querier_call *call, const struct query_heatmap *heatmap,
		       const struct query_heat_point *points, size_t count)
{
	const struct querier_list *labels = &call->request->labels;
	size_t begin = proto_message_begin(call->out, 1);

	for (size_t i = 0; i < labels->count; i++) {
		struct str value = heatmap->values[points[0].group * heatmap->labels_count + i];

		if (value.len)
			put_label(call->out, labels->items[i], value);
	}
	for (size_t i = 0, j; i < count; i = j) {
		for (j = i; j < count && points[j].step == points[i].step;)
			j++;
		put_slot(call, heatmap, points + i, j - i);
	}
	proto_message_end(call->out, begin);
}

static int heatmap_answer(struct querier_call *call, struct querier_ask *ask)
{
	const struct querier_request *request = call->request;
	struct str labels[QUERY_GROUP_LABELS_MAX];
	struct query_heatmap heatmap;
	int64_t shown = 0;

	if (request->labels.count > ARRAY_LEN(labels))
		return err_set(call->err, -EINVAL, "group_by names more than %d labels",
			       QUERY_GROUP_LABELS_MAX);
	for (size_t i = 0; i < request->labels.count; i++)
		labels[i] = querier_label(request->labels.items[i]);
	int rc = query_heatmap(&ask->query, request->query_type == QUERY_TYPE_SPAN,
			       (int64_t)(request->step_s * 1e9), labels, request->labels.count,
			       &heatmap, call->err);

	if (rc)
		return rc;
	for (size_t i = 0, j; i < heatmap.count && (request->limit <= 0 || shown < request->limit);
	     i = j, shown++) {
		for (j = i;
		     j < heatmap.count && heatmap.points[j].group == heatmap.points[i].group;)
			j++;
		put_series(call, &heatmap, heatmap.points + i, j - i);
	}
	query_heatmap_release(&heatmap);
	return call->out->failed;
}

int querier_heatmap(struct querier_call *call)
{
	const struct querier_request *request = call->request;
	struct querier_ask ask = {0};
	int rc = querier_step_check(call);

	if (rc)
		return rc;
	rc = querier_open(call, request->type_id, request->selector, request->start_ms,
			  request->end_ms, &ask);
	if (!rc && !ask.is_void)
		rc = heatmap_answer(call, &ask);
	querier_close(call, &ask);
	return rc;
}
