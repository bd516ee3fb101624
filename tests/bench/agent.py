# SPDX-License-Identifier: Apache-2.0
"""What the agent costs with many clients: 200 processes with 400 samples a second and 25 idle threads each.

Its CPU time and that of the cage that finds names, by /proc, over HEARTH_BENCH_SECONDS (30), and its memory then;
the clients use the library's own rings, sockets and writer (agent_clients.c).  Each of the ten services has
HEARTH_BENCH_STACK_COUNT (20,000) stacks, or each process as many of its own (HEARTH_BENCH_SHARED=0).  The limits are 10 % of a
core and 64 MB.
"""
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import BUILD, Agent  # noqa: E402

CLIENTS, IDLE, RATE = 200, 25, 400
STACKS = os.environ.get("HEARTH_BENCH_STACK_COUNT", "20000")
SHARED = os.environ.get("HEARTH_BENCH_SHARED", "1")
SECONDS = float(os.environ.get("HEARTH_BENCH_SECONDS", "30"))


def say(metric, value, unit, baseline=None):
    print(json.dumps({"bench": "agent", "metric": metric, "value": round(value, 4), "unit": unit, "baseline": baseline}),
          flush=True)


def family(pid):
    """The agent and the processes that it started."""
    children = [int(c) for task in pathlib.Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]
    return [pid] + [p for child in children for p in family(child)]


def cpu_seconds(pid):
    total = 0
    for p in family(pid):
        for task in pathlib.Path(f"/proc/{p}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def memory(pid, what):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split(what + ":")[1].split()[0]) << 10


YOUNG = 25


def steady(agent):
    """Whether all are there, no longer young (server/processes.c), and write what they should: what is new is written
    once."""
    before = agent.status()["native"]
    time.sleep(5)
    after = agent.status()
    return (after["native"]["attached"] >= CLIENTS and sum(p["threads"] for p in after["processes"]) > CLIENTS * IDLE and
            after["native"]["samples"] - before["samples"] > 0.9 * 5 * CLIENTS * RATE)


def main():
    with Agent() as agent:
        pid, idle_bytes = agent.process.pid, memory(agent.process.pid, "VmRSS")
        clients = subprocess.Popen([BUILD / "bench/agent_clients", str(CLIENTS), str(IDLE), str(RATE), STACKS, SHARED],
                                   stdin=subprocess.PIPE, env=dict(agent.environment(), LD_PRELOAD=""), start_new_session=True)
        time.sleep(YOUNG)
        while not steady(agent):
            pass
        began, cpu, before = time.monotonic(), cpu_seconds(pid), agent.status()["native"]
        time.sleep(SECONDS)
        took, cpu, after = time.monotonic() - began, cpu_seconds(pid) - cpu, agent.status()["native"]
        say("clients", CLIENTS, "processes")
        say("samples", (after["samples"] - before["samples"]) / took, "per_second", CLIENTS * RATE)
        say("cpu", 100 * cpu / took, "percent of a core", 10)
        say("cpu_per_sample", 1e9 * cpu / max(1, after["samples"] - before["samples"]), "nanoseconds")
        say("lost", sum(after["lost"].values()) if isinstance(after["lost"], dict) else 0, "records", 0)
        say("rss", memory(pid, "VmRSS") / 1e6, "megabytes", round(idle_bytes / 1e6, 1))
        say("peak_rss", memory(pid, "VmHWM") / 1e6, "megabytes")
        clients.stdin.close()
        clients.wait()


main()
