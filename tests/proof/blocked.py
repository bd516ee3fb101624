# SPDX-License-Identifier: Apache-2.0
"""Thirty blocking functions of libc, eight calls each, ten runs with different waits.

Right: each function's blocked time within three standard errors in all but one of ten runs on average;
the total of each run within 1 %; at most 2 % of the wall time not explained.  A call begins and ends
anywhere between two ticks of the coarse clock: its error has the variance tick^2 / 6.
"""
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import Agent, PROGRAMS, main, run  # noqa: E402
from test_native import blocked_sums, unexplained  # noqa: E402

RUNS = 10
TICK_NS = 4e6


def blocked():
    beyond = cells = 0
    for seed in range(1, RUNS + 1):
        with Agent() as agent:
            done = run([PROGRAMS / "blocks", seed], env=agent.environment())
            assert done.returncode == 0, done
            agent.settled()
            truth, calls, sums = blocked_sums(agent, done.stdout)
            offs = {name: (sums.get(name, 0) - ns) / (TICK_NS * math.sqrt(calls[name] / 6))
                    for name, ns in truth.items()}
            worst = max(offs, key=lambda name: abs(offs[name]))
            total = sum(sums.values()) / sum(truth.values()) - 1
            rest = unexplained(agent)
            print(f"# {seed:2}: total {100 * total:+.3f} %, not explained {100 * rest:.2f} %, "
                  f"furthest {worst} {offs[worst]:+.2f} se", flush=True)
            assert abs(total) <= 0.01 and rest <= 0.02, (total, rest)
            beyond += sum(abs(off) > 3 for off in offs.values())
            cells += len(offs)
    print(f"# beyond 3 se: {beyond} of {cells}")
    assert beyond <= cells // 10, beyond


main(blocked)
