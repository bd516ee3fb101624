# SPDX-License-Identifier: Apache-2.0
"""OTLP profiles over HTTP: both generations, the three shapes of a sample, protobuf and JSON."""
import gzip
import json
import time

from otlp_wire import SPAN, TRACE, Request
from support import Agent, main

PATH = "/v1development/profiles"


def post(agent, body, kind="application/x-protobuf", **headers):
    return agent.request("POST", PATH, body=body, headers={"Content-Type": kind, **headers})


def shown(agent, service, kind="cpu"):
    return agent.folded(type=kind, query='{service="%s"}' % service, **{"from": "now-2h", "until": "now+1h"})


def both_generations_mean_the_same():
    with Agent() as agent:
        for generation in ("1.8", "1.10"):
            r = Request(generation, f"shop{generation}")
            thread = [r.attribute("thread.name", "worker"), r.attribute("thread.id", 12)]
            r.profile([r.sample("main;work", [3], attributes=thread, link=1), r.sample("main;wait", [1])])
            status, body, headers = post(agent, gzip.compress(r.bytes()), **{"Content-Encoding": "gzip"})
            assert (status, body) == (200, b"") and headers["Content-Type"] == "application/x-protobuf", (status, body)
            assert shown(agent, r.service) == {"main;work": 30_000_000, "main;wait": 10_000_000}
            assert shown(agent, r.service, "cpu_samples") == {"main;work": 3, "main;wait": 1}
            query = {"query": '{service="%s",env="prod"}' % r.service, "from": "now-2h", "type": "cpu_samples"}
            for by, name in (("thread", "worker"), ("trace id", TRACE.hex()), ("span id", str(int.from_bytes(SPAN, "big")))):
                rows = agent.get("/api/v1/top", by=by, **query)["rows"]
                assert (name, 3) in {(row["name"], row["total"]) for row in rows}, (by, rows)


def the_three_shapes_of_a_sample():
    with Agent() as agent:
        r, now = Request(), time.time_ns()
        times = [now - k * 10**9 for k in range(4)]
        r.profile([r.sample("a;values", [7]), r.sample("a;times", times=times), r.sample("a;both", [5, 6, 7, 8], times)],
                  kind=("off_cpu", "nanoseconds"), period=None)
        assert post(agent, r.bytes())[0] == 200
        kinds = agent.get("/api/v1/types", **{"from": "now-2h"})["types"]
        kind = next(k["id"] for k in kinds if k["type"] == "off_cpu")
        assert shown(agent, "shop", kind) == {"a;values": 7, "a;times": 4, "a;both": 26}


def a_service_without_a_name_is_called_after_its_program():
    with Agent() as agent:
        r = Request(service=None)
        named = [r.attribute("service.name", "by the sample")]
        r.profile([r.sample("main;x", [1]), r.sample("main;y", [2], attributes=named)])
        assert post(agent, r.bytes())[0] == 200
        assert shown(agent, "unknown_service:shopd", "cpu_samples") == {"main;x": 1}
        assert shown(agent, "by the sample", "cpu_samples") == {"main;y": 2}


def what_is_too_old_is_said_and_the_rest_kept():
    with Agent() as agent:
        r = Request("1.7")
        r.profile([r.sample("main;old", [1])])
        r.generation = "1.10"
        r.profile([r.sample("main;new", [1])])
        status, body, _ = post(agent, r.bytes())
        assert status == 200 and b"1.7" in body and body.startswith(b"\x0a"), (status, body)
        assert shown(agent, "shop", "cpu_samples") == {"main;new": 1}
        assert agent.status()["uploads"]["otlp"]["rejected"] == 1


def a_retry_is_known_by_its_profiles_ids():
    with Agent() as agent:
        def send(identity):
            r = Request()
            r.profile([r.sample("main;work", [1])], identity=identity)
            return post(agent, r.bytes())[0]
        assert [send(bytes([i] * 16)) for i in (1, 1, 2)] == [200] * 3
        assert shown(agent, "shop", "cpu_samples") == {"main;work": 2}


def as_json(service="json"):
    now = time.time_ns()
    strings = ["", "samples", "count", "cpu", "nanoseconds", "main", "work", "thread.name"]
    return {
        "resourceProfiles": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
            "scopeProfiles": [{"profiles": [{
                "sampleType": {"typeStrindex": 1, "unitStrindex": 2}, "timeUnixNano": str(now - 10**9), "durationNano": "1000",
                "periodType": {"typeStrindex": 3, "unitStrindex": 4}, "period": "10000000", "profileId": "00" * 15 + "01",
                "samples": [{"stackIndex": 1, "values": ["4"], "attributeIndices": [1], "linkIndex": 1}]}]}]}],
        "dictionary": {
            "stringTable": strings, "stackTable": [{}, {"locationIndices": [2, 1]}],
            "functionTable": [{}, {"nameStrindex": 5}, {"nameStrindex": 6}],
            "locationTable": [{}, {"lines": [{"functionIndex": 1, "line": "3"}]}, {"lines": [{"functionIndex": 2}]}],
            "linkTable": [{}, {"traceId": TRACE.hex(), "spanId": SPAN.hex()}],
            "attributeTable": [{}, {"keyStrindex": 7, "value": {"stringValue": "worker"}}]}}


def json_is_the_same_profile():
    with Agent() as agent:
        status, body, headers = post(agent, json.dumps(as_json()), "application/json; charset=utf-8")
        assert (status, body, headers["Content-Type"]) == (200, b"{}", "application/json"), (status, body)
        assert shown(agent, "json") == {"main;work": 40_000_000}
        rows = agent.get("/api/v1/top", by="trace id", **{"from": "now-2h"})["rows"]
        assert [row["name"] for row in rows] == [TRACE.hex()], rows
        wrong = as_json()
        wrong["dictionary"]["linkTable"][1]["traceId"] = "xyz"
        status, body, _ = post(agent, json.dumps(wrong), "application/json")
        assert status == 400 and "Link.traceId" in json.loads(body)["message"], (status, body)


def what_points_nowhere_is_refused():
    with Agent() as agent:
        for change in ({"stackIndex": 9}, {"linkIndex": 9}, {"attributeIndices": [9]}):
            wrong = as_json("wrong")
            wrong["resourceProfiles"][0]["scopeProfiles"][0]["profiles"][0]["samples"][0].update(change)
            status, body, _ = post(agent, json.dumps(wrong), "application/json")
            assert status == 400 and b" 9 of " in body, (status, body)
        r = Request()
        r.profile([r.sample("main;work", [1])])
        whole = r.bytes()
        for cut in range(1, len(whole), 5):
            status, body, _ = post(agent, whole[:cut])
            assert status in (200, 400), (cut, status, body)
        status, body, _ = post(agent, b"", **{"Content-Encoding": "br"})
        assert status == 415, status


main(both_generations_mean_the_same, the_three_shapes_of_a_sample, a_service_without_a_name_is_called_after_its_program,
     what_is_too_old_is_said_and_the_rest_kept, a_retry_is_known_by_its_profiles_ids, json_is_the_same_profile,
     what_points_nowhere_is_refused)
