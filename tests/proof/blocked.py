# SPDX-License-Identifier: Apache-2.0
"""Thirty blocking functions of libc, eight calls each, ten runs with different waits.

Right: each function's blocked time within three standard errors in all but one of ten runs on average;
the total of each run within 1 %; at most 2 % of the wall time not explained.  A call begins and ends
anywhere between two ticks of the coarse clock: its error has the variance tick^2 / 6.  Where the client takes
calls only with the chance p = 1 - exp(-duration / mean), as it may in a program that does this little, one that is
left out is made up for by what was taken beside it: that adds duration^2 (1 - p) / p for itself and as much for those.
"""
import math
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import Agent, PROGRAMS, main  # noqa: E402
from test_native import blocked_sums, unexplained  # noqa: E402

RUNS = 10
TICK_NS = 4e6
MEAN_NS = 5e5  # of calls that are as far apart as can be without a choice: client/source_wall.c


def watched(agent, seed):
    """What the program prints, and the largest mean that its calls were taken with; 0: all were."""
    p = subprocess.Popen([str(PROGRAMS / "blocks"), str(seed)], env=agent.environment(), stdout=subprocess.PIPE)
    times = 1
    while p.poll() is None:
        for process in agent.status()["processes"]:
            times = max(times, process["budget"]["times_as_far_apart"].get("wall", 1))
        time.sleep(0.2)
    assert p.returncode == 0, p
    return p.stdout.read(), MEAN_NS * times if times > 1 else 0


def error(ns, calls, mean_ns):
    """Of the blocked time of so many calls of about the same length."""
    missed = 1 / math.expm1(ns / calls / mean_ns) if mean_ns else 0
    return math.sqrt(calls * (TICK_NS ** 2 / 6 + 2 * (ns / calls) ** 2 * missed))


def blocked():
    beyond = cells = 0
    for seed in range(1, RUNS + 1):
        with Agent() as agent:
            out, mean_ns = watched(agent, seed)
            agent.settled()
            truth, calls, sums = blocked_sums(agent, out)
            offs = {name: (sums.get(name, 0) - ns) / error(ns, calls[name], mean_ns) for name, ns in truth.items()}
            worst = max(offs, key=lambda name: abs(offs[name]))
            total = sum(sums.values()) / sum(truth.values()) - 1
            rest = unexplained(agent)
            print(f"# {seed:2}: total {100 * total:+.3f} %, not explained {100 * rest:.2f} %, "
                  f"furthest {worst} {offs[worst]:+.2f} se"
                  f"{f', taken by a mean of {mean_ns / 1e6:g} ms' if mean_ns else ''}", flush=True)
            assert abs(total) <= 0.01 and rest <= 0.02, (total, rest)
            beyond += sum(abs(off) > 3 for off in offs.values())
            cells += len(offs)
    print(f"# beyond 3 se: {beyond} of {cells}")
    assert beyond <= cells // 10, beyond


main(blocked)
