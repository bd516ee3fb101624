# SPDX-License-Identifier: Apache-2.0
"""What the client's benchmarks share: the control page as it is, slices by turns, and intervals."""
import json
import math
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

    def state(self, hz=None):
        """"on", "paused", or None while it changes: a timer obeys at its next signal."""
        kill, = struct.unpack("=I", os.pread(self.mem.fileno(), 4, self.base + KILL_AT))
        interval, = struct.unpack("=Q", os.pread(self.mem.fileno(), 8, self.base + INTERVAL_AT))
        if kill and interval > SLOW_US:
            return "paused"
        return "on" if not kill and interval <= (1.1e6 / hz if hz else SLOW_US) else None


def order(agent, pid, action, **more):
    status, body, _ = agent.request("POST", "/api/v1/control", body=b"", action=action, pid=str(pid), **more)
    assert status == 200 or (status == 404 and action == "resume"), body  # 404: nothing was ordered


def cpu_ns(pid):
    """Exact CPU time of all threads that live."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            total += int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0])
        except OSError:
            pass
    return total


class Blocks:
    """Four slices each, two sampled and two not, in an order drawn by lot, so that no drift favours either.

    A slice is [CPU nanoseconds an operation, {bucket: calls of the probe}].  A block holds two pairs of
    sampled and not, and for the null of the method one pair of each kind with itself.  With
    HEARTH_BENCH_KEEP they are added to what an earlier run left in that folder.  Sampled is at the default
    rate, or zoomed to `hz`.
    """
    LENGTH = 0.5  # seconds: 50 CPU samples; in one of a second a shared machine changes more meanwhile

    def __init__(self, name, hz=None):
        self.hz = hz
        folder = os.environ.get("HEARTH_BENCH_KEEP")
        self.path = pathlib.Path(folder) / f"{name}.jsonl" if folder else None
        self.blocks = []
        if self.path and self.path.exists():
            self.blocks = [json.loads(line) for line in self.path.read_text().splitlines()]

    def run(self, agent, pid, seconds, measure):
        """`measure` tells what a slice of LENGTH seconds cost, or None."""
        until, pages, draw = time.monotonic() + seconds, Pages(pid), random.Random(os.urandom(8))
        while time.monotonic() < until:
            turns = ["on", "on", "paused", "paused"]
            draw.shuffle(turns)
            block = {"on": [], "paused": []}
            for wanted in turns:
                block[wanted].append(self.slice(agent, pid, pages, wanted, measure))
            if None in block["on"] + block["paused"]:
                continue
            self.blocks.append(block)
            if self.path:
                with self.path.open("a") as f:
                    f.write(json.dumps(block) + "\n")

    def slice(self, agent, pid, pages, wanted, measure):
        if pages.state(self.hz) != wanted:
            order(agent, pid, "pause" if wanted == "paused" else "resume")
            if wanted == "on" and self.hz:
                order(agent, pid, "zoom", cpu_hz=str(self.hz), **{"for": "60s"})
            wait_for(f"the page to say {wanted}", lambda: pages.state(self.hz) == wanted)
        measured = measure(wanted)
        return measured if pages.state(self.hz) == wanted else None

    def pairs(self):
        return [(a[0], b[0]) for x in self.blocks for a, b in zip(x["on"], x["paused"])]

    def null_pairs(self):
        """Which of two is the first is the lot's choice."""
        return [(x[what][0][0], x[what][1][0]) for x in self.blocks for what in ("on", "paused")]


def of_server(pid, operations, probe):
    """Measures a server from outside, with a probe's requests beside its load."""
    def measure(_):
        list(probe())  # what it saw while the page changed is nobody's
        ops, cpu, end = operations(), cpu_ns(pid), time.monotonic() + Blocks.LENGTH
        took = {}
        while time.monotonic() < end:
            for ns in probe():
                bucket = str(int(math.log(max(ns, 1)) / BUCKET))
                took[bucket] = took.get(bucket, 0) + 1
        ops, cpu = operations() - ops, cpu_ns(pid) - cpu
        return [cpu / ops, took] if ops > 0 else None
    return measure


def of_loop(lines):
    """Reads what `hearth-known loop-*` measured itself, a line a slice: only of whole slices."""
    def measure(wanted):
        for line in lines:
            word, state, operations, cpu, blocks = line.split()
            if word == "slice" and state == wanted and int(blocks) == 25:
                return [int(cpu) / int(operations), {}]
        return None
    return measure


BUCKET = math.log(1.01)


def quantile(blocks, what, q):
    """In microseconds, over all slices of these blocks; a bucket is 1 % wide."""
    counts = {}
    for block in blocks:
        for _, took in block[what]:
            for bucket, n in took.items():
                counts[int(bucket)] = counts.get(int(bucket), 0) + n
    left = q * sum(counts.values())
    for bucket in sorted(counts):
        left -= counts[bucket]
        if left <= 0:
            return math.exp((bucket + 0.5) * BUCKET) / 1000
    return 0.0


def report_latency(name, blocks, resamples=300):
    """p99 with and without sampling and the ratio, each with its 95 % interval by bootstrap over blocks."""
    def all_of(some):
        on, paused = (quantile(some, what, 0.99) for what in ("on", "paused"))
        return {"p99": on, "p99_paused": paused, "p99_more": 100 * (on / paused - 1)}
    draw = random.Random(1)
    drawn = [all_of(draw.choices(blocks, k=len(blocks))) for _ in range(resamples)]
    for metric, value in all_of(blocks).items():
        some = sorted(d[metric] for d in drawn)
        unit = "percent" if metric == "p99_more" else "us"
        for what, v in (("", value), ("_low", some[resamples // 40]), ("_high", some[-resamples // 40])):
            report(f"{name}_{metric}{what}", round(v, 2), unit)


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


def report_pairs(name, pairs, limit, less=1):
    """`less`: by how much more than at the defaults was sampled."""
    if len(pairs) < 3:
        report(f"{name}_pairs", len(pairs), "pairs")
        return
    middle, low, high = interval(pairs)
    for metric, value in (("", middle), ("_low", low), ("_high", high)):
        report(f"{name}_overhead{metric}", round(100 * value / less, 4), "percent", limit)
    report(f"{name}_pairs", len(pairs), "pairs", 300)


def report_blocks(name, blocks, limit, less=1):
    if len(blocks.blocks) < 2:
        return report(f"{name}_blocks", len(blocks.blocks), "blocks")
    report_pairs(name, blocks.pairs(), limit, less)
    for metric, value in zip(("", "_low", "_high"), interval(blocks.null_pairs())):
        report(f"{name}_null{metric}", round(100 * value / less, 4), "percent")
    if any(took for block in blocks.blocks for what in block for _, took in block[what]):
        report_latency(name, blocks.blocks)
