# SPDX-License-Identifier: Apache-2.0
"""The whole agent as an ingester: HTTP on loopback to durable SQLite, one JSON object a line.

`known`: bodies whose stacks the store has (real ones of the corpus where it is there, and made ones), the
agent's CPU time beside that of inflating the same bytes with zlib, which is what the wire costs at least.
Real bodies come in turn, so that each counts by its bytes; then one by one, for what a request costs beside
its bytes makes the ratio of a small one what it is.
`new`: bodies of some 80 KB whose stacks are all new.  Four senders, so that commits are shared.
"""
import gzip
import json
import os
import pathlib
import random
import sys
import threading
import time
import zlib

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/e2e"))
from support import Agent  # noqa: E402
from wire import message, number, packed  # noqa: E402

CORPUS = pathlib.Path(os.environ.get("HEARTH_CORPUS", SOURCE / "../shared/corpus")) / "pprof"
SENDERS = 4
SECONDS = 8


def made(seed):
    """About 80 KB gzip'd: 500 samples of depth 40 over 2,000 functions, as a flush of ten seconds."""
    rng = random.Random(seed)
    strings = ["", "samples", "count", "cpu", "nanoseconds"] + [f"service_{seed}_module_{i % 50}::function_{i}" for i in range(2000)]
    body = message(1, number(1, 1), number(2, 2)) + message(1, number(1, 3), number(2, 4))
    for _ in range(500):
        stack, at = [], rng.randrange(1, 50)
        for _ in range(40):
            stack.append(at)
            at = min(2000, at + rng.randrange(1, 60))
        body += message(2, packed(1, stack[::-1]), packed(2, [rng.randrange(1, 9), rng.randrange(10**7)]))
    for i in range(1, 2001):
        body += message(4, number(1, i), number(3, rng.randrange(1 << 40)), message(4, number(1, i), number(2, rng.randrange(5000))))
        body += message(5, number(1, i), number(2, 4 + i), number(4, 5))
    body += b"".join(message(6, text) for text in strings) + message(11, number(1, 3), number(2, 4)) + number(12, 10_000_000)
    return gzip.compress(body, 6)


def cpu_seconds(agent):
    fields = pathlib.Path(f"/proc/{agent.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(agent):
    status = pathlib.Path(f"/proc/{agent.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def send(agent, bodies, until):
    """Send each body in turn until it is time; (requests, seconds, CPU seconds, samples)."""
    counts, lock = [0, 0], threading.Lock()

    def sender(first):
        i = first
        while not until(i):
            status, answer, _ = agent.request("POST", "/api/v1/profiles", body=bodies[i % len(bodies)], service="bench")
            assert status == 200, answer
            with lock:
                counts[0] += 1
                counts[1] += json.loads(answer)["samples"]
            i += SENDERS

    began, cpu = time.monotonic(), cpu_seconds(agent)
    threads = [threading.Thread(target=sender, args=(first,)) for first in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts[0], time.monotonic() - began, cpu_seconds(agent) - cpu, counts[1]


def inflating(bodies, rounds):
    began = time.process_time()
    for _ in range(rounds):
        for body in bodies:
            zlib.decompress(body, 31)
    return (time.process_time() - began) / rounds / len(bodies)


def say(name, metric, value, unit, baseline=None):
    print(json.dumps({"bench": name, "metric": metric, "value": round(value, 4), "unit": unit, "baseline": baseline}), flush=True)


def report(name, agent, bodies, done):
    requests, seconds, cpu, samples = done
    wire = sum(map(len, bodies)) / len(bodies)
    inflate = inflating(bodies, max(1, int(2e6 / wire / len(bodies)) + 1))
    say(name, "cpu_per_profile", 1e6 * cpu / requests, "microseconds", round(1e6 * inflate, 1))
    say(name, "cpu_over_inflating", cpu / requests / inflate, "times", 1)
    say(name, "profiles_per_cpu_second", requests / cpu, "per_second")
    say(name, "profiles_per_second", requests / seconds, "per_second")
    say(name, "wire_per_second", requests * wire / seconds / 1e6, "megabytes_per_second")
    say(name, "cpu_per_wire_megabyte", 1e3 * cpu / (requests * wire / 1e6), "milliseconds")
    say(name, "samples_per_second", samples / seconds, "per_second")
    say(name, "peak_rss", peak_bytes(agent) / 1e6, "megabytes")


def real_bodies():
    """{name: body}: Go's and others' CPU and heap profiles as they were sent, from 4 to 300 KB."""
    if not CORPUS.is_dir():
        return {}
    bodies = {path.name.split(".")[0]: path.read_bytes() for path in sorted(CORPUS.iterdir())}
    return {name: body for name, body in bodies.items() if body[:2] == b"\x1f\x8b" and 4000 < len(body) < 300_000}


def known(bodies, seconds, tell):
    with Agent() as agent:
        send(agent, bodies, lambda i: i >= len(bodies))
        end = time.monotonic() + seconds
        tell(agent, send(agent, bodies, lambda i: time.monotonic() > end))


def body_report(name, body, done):
    requests, _, cpu, _ = done
    inflate = inflating([body], int(2e6 / len(body)))
    say("ingest-known-real", f"{name}.cpu_per_profile", 1e6 * cpu / requests, "microseconds", round(1e6 * inflate, 1))
    say("ingest-known-real", f"{name}.cpu_over_inflating", cpu / requests / inflate, "times", 1)


def main():
    real = real_bodies()
    for name, bodies in (("ingest-known-real", list(real.values())), ("ingest-known", [made(seed) for seed in range(8)])):
        if bodies:
            known(bodies, SECONDS, lambda agent, done: report(name, agent, bodies, done))
    for name, body in real.items():
        known([body], SECONDS / 4, lambda agent, done: body_report(name, body, done))
    fresh = [made(seed) for seed in range(1000, 1160)]
    with Agent() as agent:
        report("ingest-new", agent, fresh, send(agent, fresh, lambda i: i >= len(fresh)))


main()
