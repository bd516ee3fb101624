# SPDX-License-Identifier: Apache-2.0
"""Own cost as status reports it, beside what a program that is profiled costs more than one that is not.

The same rounds of work with and without the client by turns, at rates that make the difference large
enough to be seen, with no limit; the mean of the lowest quarter of each, and the interval of the difference by bootstrap.
"""
import os
import random
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from support import Agent, PROGRAMS, main, run

PAIRS = int(os.environ.get("HEARTH_PAIRS", "60"))
HARD = {"HEARTH_CPU_INTERVAL_US": "1000", "HEARTH_HEAP_SAMPLE_SIZE": "65536", "HEARTH_LOCK_CAPTURE_PCT": "10",
        "HEARTH_MAX_OVERHEAD_PCT": "100", "HEARTH_MAX_FRAMES": "512"}


def once(kind, rounds, env):
    done = run([PROGRAMS / "costs", kind, rounds], env=env)
    assert done.returncode == 0, done
    return [int(word) for word in done.stdout.split()]


def low(values):
    """The mean of the lowest quarter: what others do on the machine only adds."""
    values = sorted(values)
    return statistics.mean(values[:max(1, len(values) // 4)])


def difference(plain, watched):
    return low(watched) - low(plain)


def compare(kind, seconds=0.2):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HEARTH_", "DD_", "LD_"))}
    with Agent() as agent:
        cpu, _, rounds = once(kind, 0, clean)
        rounds = int(rounds * seconds * 1e9 / cpu) + 1
        plain, watched, own = [], [], []
        for _ in range(PAIRS):
            plain.append(once(kind, rounds, clean)[0])
            cpu, cost, _ = once(kind, rounds, dict(agent.environment(), **HARD))
            watched.append(cpu)
            own.append(cost)
    spread = sorted(difference(random.choices(plain, k=PAIRS), random.choices(watched, k=PAIRS))
                    for _ in range(1000))
    least, most, cost = spread[25], spread[974], low(own)
    real = difference(plain, watched)
    print(f"# {kind}: reported {cost / 1e6:.1f} ms of {low(plain) / 1e6:.0f}, by comparison "
          f"{real / 1e6:.1f} ms (95 %: {least / 1e6:.1f} to {most / 1e6:.1f}), {100 * (cost / real - 1):+.0f} %", flush=True)
    # Within a fifth, as far as the comparison itself can tell.
    assert 0.8 * least <= cost <= 1.2 * most, (least, cost, most)


def own_cost_of_samples_of_cpu():
    compare("deep", 1)


def own_cost_of_allocations():
    compare("malloc")


def own_cost_of_calls():
    compare("calls")


def own_cost_of_locks():
    compare("locks")


main(own_cost_of_samples_of_cpu, own_cost_of_allocations, own_cost_of_calls, own_cost_of_locks)
