# SPDX-License-Identifier: Apache-2.0
"""Questions over HTTP, from the request to the last byte: a day and a month of the store bench's model.

    scripts/bench.sh query

Warm: one agent, the same question ROUNDS times over ranges that end at other moments, aligned with nothing.  Cold: an agent
that has just started, its files dropped from the page cache; after each round as much fresh memory as the question took is
touched here, page by page and in pages of 2 MB, so that a slow moment of the machine can be told from the agent.  Memory:
the most that an agent had, above what it had idle, which only answered that question.  One JSON object a line, with the
bar of issue 6 as baseline.

HEARTH_QUESTION=TEXT asks those whose names hold TEXT; HEARTH_BENCH_STORES=DIR keeps the stores there for the next run;
HEARTH_COLD=N starts N agents a question.
"""
import json
import mmap
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import Agent, PROGRAMS  # noqa: E402

HOUR, DAY = 3600 * 10**9, 86400 * 10**9
COLD = int(os.environ.get("HEARTH_COLD", 20))
STORES = {"day": (1, 1, 400), "month": (31, 1, 400)}
# name: (store, path, parameters, length of the range, bar warm p99 ms, bar cold ms)
QUESTIONS = {
    "merge": ("day", "/api/v1/flamegraph", {}, DAY, 15, 40),
    "merge, all nodes": ("day", "/api/v1/flamegraph", {"max_nodes": 0}, DAY, None, None),
    "merge, flamebearer": ("day", "/api/v1/flamegraph", {"format": "flamebearer"}, DAY, None, None),
    "merge of an hour": ("day", "/api/v1/flamegraph", {}, HOUR, 15, 40),
    "top": ("day", "/api/v1/top", {}, DAY, 15, 40),
    "timeline": ("day", "/api/v1/timeline", {}, DAY, 15, 40),
    "diff": ("day", "/api/v1/diff", {"base": True}, DAY // 2, 30, 80),
    "focus": ("day", "/api/v1/flamegraph", {"focus": "handle_request_1"}, DAY, 15, 40),
    "timeline with focus": ("day", "/api/v1/timeline", {"focus": "handle_request_1"}, DAY, None, None),
    "one thread, from L0 alone": ("day", "/api/v1/flamegraph", {"tagfocus": "thread=worker-1"}, DAY, 100, None),
    "services": ("day", "/api/v1/services", {}, DAY, 2, None),
    "label values": ("day", "/api/v1/labels/service/values", {}, DAY, 2, None),
    "merge of a month": ("month", "/api/v1/flamegraph", {}, 30 * DAY, 100, None),
    "top of a month": ("month", "/api/v1/top", {}, 30 * DAY, 100, None),
    "timeline of a month": ("month", "/api/v1/timeline", {}, 30 * DAY, 100, None),
    "label values of a month": ("month", "/api/v1/labels/service/values", {}, 30 * DAY, 2, None),
}


def ask(agent, path, parameters, length, end):
    asked = {"type": "cpu", **parameters, "from": end - length, "until": end}
    if asked.pop("base", None):
        asked.update(base_from=end - 2 * length, base_until=end - length)
    start = time.perf_counter()
    status, body, _ = agent.request("GET", path, **asked)
    took = (time.perf_counter() - start) * 1000
    assert status == 200, (path, status, body[:300])
    return took, body


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


def memory(agent, key):
    text = pathlib.Path(f"/proc/{agent.process.pid}/status").read_text()
    return int(text.split(key + ":")[1].split()[0]) / 1024


def forget(directory):
    for path in pathlib.Path(directory).rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def faults(agent):
    """Pages that the agent has had so far."""
    return int(pathlib.Path(f"/proc/{agent.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[7])


def touch(pages, large):
    """Milliseconds for that many fresh pages."""
    start = time.perf_counter()
    with mmap.mmap(-1, max(pages, 1) * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        if large:
            memory.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, len(memory), mmap.PAGESIZE):
            memory[at] = 1
        took = (time.perf_counter() - start) * 1000
    return took


def show(question, metric, value, unit, bar=None, **more):
    line = {"bench": "query", "question": question, "metric": metric, "value": round(value, 3), "unit": unit, **more}
    if bar is not None:
        line["baseline"] = {"what": "to reach", "value": bar}
    print(json.dumps(line), flush=True)


def warm(directory, end, rounds, wanted):
    for name, (_, path, parameters, length, bar, _) in wanted.items():
        with Agent("--store", f"sqlite:{directory}") as agent:
            idle = memory(agent, "VmRSS")
            ask(agent, path, parameters, length, end)
            times = [ask(agent, path, parameters, length, end - i * 1_234_567_891)[0] for i in range(rounds)]
            size = len(ask(agent, path, parameters, length, end)[1])
            show(name, "warm p50", quantile(times, .5), "ms", bytes=size)
            show(name, "warm p99", quantile(times, .99), "ms", bar)
            show(name, "peak memory above idle", memory(agent, "VmHWM") - idle, "MB", 64)


def cold(directory, end, wanted):
    for name, (_, path, parameters, length, _, bar) in wanted.items():
        times, pages, small, large = [], [], [], []
        for _ in range(COLD):
            forget(directory)
            with Agent("--store", f"sqlite:{directory}") as agent:
                before = faults(agent)
                times.append(ask(agent, path, parameters, length, end)[0])
                pages.append(faults(agent) - before)
                small.append(touch(pages[-1], False))
                large.append(touch(pages[-1], True))
        show(name, "cold p50", quantile(times, .5), "ms")
        show(name, "cold p90", quantile(times, .9), "ms")
        show(name, "cold p99", quantile(times, .99), "ms", bar, rounds=COLD)
        show(name, "cold, fresh memory", quantile(pages, .5) * mmap.PAGESIZE / 2**20, "MB")
        for what, values in (("page by page", small), ("in large pages", large)):
            for q, text in ((.5, "p50"), (.9, "p90"), (.99, "p99")):
                show(name, f"as much memory touched {what}, {text}", quantile(values, q), "ms")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    only = os.environ.get("HEARTH_QUESTION", "")
    keep = os.environ.get("HEARTH_BENCH_STORES")
    with tempfile.TemporaryDirectory(prefix="hearth-bench.", dir="/var/tmp") as made:
        for store, size in STORES.items():
            wanted = {name: q for name, q in QUESTIONS.items() if q[0] == store and only in name}
            directory = f"{keep or made}/{store}"
            if not wanted:
                continue
            if not os.path.isdir(directory):
                subprocess.run([PROGRAMS / "query_store", directory, *map(str, size)], check=True)
                pathlib.Path(directory + ".end").write_text(str(time.time_ns() - 12_345_678_901))
            end = int(pathlib.Path(directory + ".end").read_text())
            warm(directory, end, rounds, wanted)
            cold(directory, end, wanted)


main()
