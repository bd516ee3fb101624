# SPDX-License-Identifier: Apache-2.0
"""Six sites of 48 bytes to 3 MB, and a leak of 512 MB, at the defaults.

Ten runs with different seeds.  Right: every total to the byte; each site within three standard errors in
nine of ten runs and, over all runs, within five per cent where enough samples stand behind it; the leak
first in each run and within three standard errors in nine of ten.
"""
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import Agent, main, run, wait_for  # noqa: E402
from test_alloc import ALLOCS, MEAN, Talk, of_site, site_error, snapshot  # noqa: E402

RUNS = 10
SECONDS = 20
ENOUGH = 3600  # samples of a site, for which 5 % are three standard errors


def one_run(seed):
    with Agent() as agent:
        done = run([ALLOCS, "sites", SECONDS, seed], env=agent.environment())
        assert done.returncode == 0, done
        agent.settled()
        truth = {w[0]: tuple(map(int, w[1:])) for w in map(str.split, done.stdout.decode().splitlines())}
        space = agent.folded(type="alloc_space")
        assert sum(space.values()) == truth["total"][0], (sum(space.values()), truth["total"])
        return truth, {site: of_site(space, site) for site in truth}, space.get("[not sampled]", 0)


def sites():
    missed, shown, true, variance = {}, {}, {}, {}
    for seed in range(1, RUNS + 1):
        truth, got, rest = one_run(1000 * seed + 7)
        cells = []
        for site, (total, _, size) in truth.items():
            if site == "total":
                continue
            se = site_error(size, total)
            off = (got[site] - total) / se
            missed[site] = missed.get(site, 0) + (abs(off) > 3)
            shown[site] = shown.get(site, 0) + got[site]
            true[site] = true.get(site, 0) + total
            variance[site] = variance.get(site, 0) + se * se
            cells.append(f"{site[5:]} {100 * (got[site] / total - 1):+6.2f} % {off:+5.2f} se")
        print(f"# {seed:2} {truth['total'][0] / 1e6:6.1f} MB exact, {100 * rest / truth['total'][0]:.2f} % "
              f"not sampled  " + "  ".join(cells), flush=True)
    for site in true:
        off = shown[site] / true[site] - 1
        samples = (true[site] / math.sqrt(variance[site])) ** 2
        print(f"# pooled {site}: {100 * off:+.2f} % ({(shown[site] - true[site]) / math.sqrt(variance[site]):+.2f}"
              f" se, as of {samples:.0f} samples), beyond 3 se in {missed[site]} of {RUNS}")
        assert abs(shown[site] - true[site]) <= 4 * math.sqrt(variance[site]), site
        assert samples < ENOUGH or abs(off) <= 0.05, (site, off)
    assert all(m <= RUNS // 10 for m in missed.values()), missed


def leak():
    missed = pooled = 0
    for seed in range(RUNS):
        with Agent() as agent:
            talk = Talk(agent, ALLOCS, "leak", 512)
            leaked = int(talk.hear()[1])
            stacks = snapshot(agent)
            status = talk.status(agent)
            mean = max(status["alloc_mean_bytes"], status["heap"]["mean_bytes"], MEAN)
            shown, se = of_site(stacks, "leaky"), site_error(40 << 10, leaked, mean)
            first = agent.get("/api/v1/top", type="inuse_space")["rows"][0]["name"]
            missed += abs(shown - leaked) > 3 * se
            pooled += (shown - leaked) / se / math.sqrt(RUNS)
            print(f"# {seed + 1:2} leaky {shown / 1e6:.1f} MB of {leaked / 1e6:.1f} "
                  f"{(shown - leaked) / se:+.2f} se (mean {mean >> 10} KiB); first: {first}", flush=True)
            assert first == "leaky", first
            talk.answer()
            wait_for("the heap to be empty", lambda: not agent.folded(type="inuse_space"))
            talk.end()
    print(f"# pooled {pooled:+.2f} se")
    assert missed <= RUNS // 10 and abs(pooled) <= 4, (missed, pooled)


main(sites, leak)
