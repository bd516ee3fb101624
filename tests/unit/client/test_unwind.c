/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_unwind.c - our unwinder against elfutils' (libdwfl), frame for frame, on real programs.
 *
 * Each program is stopped by ptrace at random instructions.  Ours walks a copy of its registers,
 * stack and modules; libdwfl walks the stopped process.  At least 999 stacks of 1,000 must be
 * equal.
 *
 *	test_client_unwind THROWS            programs that it starts itself
 *	test_client_unwind --attach NAME PID one that is running
 *
 * Prints a line for each program: stacks, equal, by what differed.
 */
#include <elf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/rule.h"
#include "client/unwind.h"

#define SNAPSHOTS 1200
#define DEPTH RING_FRAMES_MAX
#define IMAGES 256
#define NEEDED 0.999

struct image {
	uint64_t start, end;
	unsigned char *copy;
	struct unwind_module view;
};

struct subject {
	const char *name;
	pid_t pid;
	Dwfl *dwfl;
	struct image images[IMAGES];
	unsigned images_count;
	uint64_t biases[IMAGES + 1];
	struct rule rules[RULES];
	uint64_t stack_lo, stack_hi; /* [stack] */
};

struct stack {
	uint64_t pc[DEPTH];
	unsigned count;
	char end[32];
};

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static bool copy_memory(pid_t pid, uint64_t at, void *to, size_t bytes)
{
	struct iovec local = {to, bytes}, remote = {(void *)(uintptr_t)at, bytes};

	return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)bytes;
}

/* ------------------------------------------------------------------ ours */

static void view_image(struct image *image, unsigned number)
{
	const Elf64_Ehdr *eh = (const void *)image->copy;
	const Elf64_Phdr *ph = (const void *)(image->copy + eh->e_phoff);
	struct unwind_module *view = &image->view;
	uint64_t bias = 0, lo, hi;

	for (int i = eh->e_phnum - 1; i >= 0; i--)
		if (ph[i].p_type == PT_LOAD)
			bias = image->start - (ph[i].p_vaddr & ~UINT64_C(4095));
	view->bias = bias;
	view->number = number;
	view->section.memory.shift = (uint64_t)(uintptr_t)image->copy - image->start;
	for (int i = 0; i < eh->e_phnum; i++)
		if (ph[i].p_type == PT_GNU_EH_FRAME)
			view->section.header = bias + ph[i].p_vaddr;
	for (int i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type != PT_LOAD)
			continue;
		lo = bias + ph[i].p_vaddr;
		hi = lo + ph[i].p_memsz;
		if (view->section.header >= lo && view->section.header < hi)
			view->section.memory.lo = lo, view->section.memory.hi = hi;
		if (ph[i].p_flags & PF_X)
			view->text_lo = lo, view->text_hi = hi;
	}
}

/* All mappings of one file make an image; holes stay zero. */
static void add_mapping(struct subject *s, uint64_t lo, uint64_t hi, const char *path, bool first)
{
	struct image *image = &s->images[s->images_count];
	unsigned char magic[4];

	(void)path;
	if (first) {
		if (!copy_memory(s->pid, lo, magic, sizeof(magic)) ||
		    memcmp(magic, ELFMAG, SELFMAG) || s->images_count == IMAGES)
			return;
		*image = (struct image){.start = lo, .end = lo};
		s->images_count++;
	}
	image = &s->images[s->images_count - 1];
	if (!first && image->end > lo)
		return;
	image->copy = realloc(image->copy, hi - image->start);
	if (!image->copy)
		die("realloc");
	memset(image->copy + (image->end - image->start), 0, hi - image->end);
	(void)copy_memory(s->pid, lo, image->copy + (lo - image->start), hi - lo);
	image->end = hi;
}

static void read_images(struct subject *s)
{
	char line[4352], file[64], last[4096] = "";
	FILE *f;

	for (unsigned i = 0; i < s->images_count; i++)
		free(s->images[i].copy);
	s->images_count = 0;
	memset(s->rules, 0, sizeof(s->rules));
	snprintf(file, sizeof(file), "/proc/%d/maps", s->pid);
	f = fopen(file, "r");
	while (f && fgets(line, sizeof(line), f)) {
		uint64_t lo, hi, offset;
		char mode[8], path[4096] = "";

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %4095s", &lo, &hi,
			   mode, &offset, path) < 4)
			continue;
		if (!strcmp(path, "[stack]"))
			s->stack_lo = lo, s->stack_hi = hi;
		if ((path[0] != '/' && strcmp(path, "[vdso]")) || mode[0] != 'r')
			continue;
		add_mapping(s, lo, hi, path, strcmp(path, last) != 0 || offset == 0);
		snprintf(last, sizeof(last), "%s", path);
	}
	if (f)
		fclose(f);
	for (unsigned i = 0; i < s->images_count; i++) {
		view_image(&s->images[i], i + 1);
		s->biases[i + 1] = s->images[i].view.bias;
	}
}

static bool find(const struct unwind_space *space, uint64_t pc, struct unwind_module *ret)
{
	const struct subject *s = space->arg;

	for (unsigned i = 0; i < s->images_count; i++)
		if (pc >= s->images[i].start && pc < s->images[i].end) {
			*ret = s->images[i].view;
			return true;
		}
	return false;
}

static struct cfi_memory copy_stack(struct subject *s, uint64_t lo, uint64_t hi,
				    unsigned char **ret)
{
	*ret = malloc(hi - lo);
	if (!*ret || !copy_memory(s->pid, lo, *ret, hi - lo))
		return (struct cfi_memory){0};
	return (struct cfi_memory){lo, hi, (uint64_t)(uintptr_t)*ret - lo};
}

/* The mapping that sp is in, when that is not the main stack. */
static bool mapping_of(pid_t pid, uint64_t sp, uint64_t *ret_hi)
{
	char line[4352], file[64];
	bool found = false;
	uint64_t lo;
	FILE *f;

	snprintf(file, sizeof(file), "/proc/%d/maps", pid);
	f = fopen(file, "r");
	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%" SCNx64 "-%" SCNx64, &lo, ret_hi) == 2 && sp >= lo &&
			sp < *ret_hi;
	if (f)
		fclose(f);
	return found;
}

static void registers(const struct user_regs_struct *u, uint64_t reg[ARCH_REGS])
{
	const uint64_t all[ARCH_REGS] = {u->rax, u->rdx, u->rcx, u->rbx, u->rsi, u->rdi,
					 u->rbp, u->rsp, u->r8,  u->r9,  u->r10, u->r11,
					 u->r12, u->r13, u->r14, u->r15, u->rip};

	memcpy(reg, all, sizeof(all));
}

static void walk_ours(struct subject *s, const struct user_regs_struct *u, enum unwind_mode mode,
		      struct stack *out)
{
	static const char *const ends[] = RING_END_NAMES;
	static uint64_t frames[DEPTH];
	static struct cfi_work work;
	unsigned char *main_copy = NULL, *other_copy = NULL;
	uint64_t reg[ARCH_REGS], hi, lo = u->rsp - ARCH_RED_ZONE;
	struct unwind_space space = {.find = find,
				     .biases = s->biases,
				     .rules = s->rules,
				     .work = &work,
				     .arg = s,
				     .max_frames = DEPTH,
				     .mode = mode};
	struct unwind_result r;

	/* As the client does it: from the red zone up, on the main stack or on an alternate one. */
	registers(u, reg);
	if (lo >= s->stack_hi - (UINT64_C(8) << 20) && lo < s->stack_hi) {
		space.stack = copy_stack(s, lo, s->stack_hi, &main_copy);
	} else if (mapping_of(s->pid, lo, &hi)) {
		space.stack = copy_stack(s, lo, hi, &other_copy);
		space.beyond = copy_stack(s, s->stack_lo, s->stack_hi, &main_copy);
	}
	r = unwind(&space, reg, u->rip, false, 0, frames);
	out->count = r.count;
	snprintf(out->end, sizeof(out->end), "%s%s", ends[r.end], r.all_registers ? " (slow)" : "");
	for (unsigned i = 0; i < r.count; i++)
		out->pc[i] = (frames[i] & RING_FRAME_ADDRESS) + s->biases[frames[i] >> 48];
	free(main_copy);
	free(other_copy);
}

/* --------------------------------------------------------------- libdwfl */

static int one_frame(Dwfl_Frame *frame, void *arg)
{
	struct stack *out = arg;
	Dwarf_Addr pc;
	bool exact;

	if (!dwfl_frame_pc(frame, &pc, &exact) || out->count == DEPTH)
		return DWARF_CB_ABORT;
	out->pc[out->count++] = exact ? pc : pc - 1;
	return DWARF_CB_OK;
}

static void walk_theirs(struct subject *s, struct stack *out)
{
	out->count = 0;
	if (dwfl_getthread_frames(s->dwfl, s->pid, one_frame, out) == 0)
		snprintf(out->end, sizeof(out->end), "end");
	else
		snprintf(out->end, sizeof(out->end), "%.30s", dwfl_errmsg(-1) ?: "?");
}

static void open_dwfl(struct subject *s)
{
	static char *debug_path;
	static const Dwfl_Callbacks callbacks = {
	    .find_elf = dwfl_linux_proc_find_elf,
	    .find_debuginfo = dwfl_standard_find_debuginfo,
	    .debuginfo_path = &debug_path,
	};

	s->dwfl = dwfl_begin(&callbacks);
	if (!s->dwfl || dwfl_linux_proc_report(s->dwfl, s->pid) ||
	    dwfl_report_end(s->dwfl, NULL, NULL) || dwfl_linux_proc_attach(s->dwfl, s->pid, true)) {
		fprintf(stderr, "libdwfl: %s\n", dwfl_errmsg(-1));
		exit(1);
	}
}

/* ------------------------------------------------------------- comparing */

/* What differs first: "" for nothing. */
static const char *compare(const struct stack *ours, const struct stack *theirs)
{
	unsigned n = ours->count < theirs->count ? ours->count : theirs->count;

	for (unsigned i = 0; i < n; i++)
		if (ours->pc[i] != theirs->pc[i])
			return "other frame";
	return ours->count == theirs->count  ? ""
	       : ours->count < theirs->count ? "ours shorter"
					     : "theirs shorter";
}

static void show(struct subject *s, const struct stack *ours, const struct stack *theirs)
{
	unsigned most = ours->count > theirs->count ? ours->count : theirs->count;

	printf("#   ours %u frames, %s; theirs %u frames, %s\n", ours->count, ours->end,
	       theirs->count, theirs->end);
	for (unsigned i = 0; i < most && i < 12; i++) {
		uint64_t a = i < ours->count ? ours->pc[i] : 0,
			 b = i < theirs->count ? theirs->pc[i] : 0;
		Dwfl_Module *m = dwfl_addrmodule(s->dwfl, b ? b : a);
		const char *name = m ? dwfl_module_addrname(m, b ? b : a) : NULL;

		printf("#   %2u %12" PRIx64 " %12" PRIx64 " %s%s\n", i, a, b, name ? name : "?",
		       a == b ? "" : "  <--");
	}
}

static bool stop_somewhere(pid_t pid, unsigned *seed)
{
	struct timespec pause = {0, 100000 + rand_r(seed) % 400000};
	int status;

	nanosleep(&pause, NULL);
	if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL))
		return false;
	for (int steps = rand_r(seed) % 24;; steps--) {
		if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			return false;
		if (WSTOPSIG(status) != SIGTRAP) {
			/* The program's own signal came in between, and in place of a step's trap:
			 * hand it on, and step into what handles it. */
			if (ptrace(PTRACE_SINGLESTEP, pid, NULL,
				   (void *)(intptr_t)WSTOPSIG(status)))
				return false;
			steps++;
			continue;
		}
		if (steps <= 0)
			return true;
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL))
			return false;
	}
}

static pid_t spawn(char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	return pid;
}

static bool known_modules(const struct subject *s, const struct stack *theirs)
{
	struct unwind_space space = {.arg = (void *)(uintptr_t)s};
	struct unwind_module m;

	for (unsigned i = 0; i < theirs->count; i++)
		if (!find(&space, theirs->pc[i], &m))
			return false;
	return true;
}

struct tally {
	unsigned stacks, equal, slow, frames, shown;
};

static void snapshot(struct subject *s, struct tally *t)
{
	struct user_regs_struct u;
	static struct stack ours, theirs;
	const char *difference;

	if (ptrace(PTRACE_GETREGS, s->pid, NULL, &u))
		die("PTRACE_GETREGS");
	if (!s->dwfl)
		open_dwfl(s);
	walk_theirs(s, &theirs);
	if (!s->images_count || !known_modules(s, &theirs)) {
		/* More was loaded meanwhile. */
		dwfl_end(s->dwfl);
		open_dwfl(s);
		walk_theirs(s, &theirs);
		read_images(s);
	}
	/* Every other one by the slow walk, which programs rarely need. */
	walk_ours(s, &u, t->stacks & 1 ? UNWIND_SLOW : UNWIND_EITHER, &ours);
	difference = compare(&ours, &theirs);
	t->stacks++;
	t->frames += ours.count;
	t->equal += !difference[0];
	t->slow += strstr(ours.end, "slow") != NULL;
	if (difference[0] && t->shown++ < 2) {
		printf("# %s: %s\n", s->name, difference);
		show(s, &ours, &theirs);
	}
}

/* Stops the first thread of `pid` again and again, and leaves it running. */
static bool compare_running(const char *name, pid_t pid)
{
	static struct subject s;
	struct tally t = {0};
	unsigned seed = 1;
	bool ok;

	s = (struct subject){.name = name, .pid = pid};
	if (ptrace(PTRACE_SEIZE, s.pid, NULL, NULL))
		die("PTRACE_SEIZE");
	while (t.stacks < SNAPSHOTS && stop_somewhere(s.pid, &seed)) {
		snapshot(&s, &t);
		if (ptrace(PTRACE_CONT, s.pid, NULL, NULL))
			break;
	}
	if (stop_somewhere(s.pid, &seed))
		(void)ptrace(PTRACE_DETACH, s.pid, NULL, NULL);
	if (s.dwfl)
		dwfl_end(s.dwfl);
	for (unsigned i = 0; i < s.images_count; i++)
		free(s.images[i].copy);
	ok = t.stacks == SNAPSHOTS && t.equal >= NEEDED * t.stacks;
	printf(
	    "%s unwind_%s # %u stacks, %.1f frames each, %u equal (%.2f %%), %u by all registers\n",
	    ok ? "ok" : "not ok", name, t.stacks, t.stacks ? (double)t.frames / t.stacks : 0,
	    t.equal, t.stacks ? 100.0 * t.equal / t.stacks : 0, t.slow);
	return ok;
}

static bool differential(const char *name, char *const argv[])
{
	pid_t pid = spawn(argv);
	int status;
	bool ok;

	if (pid < 0)
		die("fork");
	usleep(100000); /* past the dynamic loader; the program then runs until it is killed */
	ok = compare_running(name, pid);
	kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	return ok;
}

static bool there_is(const char *program)
{
	char command[256];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
	return system(command) == 0;
}

int main(int argc, char **argv)
{
	char *throws[] = {argc > 1 ? argv[1] : "client_throws", NULL};
	char *python[] = {"/usr/bin/python3", "-c",
			  "import json,re\n"
			  "def f(n):\n"
			  "  if n==0: raise ValueError(sorted([3,1,2],key=lambda x:-x))\n"
			  "  return f(n-1)\n"
			  "while True:\n"
			  "  try: f(30)\n"
			  "  except ValueError: pass\n"
			  "  json.loads(json.dumps([{'a':[i]} for i in range(100)]))\n"
			  "  re.sub('a(b+)c',lambda m:m.group(1),'xabbbc'*50)\n",
			  NULL};
	char *sqlite[] = {"sqlite3", ":memory:",
			  "with recursive c(x) as (select 1 union all select x+1 from c) "
			  "select sum(x), group_concat(printf('%d',x%7)) from c group by x%100;",
			  NULL};
	char *perl[] = {"perl", "-e",
			"sub f{my $n=shift;$n?f($n-1):join(',',sort{$b<=>$a}map{$_*7%101}1..50)}"
			"while(1){my $s=f(20);$s=~s/(\\d+),/<$1>/g;}",
			NULL};
	bool ok;

	if (argc == 4 && !strcmp(argv[1], "--attach"))
		return !compare_running(argv[2], (pid_t)atol(argv[3]));
	ok = differential("cxx_exceptions", throws);

	ok &= differential("python3", python);
	if (there_is("sqlite3"))
		ok &= differential("sqlite3", sqlite);
	if (there_is("perl"))
		ok &= differential("perl", perl);
	return !ok;
}
