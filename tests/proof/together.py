# SPDX-License-Identifier: Apache-2.0
"""Ten clients ask while others upload as fast as they are let: no answer fails, and what was acknowledged is
there, to the unit.  HEARTH_PROOF_SECONDS is how long (20 when not set)."""
import http.client
import multiprocessing
import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import Agent, UnixConnection, main  # noqa: E402
from wire import pprof  # noqa: E402

SECONDS = float(os.environ.get("HEARTH_PROOF_SECONDS", "20"))
TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
SENDERS, ASKERS, SERVICES = 3, 10, 5
QUESTIONS = ("/api/v1/flamegraph?max_nodes=2000", "/api/v1/top?by=function", "/api/v1/timeline?group_by=service",
             "/api/v1/top?by=service", "/api/v1/flamegraph?focus=f1&invert=true")


def ask(path, method, target, body=None):
    connection = UnixConnection(path)
    try:
        connection.request(method, target, body=body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as e:
        return 0, repr(e).encode()
    finally:
        connection.close()


def bodies(draw):
    """Some profiles of stacks that they share in part, and what each holds in all."""
    made = []
    for _ in range(20):
        stacks = {";".join(["main"] + [f"f{draw.randrange(40)}" for _ in range(12)]): draw.randrange(1, 1000000)
                  for _ in range(300)}
        made.append((pprof([("cpu", "nanoseconds")], {k: (v,) for k, v in stacks.items()}, ("cpu", "nanoseconds")),
                     sum(stacks.values())))
    return made


def send(path, number, until, out):
    draw, kept, pushed_back, failed = random.Random(number), {}, 0, []
    made = bodies(draw)
    while time.monotonic() < until:
        body, total = draw.choice(made)
        service = f"s{draw.randrange(SERVICES)}"
        status, answer = ask(path, "POST", f"/api/v1/profiles?service={service}", body)
        if status == 200:
            count, sum_ = kept.get(service, (0, 0))
            kept[service] = (count + 1, sum_ + total)
        elif status in (429, 503):
            pushed_back += 1
        else:
            failed.append((status, answer[:200]))
    out.put(("send", kept, pushed_back, failed))


def question(path, number, until, out):
    draw, took, failed = random.Random(1000 + number), [], []
    while time.monotonic() < until:
        target = draw.choice(QUESTIONS) + f"&type={TYPE}&from=now-1h&until=now%2B1m"
        if draw.randrange(2):
            target += "&query=%7Bservice%3D%22s" + str(draw.randrange(SERVICES)) + "%22%7D"
        began = time.monotonic()
        status, answer = ask(path, "GET", target)
        took.append(time.monotonic() - began)
        if status != 200 or b'"partial":true' in answer:
            failed.append((status, target, answer[:200]))
    out.put(("ask", took, failed))


def ten_clients_ask_while_others_send_at_the_limit():
    with Agent() as agent:
        path, until, out = agent.run / "http.sock", time.monotonic() + SECONDS, multiprocessing.Queue()
        all_ = [multiprocessing.Process(target=send, args=(path, i, until, out)) for i in range(SENDERS)]
        all_ += [multiprocessing.Process(target=question, args=(path, i, until, out)) for i in range(ASKERS)]
        for p in all_:
            p.start()
        said = [out.get(timeout=SECONDS + 120) for _ in all_]
        for p in all_:
            p.join()
        wanted, uploads, pushed_back, failed, took = {}, 0, 0, [], []
        for what, *rest in said:
            failed += rest[-1]
            if what == "ask":
                took += rest[0]
                continue
            pushed_back += rest[1]
            for service, (count, total) in rest[0].items():
                uploads += count
                wanted[service] = wanted.get(service, 0) + total
        rows = agent.get("/api/v1/top", by="service", type=TYPE, limit=0, **{"from": "now-1h", "until": "now+1m"})["rows"]
        took.sort()
        print(f"# {uploads} uploads of 300 stacks in {SECONDS:.0f} s ({uploads / SECONDS:.0f}/s), {pushed_back} pushed back; "
              f"{len(took)} answers, p50 {1000 * took[len(took) // 2]:.0f} ms, p99 {1000 * took[len(took) * 99 // 100]:.0f} ms, "
              f"{len(failed)} failed", flush=True)
        assert not failed, failed[:5]
        assert uploads and {r["name"]: r["self"] for r in rows} == wanted, (rows, wanted)


main(ten_clients_ask_while_others_send_at_the_limit)
