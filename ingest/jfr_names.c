/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "ingest/jfr.h"
#include "ingest/span.h"
#include "ingest/stacks.h"

/*
 * jdk.types.StackTrace   truncated, frames: array of StackFrame
 * jdk.types.StackFrame   method: key, lineNumber...
 * jdk.types.Method       type: key of a class, name: key of a symbol...
 * java.lang.Class        name: key of a symbol "java/lang/Object"...
 * java.lang.Thread       osName, osThreadId, javaName...
 */

#define NAME_MAX_BYTES 4096

struct str jfr_value_text(struct jfr_job *job, const struct jfr_value *value)
{
	if (job->work > job->work_max)
		return STR("");
	if (value->what == JFR_IS_TEXT)
		return jfr_text_str(job->chunk, &value->text, &job->scratch, &job->work);
	if (value->what == JFR_IS_KEY)
		return jfr_name(job->chunk, value->field->class, value->key, &job->scratch,
				&job->work);
	return STR("");
}

static bool constant_field(struct jfr_job *job, uint32_t class, uint64_t key, const char *name,
			   struct jfr_value *ret_value)
{
	return job->work <= job->work_max &&
	       jfr_field_of(job->chunk, class, key, name, ret_value, &job->work);
}

/* ---- classes and methods ---- */

/*
 * "java/lang/Object" -> java.lang.Object.  Hidden classes (lambdas) end in the address of what made
 * them, behind a slash or a plus, which is another in every run: cut.
 */
static size_t class_spell(struct str name, char *to)
{
	size_t len = MIN(name.len, (size_t)NAME_MAX_BYTES);

	for (size_t i = 0; i < len; i++) {
		bool last = (name.ptr[i] == '/' || name.ptr[i] == '+' || name.ptr[i] == '.') &&
			    len - i > 3 && !memcmp(name.ptr + i + 1, "0x", 2);

		if (last)
			return i;
		to[i] = name.ptr[i] == '/' ? '.' : name.ptr[i];
	}
	return len;
}

static struct str class_symbol(struct jfr_job *job, uint32_t class, uint64_t key)
{
	struct jfr_value name;

	return constant_field(job, class, key, "name", &name) ? jfr_value_text(job, &name)
							      : STR("");
}

int jfr_class_name(struct jfr_job *job, const struct jfr_value *value, uint32_t *ret_string)
{
	char spelled[NAME_MAX_BYTES];

	*ret_string = 0;
	if (value->what != JFR_IS_KEY || value->field->class != job->class_class) {
		/* A host, a path, a type's name in words. */
		return ingest_string(job->out, jfr_value_text(job, value), ret_string);
	}
	int64_t place = jfr_find(job->chunk, job->class_class, value->key);

	if (place < 0)
		return 0;
	uint32_t *known = &job->classes[place];
	int rc = 0;

	if (*known == JFR_NONE) {
		size_t len = class_spell(class_symbol(job, job->class_class, value->key), spelled);

		rc = ingest_string(job->out, (struct str){spelled, len}, known);
	}
	*ret_string = *known;
	return rc;
}

/* Native code has its library where Java has a class: "libjvm.so", "libc.so.6". */
static bool is_library(struct str class)
{
	return class.len && !memchr(class.ptr, '/', class.len) &&
	       memmem(class.ptr, class.len, ".so", 3);
}

static int function_make(struct jfr_job *job, uint64_t key, struct profile_frame *frame)
{
	struct jfr_value type, name;
	char text[2 * NAME_MAX_BYTES + 1];
	size_t len = 0;
	int rc = 0;

	if (constant_field(job, job->method_class, key, "type", &type) && type.what == JFR_IS_KEY) {
		struct str class = class_symbol(job, type.field->class, type.key);

		if (is_library(class)) {
			struct profile_module module = {0};

			rc = ingest_string(job->out, class, &module.path);
			if (!rc)
				rc = profile_builder_module(job->out, &module, &frame->module);
		} else {
			len = class_spell(class, text);
		}
	}
	if (rc || !constant_field(job, job->method_class, key, "name", &name))
		return rc;
	struct str method = jfr_value_text(job, &name);

	if (len && method.len)
		text[len++] = '.';
	memcpy(text + len, method.len ? method.ptr : "", MIN(method.len, (size_t)NAME_MAX_BYTES));
	len += MIN(method.len, (size_t)NAME_MAX_BYTES);
	return ingest_string(job->out, (struct str){text, len}, &frame->function);
}

/* A method that is not there is an unknown function; stacks of native code have them. */
static int method_of(struct jfr_job *job, uint64_t key, struct profile_frame *frame)
{
	int64_t place = jfr_find(job->chunk, job->method_class, key);
	struct jfr_method *known = place < 0 ? NULL : &job->methods[place];
	int rc = 0;

	if (known && known->function != JFR_NONE) {
		frame->function = known->function;
		frame->module = known->module;
		return 0;
	}
	if (known)
		rc = function_make(job, key, frame);
	if (!rc && !frame->function)
		rc = profile_builder_string(job->out, STR("[unknown]"), &frame->function);
	if (!rc && known)
		*known = (struct jfr_method){frame->function, frame->module};
	return rc;
}

/* ---- stacks ---- */

static int frame_read(struct jfr_job *job, struct jfr_cursor *cursor, uint32_t *ret_frame)
{
	struct jfr_value v;
	uint64_t method = 0;
	int64_t line = 0;
	struct profile_frame frame = {0};
	bool known = false;
	int more;

	while ((more = jfr_next(job->chunk, cursor, &v)) == 1) {
		if (v.what == JFR_IS_KEY && str_is(v.field->name, "method")) {
			method = v.key;
			known = v.field->class == job->method_class;
		} else if (v.what == JFR_IS_NUMBER && str_is(v.field->name, "lineNumber")) {
			line = v.number;
		}
	}
	if (more)
		return err_set(job->err, more,
			       "jfr: a stack's frame is not as its class is described");
	if (!known)
		return err_set(job->err, -EINVAL, "jfr: a stack's frame has no method");
	int rc = method_of(job, method, &frame);

	frame.line = line > 0 && line <= UINT32_MAX ? (uint32_t)line : 0;
	return rc ? rc : profile_builder_frame(job->out, &frame, ret_frame);
}

static int frames_read(struct jfr_job *job, const struct jfr_value *array, size_t *ret_count,
		       bool *truncated)
{
	struct jfr_cursor cursor = jfr_cursor_of(array->field->class, array->inside);
	size_t count = MIN(array->count, (uint32_t)INGEST_STACK_FRAMES_MAX);
	/* Room for the mark of what is cut. */
	int rc = array_grow(&job->frames, sizeof(*job->frames), &job->frames_room, count + 1);

	*truncated |= count < array->count;
	if (!rc && (array->field->is_key || array->field->class == JFR_NONE))
		return err_set(job->err, -EINVAL, "jfr: a stack's frames are no structures");
	for (size_t i = 0; !rc && i < count; i++) {
		cursor.field = 0;
		rc = frame_read(job, &cursor, &job->frames[i]);
	}
	*ret_count = count;
	return rc;
}

/* A stack that its sender cut has lost its root: said in its place, and counted with those cut
 * here. */
static int truncation_mark(struct jfr_job *job, size_t *count)
{
	struct profile_frame mark = {0};
	int rc = profile_builder_string(job->out, STR("[truncated]"), &mark.function);

	if (!rc)
		rc = profile_builder_frame(job->out, &mark, &job->frames[*count]);
	++*count;
	profile_builder_stack_was_cut(job->out);
	return rc;
}

static int stack_make(struct jfr_job *job, size_t place, uint32_t *ret_node)
{
	struct jfr_cursor cursor = jfr_constant(job->chunk, job->stack_class, place);
	struct jfr_value v, frames = {0};
	bool truncated = false;
	size_t count = 0;
	int rc = 0;

	while (jfr_next(job->chunk, &cursor, &v) == 1) {
		if (v.what == JFR_IS_NUMBER && str_is(v.field->name, "truncated"))
			truncated = v.number != 0;
		else if (v.what == JFR_IS_ARRAY && str_is(v.field->name, "frames"))
			frames = v;
	}
	if (frames.field)
		rc = frames_read(job, &frames, &count, &truncated);
	if (!rc && truncated && count)
		rc = truncation_mark(job, &count);
	return rc ? rc : profile_builder_stack(job->out, job->frames, count, ret_node);
}

int jfr_stack_node(struct jfr_job *job, const struct jfr_value *stack, uint32_t *ret_node)
{
	int64_t place =
	    stack->what == JFR_IS_KEY && stack->field && stack->field->class == job->stack_class
		? jfr_find(job->chunk, job->stack_class, stack->key)
		: -1;
	int rc = 0;

	*ret_node = 0;
	if (place < 0)
		return 0;
	if (job->nodes[place] == JFR_NONE)
		rc = stack_make(job, (size_t)place, &job->nodes[place]);
	*ret_node = job->nodes[place];
	return rc;
}

/* ---- threads ---- */

static int thread_make(struct jfr_job *job, size_t place, struct jfr_thread *to)
{
	struct jfr_cursor cursor = jfr_constant(job->chunk, job->thread_class, place);
	struct jfr_value v, of_os = {0}, of_java = {0};

	while (jfr_next(job->chunk, &cursor, &v) == 1) {
		if (str_is(v.field->name, "osName"))
			of_os = v;
		else if (str_is(v.field->name, "javaName"))
			of_java = v;
		else if (v.what == JFR_IS_NUMBER && str_is(v.field->name, "osThreadId"))
			to->id = v.number;
	}
	struct str name = jfr_value_text(job, &of_java);

	return ingest_string(job->out, name.len ? name : jfr_value_text(job, &of_os), &to->name);
}

int jfr_thread_of(struct jfr_job *job, const struct jfr_value *value, struct jfr_thread *ret_thread)
{
	int64_t place =
	    value->what == JFR_IS_KEY && value->field && value->field->class == job->thread_class
		? jfr_find(job->chunk, job->thread_class, value->key)
		: -1;
	int rc = 0;

	*ret_thread = (struct jfr_thread){0};
	if (place < 0)
		return 0;
	if (job->threads[place].name == JFR_NONE)
		rc = thread_make(job, (size_t)place, &job->threads[place]);
	*ret_thread = job->threads[place];
	return rc;
}
