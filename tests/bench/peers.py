# SPDX-License-Identifier: Apache-2.0
"""Other profilers on the same programs: CPU time an operation over that without any."""
import glob
import os
import shutil
import statistics
import subprocess
import tempfile

from measure import BIN_KNOWN, report
from support import PRELOAD, Agent

ROUNDS = 3
SECONDS = "1.2"
LOADS = ("loop-cpu", "loop-mix", "loop-malloc")


def library(name):
    found = sorted(glob.glob(f"/usr/lib/*/{name}*"))
    return found[0] if found else None


def cost(load, env, prefix=()):
    """CPU nanoseconds an operation.  The peers' programs have no control page: all is one slice."""
    out = subprocess.run([*prefix, BIN_KNOWN, load, SECONDS], env=env, stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, check=True).stdout
    words = [line.split() for line in out.splitlines()]
    slices = [(int(w[3]), int(w[2])) for w in words if w[:2] == ["slice", "on"]]
    return sum(a for a, _ in slices) / sum(b for _, b in slices)


def has_prof(path):
    env = dict(os.environ, LD_PRELOAD=path, MALLOC_CONF="prof:true")
    return "Invalid conf" not in subprocess.run(["true"], env=env, capture_output=True, text=True).stderr


def table(folder, agent):
    """{name: (environment, what stands before the command)}"""
    tcmalloc, profiler, jemalloc = (library(n) for n in ("libtcmalloc.so.4", "libprofiler.so", "libjemalloc.so.2"))
    rows = {"hearth_everything": ({"LD_PRELOAD": str(PRELOAD), "HEARTH_ENABLED": "1",
                                   "HEARTH_AGENT": f"unix:{agent.run}/agent.sock"}, ())}
    if profiler:
        rows["gperftools_cpu"] = ({"LD_PRELOAD": profiler, "CPUPROFILE": folder + "/cpu"}, ())
    if tcmalloc:
        rows["tcmalloc_alone"] = ({"LD_PRELOAD": tcmalloc}, ())
        rows["gperftools_heap"] = ({"LD_PRELOAD": tcmalloc, "HEAPPROFILE": folder + "/heap"}, ())
    if jemalloc and has_prof(jemalloc):
        rows["jemalloc_prof"] = ({"LD_PRELOAD": jemalloc, "MALLOC_CONF": "prof:true,lg_prof_sample:19"}, ())
    if shutil.which("heaptrack"):
        rows["heaptrack"] = ({}, ("heaptrack", "-r", "-o", folder + "/ht"))
    for name, there in (("gperftools_cpu", profiler), ("gperftools_heap", tcmalloc),
                        ("heaptrack", shutil.which("heaptrack")),
                        ("jemalloc_prof", "jemalloc_prof" in rows)):
        if not there:
            why = "jemalloc is built without profiling" if name == "jemalloc_prof" and jemalloc else "not installed"
            report(f"peer_{name}", None, f"skipped: {why}")
    return rows


def peers(build):
    base = {k: v for k, v in os.environ.items() if not k.startswith(("HEARTH_", "DD_")) and k != "LD_PRELOAD"}
    with Agent() as agent, tempfile.TemporaryDirectory() as folder:
        rows = table(folder, agent)
        for load in LOADS:
            ratios = {name: [] for name in rows}
            for _ in range(ROUNDS):
                plain = cost(load, base)
                for name, (env, prefix) in rows.items():
                    ratios[name].append(cost(load, dict(base, **env), prefix) / plain)
            for name, some in ratios.items():
                report(f"peer_{name}_{load.replace('-', '_')}", round(100 * (statistics.median(some) - 1), 2),
                       "percent more CPU an operation, median of runs")
