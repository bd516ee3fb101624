/* SPDX-License-Identifier: Apache-2.0 */
/* The real child on real programs, compared with addr2line; on damaged ones; killed; and caged. */
#include "tests/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "symbol/symbol.h"

static struct err err;

static struct symbolizer *start(const char *root)
{
	struct symbolizer_options options = {.program = SYMBOLIZER, .debug_roots = {root}};
	struct symbolizer *s;

	assert_int_equal(symbolizer_new(&options, &s, &err), 0);
	return s;
}

static int open_tried(const char *name)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s", TRIED, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static struct symbol_table *read_table(struct symbolizer *s, int fd, struct buf *bytes)
{
	struct symbol_table *table;

	if (symbolizer_read(s, fd, NULL, 0, bytes, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(symbol_table_open(bytes->data, bytes->len, &table, &err), 0);
	return table;
}

/* ---- compared with addr2line ---- */

static const char *base_of(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path;
}

/* addr2line's answer for one address: pairs of lines, then what it says of address 0. */
static size_t addr2line_read(FILE *from, char names[][1024], char places[][1024], size_t room)
{
	size_t count = 0;
	char address[64];

	/* -a prints the address before each answer; the next one ends this. */
	while (count < room && fgets(names[count], 1024, from)) {
		names[count][strcspn(names[count], "\n")] = '\0';
		if (sscanf(names[count], "0x%40s", address) == 1 && strlen(names[count]) == 18)
			break;
		if (!fgets(places[count], 1024, from))
			break;
		places[count][strcspn(places[count], "\n ")] = '\0';
		count++;
	}
	return count;
}

/* Their name as ours: demangled without parameters. */
static bool same_name(const char *ours, const char *theirs)
{
	struct buf plain;

	buf_init(&plain, BUF_UNLIMITED);
	(void)symbol_demangle(theirs, &plain);
	bool same = ours && !strcmp(ours, buf_cstr(&plain));

	buf_release(&plain);
	return same;
}

static size_t compare_one(const struct symbol_table *t, uint64_t address, char names[][1024],
			  char places[][1024], size_t count, bool *ret_same)
{
	struct symbol_frame frames[SYMBOL_INLINES_MAX];
	size_t ours = symbol_table_find(t, address, frames);

	*ret_same = ours == count;
	for (size_t i = 0; i < ours && *ret_same; i++) {
		char place[1200];

		(void)snprintf(place, sizeof(place), "%s:%u", base_of(frames[i].file),
			       frames[i].line);
		*ret_same =
		    same_name(frames[i].function, names[i]) && !strcmp(place, base_of(places[i]));
	}
	if (!*ret_same)
		printf("at %#" PRIx64 ": we %zu %s %s:%u, addr2line %zu %s %s\n", address, ours,
		       ours ? frames[0].function : "", ours ? base_of(frames[0].file) : "",
		       ours ? frames[0].line : 0, count, names[0], places[0]);
	return ours;
}

/* Every address of these functions' code, as objdump has it, would be too many: every byte of .text
 * in steps of 3, which also falls into the middle of instructions. */
static void differential(const char *name, uint64_t from, uint64_t until)
{
	static char names[64][1024], places[64][1024];
	struct symbolizer *s = start("/nowhere");
	char command[8192], list[] = "/tmp/hearth-addresses-XXXXXX";
	struct buf bytes;
	int fd = open_tried(name), at = mkstemp(list);
	struct symbol_table *t = read_table(s, fd, &bytes);
	size_t tried = 0, differ = 0, inlined = 0, padding = 0;

	assert_true(at >= 0);
	for (uint64_t address = from; address < until; address += 3)
		dprintf(at, "%#" PRIx64 "\n", address);
	(void)close(at);
	(void)snprintf(command, sizeof(command), "addr2line -a -i -f -e %s/%s < %s", TRIED, name,
		       list);
	FILE *f = popen(command, "r");

	assert_non_null(f);
	(void)addr2line_read(f, names, places, 64); /* up to the first address */
	for (uint64_t address = from; address < until; address += 3) {
		size_t count = addr2line_read(f, names, places, 64);
		bool same;

		struct symbol_frame frames[SYMBOL_INLINES_MAX];

		/* Where addr2line knows no line (library start-up code), a symbol is all there is;
		 * and the padding behind a function belongs to none. */
		if (!strncmp(places[0], "??", 2) || strstr(places[0], ":?"))
			continue;
		if (!symbol_table_find(t, address, frames)) {
			padding++;
			continue;
		}
		tried++;
		inlined += compare_one(t, address, names, places, count, &same) > 1;
		differ += !same;
	}
	(void)pclose(f);
	(void)unlink(list);
	printf("%s: %zu addresses, %zu with inlined frames, %zu differ; %zu in padding\n", name,
	       tried, inlined, differ, padding);
	assert_true(padding * 10 < tried);
	assert_true(tried > 50);
	assert_true(inlined > 10);
	/* The two read ends of ranges and rows without a line differently here and there. */
	assert_true(differ * 100 <= tried * 2);
	symbol_table_close(t);
	buf_release(&bytes);
	(void)close(fd);
	symbolizer_free(s);
}

/* Where .text lies: from readelf, so that no address stands here. */
static void text_of(const char *name, uint64_t *from, uint64_t *until)
{
	char command[4096];
	unsigned long long address = 0, size = 0;

	(void)snprintf(command, sizeof(command),
		       "readelf -SW %s/%s | sed 's/\\[ *//' | awk '$2 == \".text\" {print $4, $6}'",
		       TRIED, name);
	FILE *f = popen(command, "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%llx %llx", &address, &size), 2);
	(void)pclose(f);
	*from = address;
	*until = address + size;
}

static void test_differential(void **state)
{
	(void)state;
	static const char *const programs[] = {"c", "c_dwarf4", "cxx"};

	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		uint64_t from, until;

		text_of(programs[i], &from, &until);
		differential(programs[i], from, until);
	}
}

/* ---- where debug information is ---- */

static uint64_t address_of(const char *program, const char *symbol)
{
	char command[4096];
	unsigned long long address = 0;

	(void)snprintf(command, sizeof(command), "nm %s/%s | awk '$3 == \"%s\" {print $1}'", TRIED,
		       program, symbol);
	FILE *f = popen(command, "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%llx", &address), 1);
	(void)pclose(f);
	return address;
}

static void assert_hot(const struct symbol_table *t, uint64_t address, bool lines)
{
	struct symbol_frame frames[SYMBOL_INLINES_MAX];
	size_t count = symbol_table_find(t, address, frames);

	assert_true(count >= 1);
	assert_string_equal(frames[count - 1].function, "hot");
	if (!lines)
		return;
	assert_string_equal(base_of(frames[0].file), "inlines.c");
	assert_int_equal(frames[0].line, 33);
	assert_int_equal(frames[count - 1].start_line, 32);
}

static void test_separate_debug_file(void **state)
{
	(void)state;
	struct symbol_table_stats stats;
	char command[8192], root[] = "/tmp/hearth-roots-XXXXXX";
	struct buf bytes;

	assert_non_null(mkdtemp(root));
	/* As a distribution lays it out: root/.build-id/xx/yyyy.debug */
	(void)snprintf(command, sizeof(command),
		       "set -e; id=$(readelf -n %s/c | awk '/Build ID/ {print $3}'); "
		       "rest=${id#??}; dir=%s/.build-id/${id%%$rest}; mkdir -p $dir; "
		       "cp %s/c.debug $dir/$rest.debug",
		       TRIED, root, TRIED);
	assert_int_equal(system(command), 0);
	struct symbolizer *s = start(root);
	int fd = open_tried("c_stripped");
	struct symbol_table *t = read_table(s, fd, &bytes);

	symbol_table_stats(t, &stats);
	assert_true(stats.has_dwarf && stats.debug_separate && stats.lines > 10 &&
		    stats.inlines > 3);
	assert_hot(t, address_of("c", "hot"), true);
	symbol_table_close(t);
	buf_release(&bytes);
	symbolizer_free(s);

	/* No debug file: a table all the same, without lines; static functions are unknown. */
	s = start("/nowhere");
	t = read_table(s, fd, &bytes);
	symbol_table_stats(t, &stats);
	assert_true(!stats.has_dwarf && !stats.debug_separate && !stats.lines);
	symbol_table_close(t);
	buf_release(&bytes);
	symbolizer_free(s);
	(void)close(fd);
	(void)snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

/* A file without a build id finds its debug file by name and CRC; one with another CRC is not it.
 */
static void test_debug_link(void **state)
{
	(void)state;
	char command[8192], root[] = "/tmp/hearth-roots-XXXXXX";
	struct symbol_table_stats stats;

	assert_non_null(mkdtemp(root));
	for (int damaged = 0; damaged < 2; damaged++) {
		(void)snprintf(command, sizeof(command), "cp %s/roots/c_no_id.debug %s && %s",
			       TRIED, root, damaged ? "echo x >>" : ":");
		if (damaged)
			(void)snprintf(command, sizeof(command), "echo x >>%s/c_no_id.debug", root);
		assert_int_equal(system(command), 0);
		struct symbolizer *s = start(root);
		int fd = open_tried("c_linked");
		struct buf bytes;
		struct symbol_table *t = read_table(s, fd, &bytes);

		symbol_table_stats(t, &stats);
		assert_int_equal(stats.has_dwarf, !damaged);
		if (!damaged)
			assert_hot(t, address_of("c_no_id", "hot"), true);
		symbol_table_close(t);
		buf_release(&bytes);
		(void)close(fd);
		symbolizer_free(s);
	}
	(void)snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

/* Symbols of a stripped file from the compressed ones inside it; calls into libraries by name. */
static void test_mini_debug_info(void **state)
{
	(void)state;
	struct symbol_frame frames[SYMBOL_INLINES_MAX];
	struct symbolizer *s = start("/nowhere");
	uint64_t outer = address_of("c", "outer");
	struct buf bytes;
	int fd = open_tried("c_stripped");
	struct symbol_table *t = read_table(s, fd, &bytes);

	assert_int_equal(symbol_table_find(t, outer, frames), 1);
	assert_null(frames[0].function);
	symbol_table_close(t);
	buf_release(&bytes);
	(void)close(fd);
	fd = open_tried("c_mini");
	t = read_table(s, fd, &bytes);
	assert_int_equal(symbol_table_find(t, outer, frames), 1);
	assert_string_equal(frames[0].function, "outer");
	symbol_table_close(t);
	buf_release(&bytes);
	(void)close(fd);
	symbolizer_free(s);
}

/* A stripped file still says where each function begins and ends. */
static void test_functions_without_names(void **state)
{
	(void)state;
	static const char *const functions[] = {"outer", "hot", "main"};
	struct symbol_frame frames[SYMBOL_INLINES_MAX];
	struct symbolizer *s = start("/nowhere");
	struct buf bytes;
	int fd = open_tried("c_stripped");
	struct symbol_table *t = read_table(s, fd, &bytes);

	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		uint64_t begin = address_of("c", functions[i]);

		for (uint64_t inside = 0; inside < 16; inside++) {
			assert_int_equal(symbol_table_find(t, begin + inside, frames), 1);
			assert_null(frames[0].function);
			assert_int_equal(frames[0].inside, inside);
		}
	}
	symbol_table_close(t);
	buf_release(&bytes);
	(void)close(fd);
	symbolizer_free(s);
}

static void test_plt(void **state)
{
	(void)state;
	char command[4096];
	unsigned long long address;
	struct symbol_frame frames[SYMBOL_INLINES_MAX];
	struct symbolizer *s = start("/nowhere");
	struct buf bytes;
	int fd = open_tried("c_stripped");
	struct symbol_table *t = read_table(s, fd, &bytes);

	/* objdump makes up the same name for the entry. */
	(void)snprintf(command, sizeof(command),
		       "objdump -d %s/c | sed -n 's/^0*\\([0-9a-f]*\\) <strdup@plt>:/\\1/p'",
		       TRIED);
	FILE *f = popen(command, "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%llx", &address), 1);
	(void)pclose(f);
	assert_int_equal(symbol_table_find(t, address + 4, frames), 1);
	assert_string_equal(frames[0].function, "strdup@plt");
	symbol_table_close(t);
	buf_release(&bytes);
	(void)close(fd);
	symbolizer_free(s);
}

/* ---- what is refused ---- */

/* This very program: locks are named by the variables that they are. */
static pthread_mutex_t some_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	char other[0x28];
	pthread_mutex_t lock;
} some_pool = {.other = {1}};

/* Where this program was loaded. */
extern const char __executable_start[];

static void test_variables(void **state)
{
	struct symbolizer *s = start(NULL);
	struct buf bytes;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct symbol_table *table = read_table(s, fd, &bytes);
	uint64_t base = (uint64_t)(uintptr_t)__executable_start, offset = 7;
	const char *name;

	(void)state;
	name = symbol_table_object(table, (uint64_t)(uintptr_t)&some_lock - base, &offset);
	assert_non_null(name);
	assert_string_equal(name, "some_lock");
	assert_int_equal(offset, 0);
	name = symbol_table_object(table, (uint64_t)(uintptr_t)&some_pool.lock - base, &offset);
	assert_non_null(name);
	assert_string_equal(name, "some_pool");
	assert_int_equal(offset, 0x28);
	/* A constant is no lock, and nothing lies where the file ends. */
	assert_null(symbol_table_object(table, (uint64_t)1 << 40, &offset));
	symbol_table_close(table);
	buf_release(&bytes);
	(void)close(fd);
	symbolizer_free(s);
}

static void test_types(void **state)
{
	static const char *const types[][2] = {
	    {"St13runtime_error", "std::runtime_error"},
	    {"i", "int"},
	    {"PKc", "char const*"},
	    {"N4shop5OrderE", "shop::Order"},
	    {"N4shop7MissingISt6vectorIiSaIiEEEE",
	     "shop::Missing<std::vector<int, std::allocator<int> > >"},
	    {"not a type", "not a type"},
	    {"", ""},
	};
	struct symbolizer *s = start(NULL);
	char plain[256], deep[255], longer[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		assert_int_equal(symbolizer_type(s, types[i][0], plain, sizeof(plain), &err), 0);
		assert_string_equal(plain, types[i][1]);
	}
	memset(deep, 'P', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	(void)!symbolizer_type(s, deep, plain, sizeof(plain), &err);
	memset(longer, 'P', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(symbolizer_type(s, longer, plain, sizeof(plain), &err), -EINVAL);
	assert_int_equal(symbolizer_type(s, "i", plain, sizeof(plain), &err), 0);
	symbolizer_free(s);
}

static void test_refuses(void **state)
{
	(void)state;
	struct symbolizer *s = start("/nowhere");
	const uint8_t other[20] = {1};
	struct buf bytes;
	int fd = open_tried("c");

	assert_int_equal(symbolizer_read(s, fd, other, sizeof(other), &bytes, &err), -ESTALE);
	(void)close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(symbolizer_read(s, fd, NULL, 0, &bytes, &err), -EINVAL);
	(void)close(fd);
	fd = open("/", O_PATH | O_CLOEXEC);
	assert_int_equal(symbolizer_read(s, fd, NULL, 0, &bytes, &err), -EINVAL);
	(void)close(fd);
	fd = memfd_create("text", MFD_CLOEXEC);
	assert_int_equal(write(fd, "no ELF file", 11), 11);
	assert_int_equal(symbolizer_read(s, fd, NULL, 0, &bytes, &err), -EINVAL);
	(void)close(fd);
	symbolizer_free(s);
}

/* ---- the cage ---- */

static void test_caged(void **state)
{
	(void)state;
	struct symbolizer *s = start("/nowhere");
	char path[64], status[8192];
	struct buf bytes;
	int fd = open_tried("c");
	struct symbol_table *t = read_table(s, fd, &bytes);

	(void)snprintf(path, sizeof(path), "/proc/%d/status", symbolizer_pid(s));
	ssize_t len = fd_read_file(AT_FDCWD, path, status, sizeof(status) - 1);

	assert_true(len > 0);
	status[len] = '\0';
	assert_non_null(strstr(status, "Seccomp:\t2\n"));
	assert_non_null(strstr(status, "NoNewPrivs:\t1\n"));
	/* Opening a file is what it must die of. */
	assert_int_equal(symbolizer_self_test(s), -EPIPE);
	assert_int_equal(symbolizer_pid(s), 0);
	symbol_table_close(t);
	buf_release(&bytes);
	t = read_table(s, fd, &bytes);
	assert_hot(t, address_of("c", "hot"), true);
	symbol_table_close(t);
	buf_release(&bytes);
	(void)close(fd);
	symbolizer_free(s);
}

static void test_killed(void **state)
{
	(void)state;
	struct symbolizer *s = start("/nowhere");
	struct buf bytes;
	int fd = open_tried("c");

	for (int i = 0; i < 3; i++) {
		struct symbol_table *t = read_table(s, fd, &bytes);
		int pid = symbolizer_pid(s);

		symbol_table_close(t);
		buf_release(&bytes);
		assert_true(pid > 0);
		assert_int_equal(kill(pid, SIGKILL), 0);
		/* Dead before the next job, so that the job meets a child that is gone. */
		siginfo_t info;

		assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
		assert_int_equal(symbolizer_read(s, fd, NULL, 0, &bytes, &err), -EPIPE);
		assert_int_equal(symbolizer_pid(s), 0);
	}
	(void)close(fd);
	symbolizer_free(s);
}

/* A child that is stopped answers never: its time ends, it is killed, the next one works. */
static void test_timeout(void **state)
{
	(void)state;
	struct symbolizer_options options = {
	    .program = SYMBOLIZER, .debug_roots = {"/nowhere"}, .timeout_ns = 200 * NS_PER_MS};
	struct symbolizer *s;
	struct buf bytes;
	int fd = open_tried("c"), rc;

	assert_int_equal(symbolizer_new(&options, &s, &err), 0);
	rc = symbolizer_read(s, fd, NULL, 0, &bytes, &err);
	/* On a machine this busy even the first may be too slow; then there is no child to stop. */
	if (!rc) {
		buf_release(&bytes);
		assert_int_equal(kill(symbolizer_pid(s), SIGSTOP), 0);
		assert_int_equal(symbolizer_read(s, fd, NULL, 0, &bytes, &err), -ETIME);
		assert_int_equal(symbolizer_pid(s), 0);
	}
	symbolizer_free(s);
	(void)close(fd);
}

/* ---- hostile files ---- */

static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

#define MUTATIONS 2000 /* more with HEARTH_MUTATIONS */

/* Half of the damage goes to the headers, where it does most. */
static int damaged_file(uint64_t *seed, const uint8_t *good, size_t len)
{
	uint8_t *bytes = malloc(len);
	size_t edits = 1 + next(seed) % 8, kept = next(seed) % 8 ? len : next(seed) % len + 1;
	int fd = memfd_create("damaged", MFD_CLOEXEC);

	memcpy(bytes, good, len);
	for (size_t i = 0; i < edits; i++) {
		size_t at = next(seed) % 4 == 0 ? next(seed) % 64
			    : next(seed) % 2    ? len - 1 - next(seed) % MIN(len, (size_t)4096)
						: next(seed) % len;

		bytes[at] = next(seed) % 3 ? (uint8_t)next(seed) : 0xff;
	}
	assert_int_equal(fd_write_all(fd, bytes, kept), 0);
	free(bytes);
	return fd;
}

static void test_hostile(void **state)
{
	(void)state;
	const char *wanted = getenv("HEARTH_MUTATIONS");
	size_t count = wanted ? strtoul(wanted, NULL, 10) : MUTATIONS, read = 0, refused = 0,
	       died = 0;
	struct symbolizer *s = start("/nowhere");
	uint64_t seed = 20261122;
	struct stat st;
	int fd = open_tried("c");

	assert_int_equal(fstat(fd, &st), 0);
	uint8_t *good = malloc((size_t)st.st_size);

	assert_int_equal(fd_read_all(fd, good, (size_t)st.st_size), 0);
	(void)close(fd);
	for (size_t i = 0; i < count; i++) {
		struct symbol_frame frames[SYMBOL_INLINES_MAX];
		struct symbol_table *t;
		struct buf bytes;
		int damaged = damaged_file(&seed, good, (size_t)st.st_size);
		int rc = symbolizer_read(s, damaged, NULL, 0, &bytes, &err);

		(void)close(damaged);
		assert_true(rc == 0 || rc == -EINVAL || rc == -EPIPE || rc == -ENOMEM);
		died += rc == -EPIPE;
		refused += rc == -EINVAL || rc == -ENOMEM;
		if (rc)
			continue;
		read++;
		assert_int_equal(symbol_table_open(bytes.data, bytes.len, &t, &err), 0);
		for (int k = 0; k < 20; k++)
			(void)symbol_table_find(t, next(&seed) % 0x8000, frames);
		symbol_table_close(t);
		buf_release(&bytes);
	}
	printf("%zu damaged files: %zu read, %zu refused, %zu killed the child\n", count, read,
	       refused, died);
	assert_true(read > 0 && refused > 0);
	/* And then it still works. */
	struct buf bytes;

	fd = open_tried("c");
	symbol_table_close(read_table(s, fd, &bytes));
	buf_release(&bytes);
	(void)close(fd);
	free(good);
	symbolizer_free(s);
}

/* ---- what it costs: printed, not judged ---- */

static void test_cost(void **state)
{
	(void)state;
	struct symbolizer *s = start("/nowhere");
	struct symbol_frame frames[SYMBOL_INLINES_MAX];
	struct symbol_table_stats stats;
	uint64_t seed = 1, from, until;
	struct buf bytes;
	int fd = open_tried("cxx");

	symbol_table_close(read_table(s, fd, &bytes)); /* starts the child */
	buf_release(&bytes);
	int64_t begin = clock_monotonic_ns();
	struct symbol_table *t = read_table(s, fd, &bytes);
	int64_t built = clock_monotonic_ns();
	size_t frames_found = 0;

	text_of("cxx", &from, &until);
	int64_t look = clock_monotonic_ns();

	for (int i = 0; i < 200000; i++)
		frames_found += symbol_table_find(t, from + next(&seed) % (until - from), frames);
	int64_t looked = clock_monotonic_ns();

	symbol_table_stats(t, &stats);
	printf("cxx: %zu functions, %zu lines, %zu inlines, %zu bytes; built in %.1f ms; "
	       "a lookup in %.0f ns, %.1f frames\n",
	       stats.functions, stats.lines, stats.inlines, stats.bytes,
	       (double)(built - begin) / 1e6, (double)(looked - look) / 200000,
	       (double)frames_found / 200000);
	assert_true(frames_found > 0);
	symbol_table_close(t);
	buf_release(&bytes);
	(void)close(fd);
	symbolizer_free(s);
}

static void test_demangle(void **state)
{
	(void)state;
	static const char *const names[][2] = {
	    {"main", "main"},
	    {"_ZN4shop8Checkout3runEi", "shop::Checkout::run"},
	    {"_ZNSt6vectorIiSaIiEE9push_backERKi",
	     "std::vector<int, std::allocator<int> >::push_back"},
	    {"_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE",
	     "core::fmt::Formatter::write_str"},
	    {"_RNvC6_123foo3bar", "123foo::bar"},
	    {"_Z", "_Z"},
	    {"runtime.main", "runtime.main"}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct buf to;

		buf_init(&to, BUF_UNLIMITED);
		assert_int_equal(symbol_demangle(names[i][0], &to), 0);
		assert_string_equal(buf_cstr(&to), names[i][1]);
		buf_release(&to);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_demangle),
	    cmocka_unit_test(test_differential),
	    cmocka_unit_test(test_separate_debug_file),
	    cmocka_unit_test(test_debug_link),
	    cmocka_unit_test(test_mini_debug_info),
	    cmocka_unit_test(test_functions_without_names),
	    cmocka_unit_test(test_plt),
	    cmocka_unit_test(test_variables),
	    cmocka_unit_test(test_types),
	    cmocka_unit_test(test_refuses),
	    cmocka_unit_test(test_caged),
	    cmocka_unit_test(test_killed),
	    cmocka_unit_test(test_timeout),
	    cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
