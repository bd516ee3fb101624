# SPDX-License-Identifier: Apache-2.0
"""What the client's benchmarks share: the control page as it is, slices by turns, and intervals."""
import json
import os
import pathlib
import random
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import BIN, wait_for  # noqa: E402

BIN_KNOWN = str(BIN / "hearth-known")

MAGIC = 0x31676e6972726168
PAGE = 4096
KILL_AT = PAGE + 16            # struct ring_agent: heartbeat_ns, generation, kill
COUNTERS_AT = 2 * PAGE
SLOW_US = 100000               # no setting is as slow as the timer of a paused thread
INTERVAL_AT = COUNTERS_AT + 8 * (4 + 6 + 6 * 9 + 7 + 2 + 32 + 2 + 2 + 2 + 1 + 1)


def report(metric, value, unit, baseline=None, bench="client"):
    print(json.dumps({"bench": bench, "metric": metric, "value": value, "unit": unit,
                      "baseline": baseline}), flush=True)


class Pages:
    """The client's shared memory of a running program, read through /proc/PID/mem."""

    def __init__(self, pid):
        self.mem = open(f"/proc/{pid}/mem", "rb", buffering=0)
        self.base = wait_for("the client's memory", lambda: self.find(pid))

    def find(self, pid):
        for line in open(f"/proc/{pid}/maps"):
            words = line.split()
            if len(words) > 5 and words[5].startswith("/memfd:") and int(words[2], 16) == 0:
                at = int(words[0].split("-")[0], 16)
                if struct.unpack("=Q", os.pread(self.mem.fileno(), 8, at))[0] == MAGIC:
                    return at
        return None

    def state(self):
        """"on", "paused", or None while it changes: a timer obeys at its next signal."""
        kill, = struct.unpack("=I", os.pread(self.mem.fileno(), 4, self.base + KILL_AT))
        interval, = struct.unpack("=Q", os.pread(self.mem.fileno(), 8, self.base + INTERVAL_AT))
        if kill and interval > SLOW_US:
            return "paused"
        return "on" if not kill and interval <= SLOW_US else None


def order(agent, pid, action):
    status, body, _ = agent.request("POST", "/api/v1/control", body=b"", action=action, pid=str(pid))
    assert status == 200, body


def cpu_ns(pid):
    """Exact CPU time of all threads that live."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            total += int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0])
        except OSError:
            pass
    return total


def slices(agent, pid, operations, until, length=1.0):
    """[(cost sampled, cost paused)]: CPU nanoseconds an operation, by turns until `until`."""
    pages, costs, pairs, turn = Pages(pid), {}, [], 0
    while time.monotonic() < until:
        # on off off on: a drift favours neither.
        wanted = ("on", "paused", "paused", "on")[turn % 4]
        turn += 1
        if pages.state() != wanted:
            order(agent, pid, "pause" if wanted == "paused" else "resume")
            wait_for(f"the page to say {wanted}", lambda: pages.state() == wanted)
        ops, cpu = operations(), cpu_ns(pid)
        time.sleep(length)
        ops, cpu = operations() - ops, cpu_ns(pid) - cpu
        if pages.state() == wanted and ops > 0:
            costs[wanted] = cpu / ops
        if turn % 2 == 0 and len(costs) == 2:
            pairs.append((costs["on"], costs["paused"]))
            costs = {}
    return pairs


def interval(pairs, resamples=5000):
    """The mean of the pairs' ratios less one, a fifth left out at either end because of what else the
    machine does, and its 95 % interval by bootstrap over pairs."""
    ratios = [a / b for a, b in pairs]
    cut = len(ratios) // 5

    def mean(some):
        middle = sorted(some)[cut:len(some) - cut]
        return sum(middle) / len(middle) - 1
    draw = random.Random(1)
    drawn = sorted(mean(draw.choices(ratios, k=len(ratios))) for _ in range(resamples))
    return mean(ratios), drawn[resamples // 40], drawn[-resamples // 40]


def report_pairs(name, pairs, limit):
    if len(pairs) < 3:
        report(f"{name}_pairs", len(pairs), "pairs")
        return
    middle, low, high = interval(pairs)
    for metric, value in (("", middle), ("_low", low), ("_high", high)):
        report(f"{name}_overhead{metric}", round(100 * value, 4), "percent", limit)
    report(f"{name}_pairs", len(pairs), "pairs", 300)
