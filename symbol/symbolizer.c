/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "symbol/debug_file.h"
#include "symbol/symbol.h"

#define ROOTS_MAX 8

struct symbolizer {
	char *program;
	char *roots[ROOTS_MAX];
	size_t roots_count;
	int64_t timeout_ns;
	size_t memory_max;
	int pid, pidfd, socket; /* 0, -1, -1 when no child runs */
};

/* Beside the running program. */
static char *program_default(void)
{
	char path[PATH_MAX + sizeof("/hearth-symbolizer")];
	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);

	if (len <= 0)
		return NULL;
	path[len] = '\0';
	char *slash = strrchr(path, '/');

	strcpy(slash ? slash + 1 : path, "hearth-symbolizer");
	return strdup(path);
}

int symbolizer_new(const struct symbolizer_options *options, struct symbolizer **ret_symbolizer,
		   struct err *err)
{
	struct symbolizer *s = calloc(1, sizeof(*s));
	bool ok = s;

	if (!ok)
		return err_set(err, -ENOMEM, "symbolizer: out of memory");
	s->pidfd = s->socket = -1;
	s->timeout_ns = options->timeout_ns ? options->timeout_ns : 30 * NS_PER_S;
	s->memory_max = options->memory_max ? options->memory_max : (size_t)2 << 30;
	s->program = options->program ? strdup(options->program) : program_default();
	ok = s->program;
	for (; ok && s->roots_count < ROOTS_MAX && options->debug_roots[s->roots_count];
	     s->roots_count++) {
		s->roots[s->roots_count] = strdup(options->debug_roots[s->roots_count]);
		ok = s->roots[s->roots_count];
	}
	if (ok && !s->roots_count) {
		s->roots[0] = strdup("/usr/lib/debug");
		ok = s->roots[0];
		s->roots_count = ok;
	}
	if (!ok) {
		symbolizer_free(s);
		return err_set(err, -ENOMEM, "symbolizer: out of memory");
	}
	*ret_symbolizer = s;
	return 0;
}

/* End the child, whatever it is doing, and wait for it: it is ours and SIGKILL is final. */
static void child_end(struct symbolizer *s)
{
	if (!s->pid)
		return;
	fd_close(&s->socket);
	if (s->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
	else
		(void)kill(s->pid, SIGKILL);
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
	fd_close(&s->pidfd);
	s->pid = 0;
}

void symbolizer_free(struct symbolizer *s)
{
	if (!s)
		return;
	child_end(s);
	free(s->program);
	for (size_t i = 0; i < s->roots_count; i++)
		free(s->roots[i]);
	free(s);
}

int symbolizer_pid(const struct symbolizer *s)
{
	return s->pid;
}

static int spawn(struct symbolizer *s, int child_socket)
{
	char memory[32], cpu[32], name[] = "hearth-symbolizer";
	char *argv[] = {name, memory, cpu, NULL}, *envp[] = {NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	pid_t pid;

	/* CPU time over all of its life; a child that used it up is started again. */
	(void)snprintf(memory, sizeof(memory), "%zu", s->memory_max);
	(void)snprintf(cpu, sizeof(cpu), "%lld", (long long)(s->timeout_ns / NS_PER_S + 1) * 20);
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc)
		return -rc;
	rc = posix_spawnattr_init(&attributes);
	if (rc) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return -rc;
	}
	rc = posix_spawn_file_actions_adddup2(&actions, child_socket, SYMBOL_SOCKET);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &all);
	(void)posix_spawnattr_setpgroup(&attributes, 0);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							POSIX_SPAWN_SETPGROUP);
	if (!rc)
		rc = posix_spawn(&pid, s->program, &actions, &attributes, argv, envp);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	if (!rc)
		s->pid = pid;
	return -rc;
}

static int child_start(struct symbolizer *s, struct err *err)
{
	int pair[2];

	if (s->pid)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, -errno, "symbolizer: socketpair: %s", strerror(errno));
	/* dup2 onto itself would keep close-on-exec. */
	int CLOSING child = fcntl(pair[1], F_DUPFD_CLOEXEC, SYMBOL_SOCKET + 1);

	(void)close(pair[1]);
	int rc = child < 0 ? -errno : spawn(s, child);

	if (rc) {
		(void)close(pair[0]);
		return err_set(err, rc, "symbolizer: %s: %s", s->program, strerror(-rc));
	}
	s->socket = pair[0];
	s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	return 0;
}

/* The child's answer, within what is left of the time. */
static int answer_wait(struct symbolizer *s, int64_t deadline_ns, struct symbol_answer *ret_answer)
{
	struct pollfd p = {.fd = s->socket, .events = POLLIN};
	size_t no_fds = 0;
	int ready;

	do {
		int64_t left = deadline_ns - clock_monotonic_ns();

		ready =
		    left <= 0 ? 0 : poll(&p, 1, (int)MIN(left / NS_PER_MS + 1, (int64_t)INT_MAX));
	} while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return ready ? -errno : -ETIME;
	ssize_t len = fd_receive(s->socket, ret_answer, sizeof(*ret_answer), NULL, &no_fds);

	if (len != sizeof(*ret_answer))
		return -EPIPE;
	/* What a hostile file made of the child may have shaped this. */
	ret_answer->message[sizeof(ret_answer->message) - 1] = '\0';
	ret_answer->debug_link[sizeof(ret_answer->debug_link) - 1] = '\0';
	return 0;
}

static int ask(struct symbolizer *s, const struct symbol_request *request, const int *fds,
	       size_t fds_count, int64_t deadline_ns, struct symbol_answer *ret_answer,
	       struct err *err)
{
	int rc = fd_send(s->socket, request, sizeof(*request), fds, fds_count);

	rc = rc ? -EPIPE : answer_wait(s, deadline_ns, ret_answer);
	if (!rc)
		return 0;
	child_end(s);
	if (rc == -ETIME)
		return err_set(err, rc, "symbolizer: no answer within %lld ms",
			       (long long)(s->timeout_ns / NS_PER_MS));
	return err_set(err, -EPIPE, "symbolizer: the child died");
}

/* Copied, then checked: the child may still write to the memfd. */
static int table_take(int memfd, const struct symbol_answer *answer, struct buf *ret_table,
		      struct err *err)
{
	struct symbol_table *table;
	size_t len = (size_t)answer->table_bytes;

	if (!len || answer->table_bytes > SYMBOL_TABLE_MAX)
		return err_set(err, -EINVAL, "symbolizer: a table of %zu bytes", len);
	char *to = buf_reserve(ret_table, len);

	if (!to)
		return err_set(err, ret_table->failed, "symbolizer: a table of %zu bytes", len);
	if (lseek(memfd, 0, SEEK_SET) < 0 || fd_read_all(memfd, to, len) < 0)
		return err_set(err, -EPIPE, "symbolizer: the table is cut short");
	int rc = symbol_table_open(to, len, &table, err);

	if (rc)
		return rc;
	symbol_table_close(table);
	ret_table->len += len;
	return 0;
}

static int table_file(void)
{
	int fd = memfd_create("hearth-symbols", MFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int symbolizer_read(struct symbolizer *s, int fd, const uint8_t *build_id, size_t build_id_len,
		    struct buf *ret_table, struct err *err)
{
	struct symbol_request request = {.kind = SYMBOL_READ};
	struct symbol_answer answer;
	int64_t deadline = clock_monotonic_ns() + s->timeout_ns;

	buf_init(ret_table, SYMBOL_TABLE_MAX);
	if (build_id_len > SYMBOL_BUILD_ID_MAX || !debug_file_usable(fd, &request.binary_bytes))
		return err_set(err, -EINVAL, "symbolizer: not a regular file of at most 4 GiB");
	request.build_id_len = (uint32_t)build_id_len;
	if (build_id_len)
		memcpy(request.build_id, build_id, build_id_len);
	int CLOSING memfd = table_file(), CLOSING debug = -1, CLOSING alt = -1;
	const char *const *roots = (const char *const *)s->roots;
	int rc = memfd < 0 ? err_set(err, memfd, "symbolizer: memfd: %s", strerror(-memfd))
			   : child_start(s, err);

	if (!rc)
		rc = ask(s, &request, (const int[]){fd, memfd}, 2, deadline, &answer, err);
	if (!rc && answer.status == SYMBOL_WANT_DEBUG) {
		request.kind = SYMBOL_READ_DEBUG;
		debug = debug_file_open(roots, s->roots_count, fd, &answer, &request.debug_bytes);
		if (debug < 0)
			request.debug_bytes = 0;
		rc = ask(s, &request, (const int[]){fd, memfd, debug}, debug < 0 ? 2 : 3, deadline,
			 &answer, err);
	}
	if (!rc && answer.status == SYMBOL_WANT_ALT) {
		size_t count = debug < 0 ? 2 : 3;
		int fds[4] = {fd, memfd, debug};

		request.kind = SYMBOL_READ_ALL;
		alt = debug_file_open_alt(roots, s->roots_count, &answer, &request.alt_bytes);
		if (alt < 0)
			request.alt_bytes = 0;
		else
			fds[count++] = alt;
		rc = ask(s, &request, fds, count, deadline, &answer, err);
	}
	if (rc)
		return rc;
	switch (answer.status) {
	case 0:
		rc = table_take(memfd, &answer, ret_table, err);
		if (rc)
			buf_release(ret_table);
		return rc;
	case -ESTALE:
	case -ENOMEM:
		return err_set(err, answer.status, "symbolizer: %s", answer.message);
	default:
		return err_set(err, -EINVAL, "symbolizer: %s", answer.message);
	}
}

int symbolizer_type(struct symbolizer *s, const char *mangled, char *to, size_t size,
		    struct err *err)
{
	struct symbol_request request = {.kind = SYMBOL_TYPE};
	struct symbol_answer answer;

	if (strlen(mangled) >= sizeof(request.type))
		return err_set(err, -EINVAL, "symbolizer: a type's name of %zu bytes",
			       strlen(mangled));
	memcpy(request.type, mangled, strlen(mangled));
	int rc = child_start(s, err);

	if (!rc)
		rc = ask(s, &request, NULL, 0, clock_monotonic_ns() + s->timeout_ns, &answer, err);
	if (!rc && answer.status)
		rc = err_set(err, -EINVAL, "symbolizer: the type has no plain name");
	if (!rc)
		(void)snprintf(to, size, "%s", answer.debug_link);
	return rc;
}

int symbolizer_self_test(struct symbolizer *s)
{
	const struct symbol_request request = {.kind = SYMBOL_SELF_TEST};
	struct symbol_answer answer;
	int rc = child_start(s, NULL);

	return rc ? rc
		  : ask(s, &request, NULL, 0, clock_monotonic_ns() + s->timeout_ns, &answer, NULL);
}
