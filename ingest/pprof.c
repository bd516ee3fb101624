/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ingest/hex.h"
#include "ingest/span.h"
#include "profile/mapping.h"
#include "wire/pprof.h"

/*
 * A pprof as it becomes a profile:
 *
 *	sample_type[]   one kind, or one for each family of known columns (profile/mapping.h)
 *	location        its lines as name frames, all but the last flagged as inlined; without a
 *	                named line an address frame, as an offset in the mapping's file
 *	sample          one record in each kind, all at the upload's midpoint
 *	labels          the record's context, numbers as numbers
 */

#define TYPES_MAX (4 * PROFILE_COLUMNS_MAX)
#define LABELS_MAX 128 /* that a context can have; the builder's limit is not above */
#define UNSET UINT32_MAX
#define MANY_TYPES 8
#define LONE_MAX 256     /* as many as a byte can say */
#define DROPPED SIZE_MAX /* the group of a column that is left out */

/* The frames of a location, of which there mostly is one. */
struct run {
	uint32_t at; /* in the frames; of one, the frame itself */
	uint32_t count;
};

struct kind {
	uint32_t series;
	size_t columns_count;
	size_t columns[PROFILE_COLUMNS_MAX]; /* places in the pprof's values */
	size_t counter;                      /* the column that counts samples, or TYPES_MAX */
};

struct job {
	const struct ingest_request *request;
	struct profile_builder *out;
	const struct pprof *pprof;
	struct profile_mapped mapped[TYPES_MAX];
	struct kind kinds[TYPES_MAX];
	size_t kinds_count;
	uint32_t *strings;     /* of the pprof -> of the profile, UNSET at first */
	uint32_t *names;       /* the same as names of frames */
	uint32_t *modules;     /* mapping -> module, UNSET at first */
	struct run *locations; /* location -> its frames below; count 0 at first */
	uint32_t *frames;
	size_t frames_count;
	uint32_t *stack;
	struct profile_label labels[LABELS_MAX];
	/* Contexts of one label, as the sizes of a heap profile are, by what is in it. */
	struct lone {
		struct pprof_label label;
		uint32_t context; /* 0: none yet */
	} lone[LONE_MAX];
	int64_t time_ns;
	struct err *err;
};

static int job_string(struct job *job, uint32_t string, uint32_t *ret_string)
{
	uint32_t *known = &job->strings[string];
	int rc = 0;

	if (*known == UNSET)
		rc = ingest_string(job->out, pprof_string(job->pprof, string), known);
	*ret_string = *known;
	return rc;
}

static int job_name(struct job *job, uint32_t string, uint32_t *ret_name)
{
	uint32_t *known = &job->names[string];
	int rc = 0;

	if (*known == UNSET)
		rc = profile_builder_name(job->out, pprof_string(job->pprof, string), known);
	*ret_name = *known;
	return rc;
}

/* ---- kinds ---- */

static int types_map(struct job *job)
{
	const struct pprof *p = job->pprof;
	struct profile_foreign columns[TYPES_MAX], period = {STR(""), STR("")};

	if (p->types_count > TYPES_MAX)
		return err_set(job->err, -E2BIG, "pprof: %zu sample types, limit %d (fixed)",
			       p->types_count, TYPES_MAX);
	for (size_t i = 0; i < p->types_count; i++) {
		columns[i].type = pprof_string(p, p->types[i].type);
		columns[i].unit = pprof_string(p, p->types[i].unit);
	}
	if (p->has_period_type)
		period = (struct profile_foreign){pprof_string(p, p->period_type.type),
						  pprof_string(p, p->period_type.unit)};
	job->kinds_count =
	    profile_map_columns(columns, p->types_count, period, job->request->name, job->mapped);
	return 0;
}

/*
 * Clients that declare every type they know (Datadog's Python tracer has 19) leave most of them 0.
 * Those would be types that everybody is offered and nobody has; a few columns are kept as they
 * are.
 */
static void zeros_drop(struct job *job)
{
	const struct pprof *p = job->pprof;
	bool used[TYPES_MAX] = {false};

	if (p->types_count <= MANY_TYPES)
		return;
	for (size_t i = 0; i < p->samples_count * p->types_count; i++)
		if (p->values[i])
			used[i % p->types_count] = true;
	for (size_t i = 0; i < p->types_count; i++)
		if (!used[i])
			job->mapped[i].group = DROPPED;
}

static bool has_columns(const struct job *job, size_t group)
{
	for (size_t i = 0; i < job->pprof->types_count; i++)
		if (job->mapped[i].group == group)
			return true;
	return false;
}

static bool str_equal(struct str a, struct str b)
{
	return a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));
}

static int column_add(struct job *job, size_t place, struct kind *kind, struct profile_kind *to)
{
	const struct profile_mapped *m = &job->mapped[place];
	size_t at = kind->columns_count;

	if (at == PROFILE_COLUMNS_MAX)
		return err_set(job->err, -E2BIG,
			       "pprof: more than %d sample types of one kind (fixed limit)",
			       PROFILE_COLUMNS_MAX);
	for (size_t i = 0; i < at; i++) {
		const struct profile_mapped *other = &job->mapped[kind->columns[i]];

		if (str_equal(other->type.type, m->type.type) &&
		    str_equal(other->type.unit, m->type.unit))
			return err_set(job->err, -EINVAL, "pprof: sample type %.*s/%.*s twice",
				       (int)MIN(m->type.type.len, (size_t)64), m->type.type.ptr,
				       (int)MIN(m->type.unit.len, (size_t)64), m->type.unit.ptr);
	}
	kind->columns[kind->columns_count++] = place;
	if (m->counts_samples && kind->counter == TYPES_MAX)
		kind->counter = place;
	to->columns_count = (uint32_t)kind->columns_count;
	to->columns[at].gauge = m->gauge;
	int rc = ingest_string(job->out, m->type.type, &to->columns[at].type);

	return rc ? rc : ingest_string(job->out, m->type.unit, &to->columns[at].unit);
}

static int kind_names(struct job *job, const struct profile_type *type, struct profile_kind *to)
{
	const struct pprof *p = job->pprof;
	int rc = ingest_string(job->out, type->name, &to->name);

	if (!rc)
		rc = ingest_string(job->out, type->period_type, &to->period_type);
	if (!rc)
		rc = ingest_string(job->out, type->period_unit, &to->period_unit);
	/* The period is in the profile's own period type, so it counts only for kinds that have it.
	 */
	if (p->has_period_type &&
	    str_equal(type->period_type, pprof_string(p, p->period_type.type)) &&
	    str_equal(type->period_unit, pprof_string(p, p->period_type.unit)))
		to->period = p->period;
	return rc;
}

/* "__types__": what the columns were called, so that they can be forwarded as they came. */
static int original_types(struct job *job, size_t group, struct profile_label *ret_label,
			  bool *ret_renamed)
{
	const struct pprof *p = job->pprof;
	struct buf text;

	buf_init(&text, TYPES_MAX * 256);
	*ret_renamed = false;
	for (size_t i = 0; i < p->types_count; i++) {
		struct str type = pprof_string(p, p->types[i].type);

		if (job->mapped[i].group != group)
			continue;
		*ret_renamed |= job->mapped[i].renamed;
		if (text.len)
			(void)buf_add_byte(&text, ',');
		(void)buf_add(&text, type.ptr, MIN(type.len, (size_t)128));
	}
	int rc = text.failed;

	*ret_label = (struct profile_label){0};
	if (!rc && *ret_renamed)
		rc = profile_builder_label(job->out, STR("__types__"),
					   (struct str){text.data, text.len}, ret_label);
	buf_release(&text);
	return rc;
}

static int kind_make(struct job *job, size_t group)
{
	struct kind *kind = &job->kinds[group];
	struct profile_kind made = {0};
	struct profile_label original;
	uint32_t number;
	bool renamed;
	int rc = 0;

	*kind = (struct kind){.counter = TYPES_MAX};
	for (size_t i = 0; !rc && i < job->pprof->types_count; i++) {
		if (job->mapped[i].group != group)
			continue;
		if (!kind->columns_count)
			rc = kind_names(job, &job->mapped[i].type, &made);
		if (!rc)
			rc = column_add(job, i, kind, &made);
	}
	if (!rc)
		rc = profile_builder_kind(job->out, &made, &number);
	if (!rc)
		rc = original_types(job, group, &original, &renamed);
	if (!rc)
		rc = ingest_series(job->request, job->out, number, renamed ? &original : NULL,
				   &kind->series);
	return rc;
}

/* ---- frames ---- */

/* A build id that is no hex string (Go's) is kept as its hash, which holds within one owner. */
static int job_module(struct job *job, uint32_t mapping, uint32_t *ret_module)
{
	struct profile_module module = {0};

	*ret_module = 0;
	if (mapping == PPROF_NONE)
		return 0;
	if (job->modules[mapping] == UNSET) {
		const struct pprof_mapping *m = &job->pprof->mappings[mapping];
		struct str id = pprof_string(job->pprof, m->build_id);

		if (id.len && !ingest_hex(id, module.build_id, &module.build_id_len)) {
			struct hash128 hash = hash128(id.ptr, id.len);

			memset(module.build_id, 0, sizeof(module.build_id));
			memcpy(module.build_id, &hash, sizeof(hash));
			module.build_id_len = sizeof(hash);
			module.is_hash = true;
		}
		int rc = job_string(job, m->filename, &module.path);

		if (!rc)
			rc = profile_builder_module(job->out, &module, &job->modules[mapping]);
		if (rc)
			return rc;
	}
	*ret_module = job->modules[mapping];
	return 0;
}

static uint32_t function_name(const struct pprof *p, const struct pprof_line *line)
{
	if (line->function == PPROF_NONE)
		return 0;
	const struct pprof_function *f = &p->functions[line->function];

	return pprof_string(p, f->name).len ? f->name : f->system_name;
}

static int name_frame(struct job *job, const struct pprof_line *line, uint32_t module, bool inlined,
		      uint32_t *ret_frame)
{
	struct profile_frame frame = {.module = module};
	int rc = 0;

	if (line) {
		uint32_t name = function_name(job->pprof, line);

		frame.flags = inlined ? PROFILE_FRAME_INLINED : 0;
		frame.line = line->line;
		if (line->function != PPROF_NONE) {
			const struct pprof_function *f = &job->pprof->functions[line->function];

			frame.start_line = f->start_line;
			rc = job_name(job, f->filename, &frame.file);
		}
		if (!rc)
			rc = job_name(job, name, &frame.function);
	}
	if (!rc && !frame.function)
		rc = profile_builder_string(job->out, STR("[unknown]"), &frame.function);
	return rc ? rc : profile_builder_named_frame(job->out, &frame, ret_frame);
}

static int address_frame(struct job *job, const struct pprof_location *location, uint32_t module,
			 uint32_t *ret_frame)
{
	struct profile_frame frame = {.flags = PROFILE_FRAME_ADDRESS, .address = location->address};

	if (module) {
		const struct pprof_mapping *m = &job->pprof->mappings[location->mapping];

		if (location->address >= m->start && (!m->limit || location->address < m->limit)) {
			frame.module = module;
			frame.flags |= PROFILE_FRAME_FILE_OFFSET;
			frame.address = location->address - m->start + m->file_offset;
		}
	}
	return profile_builder_frame(job->out, &frame, ret_frame);
}

static int location_frames(struct job *job, uint32_t place)
{
	const struct pprof_location *l = &job->pprof->locations[place];
	const struct pprof_line *lines = job->pprof->lines + l[0].lines_at;
	uint32_t count = l[1].lines_at - l[0].lines_at, module,
		 *to = job->frames + job->frames_count;
	bool named = false;
	int rc = job_module(job, l->mapping, &module);

	for (uint32_t i = 0; i < count; i++)
		named |= function_name(job->pprof, &lines[i]) != 0;
	if (!named && (l->address || !count))
		count = 1;
	for (uint32_t i = 0; !rc && i < count; i++) {
		if (named || (!l->address && l[1].lines_at > l[0].lines_at))
			rc = name_frame(job, &lines[i], module, i + 1 < count, &to[i]);
		else if (l->address)
			rc = address_frame(job, l, module, &to[i]);
		else
			rc = name_frame(job, NULL, module, false, &to[i]);
	}
	job->locations[place] =
	    (struct run){count == 1 ? to[0] : (uint32_t)job->frames_count, count};
	job->frames_count += count > 1 ? count : 0;
	return rc;
}

/* ---- samples ---- */

static const uint32_t *run_frames(const struct job *job, const struct run *run)
{
	return run->count == 1 ? &run->at : job->frames + run->at;
}

/*
 * Gather a stack, leaf first.  One sample may name a location of ten thousand lines a million
 * times, so of a stack that is too deep only both ends are gathered, one frame more than may be:
 * the builder cuts that, marks it and counts it.
 */
static int stack_gather(struct job *job, const uint32_t *ids, size_t count, size_t *ret_count)
{
	const size_t half = PROFILE_STACK_DEPTH_MAX / 2 + 1;
	uint64_t total = 0;
	size_t leaf = 0, root = 0;
	int rc = 0;

	for (size_t i = 0; !rc && i < count; i++) {
		if (!job->locations[ids[i]].count)
			rc = location_frames(job, ids[i]);
		total += job->locations[ids[i]].count;
	}
	if (rc)
		return rc;
	size_t most = total > PROFILE_STACK_DEPTH_MAX ? half : (size_t)total;

	for (size_t i = 0; i < count && leaf < most; i++) {
		const struct run *run = &job->locations[ids[i]];

		for (uint32_t k = 0; k < run->count && leaf < most; k++)
			job->stack[leaf++] = run_frames(job, run)[k];
	}
	for (size_t i = count; total > PROFILE_STACK_DEPTH_MAX && i-- > 0 && root < half;) {
		const struct run *run = &job->locations[ids[i]];

		for (uint32_t k = run->count; k-- > 0 && root < half;)
			job->stack[2 * half - ++root] = run_frames(job, run)[k];
	}
	*ret_count = leaf + root;
	return 0;
}

/*
 * The same for stacks that are not too deep, which nearly all are: as long as room is left nothing
 * needs counting before it is copied.  Sets *ret_count to more than may be when the stack has to be
 * gathered with care.
 */
static int stack_copy(struct job *job, const uint32_t *ids, size_t count, size_t *ret_count)
{
	const struct run *const runs = job->locations;
	uint32_t *to = job->stack;
	const uint32_t *end = to + PROFILE_STACK_DEPTH_MAX;

	*ret_count = PROFILE_STACK_DEPTH_MAX + 1;
	if (count > PROFILE_STACK_DEPTH_MAX)
		return 0;
	for (size_t i = 0; i < count; i++) {
		const struct run *run = &runs[ids[i]];

		if (run->count == 1) {
			*to++ = run->at;
			continue;
		}
		int rc = run->count ? 0 : location_frames(job, ids[i]);

		if (rc)
			return rc;
		/* Room for one of each that follows is kept. */
		if (run->count > (size_t)(end - to) - (count - i - 1))
			return 0;
		for (const uint32_t *from = run_frames(job, run), *last = from + run->count;
		     from < last;)
			*to++ = *from++;
	}
	*ret_count = (size_t)(to - job->stack);
	return 0;
}

static int labels_context(struct job *job, const struct pprof_label *labels, size_t count,
			  uint32_t *ret_context)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < MIN(count, (size_t)LABELS_MAX); i++) {
		struct profile_label *to = &job->labels[i];

		*to = (struct profile_label){.is_number = labels[i].is_number,
					     .number = labels[i].number};
		rc = job_string(job, labels[i].key, &to->key);
		if (!rc)
			rc = job_string(job, labels[i].text,
					labels[i].is_number ? &to->unit : &to->text);
	}
	/* The builder reads no more than it keeps, and counts what it cuts of all. */
	return rc ? rc : profile_builder_context(job->out, job->labels, count, ret_context);
}

static struct lone *lone_of(struct job *job, const struct pprof_label *label)
{
	uint64_t mixed = ((uint64_t)label->number ^ (uint64_t)label->text << 32 ^ label->key) *
			 UINT64_C(0x9e3779b97f4a7c15);

	return &job->lone[mixed >> 56];
}

static bool label_equal(const struct pprof_label *a, const struct pprof_label *b)
{
	return a->key == b->key && a->is_number == b->is_number && a->text == b->text &&
	       a->number == b->number;
}

static int sample_context(struct job *job, const struct pprof_sample *sample, uint32_t *ret_context)
{
	const struct pprof_label *labels = job->pprof->labels + sample[0].labels_at;
	size_t count = sample[1].labels_at - sample[0].labels_at;

	*ret_context = 0;
	if (!count)
		return 0;
	if (count > 1)
		return labels_context(job, labels, count, ret_context);
	struct lone *lone = lone_of(job, labels);

	if (lone->context && label_equal(&lone->label, labels)) {
		*ret_context = lone->context;
		return 0;
	}
	int rc = labels_context(job, labels, 1, ret_context);

	if (!rc)
		*lone = (struct lone){*labels, *ret_context};
	return rc;
}

static int sample_records(struct job *job, const int64_t *values, struct profile_record *record)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < job->kinds_count; i++) {
		const struct kind *kind = &job->kinds[i];
		int64_t of_kind[PROFILE_COLUMNS_MAX];
		bool any = job->kinds_count == 1 && kind->columns_count;

		for (size_t k = 0; k < kind->columns_count; k++) {
			of_kind[k] = values[kind->columns[k]];
			any |= of_kind[k] != 0;
		}
		if (!any)
			continue;
		int64_t count = kind->counter < TYPES_MAX ? values[kind->counter] : 1;

		record->series = kind->series;
		record->count = (uint32_t)MIN(MAX(count, 1), (int64_t)UINT32_MAX);
		rc = profile_builder_record(job->out, record, of_kind);
	}
	return rc;
}

static int samples_add(struct job *job)
{
	const struct pprof *p = job->pprof;

	for (size_t i = 0; i < p->samples_count; i++) {
		const struct pprof_sample *sample = &p->samples[i];
		struct profile_record record = {.time_ns = job->time_ns};
		size_t depth;
		const uint32_t *ids = p->stacks + sample[0].stack_at;
		size_t count = sample[1].stack_at - sample[0].stack_at;
		int rc = stack_copy(job, ids, count, &depth);

		if (!rc && depth > PROFILE_STACK_DEPTH_MAX)
			rc = stack_gather(job, ids, count, &depth);
		if (!rc)
			rc = profile_builder_lone_stack(job->out, job->stack, depth, &record.node);
		if (!rc)
			rc = sample_context(job, sample, &record.context);
		if (!rc)
			rc = sample_records(job, p->values + i * p->types_count, &record);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- the whole ---- */

static int job_init(struct job *job)
{
	const struct pprof *p = job->pprof;

	/* Every location makes at least one frame, with or without lines. */
	job->strings = malloc(2 * p->strings_count * sizeof(*job->strings));
	job->modules = malloc((p->mappings_count + 1) * sizeof(*job->modules));
	job->locations = calloc(p->locations_count + 1, sizeof(*job->locations));
	job->frames = malloc((p->locations_count + p->lines_count + 1) * sizeof(*job->frames));
	job->stack = malloc((PROFILE_STACK_DEPTH_MAX + 2) * sizeof(*job->stack));
	if (!job->strings || !job->modules || !job->locations || !job->frames || !job->stack)
		return err_set(job->err, -ENOMEM, "pprof: out of memory");
	job->names = job->strings + p->strings_count;
	memset(job->strings, 0xff, 2 * p->strings_count * sizeof(*job->strings));
	for (size_t i = 0; i < p->mappings_count; i++)
		job->modules[i] = UNSET;
	return 0;
}

static void job_release(struct job *job)
{
	free(job->strings);
	free(job->modules);
	free(job->locations);
	free(job->frames);
	free(job->stack);
}

static int job_run(struct job *job)
{
	const struct pprof *p = job->pprof;
	const struct profile_counts counts = {.strings = p->strings_count,
					      .frames = p->locations_count,
					      .records = p->samples_count,
					      .columns = p->types_count,
					      .stacks = 1}; /* deep ones */
	int rc = job_init(job);

	if (!rc)
		rc = profile_builder_expect(job->out, &counts);
	if (!rc)
		rc = types_map(job);
	job->time_ns = ingest_span(job->request, p->time_ns, p->duration_ns,
				   profile_builder_profile(job->out));
	if (!rc)
		zeros_drop(job);
	for (size_t i = 0; !rc && i < job->kinds_count; i++)
		if (has_columns(job, i))
			rc = kind_make(job, i);
	return rc ? rc : samples_add(job);
}

static int pprof_ingest(const struct ingest_request *request, struct profile_builder *out,
			struct ingest_findings *findings, struct err *err)
{
	const struct ingest_limits *limits =
	    request->limits ? request->limits : &ingest_limits_default;
	/* Real profiles need at most twice their size; small numbers in hostile ones more. */
	const struct pprof_limits of_wire = {.memory_bytes = 2 * limits->decompressed_bytes,
					     .memory_setting = "2 x limits.decompressed_bytes"};
	struct err why = {0};
	struct pprof pprof;
	const char *body = request->body.ptr;
	int rc = request->room ? pprof_decode_in(request->room, body, request->body.len, &of_wire,
						 &pprof, err)
			       : pprof_decode(body, request->body.len, &of_wire, &pprof, err);

	if (rc)
		return rc;
	struct job *job = calloc(1, sizeof(*job));

	if (!job) {
		if (!request->room)
			pprof_release(&pprof);
		return err_set(err, -ENOMEM, "pprof: out of memory");
	}
	job->request = request;
	job->out = out;
	job->pprof = &pprof;
	job->err = &why;
	rc = job_run(job);
	if (rc)
		rc = why.code ? err_set(err, rc, "%s", why.message) : ingest_failed(out, rc, err);
	findings->profiles += !rc;
	job_release(job);
	free(job);
	if (!request->room)
		pprof_release(&pprof);
	return rc;
}

static bool pprof_looks(struct str body)
{
	return pprof_sniff(body.ptr, body.len);
}

const struct ingest_protocol ingest_pprof = {
    .name = "pprof",
    .sniff = pprof_looks,
    .decode = pprof_ingest,
};
