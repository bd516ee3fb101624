/* SPDX-License-Identifier: Apache-2.0 */
#include "client/source.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client/budget.h"
#include "client/draw.h"
#include "client/hearth.h"
#include "client/hello.h"
#include "client/module.h"
#include "client/perf.h"
#include "client/profiler.h"
#include "client/thread.h"
#include "client/write.h"

#define KILLED_INTERVAL_US 200000 /* how often a stopped thread looks whether it may go on */
#define THROTTLED_INTERVAL_US 100000
#define INTERVAL_MIN_US 1000
#define INTERVAL_MAX_US 1000000
#define CHILD_DELAY_NS 50000000
#define CHECK_NS INT64_C(1000000000)
/* Of RLIMIT_SIGPENDING, which all processes of a user share and a program's own timers and queued
 * signals need as well.  No lower fixed number: the threads above it would never be seen. */
#define TIMERS_MAX_SHARE 8
#define SIGPENDING_MIN 64 /* below, no timers at all */

static struct {
	struct sigaction previous;
	uint32_t installed;
	uint32_t perf;      /* threads get an event as well */
	uint32_t yielded;   /* the program took SIGPROF after us */
	uint32_t off_stack; /* a thread has an alternate stack that is too small for the handler */
	uint32_t timers, timers_max;
	uint32_t rescan; /* ring_agent.rescan as last obeyed */
	int64_t checked_ns;
	struct rule rules[RULES];
} cpu;

static const char child_value; /* its address marks the timer of source_cpu_watch_child */

struct rule *source_rules(void)
{
	return cpu.rules;
}

void source_space(struct unwind_space *ret, struct scratch *scratch)
{
	ret->find = module_find;
	ret->biases = module_biases();
	ret->rules = cpu.rules;
	ret->work = &scratch->cfi;
	ret->arg = NULL;
	ret->max_frames = profiler_config()->max_frames;
	ret->mode = UNWIND_EITHER;
}

static void say_engine(void)
{
	enum ring_engine engine = load(&cpu.perf) ? RING_ENGINE_PERF : RING_ENGINE_TIMER;

	if (!load(&cpu.installed) || load(&cpu.yielded))
		engine = RING_ENGINE_NONE;
	store(&session.counters->engine, (uint64_t)engine);
}

void source_new_session(void)
{
	unwind_forget(cpu.rules);
	source_lock_new_session();
	budget_new_session();
	store(&cpu.rescan, 0);
	perf_forked(); /* a child that was made by no fork of libc's */
	say_engine();
}

static bool killed(void)
{
	return load(&session.agent->kill) || load(&session.agent->dimensions_off) & 1u << RING_CPU;
}

static uint32_t wanted_interval(void)
{
	uint32_t us = load(&session.agent->cpu_interval_us);

	if (killed() || budget_stopped(RING_CPU))
		return KILLED_INTERVAL_US;
	/* The wish of an agent that died in the middle of a zoom ends with it. */
	if (us == 0 || !hello_attached(clock_coarse_ns()))
		us = profiler_config()->cpu_interval_us;
	for (uint32_t i = budget_shift(RING_CPU); i > 0 && us < THROTTLED_INTERVAL_US; i--)
		us *= 2;
	return us < INTERVAL_MIN_US ? INTERVAL_MIN_US : us > INTERVAL_MAX_US ? INTERVAL_MAX_US : us;
}

static struct timespec microseconds(uint64_t us)
{
	return (struct timespec){(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
}

static void set_timer(struct thread *t, uint32_t interval_us, uint64_t first_us)
{
	struct itimerspec when = {microseconds(interval_us), microseconds(first_us)};

	store(&t->interval_us, interval_us);
	store(&session.counters->interval_us, interval_us);
	(void)syscall(SYS_timer_settime, t->timer, 0, &when, NULL);
}

/* Uniform in (0, period]: threads that start together do not sample in step, and a thread that
 * ends before its first full period is not always missed. */
static uint64_t first_expiry(const struct thread *t, uint32_t period_us)
{
	uint64_t x;

	memcpy(&x, session.head->runtime_id, sizeof(x));
	x ^= (uint64_t)t->tid * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)clock_exact_ns();
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	return x % period_us + 1;
}

/* CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED of a thread, as the kernel encodes it. */
static clockid_t thread_clock(int32_t tid)
{
	return (clockid_t)((~(unsigned)tid << 3) | 6);
}

static bool make_timer(int32_t tid, const void *value, int32_t *ret_timer)
{
	struct sigevent e = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};

	e.sigev_value.sival_ptr = (void *)(uintptr_t)value;
	e._sigev_un._tid = tid;
	return syscall(SYS_timer_create, thread_clock(tid), &e, ret_timer) == 0;
}

/* Leave out what the thread used until now, or since its sampling was stopped. */
static void account_from(const struct thread *t)
{
	struct ring_thread *slot = &session.slots[thread_slot(t)];
	uint64_t now = (uint64_t)clock_ns(thread_clock(t->tid)), stopped = load(&slot->cpu_stop_ns);

	if (now > stopped && (stopped || !load(&slot->cpu_base_ns)))
		add(&slot->cpu_base_ns, now - stopped);
	store_release(&slot->cpu_stop_ns, 0);
}

static void arm_taken(struct thread *t)
{
	uint32_t interval_us;

	if (load(&t->timer_armed))
		return;
	account_from(t);
	if (add(&cpu.timers, 1) >= load(&cpu.timers_max) || !make_timer(t->tid, t, &t->timer)) {
		add(&cpu.timers, -1u);
		drop(RING_CPU, RING_DROP_NO_TIMER);
		return;
	}
	interval_us = wanted_interval();
	if (load(&cpu.perf))
		(void)perf_open(t, interval_us, draw_next(&t->draws));
	store_release(&t->timer_armed, 1);
	set_timer(t, interval_us, first_expiry(t, interval_us));
}

void source_cpu_arm(struct thread *t)
{
	if (!load(&cpu.installed) || load(&cpu.yielded) || !load(&session.running) ||
	    load(&t->timer_armed) || !try_take(&t->arming))
		return;
	arm_taken(t);
	give_back(&t->arming);
}

void source_cpu_disarm(struct thread *t)
{
	if (!swap(&t->timer_armed, 0))
		return;
	(void)syscall(SYS_timer_delete, t->timer);
	add(&cpu.timers, -1u);
	perf_close(t);
}

void source_cpu_thread_end(struct thread *t, uint8_t flags)
{
	struct ring_cpu payload = {.samples = load(&session.slots[thread_slot(t)].cpu_base_ns)};
	struct event e = {.type = RING_THREAD_END,
			  .dimension = RING_CPU,
			  .flags = flags,
			  .payload = &payload,
			  .payload_bytes = sizeof(payload),
			  .time_ns = clock_coarse_ns(),
			  .thread = t};

	/* A signal that comes later would stand for time that this record has already. */
	store_release(&t->timer_armed, 0);
	payload.weight_ns = (uint64_t)clock_thread_cpu_ns();
	(void)event_write(&e);
}

void source_cpu_forked(void)
{
	cpu.timers = 0;
	perf_forked();
}

void source_cpu_watch_child(void)
{
	struct itimerspec when = {.it_value = {0, CHILD_DELAY_NS}};
	struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF};
	int32_t timer;

	/* Two system calls, and no third to learn the thread's number: any thread will do. */
	e.sigev_value.sival_ptr = (void *)(uintptr_t)&child_value;
	if (load(&cpu.installed) && !load(&cpu.yielded) &&
	    syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, &e, &timer) == 0)
		(void)syscall(SYS_timer_settime, timer, 0, &when, NULL);
}

/* The histogram of the handler's costs: of those that were measured. */
static void account(int64_t cost_ns)
{
	int bucket = cost_ns > 0 ? 63 - __builtin_clzll((uint64_t)cost_ns) : 0;

	if (cost_ns >= 0)
		add(&session.counters
			 ->handler_ns[bucket < RING_HISTOGRAM ? bucket : RING_HISTOGRAM - 1],
		    1);
}

/* What the interrupted code runs on, and where a signal frame on it leads. */
static struct cfi_memory current_stack(struct thread *t, const ucontext_t *uc, uint64_t sp,
				       struct cfi_memory *ret_beyond)
{
	uint64_t lo = (uint64_t)(uintptr_t)uc->uc_stack.ss_sp, hi = lo + uc->uc_stack.ss_size;

	*ret_beyond = (struct cfi_memory){t->stack_lo, t->stack_hi, 0};
	if (!(uc->uc_stack.ss_flags & SS_DISABLE) && sp >= lo && sp < hi)
		return thread_stack_within(sp, lo, hi);
	return thread_stack(t, sp);
}

/* What a signal is there to show: a thread that has an event has its timer for the kernel's part
 * alone. */
enum part { PART_ALL, PART_USER, PART_KERNEL };

static void write_sample(struct thread *t, const ucontext_t *uc, uint32_t samples, enum part part,
			 struct scratch *s)
{
	uint64_t reg[ARCH_REGS], pc;
	struct unwind_space space;
	struct unwind_result r;
	struct ring_cpu payload = {(uint64_t)t->interval_us * 1000 * samples, samples};
	struct event e = {
	    .type = RING_SAMPLE_CPU, .dimension = RING_CPU, .count = samples, .thread = t};

	arch_registers(uc, reg, &pc);
	source_wall_correct(t, reg[ARCH_SP]);
	source_space(&space, s);
	space.stack = current_stack(t, uc, reg[ARCH_SP], &space.beyond);
	r = unwind(&space, reg, pc, false, 0, s->frames);
	if (part == PART_KERNEL && !r.leaf_in_kernel)
		return;
	add(&session.counters->ends[r.end], 1);
	e.flags = r.leaf_in_kernel && part != PART_USER ? RING_IN_KERNEL : 0;
	e.end = (uint8_t)r.end;
	e.payload = &payload;
	e.payload_bytes = sizeof(payload);
	e.frames = s->frames;
	e.frames_count = (uint16_t)r.count;
	e.time_ns = clock_coarse_ns();
	(void)event_write(&e);
}

static bool of_event(const siginfo_t *si)
{
	return si->si_code == POLL_IN;
}

/*
 * What a signal stands for, in intervals.  A timer that no tick had a chance to look at comes late,
 * with all the intervals that passed meanwhile: beside an event those are user time, as far as the
 * event was there to see it, and what is left of them is a long system call.
 */
static uint32_t intervals_of(struct thread *t, const siginfo_t *si, enum part part)
{
	uint32_t more = si->si_overrun > 0 ? (uint32_t)si->si_overrun : 0, seen = t->event_samples;

	if (part == PART_USER) {
		t->event_samples++;
		return 1;
	}
	t->event_samples = 0;
	if (part == PART_KERNEL)
		more = more > seen ? more - seen : 0;
	return 1 + more;
}

static void sample(struct thread *t, const siginfo_t *si, const ucontext_t *uc)
{
	enum part part = of_event(si) ? PART_USER : perf_works(t) ? PART_KERNEL : PART_ALL;
	uint32_t samples = intervals_of(t, si, part);
	struct scratch *s;

	add(&session.slots[thread_slot(t)].signals, samples);
	if (killed() || budget_stopped(RING_CPU)) {
		drop(RING_CPU, killed() ? RING_DROP_KILLED : RING_DROP_BUDGET);
		return;
	}
	s = scratch_take();
	if (!s) {
		drop(RING_CPU, RING_DROP_NESTED);
		return;
	}
	write_sample(t, uc, samples, part, s);
	scratch_give(s);
}

/* What a thread does now and then because there is no thread of our own to do it. */
static void chores(struct thread *t)
{
	uint32_t interval_us = wanted_interval();

	if (load(&t->interval_us) != interval_us && !load(&session.seccomp_set))
		set_timer(t, interval_us, interval_us);
	source_chores(clock_coarse_ns());
}

static void each_second(int64_t now_ns)
{
	int64_t began = budget_clock();

	module_check_unloaded(cpu.rules);
	budget_tick(now_ns);
	budget_end_each(began, BUDGET_CHORES);
}

void source_chores(int64_t now_ns)
{
	uint32_t rescan = load(&session.agent->rescan), obeyed = load(&cpu.rescan);
	int64_t checked = load(&cpu.checked_ns);

	if (now_ns - checked > CHECK_NS && replace(&cpu.checked_ns, &checked, now_ns))
		each_second(now_ns);
	source_wall_gate();
	if (load(&session.seccomp_set))
		return;
	if (rescan != obeyed && replace(&cpu.rescan, &obeyed, rescan)) {
		int64_t began = budget_begin_rare();

		thread_scan();
		budget_end_rare(began, BUDGET_CHORES);
	}
	hello_poll(now_ns);
}

static void foreign(int signal, siginfo_t *si, void *context)
{
	if (session_live())
		drop(RING_CPU, RING_DROP_FOREIGN_SIGNAL);
	/* Where there was no handler the signal would have ended the program: one that a stranger
	 * sent, or that was left from before an exec, is swallowed instead. */
	if (cpu.previous.sa_flags & SA_SIGINFO) {
		if (cpu.previous.sa_sigaction)
			cpu.previous.sa_sigaction(signal, si, context);
	} else if (cpu.previous.sa_handler != SIG_DFL && cpu.previous.sa_handler != SIG_IGN) {
		cpu.previous.sa_handler(signal);
	}
}

static struct thread *event_owner(const siginfo_t *si)
{
	struct thread *t = thread_self();

	if (!t && !load(&session.seccomp_set))
		t = thread_self_find();
	return t && load_acquire(&t->timer_armed) && perf_owns(t, si->si_fd) ? t : NULL;
}

/* Whether the signal is of a timer or an event of ours, for this thread; the value alone could be
 * anything. */
static struct thread *owner(const siginfo_t *si)
{
	if (of_event(si))
		return event_owner(si);

	struct thread *t = si->si_code == SI_TIMER ? thread_of_value(si->si_value.sival_ptr) : NULL;

	return t && load_acquire(&t->timer_armed) && si->si_timerid == t->timer ? t : NULL;
}

static void handle(int signal, siginfo_t *si, void *context)
{
	int saved = errno;
	struct thread *t;
	int64_t began;

	if (session_orphan()) {
		if (si->si_code == SI_TIMER &&
		    si->si_value.sival_ptr == (const void *)&child_value) {
			(void)syscall(SYS_timer_delete, si->si_timerid);
			(void)session_adopt_child();
		} else {
			foreign(signal, si, context);
		}
		errno = saved;
		return;
	}
	t = session_live() ? owner(si) : NULL;
	if (!t) {
		/* One of our own timers that was deleted with its signal already on its way, or an
		 * event. */
		if (of_event(si) && perf_used())
			errno = saved;
		else if (si->si_code != SI_TIMER || !session_live() ||
			 !thread_of_value(si->si_value.sival_ptr))
			foreign(signal, si, context);
		errno = saved;
		return;
	}
	began = budget_begin(RING_CPU);
	if (thread_self() != t)
		thread_adopt(t);
	sample(t, si, context);
	if (of_event(si) && !load(&session.seccomp_set))
		perf_next(t, load(&t->interval_us), draw_next(&t->draws));
	account(budget_end(began, RING_CPU));
	chores(t);
	errno = saved;
}

static bool taken(const struct sigaction *a)
{
	if (a->sa_flags & SA_SIGINFO)
		return a->sa_sigaction != handle && a->sa_sigaction != NULL;
	return a->sa_handler != SIG_DFL && a->sa_handler != SIG_IGN;
}

static int install(struct sigaction *ret_previous)
{
	struct sigaction action = {.sa_flags = SA_RESTART | SA_SIGINFO};

	action.sa_flags |= load(&cpu.off_stack) ? 0 : SA_ONSTACK;
	action.sa_sigaction = handle;
	sigemptyset(&action.sa_mask);
	return sigaction(SIGPROF, &action, ret_previous);
}

void source_cpu_stay_off_stack(void)
{
	struct sigaction program;

	if (swap(&cpu.off_stack, 1) || !load(&cpu.installed) || load(&cpu.yielded))
		return;
	/* Not through the preload's hook, to which this handler is what is behind it. */
	program = cpu.previous;
	store(&cpu.installed, 0);
	(void)install(NULL);
	cpu.previous = program;
	store(&cpu.installed, 1);
}

/* Install the handler, if SIGPROF is free.  It stays for good: a signal may still be on its way. */
static int cpu_start(void)
{
	struct sigaction now;
	struct rlimit limit;

	if (sigaction(SIGPROF, NULL, &now) || taken(&now))
		return HEARTH_E_SIGNAL;
	cpu.timers_max = session.threads_max;
	/* Timers and queued signals of a user share one budget, of which the program may want
	 * all. */
	if (!getrlimit(RLIMIT_SIGPENDING, &limit) &&
	    limit.rlim_cur / TIMERS_MAX_SHARE < cpu.timers_max)
		cpu.timers_max = limit.rlim_cur < SIGPENDING_MIN
				     ? 0
				     : (uint32_t)(limit.rlim_cur / TIMERS_MAX_SHARE);
	if (!load(&cpu.installed) && install(&cpu.previous))
		return HEARTH_E_SIGNAL;
	store(&cpu.yielded, 0);
	store(&cpu.installed, 1);
	store(&cpu.perf, profiler_config()->cpu_engine == HEARTH_ENGINE_PERF && perf_start());
	say_engine();
	return HEARTH_OK;
}

/* Delete every timer. */
static void cpu_stop(void)
{
	uint32_t high = (uint32_t)load(&session.counters->threads_high);

	for (uint32_t i = 0; i < high; i++) {
		struct thread *t = &session.threads[i];

		if (load(&t->tid) && !load(&session.slots[i].cpu_stop_ns))
			store(&session.slots[i].cpu_stop_ns,
			      (uint64_t)clock_ns(thread_clock(t->tid)));
		source_cpu_disarm(t);
	}
}

void source_cpu_close(void)
{
	uint32_t high = (uint32_t)load(&session.counters->threads_high);

	for (uint32_t i = 0; i < high; i++) {
		const struct ring_thread *slot = &session.slots[i];
		struct ring_cpu payload = {load(&slot->cpu_stop_ns), load(&slot->cpu_base_ns)};
		struct event e = {.type = RING_THREAD_END,
				  .dimension = RING_CPU,
				  .payload = &payload,
				  .payload_bytes = sizeof(payload),
				  .time_ns = clock_coarse_ns(),
				  .thread = &session.threads[i]};

		if (load(&session.threads[i].tid) && payload.weight_ns)
			(void)event_write(&e);
	}
}

struct sigaction *source_cpu_previous(void)
{
	return load(&cpu.installed) && !load(&cpu.yielded) ? &cpu.previous : NULL;
}

void source_cpu_yield(void)
{
	store(&cpu.yielded, 1);
	if (session_live()) {
		cpu_stop();
		say_engine();
	}
}

static bool cpu_wanted(const struct config *config)
{
	return config->cpu;
}

const struct source source_cpu = {
    .name = "cpu",
    .unit = "nanoseconds",
    .dimension = RING_CPU,
    .wanted = cpu_wanted,
    .start = cpu_start,
    .stop = cpu_stop,
};
