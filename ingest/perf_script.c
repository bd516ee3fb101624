/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `perf script` prints: blocks of lines with an empty line behind each, the leaf's frame
 * first.
 *
 *	comm pid[/tid] [cpu] seconds.micros: period event:      cpu, time and period may be missing
 *		address symbol+0xoffset (file)
 *
 * Without call chains a sample is one line, with its frame behind the event, or none, or with what
 * a tracepoint says.  Lines that begin with # are passed over.  cpu-clock and task-clock with a
 * period in ns are CPU time and samples; any other event is a kind "perf" of its own, which counts
 * its periods, or its samples where it has none.  Times are of the machine's own clock, so that all
 * samples stand at the upload's midpoint.
 */
#include <errno.h>
#include <string.h>

#include "ingest/hex.h"
#include "ingest/span.h"

#define FRAMES_MAX 4096 /* of one sample */
#define EVENTS_MAX 64
#define SNIFF_LINES 200

struct event {
	struct str name;
	bool has_period, is_clock;
	uint32_t series;
};

struct head {
	struct str comm, event, rest; /* rest: what stands behind the event */
	int64_t pid, tid, period;     /* period 0: none */
};

struct job {
	const struct ingest_request *request;
	struct profile_builder *out;
	struct err *err;
	struct event events[EVENTS_MAX];
	size_t events_count;
	uint32_t frames[FRAMES_MAX];
	int64_t time_ns;
};

/* ---- words ---- */

static struct str word_next(struct str *line)
{
	*line = str_trim(*line);
	size_t len = 0;

	while (len < line->len && line->ptr[len] != ' ' && line->ptr[len] != '\t')
		len++;
	struct str word = {line->ptr, len};

	*line = (struct str){line->ptr + len, line->len - len};
	return word;
}

/* Digits up to `end`, which may be any character or -1 for the word's own. */
static bool number(struct str word, int end, int64_t *ret, size_t *ret_len)
{
	size_t i = 0;

	*ret = 0;
	for (; i < word.len && word.ptr[i] >= '0' && word.ptr[i] <= '9'; i++)
		if (__builtin_mul_overflow(*ret, 10, ret) ||
		    __builtin_add_overflow(*ret, word.ptr[i] - '0', ret))
			return false;
	*ret_len = i;
	return i && (end < 0 ? i == word.len : i < word.len && word.ptr[i] == end);
}

static bool ids_read(struct str word, struct head *head)
{
	size_t len;

	if (number(word, -1, &head->pid, &len)) {
		head->tid = head->pid;
		return true;
	}
	if (!number(word, '/', &head->pid, &len))
		return false;
	return number((struct str){word.ptr + len + 1, word.len - len - 1}, -1, &head->tid, &len);
}

static bool is_time(struct str word)
{
	int64_t n;
	size_t len;

	return number(word, '.', &n, &len) &&
	       number((struct str){word.ptr + len + 1, word.len - len - 1}, ':', &n, &len) &&
	       word.len;
}

/* "cycles:P" without its modifiers; a tracepoint ("sched:sched_switch") is all name. */
static struct str event_plain(struct str event)
{
	const char *colon = memrchr(event.ptr, ':', event.len);
	const char *end = event.ptr + event.len;

	for (const char *c = colon ? colon + 1 : end; c < end; c++)
		if (!strchr("ukhHGpPSDIeWb", *c) || !*c)
			return event;
	return colon && colon > event.ptr ? (struct str){event.ptr, (size_t)(colon - event.ptr)}
					  : event;
}

/* What stands behind the ids; false when it is not "[cpu] time: period event:". */
static bool rest_read(struct str rest, struct head *head)
{
	struct str word = word_next(&rest);
	size_t len;

	head->period = 0;
	if (word.len > 2 && word.ptr[0] == '[' && word.ptr[word.len - 1] == ']')
		word = word_next(&rest);
	if (is_time(word))
		word = word_next(&rest);
	if (number(word, -1, &head->period, &len))
		word = word_next(&rest);
	if (word.len < 2 || word.ptr[word.len - 1] != ':')
		return false;
	head->event = event_plain((struct str){word.ptr, word.len - 1});
	head->rest = str_trim(rest);
	return true;
}

/* A command's name may hold spaces: the ids are the first number with the rest of a head behind
 * it. */
static bool head_read(struct str line, struct head *ret)
{
	struct str rest = str_trim(line);
	const char *begin = rest.ptr;

	(void)word_next(&rest);
	while (rest.len) {
		struct str before = str_trim(rest), word = word_next(&rest);

		if (!ids_read(word, ret) || !rest_read(rest, ret))
			continue;
		ret->comm = str_trim((struct str){begin, (size_t)(before.ptr - begin)});
		return true;
	}
	return false;
}

/* ---- kinds ---- */

static int event_kind(struct job *job, const struct event *event, uint32_t *ret_kind)
{
	struct profile_kind kind = {.columns_count = 1};

	if (event->is_clock)
		return profile_builder_known_kind(job->out, PROFILE_KIND_CPU, 0, ret_kind);
	int rc = ingest_string(job->out, STR("perf"), &kind.name);

	if (!rc)
		rc = ingest_string(job->out, event->name, &kind.period_type);
	if (!rc)
		rc = ingest_string(job->out, STR("count"), &kind.period_unit);
	if (!rc)
		rc = ingest_string(job->out, event->has_period ? event->name : STR("samples"),
				   &kind.columns[0].type);
	kind.columns[0].unit = kind.period_unit;
	return rc ? rc : profile_builder_kind(job->out, &kind, ret_kind);
}

static int event_find(struct job *job, const struct head *head, struct event **ret)
{
	struct event made = {.name = head->event, .has_period = head->period > 0};
	uint32_t kind;

	for (size_t i = 0; i < job->events_count; i++) {
		*ret = &job->events[i];
		if ((*ret)->has_period == made.has_period && (*ret)->name.len == made.name.len &&
		    !memcmp((*ret)->name.ptr, made.name.ptr, made.name.len))
			return 0;
	}
	if (job->events_count == EVENTS_MAX)
		return err_set(job->err, -E2BIG, "perf script: more than %d events (fixed limit)",
			       EVENTS_MAX);
	made.is_clock =
	    made.has_period && (str_is(made.name, "cpu-clock") || str_is(made.name, "task-clock"));
	int rc = event_kind(job, &made, &kind);

	if (!rc)
		rc = ingest_series(job->request, job->out, kind, NULL, &made.series);
	if (rc)
		return ingest_failed(job->out, rc, job->err);
	job->events[job->events_count] = made;
	*ret = &job->events[job->events_count++];
	return 0;
}

/* ---- frames ---- */

/* "address symbol (file)"; false when the line is something else. */
static bool frame_split(struct str line, struct str *symbol, struct str *file)
{
	struct str address = word_next(&line);

	if (!address.len || address.len > 16)
		return false;
	for (size_t i = 0; i < address.len; i++)
		if (ingest_hex_digit(address.ptr[i]) < 0)
			return false;
	*symbol = str_trim(line);
	*file = (struct str){0};
	if (symbol->len && symbol->ptr[symbol->len - 1] == ')') {
		const char *open = memrchr(symbol->ptr, '(', symbol->len);
		size_t len = open ? (size_t)(open - symbol->ptr) : symbol->len;

		if (open && (!len || symbol->ptr[len - 1] == ' ')) {
			*file = (struct str){open + 1, symbol->len - len - 2};
			*symbol = str_trim((struct str){symbol->ptr, len});
		}
	}
	/* "+0x1f" is where in the function. */
	for (size_t i = symbol->len; i-- > 3;)
		if (!memcmp(symbol->ptr + i - 3, "+0x", 3) && symbol->len - i <= 16) {
			symbol->len = i - 3;
			break;
		}
	return true;
}

static int frame_make(struct job *job, struct str symbol, struct str file, uint32_t *ret_frame)
{
	struct profile_frame frame = {0};
	struct profile_module module = {0};
	int rc = 0;

	if (str_is(file, "inlined"))
		frame.flags = PROFILE_FRAME_INLINED;
	else if (file.len && !str_is(file, "[unknown]"))
		rc = ingest_string(job->out, file, &module.path);
	if (!rc && module.path)
		rc = profile_builder_module(job->out, &module, &frame.module);
	if (!rc)
		rc = ingest_string(job->out, symbol.len ? symbol : STR("[unknown]"),
				   &frame.function);
	return rc ? rc : profile_builder_frame(job->out, &frame, ret_frame);
}

/* The frame of a sample without a call chain; what a tracepoint says is none. */
static bool has_frame(const struct head *head, struct str *symbol, struct str *file)
{
	return !memchr(head->event.ptr, ':', head->event.len) &&
	       frame_split(head->rest, symbol, file);
}

/* Whether a line is the next sample's: a command may be called "dd", which looks like an address
 * with the ids as its symbol. */
static bool ends_sample(struct str line, bool is_frame, struct str symbol)
{
	struct head next;

	return (!is_frame || (symbol.len && symbol.ptr[0] >= '0' && symbol.ptr[0] <= '9')) &&
	       head_read(line, &next);
}

static int stack_read(struct job *job, const struct head *head, struct str *text,
		      uint32_t *ret_node)
{
	struct str symbol, file;
	bool one_line = has_frame(head, &symbol, &file);
	size_t count = 0;
	int rc = one_line ? frame_make(job, symbol, file, &job->frames[count++]) : 0;

	while (!rc && !one_line && text->len) {
		struct str after = *text, line = str_trim(str_cut(&after, '\n'));
		bool is_frame = frame_split(line, &symbol, &file);

		if (line.len && ends_sample(line, is_frame, symbol))
			break;
		*text = after;
		if (!line.len)
			break;
		if (count < FRAMES_MAX && is_frame)
			rc = frame_make(job, symbol, file, &job->frames[count++]);
	}
	return rc ? rc : profile_builder_stack(job->out, job->frames, count, ret_node);
}

/* ---- samples ---- */

static int context_make(struct job *job, const struct head *head, uint32_t *ret_context)
{
	struct profile_label labels[2] = {{.is_number = true, .number = head->tid}};
	int rc = ingest_string(job->out, STR("thread id"), &labels[0].key);

	if (!rc)
		rc = profile_builder_label(job->out, STR("thread name"), head->comm, &labels[1]);
	return rc ? rc : profile_builder_context(job->out, labels, 2, ret_context);
}

static int sample_read(struct job *job, const struct head *head, struct str *text)
{
	struct profile_record record = {.time_ns = job->time_ns, .count = 1};
	int64_t values[2] = {head->period > 0 ? head->period : 1, 1};
	struct event *event = NULL;
	int rc = event_find(job, head, &event);

	if (rc)
		return rc;
	record.series = event->series;
	rc = stack_read(job, head, text, &record.node);
	if (!rc)
		rc = context_make(job, head, &record.context);
	if (!rc)
		rc = profile_builder_record(job->out, &record, values);
	return rc ? ingest_failed(job->out, rc, job->err) : 0;
}

static int blocks_read(struct job *job, struct str text)
{
	size_t samples = 0;
	int rc = 0;

	while (!rc && text.len) {
		struct str line = str_cut(&text, '\n'), words = str_trim(line);
		struct head head;

		if (!words.len || words.ptr[0] == '#')
			continue;
		if (!head_read(words, &head))
			return err_set(job->err, -EINVAL,
				       "perf script: \"%.*s\" is no sample's first line (comm pid "
				       "time: event:)",
				       (int)MIN(words.len, (size_t)60), words.ptr);
		rc = sample_read(job, &head, &text);
		samples++;
	}
	if (!rc && !samples)
		return err_set(job->err, -EINVAL, "perf script: no sample");
	return rc;
}

static bool perf_script_looks(struct str body)
{
	struct head head;

	for (int i = 0; i < SNIFF_LINES && body.len; i++) {
		struct str line = str_trim(str_cut(&body, '\n')), symbol, file;

		if (!line.len || line.ptr[0] == '#')
			continue;
		if (!head_read(line, &head))
			return false;
		line = str_trim(str_cut(&body, '\n'));
		return !line.len || has_frame(&head, &symbol, &file) ||
		       frame_split(line, &symbol, &file) || head_read(line, &head);
	}
	return false;
}

static int perf_script_decode(const struct ingest_request *request, struct profile_builder *out,
			      struct ingest_findings *findings, struct err *err)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return err_set(err, -ENOMEM, "perf script: out of memory");
	job->request = request;
	job->out = out;
	job->err = err;
	job->time_ns = ingest_span(request, 0, 0, profile_builder_profile(out));
	int rc = blocks_read(job, request->body);

	free(job);
	findings->profiles += !rc;
	return rc;
}

const struct ingest_protocol ingest_perf_script = {
    .name = "perf_script",
    .sniff = perf_script_looks,
    .decode = perf_script_decode,
};
