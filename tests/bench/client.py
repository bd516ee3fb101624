# SPDX-License-Identifier: Apache-2.0
"""What the client costs: scripts/bench.sh client [NAME...].  One JSON object a line.

HEARTH_BENCH_SECONDS is how long each part that compares slices runs (20 when not set); the issue's 300
pairs of a server take 500, in pieces where HEARTH_BENCH_KEEP names a folder: what stands there is added to.
"""
import os
import re
import shutil
import subprocess
import sys
import time

from measure import BIN_KNOWN, Blocks, of_loop, report, report_blocks
from peers import peers
from servers import instructions_of_servers, nginx, redis, sqlite
from support import BUILD, PRELOAD, PROGRAMS, Agent, wait_for

DEFAULT_HZ = 100
SECONDS = float(os.environ.get("HEARTH_BENCH_SECONDS", "20"))


def plain():
    return {k: v for k, v in os.environ.items() if not k.startswith(("HEARTH_", "DD_")) and k != "LD_PRELOAD"}


def lines(out):
    return [line.split() for line in out.splitlines() if line]


def loop(name, limit, hz=None):
    """What a loop measures of itself by its thread's clock, in slices of 25 blocks of 20 ms.

    At `hz` a sample costs what it costs at the default rate, of which the figures are then the share: ten times
    the samples say it ten times as closely.
    """
    blocks = Blocks(f"{name}-{hz}" if hz else name, hz)
    with Agent() as agent:
        p = subprocess.Popen([BIN_KNOWN, name, "3600"], env=agent.environment(), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, text=True)
        try:
            blocks.run(agent, p.pid, SECONDS, of_loop(p.stdout))
        finally:
            p.kill()
            p.communicate()
    report_blocks((f"{name}_by_{hz}_hz" if hz else name).replace("-", "_"), blocks, limit, hz / DEFAULT_HZ if hz else 1)


def slices_of_work():
    for part in "loop-cpu", "loop-cpu-997", "loop-mix", "loop-malloc", "loop-lock":
        PARTS[part]()


def threads():
    """CPU of a process as a share of a core, less what it uses without the client."""
    for name, limit in ("idle", 0.05), ("poll", None):
        shares = {}
        with Agent() as agent:
            for what, env in ("without", plain()), ("with", agent.environment()):
                out = subprocess.run([BIN_KNOWN, name, str(max(5, int(SECONDS / 2)))], env=env,
                                     stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
                word = next(w for w in lines(out) if w[0] == "cpu")
                shares[what] = 100 * int(word[2]) / int(word[3])
        report(f"threads_{name}_share", round(shares["with"] - shares["without"], 4), "percent of a core", limit)
        report(f"threads_{name}_share_without", round(shares["without"], 4), "percent of a core")


def instructions(program, n, env):
    out = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", PROGRAMS / program,
                          str(n)], capture_output=True, text=True, check=True, env=env).stderr
    return int(re.search(r"Collected : (\d+)", out).group(1))


def passing_through():
    env = dict(plain(), LD_PRELOAD=str(PRELOAD), HEARTH_ENABLED="1", HEARTH_AGENT="unix:/nonexistent/a.sock")
    # What passes through; beside it locks at defaults, whose holds are followed up to 100 times a second:
    # a processor under callgrind is so slow that this is much more for each pair than in truth.
    through = dict(env, HEARTH_CPU_ENABLED="0", HEARTH_LOCK_CAPTURE_PCT="0.0001")
    for program, name, limit, env in (("client_pairs", "malloc_free", 25, env),
                                      ("client_lock_pair", "lock_unlock", 16, through),
                                      ("client_lock_pair", "lock_unlock_with_holds", None, env),
                                      ("client_reads", "read", None, env)):
        if not (PROGRAMS / program).exists() or not shutil.which("valgrind"):
            report(f"{name}_instructions", None, "skipped: valgrind or the program is missing")
            continue
        few, many = 20000, 100000
        cost = [(instructions(program, many, e) - instructions(program, few, e)) / (many - few)
                for e in (plain(), env)]
        report(f"{name}_instructions_added", round(cost[1] - cost[0], 1), "instructions", limit)


def passing_through_servers():
    instructions_of_servers(plain(), dict(plain(), LD_PRELOAD=str(PRELOAD), HEARTH_ENABLED="1",
                                          HEARTH_AGENT="unix:/nonexistent/a.sock"))


def quantiles_and_memory():
    with Agent() as agent:
        for name in "loop-mix", "memory":
            p = subprocess.Popen([BIN_KNOWN, name, "8"], env=agent.environment(), stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE)
            out = [b""]
            while out[-1].split()[:1] != [b"end"]:
                out.append(p.stdout.readline())
            shown = wait_for("its status", lambda: [s for s in agent.status()["processes"] if s["pid"] == p.pid])[0]
            if name == "loop-mix":
                for q in "p50", "p99", "p999":
                    report(f"handler_{q}_at_most", shown["handler_ns"].get(q), "ns", 50000 if q == "p999" else None)
                report("own_cost", round(100 * shown["own_cost_ns"] / shown["cpu_ns"], 4), "percent of CPU", 1)
            else:
                memory(p.pid)
            p.communicate()


def memory(pid):
    """What our mappings add to a program of 100 MB."""
    sums, ours = {"Rss": 0, "Pss": 0}, False
    for line in open(f"/proc/{pid}/smaps"):
        words = line.split()
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = "memfd:hearth" in line or "libhearth" in line or "anon:hearth" in line
        elif ours and words[0][:-1] in sums:
            sums[words[0][:-1]] += int(words[1])
    for name, kilobytes in sums.items():
        report(f"memory_{name.lower()}_of_100_mb", kilobytes, "KiB", 2048)


def system_calls():
    if not shutil.which("strace"):
        report("system_calls", None, "skipped: strace is not installed")
        return
    with Agent() as agent:
        p = subprocess.Popen([BIN_KNOWN, "mix", "12"], env=agent.environment(), stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL)
        wait_for("it to attach", lambda: [s for s in agent.status()["processes"] if s["pid"] == p.pid and s["samples"]])
        time.sleep(3)  # it has told the agent of its files, and has been looked at
        out = subprocess.run(["timeout", "4", "strace", "-f", "-c", "-p", str(p.pid)], capture_output=True,
                             text=True).stderr
        p.wait()
    calls = {w[-1]: int(w[3]) for w in lines(out) if len(w) >= 5 and w[3].isdigit() and w[-1] != "total"}
    report("system_calls_rt_sigreturn", calls.pop("rt_sigreturn", 0), "calls in 4 s")
    report("system_calls_other", sum(calls.values()), "calls in 4 s " + " ".join(calls), 0)


PARTS = {"slices": slices_of_work,
         "loop-cpu": lambda: loop("loop-cpu", 0.2), "loop-cpu-997": lambda: loop("loop-cpu", 0.2, 997),
         "loop-mix": lambda: loop("loop-mix", 0.5),
         "loop-malloc": lambda: loop("loop-malloc", None), "loop-lock": lambda: loop("loop-lock", None),
         "threads": threads, "instructions": passing_through,
         "server-instructions": passing_through_servers,
         "quantiles": quantiles_and_memory, "syscalls": system_calls,
         "redis": lambda: redis(SECONDS), "sqlite": lambda: sqlite(SECONDS), "nginx": lambda: nginx(SECONDS),
         "peers": lambda: peers(BUILD)}

if __name__ == "__main__":
    for part in sys.argv[1:] or [p for p in PARTS if not p.startswith("loop")]:
        PARTS[part]()
