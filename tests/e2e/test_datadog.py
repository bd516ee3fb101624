# SPDX-License-Identifier: Apache-2.0
"""Datadog's intake: uploads as its clients send them, retries, and what a tracer asks besides."""
import gzip
import json
import shutil
import subprocess
import time

from support import Agent, main
from wire import multipart, pprof

PATH = "/profiling/v1/input"
CPU = pprof([("cpu-samples", "count"), ("cpu-time", "nanoseconds")],
            {"main;work": (3, 30_000_000), "main;wait": (1, 10_000_000)}, period_type=("cpu", "nanoseconds"),
            labels={"main;work": {"thread name": "worker", "span id": 77, "trace endpoint": "GET /cart"}})
HEAP = pprof([("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")],
             {"main;grow": (4, 4096, 2, 2048)}, period_type=("space", "bytes"))
BLOCK = pprof([("contentions", "count"), ("delay", "nanoseconds")], {"main;lock": (2, 500)},
              period_type=("contentions", "count"))


def stamp(ns):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9)) + f".{ns % 10**9:09d}Z"


def event(service, sequence=0, tags="", **more):
    now = time.time_ns()
    return json.dumps({"version": "4", "family": "native", "start": stamp(now - 60 * 10**9), "end": stamp(now),
                       "attachments": [], "endpoint_counts": None,
                       "tags_profiler": f"service:{service},env:prod,version:1:2,runtime-id:"
                                        f"3b241101-e2bb-4255-8caf-4136c566a962,profile_seq:{sequence},{tags},",
                       **more}).encode()


def post(agent, parts, tcp=False, headers=None):
    kind, body = multipart(parts)
    return agent.request("POST", PATH, body=body, headers={"Content-Type": kind, **(headers or {})}, tcp=tcp)


def shown(agent, service, kind):
    return agent.folded(type=kind, query='{service="%s"}' % service, **{"from": "now-2h", "until": "now+1h"})


def an_upload_is_there_with_its_tags_wherever_the_event_stands():
    with Agent() as agent:
        for i, order in enumerate((1, -1)):
            parts = [("event", "event.json", event(f"shop{i}", i, tags="team:a:b,process_id:12", endpoint_counts={"GET /cart": 5})),
                     ("cpu.pprof", "cpu.pprof", gzip.compress(CPU)), ("metrics.json", "metrics.json", b'[["x",1]]'),
                     ("code-provenance.json", "code-provenance.json", b'{"v1":[]}')][::order]
            status, body, _ = post(agent, parts, tcp=True)
            assert status == 200, (status, body)
            assert shown(agent, f"shop{i}", "cpu") == {"main;work": 30_000_000, "main;wait": 10_000_000}
            labels = agent.get("/api/v1/labels", query='{service="shop%d"}' % i)["labels"]
            assert {"env", "version", "team"} <= set(labels), labels
            assert not {"runtime-id", "profile_seq", "process_id"} & set(labels), labels
            values = agent.get("/api/v1/labels/version/values", query='{service="shop%d"}' % i)["values"]
            assert values == ["1:2"], values
            top = agent.get("/api/v1/top", type="cpu", by="thread", query='{service="shop%d"}' % i, **{"from": "now-2h"})
            assert {"worker"} <= {row["name"] for row in top["rows"]}, top
            calls = agent.get("/api/v1/top", type="endpoint:calls:count:endpoint:count", by="trace endpoint",
                              query='{service="shop%d"}' % i, **{"from": "now-2h"})
            assert [(row["name"], row["total"]) for row in calls["rows"]] == [("GET /cart", 5)], calls
        uploads = agent.status()["uploads"]["datadog"]
        assert uploads["requests"] == 2 and uploads["profiles"] == 2 and not uploads["failed"], uploads


def several_profiles_packed_each_in_its_own_way_are_one_upload():
    with Agent() as agent:
        parts = [("delta-heap.pprof", "delta-heap.pprof", HEAP), ("block.pprof", "block.pprof", gzip.compress(BLOCK)),
                 ("delta-mutex.pprof", "delta-mutex.pprof", BLOCK), ("event", "event.json", event("many"))]
        if shutil.which("zstd"):
            packed = subprocess.run(["zstd", "-c"], input=CPU, capture_output=True, check=True).stdout
            parts.insert(0, ("cpu.pprof", "cpu.pprof", packed))
        status, body, _ = post(agent, parts)
        assert status == 200, body
        assert shown(agent, "many", "alloc_space") == {"main;grow": 4096}
        assert shown(agent, "many", "lock_delay") == {"main;lock": 500}
        assert shown(agent, "many", "block_delay") == {"main;lock": 500}


def a_retry_counts_once_and_equal_bodies_twice():
    with Agent() as agent:
        def send(of):
            assert post(agent, [("event", "event.json", of), ("cpu.pprof", "cpu.pprof", CPU)])[0] == 200
        first = event("again", 4)
        for of in (first, first, event("again", 5)):
            send(of)
        assert sum(shown(agent, "again", "cpu").values()) == 2 * 40_000_000
        assert agent.status()["uploads"]["datadog"]["duplicates"] == 1
        # A profiler that is started again in its process begins with the same numbers.
        send(event("again", 4))
        assert sum(shown(agent, "again", "cpu").values()) == 3 * 40_000_000


def the_form_of_version_3_is_read_and_older_ones_are_named():
    with Agent() as agent:
        now = time.time_ns()
        parts = [("version", None, b"3"), ("family", None, b"go"), ("start", None, stamp(now - 10**10).encode()),
                 ("end", None, stamp(now).encode()), ("tags[]", None, b"service:old"), ("tags[]", None, b"env:x"),
                 ("data[cpu.pprof]", "pprof-data", CPU)]
        status, body, _ = post(agent, parts)
        assert status == 200, body
        assert sum(shown(agent, "old", "cpu").values()) == 40_000_000
        status, body, _ = post(agent, [("format", None, b"pprof"), ("data[0]", "pprof-data", CPU)])
        assert status == 400 and b"older tracer" in body, (status, body)


def what_is_no_profile_is_said():
    with Agent() as agent:
        status, body, _ = post(agent, [("event", "event.json", event("no")), ("x.bin", "x.bin", b"\0\1\2nothing")])
        assert status == 415 and b"x.bin" in body, (status, body)
        status, body, _ = post(agent, [("event", "event.json", event("half")), ("x.bin", "x.bin", b"\0\1nothing"),
                                       ("cpu.pprof", "cpu.pprof", CPU)])
        assert status == 200 and agent.status()["uploads"]["datadog"]["rejected"] == 1, (status, body)
        broken = pprof([("cpu", "nanoseconds")], {"main;work": (1, 2)}, period_type=("cpu", "nanoseconds"))
        status, body, _ = post(agent, [("event", "event.json", event("half")), ("a.pprof", "a.pprof", broken), ("b.pprof", "b.pprof", CPU)])
        assert status == 200 and agent.status()["uploads"]["datadog"]["rejected"] == 2, (status, body)
        assert sum(shown(agent, "half", "cpu").values()) == 2 * 40_000_000
        status, body, _ = post(agent, [("event", "event.json", event("none")), ("a.pprof", "a.pprof", broken)])
        assert status == 400 and b"a.pprof" in body, (status, body)
        bomb = gzip.compress(b"\0" * (64 << 20))
        status, body, _ = post(agent, [("event", "event.json", event("bomb")), ("cpu.pprof", "cpu.pprof", bomb)])
        assert status == 413 and b"limits." in body, (status, body)
        kind, whole = multipart([("event", "event.json", event("cut")), ("cpu.pprof", "cpu.pprof", CPU)])
        for cut in range(0, len(whole) - 4, 7):
            status, body, _ = agent.request("POST", PATH, body=whole[:cut], headers={"Content-Type": kind})
            assert status in (400, 415), (cut, status, body)
        assert not shown(agent, "cut", "cpu")


def a_tracer_starts_without_errors():
    with Agent() as agent:
        info = json.loads(agent.request("GET", "/info", tcp=True)[1])
        assert PATH in info["endpoints"] and "/v0.4/traces" in info["endpoints"], info
        for path in info["endpoints"]:
            path = path + "api/v2/apmtelemetry" if path.endswith("/") else path
            if path != PATH:
                status, body, _ = agent.request("PUT", path, body=b"\x90", tcp=True)
                assert status == 200, (path, status, body)
                json.loads(body)
        assert agent.status()["trace_payloads_not_kept"] == 3


main(an_upload_is_there_with_its_tags_wherever_the_event_stands,
     several_profiles_packed_each_in_its_own_way_are_one_upload, a_retry_counts_once_and_equal_bodies_twice,
     the_form_of_version_3_is_read_and_older_ones_are_named, what_is_no_profile_is_said, a_tracer_starts_without_errors)
