# SPDX-License-Identifier: Apache-2.0
"""Three functions that burn 60, 30 and 10 % in bursts of random length, at the default rate.

Ten runs with different seeds, each function in the program itself and, beside it, in a library opened
at run time.  Right: each share within three standard errors in nine of ten runs, within one point
over all runs of both, and every total within 1 % of the thread's clock.
"""
import concurrent.futures
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import Agent, PROGRAMS, main, run  # noqa: E402
from test_native import truths  # noqa: E402

RUNS = 10
SECONDS = 16
NAMES = ("burn_sixty", "burn_thirty", "burn_ten")
VARIANTS = {"program": (), "library": (PROGRAMS / "shares_library.so",)}


def measure(job):
    """What one run was, and what is shown of it."""
    seed, variant = job
    with Agent() as agent:
        done = run([PROGRAMS / "shares", SECONDS, 1000 * seed + 7, *VARIANTS[variant]],
                   env=agent.environment())
        assert done.returncode == 0, done
        agent.settled()
        stacks = agent.folded(type="cpu")
        samples = sum(agent.folded(type="cpu_samples").values())
        got = {name: sum(v for k, v in stacks.items() if name in k.split(";")) for name in NAMES}
        return truths(done.stdout), got, sum(stacks.values()), samples


def shares_and_totals():
    jobs = [(seed, variant) for seed in range(1, RUNS + 1) for variant in VARIANTS]
    missed = {(variant, name): 0 for variant in VARIANTS for name in NAMES}
    sums = {variant: {"truth": 0, "total": 0, "n": 0, **{name: [0, 0] for name in NAMES}}
            for variant in VARIANTS}
    worst = 0
    print("# run variant  samples  total/clock  " + "  ".join(f"{n:>22}" for n in NAMES))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for (seed, variant), (truth, got, total, n) in zip(jobs, pool.map(measure, jobs)):
            cells = []
            for name in NAMES:
                share = truth[name] / truth["total"]
                off = (got[name] / total - share) / math.sqrt(share * (1 - share) / n)
                missed[variant, name] += abs(off) > 3
                sums[variant][name][0] += got[name]
                sums[variant][name][1] += truth[name]
                cells.append(f"{100 * got[name] / total:6.2f} ({100 * share:5.2f}) {off:+5.2f} se")
            sums[variant]["truth"] += truth["total"]
            sums[variant]["total"] += total
            sums[variant]["n"] += n
            worst = max(worst, abs(total / truth["total"] - 1))
            print(f"# {seed:3} {variant:8} {n:7}  {total / truth['total']:11.5f}  " +
                  "  ".join(f"{c:>22}" for c in cells), flush=True)
    n = sum(s["n"] for s in sums.values())
    points = 0
    for name in NAMES:
        shown, true = (sum(s[name][i] for s in sums.values()) /
                       sum(s[key] for s in sums.values()) for i, key in ((0, "total"), (1, "truth")))
        points = max(points, 100 * abs(shown - true))
        print(f"# pooled {name}: {100 * shown:.3f} %, in truth {100 * true:.3f} %, "
              f"beyond 3 se in " + ", ".join(f"{missed[v, name]} of {RUNS} ({v})" for v in VARIANTS))
    print(f"# n {n}; largest pooled error {points:.3f} points; largest error of a total "
          f"{100 * worst:.3f} %")
    assert all(m <= RUNS // 10 for m in missed.values()), missed
    assert n >= 30000 and points <= 1 and worst <= 0.01, (n, points, worst)


main(shares_and_totals)
