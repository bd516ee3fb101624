/* SPDX-License-Identifier: Apache-2.0 */
/* Names that a hostile file chose lead nowhere outside the debug roots, and to no special file. */
#include "tests/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "symbol/debug_file.h"

static char top[] = "/tmp/hearth-debug-XXXXXX";

static void make(const char *command)
{
	char whole[8192];

	(void)snprintf(whole, sizeof(whole), "cd %s && %s", top, command);
	assert_int_equal(system(whole), 0);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(top))
		return -1;
	make("mkdir -p root/.build-id/ab root/.dwz/x && echo secret >secret");
	make("echo debug >root/.build-id/ab/cdef.debug; echo linked >root/good.debug");
	make("echo alt >root/.dwz/x/pkg.debug; ln -s ../secret root/escape.debug");
	make("ln -s good.debug root/inside.debug; mkfifo root/fifo.debug; mkdir root/folder.debug");
	make("ln -s /proc/self/exe root/magic.debug; : >root/empty.debug");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	make("rm -r root secret");
	return rmdir(top);
}

/* Returns what the file found begins with, or "" when there is none. */
static const char *find(const struct symbol_answer *answer, bool alt)
{
	static char text[16];
	char root[64];
	uint64_t bytes = 0;

	(void)snprintf(root, sizeof(root), "%s/root", top);
	const char *const roots[] = {"/nowhere", root};
	int CLOSING self = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int CLOSING fd = alt ? debug_file_open_alt(roots, 2, answer, &bytes)
			     : debug_file_open(roots, 2, self, answer, &bytes);

	if (fd < 0)
		return "";
	memset(text, 0, sizeof(text));
	assert_true(bytes > 0 && bytes < sizeof(text));
	assert_int_equal(read(fd, text, bytes), bytes);
	return text;
}

static const char *by_link(const char *link)
{
	struct symbol_answer answer = {0};

	(void)snprintf(answer.debug_link, sizeof(answer.debug_link), "%s", link);
	return find(&answer, false);
}

static void test_found(void **state)
{
	(void)state;
	struct symbol_answer answer = {.build_id_len = 3, .build_id = {0xab, 0xcd, 0xef}};

	assert_string_equal(find(&answer, false), "debug\n");
	assert_string_equal(find(&answer, true), "debug\n");
	assert_string_equal(by_link("good.debug"), "linked\n");
	assert_string_equal(by_link("inside.debug"), "linked\n");
	answer.build_id_len = 0;
	(void)snprintf(answer.debug_link, sizeof(answer.debug_link), "../../.dwz/x/pkg.debug");
	assert_string_equal(find(&answer, true), "alt\n");
}

static void test_nowhere(void **state)
{
	(void)state;
	static const char *const links[] = {"",
					    ".",
					    "..",
					    "../secret",
					    "/etc/passwd",
					    "escape.debug",
					    "magic.debug",
					    "fifo.debug",
					    "folder.debug",
					    "empty.debug",
					    "absent.debug",
					    "root/../../secret"};
	struct symbol_answer answer = {.build_id_len = 1, .build_id = {0xab}};

	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		assert_string_equal(by_link(links[i]), "");
	assert_string_equal(find(&answer, false), "");
	answer.build_id_len = SYMBOL_BUILD_ID_MAX + 1;
	assert_string_equal(find(&answer, false), "");
	answer.build_id_len = 0;
	(void)snprintf(answer.debug_link, sizeof(answer.debug_link), ".dwz/../../secret");
	assert_string_equal(find(&answer, true), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_found),
					   cmocka_unit_test(test_nowhere)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
