/* SPDX-License-Identifier: Apache-2.0 */
#include "client/otel.h"

#include <endian.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client/profiler.h"
#include "client/session.h"
#include "client/syscalls.h"
#include "client/thread.h"

#define CONTEXT_BYTES 12288
#define CONTEXT_VERSION 2

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* Weak, and found by name: every tracer of the process shares the first one that the loader
 * finds. */
extern __attribute__((
    visibility("default"), weak,
    tls_model("initial-exec"))) __thread const struct otel_record *otel_thread_ctx_v1;
__thread const struct otel_record *otel_thread_ctx_v1;

static uint32_t enabled;

void otel_switch(bool on)
{
	store(&enabled, on);
}

/* ---- threads ---- */

static void put_hex(uint8_t to[OTEL_ROOT_BYTES], uint64_t v)
{
	for (int i = 0; i < OTEL_ROOT_BYTES; i++)
		to[i] = (uint8_t) "0123456789abcdef"[v >> (60 - 4 * i) & 15];
}

void otel_show(struct thread *t, const uint64_t trace_id[2], uint64_t span_id,
	       uint64_t root_span_id)
{
	struct otel_record *r = &t->otel;
	const struct otel_record *now = load(&otel_thread_ctx_v1);
	uint64_t big_endian = htobe64(span_id);

	/* Readers stop this thread or are its signal handlers: the order of its own stores is
	 * enough. */
	store(&r->valid, 0);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (!span_id || !load(&enabled)) {
		if (now == r)
			store(&otel_thread_ctx_v1, t->otel_other);
		return;
	}
	if (now != r)
		t->otel_other = now;
	memcpy(r->trace_id, trace_id, sizeof(r->trace_id));
	memcpy(r->span_id, &big_endian, sizeof(r->span_id));
	r->trace_flags = 1;
	r->attributes_bytes = 2 + OTEL_ROOT_BYTES;
	r->root_key = OTEL_ROOT_KEY;
	r->root_bytes = OTEL_ROOT_BYTES;
	put_hex(r->root, root_span_id);
	store(&otel_thread_ctx_v1, r);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	store(&r->valid, 1);
}

static bool is_ours(const struct otel_record *r)
{
	uintptr_t at = (uintptr_t)r, base = (uintptr_t)session.threads;

	return at - base < sizeof(struct thread) * session.threads_max;
}

bool otel_foreign(uint64_t ret_trace_id[2], uint64_t *ret_span_id, uint64_t *ret_root_span_id)
{
	const struct otel_record *r = load(&enabled) ? load(&otel_thread_ctx_v1) : NULL;
	uint64_t span_id;

	if (!r || is_ours(r) || load(&r->valid) != 1)
		return false;
	memcpy(ret_trace_id, r->trace_id, sizeof(r->trace_id));
	memcpy(&span_id, r->span_id, sizeof(span_id));
	*ret_span_id = be64toh(span_id);
	*ret_root_span_id = *ret_span_id;
	return *ret_span_id != 0;
}

/* ---- the process ---- */

/* OTEP 4719's header, at the start of the mapping. */
struct context {
	char signature[8]; /* "OTEL_CTX" */
	uint32_t version, payload_bytes;
	uint64_t published_ns; /* CLOCK_BOOTTIME; 0: being changed */
	uint64_t payload;      /* address of a protobuf ProcessContext */
};

_Static_assert(sizeof(struct context) == 32, "the layout of OTEP 4719");

static struct context *context;

/* A protobuf under construction; `full` once something did not fit. */
struct message {
	uint8_t *at, *end;
	bool full;
};

static void put_byte(struct message *m, unsigned byte)
{
	if (m->at < m->end)
		*m->at++ = (uint8_t)byte;
	else
		m->full = true;
}

static size_t varint_bytes(size_t v)
{
	return v < 1u << 7 ? 1 : v < 1u << 14 ? 2 : 3;
}

/* Tag and length of a field that is a string or a message. */
static void put_head(struct message *m, unsigned field, size_t bytes)
{
	put_byte(m, field << 3 | 2);
	for (; bytes >= 1u << 7; bytes >>= 7)
		put_byte(m, (bytes & 127) | 128);
	put_byte(m, (unsigned)bytes);
}

static size_t field_bytes(size_t bytes)
{
	return 1 + varint_bytes(bytes) + bytes;
}

static void put_string(struct message *m, unsigned field, const char *text)
{
	size_t bytes = strlen(text);

	put_head(m, field, bytes);
	for (size_t i = 0; i < bytes; i++)
		put_byte(m, (unsigned char)text[i]);
}

/* KeyValue { key = 1, value = 2 { string_value = 1 | array_value = 5 { values = 1 } } } */
static void put_attribute(struct message *m, unsigned field, const char *key, const char *value,
			  bool in_array)
{
	size_t any = field_bytes(strlen(value)), array = field_bytes(any);
	size_t whole = in_array ? field_bytes(array) : any;

	put_head(m, field, field_bytes(strlen(key)) + field_bytes(whole));
	put_string(m, 1, key);
	put_head(m, 2, whole);
	if (in_array) {
		put_head(m, 5, array);
		put_head(m, 1, any);
	}
	put_string(m, 1, value);
}

static const char *semantic_key(const char *key)
{
	return !strcmp(key, "service")   ? "service.name"
	       : !strcmp(key, "env")     ? "deployment.environment.name"
	       : !strcmp(key, "version") ? "service.version"
					 : key;
}

static void put_resource(struct message *m)
{
	const struct config *c = profiler_config();
	const uint8_t *id = session.head->runtime_id;
	char instance[37], *to = instance;

	for (uint32_t at = 0; at < c->text_bytes;) {
		const char *key = c->text + at, *value = key + strlen(key) + 1;

		put_attribute(m, 1, semantic_key(key), value, false);
		at = (uint32_t)(value + strlen(value) + 1 - c->text);
	}
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = "0123456789abcdef"[id[i] >> 4];
		*to++ = "0123456789abcdef"[id[i] & 15];
	}
	*to = 0;
	put_attribute(m, 1, "service.instance.id", instance, false);
	put_attribute(m, 1, "telemetry.sdk.name", "hearth", false);
	put_attribute(m, 1, "telemetry.sdk.version", HEARTH_VERSION, false);
}

/* ProcessContext { resource = 1 { attributes = 1 }, attributes = 2 }.  Written twice, the first
 * time to learn the resource's length.  Returns 0 when it does not fit. */
static uint32_t put_payload(uint8_t *to, size_t bytes)
{
	struct message m = {to, to + bytes, false};
	size_t resource;

	put_resource(&m);
	resource = (size_t)(m.at - to);
	m.at = to;
	put_head(&m, 1, resource);
	put_resource(&m);
	put_attribute(&m, 2, "threadlocal.schema_version", "tlsdesc_v1_dev", false);
	put_attribute(&m, 2, "threadlocal.attribute_key_map", "datadog.local_root_span_id", true);
	return m.full ? 0 : (uint32_t)(m.at - to);
}

static struct context *map_context(void)
{
	int fd = (int)syscall(SYS_memfd_create, "OTEL_CTX", MFD_CLOEXEC);
	void *p = MAP_FAILED;

	if (fd < 0)
		return NULL;
	if (!ftruncate(fd, CONTEXT_BYTES))
		p = mmap(NULL, CONTEXT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	sys_close(fd);
	if (p == MAP_FAILED)
		return NULL;
	if (madvise(p, CONTEXT_BYTES, MADV_DONTFORK)) {
		munmap(p, CONTEXT_BYTES);
		return NULL;
	}
	return p;
}

void otel_publish_process(void)
{
	uint8_t *payload;
	int64_t now;

	if (!load(&enabled))
		return;
	if (!context)
		context = map_context();
	if (!context)
		return;
	now = clock_ns(CLOCK_BOOTTIME);
	store(&context->published_ns, 0);
	store_fence();
	payload = (uint8_t *)(context + 1);
	context->payload_bytes = put_payload(payload, CONTEXT_BYTES - sizeof(*context));
	context->payload = (uint64_t)(uintptr_t)payload;
	context->version = CONTEXT_VERSION;
	store_fence();
	if (!context->payload_bytes)
		return; /* left unpublished */
	store(&context->published_ns, (uint64_t)now);
	store_fence();
	memcpy(context->signature, "OTEL_CTX", sizeof(context->signature));
	(void)syscall(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, context, CONTEXT_BYTES,
		      "OTEL_CTX");
}

void otel_forget_process(void)
{
	context = NULL;
}
