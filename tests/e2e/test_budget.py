# SPDX-License-Identifier: Apache-2.0
"""What profiling costs is measured and kept inside the budget."""
import os
import shutil
import subprocess

from support import BIN, PROGRAMS, Agent, main, run, wait_for


class Costs:
    """tests/e2e/programs/costs.c, which goes on until it is told to end."""

    def __init__(self, agent, kind, **more):
        self.agent = agent
        self.process = subprocess.Popen([PROGRAMS / "costs", kind, "0", "600"], env=agent.environment(**more),
                                        stdout=subprocess.DEVNULL)

    def shown(self):
        mine = [p for p in self.agent.status()["processes"] if p["pid"] == self.process.pid]
        return mine[0] if mine else None

    def wait(self, what, condition):
        def met():
            shown = self.shown()
            return shown if shown and condition(shown) else None
        return wait_for(what, met)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def settles(kind, dimension, ppm, **more):
    with Agent() as agent, Costs(agent, kind, HEARTH_MAX_OVERHEAD_PCT=str(ppm / 1e4), **more) as costs:
        high = costs.wait("a cost above the limit", lambda p: p["budget"]["ppm"] > ppm)
        print(f"# {kind}: {high['budget']['ppm']} millionths at first")
        # What hooks cost without a sample is a constant, measured at start: on a busy machine it may be above
        # the limit by itself.
        enough = max(ppm, high["budget"]["ppm"] // 2)
        low = costs.wait("longer intervals and a lower cost", lambda p: (
            p["budget"]["ppm"] <= enough and p["budget"]["times_as_far_apart"].get(dimension, 1) > 1))
        print(f"# then {low['budget']['ppm']}, samples {low['budget']['times_as_far_apart']} times as far apart")
        assert low["state"] == "throttled" and low["budget"]["lengthened"] > 0, low
        assert low["dimensions"][dimension] == "on" and low["budget"]["stopped"] == 0, low
        sampled = low["samples"]
        costs.wait("more samples, though fewer", lambda p: p["samples"] > sampled)
        assert sum(low["own_cost"].values()) == low["own_cost_ns"] > 0, low


def absurdly_many_samples_become_fewer():
    settles("deep", "cpu", 1000, HEARTH_CPU_INTERVAL_US="1000", HEARTH_MAX_FRAMES="512")


def absurdly_many_sampled_allocations_become_fewer():
    settles("malloc", "alloc", 2500, HEARTH_HEAP_SAMPLE_SIZE="65536", HEARTH_MAX_FRAMES="512",
            HEARTH_CPU_HZ="1")


def what_no_interval_helps_is_stopped():
    with Agent() as agent, Costs(agent, "calls") as costs:
        shown = costs.wait("the stop", lambda p: p["dimensions"]["wall"] == "stopped by budget")
        assert shown["state"] == "stopped by budget" and shown["budget"]["stopped"] == 1, shown
        assert shown["dimensions"]["cpu"] == "on", shown
        own = shown["own_cost"]["wall"]
        sampled = shown["samples"]
        shown = costs.wait("samples of CPU time, which go on", lambda p: p["samples"] > sampled + 200)
        # Two seconds of calls at full price would be a tenth of them.
        print(f"# own cost of calls after the stop: {(shown['own_cost']['wall'] - own) / 1e6:.3f} ms")
        assert shown["own_cost"]["wall"] - own < 20e6, (own, shown)
        said = run([BIN / "hearth", "status", "--server", f"unix:{agent.run}/http.sock"]).stdout.decode()
        assert "over budget: wall is stopped" in said, said


def a_steady_program_makes_no_system_call_of_ours():
    """`hearth-known mix` makes none itself.  It is steady once the agent has its files and threads."""
    if not shutil.which("strace"):
        return "strace is not installed"
    with Agent() as agent:
        p = subprocess.Popen([BIN / "hearth-known", "mix", "600"], env=agent.environment(),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            wait_for("samples", lambda: [s for s in agent.status()["processes"] if s["pid"] == p.pid and s["samples"]])

            def looked_at():
                # Each second the client decides anew: three of them are looked at.
                counts = calls_in(p.pid, "3")
                if counts is None:
                    return "strace may not attach"
                print(f"# {counts}")
                return "rt_sigreturn" in counts and not set(counts) - {"rt_sigreturn"}
            steady = wait_for("three seconds without", looked_at)
            return steady if isinstance(steady, str) else None
        finally:
            p.kill()
            p.wait()


def calls_in(pid, seconds):
    """{call: how often}, or None."""
    out = subprocess.run(["timeout", "-s", "INT", seconds, "strace", "-f", "-c", "-p", str(pid)], capture_output=True,
                         text=True).stderr
    words = [line.split() for line in out.splitlines()]
    if "attached" not in out:
        return None
    return {w[-1]: int(w[3]) for w in words if len(w) >= 5 and w[3].isdigit() and w[-1] != "total"}


main(a_steady_program_makes_no_system_call_of_ours, absurdly_many_samples_become_fewer, absurdly_many_sampled_allocations_become_fewer,
     what_no_interval_helps_is_stopped)
