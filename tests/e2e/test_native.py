# SPDX-License-Identifier: Apache-2.0
"""Known answers: what a program did, it is shown to have done."""
import math
import os

from support import NO_LIMIT, Agent, PRELOAD, PROGRAMS, main, run, within

# A right program fails a bound of five standard errors less than once in a million runs.
ERRORS = 5
BLOCKS = '{service="blocks"}'
INTERVAL_NS = 9.9e6  # of CPU samples, at the defaults


def truths(out):
    return {line.split()[0]: int(line.split()[1]) for line in out.decode().splitlines()}


def leaf_sums(stacks):
    sums = {}
    for stack, value in stacks.items():
        leaf = stack.rsplit(";", 1)[-1]
        sums[leaf] = sums.get(leaf, 0) + value
    return sums


def check_shares(*library):
    with Agent() as agent:
        done = run([PROGRAMS / "shares", 4, os.getpid(), *library], env=agent.environment(**NO_LIMIT))
        assert done.returncode == 0, done
        truth = truths(done.stdout)
        agent.settled()
        stacks = agent.folded(type="cpu")
        samples = sum(agent.folded(type="cpu_samples").values())
        total = sum(stacks.values())
        # 1 % by the exact clocks: no sampling error is in the total.
        assert abs(total - truth["total"]) <= 0.01 * truth["total"], (total, truth)
        named = {name: sum(v for stack, v in stacks.items() if name in stack.split(";"))
                 for name in ("burn_sixty", "burn_thirty", "burn_ten")}
        for name, value in named.items():
            share = truth[name] / truth["total"]
            print(f"# {name}: {value / total:.4f}, in truth {share:.4f}, n {samples}")
            assert within(value / total, share, samples, ERRORS), (name, value / total, share)
        top = agent.get("/api/v1/top", type="cpu")["rows"][0]
        assert top["name"] == "burn_sixty" and top["file"].endswith("shares.c") and top["line"] > 0, top
        assert top["library"] == ("shares_library.so" if library else "shares"), top


def shares_of_the_program_itself():
    check_shares()


def shares_in_a_library_opened_at_run_time():
    check_shares(PROGRAMS / "shares_library.so")


def a_sleeping_half_is_in_wall_and_not_in_cpu():
    with Agent() as agent:
        done = run([PROGRAMS / "halves", 3], env=agent.environment(**NO_LIMIT))
        cpu, wall, asleep, waited = (int(word) for word in done.stdout.split())
        agent.settled()
        in_cpu = sum(v for k, v in agent.folded(type="cpu").items() if "nanosleep" in k)
        slept = sum(v for k, v in agent.folded(type="wall").items()
                    if "nanosleep" in k and "rest" in k)
        # The main thread has waited for the other all the time, and that call was open at nearly every look.
        assert not [k for k in agent.folded(type="wall") if "blocked, not sampled" in k]
        worked = sum(v for k, v in agent.folded(type="wall").items() if ";work" in k)
        # The naps of a thread that has just worked are measured by the exact clock.
        allowed = 0.01 * asleep + 4e6
        print(f"# slept {slept / 1e6:.1f} ms, in truth {asleep / 1e6:.1f} ms +- {allowed / 1e6:.1f}; "
              f"worked {worked / 1e6:.1f} ms of {cpu / 1e6:.1f}")
        # A nap costs some microseconds of each 20 ms: of n samples 0.02 n at most are expected there, and five errors more.
        expected = 0.02 * cpu / INTERVAL_NS
        assert in_cpu / INTERVAL_NS < expected + 5 * math.sqrt(expected) + 5, (in_cpu, cpu)
        # Waiting for a CPU just before or after the call is in the program's time and not in the call's.
        assert -allowed - waited <= slept - asleep <= allowed, (slept, asleep, waited)
        assert abs(worked - cpu) <= 0.05 * cpu + 30e6, (worked, cpu)


def blocked_sums(agent, out):
    """What the program `blocks` says and what is shown: {function: ns}, {function: calls}, {function: ns}."""
    truth, calls = {}, {}
    for line in out.decode().splitlines():
        name, ns = line.split()
        truth[name] = truth.get(name, 0) + int(ns)
        calls[name] = calls.get(name, 0) + 8
    # The waits of the main thread; the one that wakes it has others of the same names.
    stacks = {k: v for k, v in agent.folded(type="block_delay", query=BLOCKS).items()
              if ";main;" in k and "waker" not in k and k.count("pthread_join") == k.count("in_join")}
    return truth, calls, leaf_sums(stacks)


def unexplained(agent):
    wall = agent.folded(type="wall", query=BLOCKS)
    return sum(v for k, v in wall.items() if k.endswith("[off CPU, not explained]")) / sum(wall.values())


def every_blocking_call_is_seen_for_as_long_as_it_blocked():
    with Agent() as agent:
        done = run([PROGRAMS / "blocks"], env=agent.environment(**NO_LIMIT))
        assert done.returncode == 0, done
        agent.settled()
        truth, calls, sums = blocked_sums(agent, done.stdout)
        for name, ns in truth.items():
            # A call begins and ends anywhere between two ticks of the coarse clock.
            bound = ERRORS * 4e6 * math.sqrt(calls[name] / 6)
            print(f"# {name}: {sums.get(name, 0) / 1e6:.1f} ms, in truth {ns / 1e6:.1f} "
                  f"+- {bound / ERRORS / 1e6:.1f}")
            assert abs(sums.get(name, 0) - ns) <= bound, (name, sums.get(name), ns)
        total, exact = sum(sums.values()), sum(truth.values())
        bound = max(0.01 * exact, ERRORS * 4e6 * math.sqrt(sum(calls.values()) / 6))
        print(f"# in all {total / 1e6:.1f} ms, in truth {exact / 1e6:.1f}")
        assert abs(total - exact) <= bound, (total, exact)
        rest = unexplained(agent)
        print(f"# unexplained {100 * rest:.2f} % of the wall time")
        assert rest <= 0.02, rest


def without_an_agent_nothing_changes():
    env = dict(os.environ)
    plain = run(["sh", "-c", "echo out; echo err >&2; exit 7"], env=env)
    env.update(LD_PRELOAD=str(PRELOAD), HEARTH_ENABLED="1", HEARTH_AGENT="unix:/nonexistent/agent.sock")
    watched = run(["sh", "-c", "echo out; echo err >&2; exit 7"], env=env)
    assert (plain.returncode, plain.stdout, plain.stderr) == (
        watched.returncode, watched.stdout, watched.stderr), watched
    watched = run([PROGRAMS / "shares", 0.3, 1], env=env)
    assert watched.returncode == 0 and watched.stderr == b"", watched


def every_stack_reaches_its_thread_s_first_frame():
    with Agent() as agent:
        assert run([PROGRAMS / "shares", 3, 2], env=agent.environment()).returncode == 0
        stacks = agent.settled()["native"]["stacks"]
        total = sum(stacks.values())
        assert total > 100 and stacks["root"] >= 0.995 * total, stacks


def what_ran_without_the_profiler_is_not_counted():
    with Agent() as agent:
        env = agent.environment()
        del env["LD_PRELOAD"], env["HEARTH_ENABLED"]
        done = run([PROGRAMS / "stages"], env=env)
        assert done.returncode == 0, done
        under = int(done.stdout)
        agent.settled()
        stacks = agent.folded(type="cpu")
        total = sum(stacks.values())
        outside = sum(v for k, v in stacks.items() if "stage_before" in k or "stage_between" in k)
        print(f"# {total / 1e9:.4f} s stored of {under / 1e9:.4f} s under the profiler")
        assert abs(total - under) <= 0.01 * under and not outside, (total, under, stacks)


if __name__ == "__main__":
    main(every_blocking_call_is_seen_for_as_long_as_it_blocked, shares_of_the_program_itself,
         shares_in_a_library_opened_at_run_time, a_sleeping_half_is_in_wall_and_not_in_cpu, without_an_agent_nothing_changes,
         every_stack_reaches_its_thread_s_first_frame, what_ran_without_the_profiler_is_not_counted)
