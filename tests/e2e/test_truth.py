# SPDX-License-Identifier: Apache-2.0
"""The hard truths of CPU sampling: bursts in step with the tick, user and kernel."""
import os
import subprocess
import sys

from support import Agent, PROGRAMS, main, run, wait_for, within

ERRORS = 5
DOUBT = "cpu.in_step_with_tick"


def in_step(mode, phase_us, seconds, **environment):
    """(share of burst_a as shown, in truth, samples, whether the answer is in doubt)"""
    with Agent() as agent:
        done = run([PROGRAMS / "instep", mode, phase_us, seconds], env=agent.environment(**environment))
        assert done.returncode == 0, done
        a, b, total = (int(word) for word in done.stdout.split())
        agent.settled()
        stacks = agent.folded(type="cpu")
        shown = [sum(v for k, v in stacks.items() if name in k.split(";")) for name in ("burst_a", "burst_b")]
        answer = agent.get("/api/v1/flamegraph", type="cpu")
        # Whatever the phase, the sum is right, for it is the clock's.
        assert abs(sum(stacks.values()) - total) <= 0.03 * total + 20e6, (sum(stacks.values()), total)
        return shown[0] / max(sum(shown), 1), a / (a + b), answer["samples"], answer["lost"].get(DOUBT, 0)


def at_every_phase(mode, **environment):
    for phase in range(0, 4000, 500):
        shown, truth, samples, doubted = in_step(mode, phase, 2.5, **environment)
        print(f"# {mode}, phase {phase} us: {shown:.3f}, in truth {truth:.3f}, n {samples}, in doubt {doubted}")
        yield phase, doubted, within(shown, truth, max(samples, 1), ERRORS)


def bursts_in_step_with_the_tick_are_right_or_in_doubt():
    for phase, doubted, right in at_every_phase("sleep"):
        assert doubted or right, phase


def a_signal_behind_a_thread_s_end_stands_for_nothing():
    with Agent() as agent:
        program = subprocess.Popen([PROGRAMS / "behind", "1.5"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   env=agent.environment())
        try:
            total = int(program.stdout.readline())
            seen = agent.status()["native"]["batches"]
            wait_for("the end to be stored", lambda: agent.status()["native"]["batches"] > seen + 1)
        finally:
            program.stdin.close()
            program.wait()
        agent.settled()
        stacks = agent.folded(type="cpu")
        # What the loader used before the profiler is not shown, what the process's end takes is.
        assert abs(sum(stacks.values()) - total) <= 0.03 * total, (stacks, total)


def events_are_refused():
    """Why perf cannot be used here, "" where it can, as the status has it."""
    with Agent() as agent:
        program = subprocess.Popen([PROGRAMS / "instep", "spin", "0", "60"], stdout=subprocess.DEVNULL,
                                   env=agent.environment(HEARTH_CPU_ENGINE="perf"))
        try:
            status = wait_for("the program to attach", lambda: agent.status()["processes"])[0]
        finally:
            program.kill()
            program.wait()
        reason = status.get("engine_fallback", "")
        assert status["engine"] == ("posix-timer" if reason else "perf"), status
        return reason


def with_perf_whatever_is_in_step_is_right():
    reason = events_are_refused()
    if reason:
        return reason
    for mode in ("sleep", "spin"):
        for phase, _, right in at_every_phase(mode, HEARTH_CPU_ENGINE="perf"):
            assert right, (mode, phase)


def with_perf_a_program_that_closes_its_descriptors_is_sampled_on():
    reason = events_are_refused()
    if reason:
        return reason
    closes = ("import os, time\n"
              "def spin(seconds):\n"
              "    until = time.process_time() + seconds\n"
              "    while time.process_time() < until: pass\n"
              "spin(1)\n"
              "input()\n"
              "os.closerange(3, 4096)\n"
              "files = [os.open('/dev/null', os.O_RDONLY) for _ in range(200)]\n"
              "spin(2)\n"
              "input()\n"
              "print(sum(os.path.samestat(os.fstat(f), os.stat('/dev/null')) for f in files))\n")
    with Agent() as agent:
        program = subprocess.Popen([sys.executable, "-c", closes], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   env=agent.environment(HEARTH_CPU_ENGINE="perf"))
        try:
            def watched():
                return (agent.status()["processes"] or [{}])[0]
            wait_for("samples", lambda: watched().get("samples", 0) > 20)
            program.stdin.write(b"\n")
            program.stdin.flush()
            wait_for("the loss to be said", lambda: "closed" in watched().get("engine_fallback", ""))
            before = watched()["samples"]
            wait_for("samples by timers", lambda: watched()["samples"] > before + 30)
            assert program.communicate(b"\n")[0] == b"200\n"
        finally:
            program.kill()
            program.wait()


def with_perf_the_kernel_s_share_is_shown():
    reason = events_are_refused()
    if reason:
        return reason
    with Agent() as agent:
        done = run([PROGRAMS / "kernel", 6, os.getpid()], env=agent.environment(HEARTH_CPU_ENGINE="perf"))
        user, system, _, _ = (int(word) for word in done.stdout.split())
        n = agent.settled()["native"]["samples"] ** 2 / sum(agent.folded(type="cpu_samples").values())
        stacks = agent.folded(type="cpu")
        shown = sum(v for k, v in stacks.items() if k.endswith(";[kernel]")) / sum(stacks.values())
        truth = system / (user + system)
        print(f"# in the kernel {shown:.4f}, in truth {truth:.4f}, n {n:.0f}")
        assert within(shown, truth, n, ERRORS), (shown, truth, n)


def the_kernel_s_share_is_that_of_its_clock():
    with Agent() as agent:
        done = run([PROGRAMS / "kernel", 6, os.getpid()], env=agent.environment())
        user, system, utime, stime = (int(word) for word in done.stdout.split())
        status = agent.settled()["native"]
        n = sum(agent.folded(type="cpu_samples").values())
        # Where others hold the CPU at ticks, one sample stands for several and there are fewer of them.
        n = status["samples"] ** 2 / n
        truth = stime / (utime + stime)
        stacks = agent.folded(type="cpu")
        total = sum(stacks.values())
        shown = sum(v for k, v in stacks.items() if k.endswith(";[kernel]"))
        below = sum(v for k, v in stacks.items() if "in_kernel" in k.split(";"))
        print(f"# in the kernel {shown / total:.4f}, in truth {truth:.4f}; below in_kernel {below / total:.4f}, in truth "
              f"{system / (user + system):.4f}; n {n:.0f}")
        # In the graph as in the status, to rounding, and beside the kernel's own account.
        assert abs(shown - status["cpu_in_kernel_ns"]) <= n and abs(
            total - status["cpu_ns"] - status["cpu_not_sampled_ns"]) <= n, (shown, total, status)
        # That account is made of ticks as well, so that its error adds to ours; the program's clocks are exact.
        ticks = (utime + stime) / 1e9 * os.sysconf("SC_CLK_TCK")
        assert within(shown / total, truth, 1 / (1 / n + 1 / ticks), ERRORS), (shown, total, truth, n)
        assert within(shown / total, system / (user + system), n, ERRORS), (shown, total, user, system, n)
        assert within(below / total, system / (user + system), n, ERRORS), (below, user, system, n)
        # The two sides of one function: its system calls, and what it does between them.
        inside = sum(v for k, v in stacks.items() if "in_user" in k.split(";") and k.endswith(";[kernel]"))
        assert inside <= 0.05 * total, (inside, total)
        rows = agent.get("/api/v1/top", type="cpu")
        top = {row["name"]: row["self"] for row in rows["rows"]}
        assert top["[kernel]"] == shown, (top, shown)


main(bursts_in_step_with_the_tick_are_right_or_in_doubt, a_signal_behind_a_thread_s_end_stands_for_nothing,
     with_perf_whatever_is_in_step_is_right, with_perf_a_program_that_closes_its_descriptors_is_sampled_on,
     the_kernel_s_share_is_that_of_its_clock, with_perf_the_kernel_s_share_is_shown)
