/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbol/symbol.h - turns addresses of native code into function, file, line and inlined frames.
 *
 * A binary is read once, in a child process under seccomp that gets descriptors and can open
 * nothing, into one sorted table; lookups are binary searches in that table.  The table is a flat,
 * position-independent run of bytes that storage keeps (docs/formats/symbols.md); every read of it
 * is checked, since a damaged disk or a hostile binary may have shaped it.
 *
 * symbol_table_* are pure and run on any thread.  A struct symbolizer belongs to one thread.
 */
#ifndef SYMBOL_SYMBOL_H
#define SYMBOL_SYMBOL_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

#define SYMBOL_INLINES_MAX 32
#define SYMBOL_TABLE_MAX ((size_t)192 << 20)

/* One function at an address. Text is borrowed from the table; NULL where unknown: of a function
 * that has no symbol it is still known, by the rules for unwinding it, where it begins. */
struct symbol_frame {
	const char *function; /* demangled, as pprof prints it */
	const char *file;
	uint32_t line;       /* of the address in this function; 0: unknown */
	uint32_t start_line; /* where the function begins; 0: unknown */
	uint64_t inside;     /* bytes from the function's begin; 0 for inlined ones */
};

struct symbol_table; /* a checked view of a table's bytes */

/* Check `len` bytes and open them; the bytes stay the caller's and must outlive the table.
 * Returns 0, -EINVAL (with what is wrong) or -ENOMEM. */
MUST_CHECK int symbol_table_open(const void *bytes, size_t len, struct symbol_table **ret_table,
				 struct err *err);
void symbol_table_close(struct symbol_table *table);

/* The frames at an ELF virtual address, innermost (inlined) first, the real function last.
 * Returns how many (at most SYMBOL_INLINES_MAX); 0 when nothing is known. */
size_t symbol_table_find(const struct symbol_table *table, uint64_t address,
			 struct symbol_frame frames[SYMBOL_INLINES_MAX]);

/* The object (a variable) at an ELF virtual address of writable data; *ret_offset is how far inside
 * it. NULL when none is known. */
const char *symbol_table_object(const struct symbol_table *table, uint64_t address,
				uint64_t *ret_offset);

/* The ELF virtual address of a file offset, by the table's copy of the load segments.
 * Returns false when no segment holds it. */
bool symbol_table_address(const struct symbol_table *table, uint64_t file_offset,
			  uint64_t *ret_address);

struct symbol_table_stats {
	size_t functions, lines, inlines, bytes;
	bool has_dwarf;      /* lines and inlines came from debug information */
	bool debug_separate; /* found in a separate debug file */
};

void symbol_table_stats(const struct symbol_table *table, struct symbol_table_stats *ret_stats);

/* ---- making tables: the child process ---- */

struct symbolizer;

struct symbolizer_options {
	const char *debug_roots[8]; /* NULL-terminated; default { "/usr/lib/debug" } */
	int64_t timeout_ns;         /* for one binary; then the child is killed. 0: 30 s */
	size_t memory_max;          /* RLIMIT_AS of the child; 0: 2 GiB */
	const char *program;        /* the child's; NULL: hearth-symbolizer beside /proc/self/exe */
};

/* Prepare; the child is started at the first job and again after it died. */
MUST_CHECK int symbolizer_new(const struct symbolizer_options *options,
			      struct symbolizer **ret_symbolizer, struct err *err);
void symbolizer_free(struct symbolizer *symbolizer);

/*
 * Read the ELF file `fd` (borrowed; a regular file, else -EINVAL) into a table in `ret_table`,
 * which is initialised here and the caller's to release after 0. When `build_id_len` is not 0 the
 * file's own build id must be equal (-ESTALE otherwise).  Separate debug files are found by build
 * id and .gnu_debuglink beneath the debug roots, opened by this process with RESOLVE_BENEATH and
 * handed to the child.  Blocks until the child answered or died. Returns 0; -ESTALE; -EINVAL not a
 * usable ELF file; -ETIME; -EPIPE the child died (it is started again at the next call); -ENOMEM.
 */
MUST_CHECK int symbolizer_read(struct symbolizer *symbolizer, int fd, const uint8_t *build_id,
			       size_t build_id_len, struct buf *ret_table, struct err *err);

/* Write what the mangled name of a C++ type says ("St13runtime_error", as std::type_info has it)
 * into `to`, in the child, cut to `size`; a name that is not mangled stays.  Returns 0, -EINVAL
 * (too long), or as symbolizer_read does. */
MUST_CHECK int symbolizer_type(struct symbolizer *symbolizer, const char *mangled, char *to,
			       size_t size, struct err *err);

/* The pid of the child, 0 when none runs: for status and tests. */
int symbolizer_pid(const struct symbolizer *symbolizer);

/* Make the child do what it may not, open a file: -EPIPE when the kernel killed it for that, as it
 * must; 0 when the cage is open. */
MUST_CHECK int symbolizer_self_test(struct symbolizer *symbolizer);

/* Demangle one C++ or Rust name the way pprof prints it (no parameters); `to` gets the name itself
 * when it is not mangled.  Runs anywhere, but on hostile names only in the child. */
int symbol_demangle(const char *name, struct buf *to);

/* The same for a type's name, which has no "_Z" before it. */
int symbol_demangle_type(const char *name, struct buf *to);

#endif
