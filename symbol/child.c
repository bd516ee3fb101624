/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbol/child.c - hearth-symbolizer: the process that reads hostile ELF files for the agent.
 *
 * It has a socket on descriptor 3 and nothing else, gets the files as descriptors, and runs under a
 * list of allowed system calls that has no open, no socket and no exec.  Started by symbolizer.c;
 * ends when the agent closes its end of the socket.
 */
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "symbol/protocol.h"
#include "symbol/reader.h"

/* ---- the cage ---- */

static int allow(scmp_filter_ctx ctx)
{
	static const int calls[] = {
	    SCMP_SYS(read),         SCMP_SYS(pread64),   SCMP_SYS(write),   SCMP_SYS(fstat),
	    SCMP_SYS(lseek),        SCMP_SYS(close),     SCMP_SYS(munmap),  SCMP_SYS(mremap),
	    SCMP_SYS(madvise),      SCMP_SYS(brk),       SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),
	    SCMP_SYS(futex),        SCMP_SYS(getrandom), SCMP_SYS(exit),    SCMP_SYS(exit_group),
	    SCMP_SYS(rt_sigreturn), SCMP_SYS(sysinfo) /* qsort */};
	int rc = 0;

	for (size_t i = 0; !rc && i < ARRAY_LEN(calls); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
	/* Memory, but none that runs. */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				      SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				      SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* libdw asks where the file lies, to find debug files itself: nowhere. */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOENT), SCMP_SYS(readlink), 0);
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOENT), SCMP_SYS(readlinkat), 0);
	return rc;
}

static int limit(int what, rlim_t value)
{
	const struct rlimit l = {value, value};

	return setrlimit(what, &l) < 0 ? -errno : 0;
}

static int cage(rlim_t memory, rlim_t cpu_s)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc = ctx ? allow(ctx) : -ENOMEM;

	if (syscall(SYS_close_range, SYMBOL_SOCKET + 1, ~0u, 0) < 0 && errno != ENOSYS)
		return -errno;
	(void)close(STDIN_FILENO);
	(void)close(STDOUT_FILENO);
#ifndef __SANITIZE_ADDRESS__ /* whose shadow memory needs terabytes, and which reports on stderr   \
			      */
	(void)close(STDERR_FILENO);
	if (!rc)
		rc = limit(RLIMIT_AS, memory);
#else
	(void)memory;
#endif
	if (!rc)
		rc = limit(RLIMIT_CPU, cpu_s);
	if (!rc)
		rc = limit(RLIMIT_NOFILE, 16);
	if (!rc)
		rc = limit(RLIMIT_FSIZE, SYMBOL_TABLE_MAX);
	if (!rc)
		rc = limit(RLIMIT_CORE, 0);
	if (!rc && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		rc = -errno;
	if (!rc && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		rc = -errno;
	return rc ? rc : seccomp_load(ctx);
}

/* ---- jobs ---- */

/* A file as memory. The kernel ends us with SIGBUS when it is cut short under us: that is fine. */
struct image {
	void *bytes;
	size_t len;
	Elf *elf;
};

static int image_open(int fd, uint64_t len, struct image *ret)
{
	*ret = (struct image){0};
	if (!len || len > SIZE_MAX)
		return -EINVAL;
	/* Writable, but private: libelf decompresses sections by changing their headers in place.
	 */
	void *bytes = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	if (bytes == MAP_FAILED)
		return errno == ENOMEM ? -ENOMEM : -EINVAL;
	*ret = (struct image){.bytes = bytes, .len = len, .elf = elf_memory(bytes, len)};
	return ret->elf && elf_kind(ret->elf) == ELF_K_ELF ? 0 : -EINVAL;
}

static void image_close(struct image *image)
{
	if (image->elf)
		elf_end(image->elf);
	if (image->bytes)
		(void)munmap(image->bytes, image->len);
}

/* CRC-32 of the whole debug file, as .gnu_debuglink has it (polynomial 0xedb88320). */
static uint32_t crc32_of(const uint8_t *bytes, size_t len)
{
	uint32_t table[256], crc = 0xffffffff;

	for (uint32_t i = 0; i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320 : 0);
	}
	for (size_t i = 0; i < len; i++)
		crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
	return ~crc;
}

static size_t build_id_of(Elf *elf, uint8_t *to)
{
	const void *id;
	ssize_t len = dwelf_elf_gnu_build_id(elf, &id);

	if (len <= 0 || len > SYMBOL_BUILD_ID_MAX)
		return 0;
	memcpy(to, id, (size_t)len);
	return (size_t)len;
}

/* A debug file belongs to the binary when their build ids are equal, or its CRC is the link's. */
static bool debug_fits(const struct image *debug, const struct symbol_answer *answer)
{
	uint8_t id[SYMBOL_BUILD_ID_MAX];
	size_t len = build_id_of(debug->elf, id);

	if (answer->build_id_len && len)
		return len == answer->build_id_len && !memcmp(id, answer->build_id, len);
	return answer->debug_link[0] &&
	       crc32_of(debug->bytes, debug->len) == answer->debug_link_crc;
}

/* Where dwz moved parts of the debug information to; the build id's length, 0 for nowhere. */
static size_t alt_of(Elf *elf, struct symbol_answer *answer)
{
	Dwarf *dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	const void *id;
	const char *name;
	ssize_t len = dwarf ? dwelf_dwarf_gnu_debugaltlink(dwarf, &name, &id) : 0;

	if (len > 0 && len <= SYMBOL_BUILD_ID_MAX && answer) {
		answer->build_id_len = (uint32_t)len;
		memcpy(answer->build_id, id, (size_t)len);
		(void)snprintf(answer->debug_link, sizeof(answer->debug_link), "%s", name);
	}
	(void)dwarf_end(dwarf);
	return len > 0 ? (size_t)len : 0;
}

/* Whether `alt` is the alt of `elf`. */
static bool alt_fits(Elf *elf, const struct image *alt)
{
	struct symbol_answer wanted = {0};
	uint8_t id[SYMBOL_BUILD_ID_MAX];

	return alt && alt_of(elf, &wanted) && build_id_of(alt->elf, id) == wanted.build_id_len &&
	       !memcmp(id, wanted.build_id, wanted.build_id_len);
}

/* Debug information of a file that has it: all, or none when a part of it is missing. */
static void read_dwarf(struct reader *r, Elf *elf, const struct image *alt)
{
	if (alt_fits(elf, alt))
		reader_dwarf(r, elf, alt->elf);
	else if (!alt_of(elf, NULL))
		reader_dwarf(r, elf, NULL);
}

static int read_files(const struct image *binary, const struct image *debug,
		      const struct image *alt, struct buf *table)
{
	struct reader r;
	int rc = reader_init(&r);

	if (rc)
		return rc;
	reader_segments(&r, binary->elf);
	reader_symbols(&r, binary->elf);
	reader_plt(&r, binary->elf);
	reader_frames(&r, binary->elf);
	if (debug) {
		reader_symbols(&r, debug->elf);
		r.flags |= SYMBOL_DEBUG_SEPARATE;
		read_dwarf(&r, debug->elf, alt);
	} else if (reader_has_dwarf(binary->elf)) {
		read_dwarf(&r, binary->elf, alt);
	} else {
		reader_mini(&r, binary->elf);
	}
	rc = reader_finish(&r, table);
	reader_release(&r);
	return rc;
}

static int say(struct symbol_answer *answer, int code, const char *message)
{
	(void)snprintf(answer->message, sizeof(answer->message), "%s", message);
	return code;
}

static int read_binary(const struct symbol_request *request, const struct image *binary,
		       const struct image *debug, const struct image *alt, int out,
		       struct symbol_answer *answer)
{
	GElf_Ehdr e;
	GElf_Word crc = 0;

	if (!gelf_getehdr(binary->elf, &e) || (e.e_type != ET_EXEC && e.e_type != ET_DYN))
		return say(answer, -EINVAL, "not an executable or a shared library");
	answer->build_id_len = (uint32_t)build_id_of(binary->elf, answer->build_id);
	if (request->build_id_len &&
	    (request->build_id_len != answer->build_id_len ||
	     memcmp(request->build_id, answer->build_id, answer->build_id_len) != 0))
		return say(answer, -ESTALE, "the file has another build id");
	const char *link = dwelf_elf_gnu_debuglink(binary->elf, &crc);

	if (link && strnlen(link, sizeof(answer->debug_link)) < sizeof(answer->debug_link)) {
		(void)snprintf(answer->debug_link, sizeof(answer->debug_link), "%s", link);
		answer->debug_link_crc = crc;
	}
	bool wants = !reader_has_dwarf(binary->elf);

	if (wants && request->kind == SYMBOL_READ && (answer->build_id_len || link))
		return SYMBOL_WANT_DEBUG;
	if (!wants || !debug || !debug_fits(debug, answer))
		debug = NULL;
	if ((debug || !wants) && request->kind != SYMBOL_READ_ALL &&
	    alt_of(debug ? debug->elf : binary->elf, answer))
		return SYMBOL_WANT_ALT;
	struct buf table;

	buf_init(&table, SYMBOL_TABLE_MAX);
	int rc = read_files(binary, debug, alt, &table);

	if (!rc)
		rc = fd_write_all(out, table.data, table.len);
	answer->table_bytes = table.len;
	buf_release(&table);
	return rc ? say(answer, rc, rc == -E2BIG ? "the table is too large" : strerror(-rc)) : 0;
}

static int demangle_type(const struct symbol_request *request, struct symbol_answer *answer)
{
	char type[SYMBOL_TYPE_MAX];
	struct buf plain;

	(void)snprintf(type, sizeof(type), "%.*s", (int)sizeof(type) - 1, request->type);
	buf_init(&plain, (size_t)64 << 10);
	int rc = symbol_demangle_type(type, &plain);

	if (!rc)
		(void)snprintf(answer->debug_link, sizeof(answer->debug_link), "%.*s",
			       (int)plain.len, plain.data);
	buf_release(&plain);
	return rc;
}

static int job(const struct symbol_request *request, const int *fds, size_t fds_count,
	       struct symbol_answer *answer)
{
	struct image binary = {0}, debug = {0}, alt = {0};
	size_t wanted = 2 + (request->debug_bytes != 0) + (request->alt_bytes != 0);

	if (request->kind == SYMBOL_SELF_TEST)
		return openat(AT_FDCWD, "/dev/null", O_RDONLY) < 0 ? -errno : 0;
	if (request->kind == SYMBOL_TYPE)
		return demangle_type(request, answer);
	if (fds_count != wanted || request->build_id_len > SYMBOL_BUILD_ID_MAX)
		return -EINVAL;
	int rc = image_open(fds[0], request->binary_bytes, &binary);
	bool has_debug = request->debug_bytes && !image_open(fds[2], request->debug_bytes, &debug);
	bool has_alt =
	    request->alt_bytes && !image_open(fds[fds_count - 1], request->alt_bytes, &alt);

	if (rc)
		rc = say(answer, rc, rc == -ENOMEM ? "out of memory" : "not an ELF file");
	else
		rc = read_binary(request, &binary, has_debug ? &debug : NULL, has_alt ? &alt : NULL,
				 fds[1], answer);
	image_close(&alt);
	image_close(&debug);
	image_close(&binary);
	return rc;
}

int main(int argc, char **argv)
{
	if (argc != 3 || elf_version(EV_CURRENT) == EV_NONE)
		return 2;
	if (cage(strtoull(argv[1], NULL, 10), strtoull(argv[2], NULL, 10)) < 0)
		_exit(3);
	for (;;) {
		struct symbol_request request;
		struct symbol_answer answer = {0};
		int fds[4];
		size_t fds_count = ARRAY_LEN(fds);
		ssize_t len = fd_receive(SYMBOL_SOCKET, &request, sizeof(request), fds, &fds_count);

		if (len != sizeof(request))
			_exit(len ? 4 : 0);
		answer.status = job(&request, fds, fds_count, &answer);
		while (fds_count)
			(void)close(fds[--fds_count]);
		if (fd_send(SYMBOL_SOCKET, &answer, sizeof(answer), NULL, 0) < 0)
			_exit(0);
	}
}
