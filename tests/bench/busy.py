# SPDX-License-Identifier: Apache-2.0
"""Ten clients ask while four upload as fast as the agent takes it; one JSON object a line.

    scripts/bench.sh busy

First uploads alone, then with the questions, HEARTH_BENCH_SECONDS (60) each; both sides are processes of their own, on
the agent's cores.  Fails when a question or an upload has an error, when an answer is marked as partial, or when what was acknowledged is not what the
store answers afterwards, to the nanosecond, by service.  A source's quota is out of the way; an upload that is refused
because the queue is full is sent again, and counted.
"""
import collections
import gzip
import json
import multiprocessing
import os
import pathlib
import random
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import Agent  # noqa: E402
from wire import message, number, packed  # noqa: E402

SENDERS, ASKERS, SERVICES, BODIES = 4, 10, 3, 24
SECONDS = float(os.environ.get("HEARTH_BENCH_SECONDS", "60"))
HOUR = 3600 * 10**9
QUESTIONS = [
    ("flamegraph", {}), ("flamegraph", {"format": "flamebearer"}), ("flamegraph", {"focus": "function_7"}),
    ("flamegraph", {"tagfocus": "service=busy-1"}), ("flamegraph", {"max_nodes": 0}), ("top", {}), ("timeline", {}),
    ("timeline", {"focus": "function_7"}), ("diff", {"base": True}), ("services", {}), ("labels/service/values", {}),
    ("flamegraph", {"focus": "function_7", "invert": "true"}), ("top", {"by": "service"}), ("timeline", {"group_by": "service"}),
]


def made(seed):
    """A pprof profile of 200 stacks of depth 40 over 2,000 functions, and its nanoseconds."""
    rng, sent = random.Random(seed), 0
    strings = ["", "samples", "count", "cpu", "nanoseconds"] + [f"module_{i % 50}::function_{i}" for i in range(2000)]
    body = message(1, number(1, 1), number(2, 2)) + message(1, number(1, 3), number(2, 4))
    for _ in range(200):
        stack, at, ns = [], rng.randrange(1, 50), rng.randrange(1, 10**7)
        for _ in range(40):
            stack.append(at)
            at = min(2000, at + rng.randrange(1, 60))
        body += message(2, packed(1, stack[::-1]), packed(2, [1, ns]))
        sent += ns
    for i in range(1, 2001):
        body += message(4, number(1, i), message(4, number(1, i), number(2, i))) + message(5, number(1, i), number(2, 4 + i))
    return gzip.compress(body + b"".join(message(6, text) for text in strings), 6), sent


def upload(agent, which, bodies, until, results):
    """Tell by service what was acknowledged, and how many uploads were taken and refused."""
    taken, counts, i = collections.Counter(), collections.Counter(), 0
    while time.monotonic() < until:
        body, sent = bodies[i % BODIES]
        service = f"busy-{(which + i) % SERVICES}"
        status, answer, _ = agent.request("POST", "/api/v1/profiles", body=body, service=service)
        counts["taken" if status == 200 else "refused" if status in (429, 503) else "failed"] += 1
        if status == 200:
            taken[service] += sent
            i += 1
        elif status not in (429, 503):
            print(status, answer[:300], file=sys.stderr)
    results.put(("upload", taken, counts))


def ask(agent, which, until, results):
    draw, times, errors = random.Random(which), [], 0
    while time.monotonic() < until:
        what, parameters = draw.choice(QUESTIONS)
        end = time.time_ns() - draw.randrange(5 * 10**9)
        asked = {"type": "cpu", "from": end - HOUR, "until": end, **parameters}
        if asked.pop("base", None):
            asked.update({"from": end - HOUR // 2, "base_from": end - HOUR, "base_until": end - HOUR // 2})
        if draw.randrange(2) and "tagfocus" not in asked:
            asked["query"] = f'{{service="busy-{draw.randrange(SERVICES)}"}}'
        start = time.perf_counter()
        status, answer, _ = agent.request("GET", f"/api/v1/{what}", **asked)
        times.append((time.perf_counter() - start) * 1000)
        if status != 200 or b'"partial":true' in answer:
            errors += 1
            print(what, asked, status, answer[:300], file=sys.stderr)
    results.put(("ask", times, errors))


def together(agent, askers):
    """Run both sides for SECONDS; what each told."""
    bodies = [[made(n * 1000 + i) for i in range(BODIES)] for n in range(SENDERS)]
    until, results = time.monotonic() + SECONDS, multiprocessing.Queue()
    workers = [multiprocessing.Process(target=upload, args=(agent, n, bodies[n], until, results)) for n in range(SENDERS)]
    workers += [multiprocessing.Process(target=ask, args=(agent, n, until, results)) for n in range(askers)]
    for worker in workers:
        worker.start()
    told = [results.get(timeout=SECONDS + 120) for _ in workers]
    for worker in workers:
        worker.join()
    return told


def say(metric, value, unit, baseline=None):
    print(json.dumps({"bench": "busy", "metric": metric, "value": round(value, 3), "unit": unit, "baseline": baseline}), flush=True)


def report_uploads(told, name, taken):
    counts = collections.Counter()
    for kind, *rest in told:
        if kind == "upload":
            taken.update(rest[0])
            counts.update(rest[1])
    say(f"uploads, {name}", counts["taken"] / SECONDS, "per_second")
    say(f"uploads refused, {name}", counts["refused"], "uploads")
    return counts["failed"]


def report_questions(told):
    times = sorted(t for kind, *rest in told if kind == "ask" for t in rest[0])
    errors = sum(rest[1] for kind, *rest in told if kind == "ask")
    say("questions", len(times) / SECONDS, "per_second")
    for q in (.5, .99):
        say(f"question p{int(q * 100)}", times[int(q * len(times))], "ms")
    say("questions with an error", errors, "questions", 0)
    return errors


def run(config):
    taken = collections.Counter()
    with Agent("--config", config) as agent:
        started = time.time_ns() - HOUR
        failed = report_uploads(together(agent, 0), "without questions", taken)
        told = together(agent, ASKERS)
        failed += report_uploads(told, "with questions", taken) + report_questions(told)
        say("uploads and questions with an error", failed, "requests", 0)
        for service, sent in sorted(taken.items()):
            graph = agent.get("/api/v1/flamegraph", type="cpu", query=f'{{service="{service}"}}', max_nodes=1,
                              **{"from": started, "until": time.time_ns() + HOUR})
            say(f"acknowledged and not found, {service}", sent - graph["total"], "nanoseconds", 0)
            failed += graph["total"] != sent
    sys.exit(1 if failed else 0)


def main():
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        config.write("limits:\n  requests_per_minute: 1000000000\n  bytes_per_minute: 1000000000000\n")
        config.flush()
        run(config.name)


main()
