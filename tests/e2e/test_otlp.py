# SPDX-License-Identifier: Apache-2.0
"""OTLP profiles over HTTP: both generations, the three shapes of a sample, protobuf and JSON."""
import gzip
import json
import os
import pathlib
import resource
import tempfile
import time

from otlp_wire import SPAN, TRACE, Request
from support import Agent, main
from wire import fixed64, message, number, packed, varint

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


def an_id_of_zeros_is_none_and_each_generation_has_its_own():
    with Agent() as agent:
        def send(service, generation, *fields):
            r = Request(generation, service)
            r.profile([r.sample("main;work", [1])])
            r.profiles[0] += b"".join(fields)
            assert post(agent, r.bytes())[0] == 200
            return shown(agent, service, "cpu_samples")["main;work"]
        ids, zeros, comments = [bytes([0xf0 + i] * 16) for i in range(4)], bytes(16), b"\1" * 16
        for i, (generation, fields, wanted) in enumerate((
                ("1.10", [message(7, ids[0])], 1), ("1.10", [message(7, zeros)], 2), ("1.8", [message(7, ids[1])], 1),
                ("1.8", [message(7, comments)], 2), ("1.8", [message(7, comments), message(8, ids[2])], 1),
                ("1.8", [message(8, zeros)], 2), ("1.10", [message(8, ids[3])], 2))):
            assert send(f"s{i}", generation, *fields) == 1
            assert send(f"s{i}", generation, *fields) == wanted, (generation, fields)


def values_and_times_without_attributes_are_what_1_8_wrote():
    with Agent() as agent:
        now = time.time_ns()
        for service, values, extra in (("large", [[10**6], [2 * 10**6]], 0), ("small", [[2, 2], [1]], 3)):
            r = Request("1.8", service)
            for i in range(extra):
                r.attribute(f"a{i}", "b")
            r.profile([r.sample("main;wait", v, [now - k for k in range(len(v))]) for v in values],
                      kind=("off_cpu", "nanoseconds"), period=None)
            status, body, _ = post(agent, r.bytes())
            assert (status, body) == (200, b""), body
            assert shown(agent, service, "other:off_cpu:nanoseconds::") == {"main;wait": sum(map(sum, values))}
        # Of 1.10, though each has as many attributes as times.
        r = Request(service="new")
        named = [r.attribute("thread.name", "a"), r.attribute("thread.id", 7)]
        r.profile([r.sample("main;wait", times=[now, now - 1], attributes=named)], kind=("off_cpu", "nanoseconds"), period=None)
        assert post(agent, r.bytes())[0] == 200
        assert shown(agent, "new", "other:off_cpu:nanoseconds::") == {"main;wait": 2}


def lists_in_pieces_and_groups_are_read_whole():
    with Agent() as agent:
        r, now = Request(), time.time_ns()
        group = varint(20 << 3 | 3) + number(1, 7) + varint(20 << 3 | 4)
        named, eight = r.attribute("thread.name", "worker"), now.to_bytes(8, "little")
        r.profile([number(1, r.stack("a;two")) + packed(4, [5]) + packed(4, [7]) + group,
                   number(1, r.stack("a;alone")) + number(2, named) + number(4, 5) + number(4, 6),
                   number(1, r.stack("a;times")) + message(5, eight * 2) + message(5, eight * 3),
                   number(1, r.stack("a;single")) + fixed64(5, now) * 3])
        r.profiles[0] = group + r.profiles[0] + group
        status, body, _ = post(agent, group + r.bytes() + group)
        assert (status, body) == (200, b""), body
        assert shown(agent, "shop", "cpu_samples") == {"a;two": 12, "a;alone": 11, "a;times": 5, "a;single": 3}
        rows = agent.get("/api/v1/top", by="thread", type="cpu_samples", **{"from": "now-2h"})["rows"]
        assert ("worker", 11) in {(row["name"], row["total"]) for row in rows}, rows


def what_is_broken_costs_its_neighbours_nothing():
    with Agent() as agent:
        r = Request()
        r.profile([r.sample("main;good", [3]), r.sample("main;bad", [4], link=77), r.sample("main;bad", [5], attributes=[99]),
                   number(1, 99) + packed(4, [1]), number(1, 99) + packed(4, [1])])
        r.profile([r.sample("main;too", [1])])
        r.profiles.append(b"\xff" * 40)
        for times in (1, 2):
            status, body, _ = post(agent, r.bytes())
            assert status == 200 and body == message(1, number(1, 2) + message(2, "otlp: link 77 of 2")), (status, body)
            assert shown(agent, "shop", "cpu_samples") == {"main;good": 3 * times, "main;too": times}
        assert agent.status()["uploads"]["otlp"]["rejected"] == 4
        wrong = as_json()
        wrong["resourceProfiles"][0]["scopeProfiles"][0]["profiles"][0]["samples"].append({"stackIndex": 1, "linkIndex": 9})
        status, body, _ = post(agent, json.dumps(wrong), "application/json")
        said = json.loads(body)["partialSuccess"]
        assert (status, said) == (200, {"rejectedProfiles": 1, "errorMessage": "otlp: link 9 of 2"}), (status, body)


def failures_are_told_in_the_statuses_that_clients_know():
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write("limits: {requests_per_minute: 4, body_bytes: 20000, decompressed_bytes: 100000}\n")
        file.flush()
        with Agent("--config", file.name) as agent:
            r = Request()
            r.profile([r.sample("main;work", [1])])
            resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, (0, 0))  # a full disk
            for wanted, code, wait, body in ((503, 14, "5", r.bytes()), (400, 3, None, b"\xff"),
                                             (413, 8, None, gzip.compress(bytes(200000))), (413, 8, None, os.urandom(30000)),
                                             (503, 14, "5", r.bytes()), (429, 8, "60", r.bytes())):
                status, answer, headers = post(agent, body)
                assert (status, answer[:2], headers.get("Retry-After")) == (wanted, number(1, code), wait), (wanted, status, answer)
            status, answer, _ = post(agent, "{}", "application/json")
            assert (status, json.loads(answer)["code"]) == (429, 8), (status, answer)


def cpu_of(agent):
    fields = pathlib.Path(f"/proc/{agent.process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def many_labels_cost_a_nameless_service_little():
    with Agent() as agent:
        def cost(service):
            r = Request(service=service)
            sample = message(2, r.sample("main;work", [1]))
            r.profile([])
            r.profiles[0] += sample * 200_000
            labels = b"".join(message(1, message(1, f"label.{i}") + message(2, message(1, "v"))) for i in range(90))
            before = cpu_of(agent)
            assert post(agent, r.bytes(labels))[0] == 200
            return cpu_of(agent) - before
        named = cost("shop")
        nameless = cost(None)
        assert nameless < 5 * named + 0.1, (named, nameless)


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


def json_as_protobuf_allows_it():
    with Agent() as agent:
        loose = as_json("loose")
        profile = loose["resourceProfiles"][0]["scopeProfiles"][0]["profiles"][0]
        profile["samples"][0].update(values=["4.0"])
        profile["profileId"] = "00" * 16
        loose["dictionary"]["locationTable"][1]["address"] = 0xffffffff81000000
        loose["dictionary"]["stringTable"][6] = "wo\0rk"
        for value in ("NaN", "1.5", 2.5):
            loose["resourceProfiles"][0]["resource"]["attributes"].append({"key": "x", "value": {"doubleValue": value}})
        for times in (1, 2):
            status, body, _ = post(agent, json.dumps(loose), "application/json")
            assert (status, body) == (200, b"{}"), (status, body)
            assert list(shown(agent, "loose", "cpu_samples").values()) == [4 * times]
        for kind in ("json", "folded", "svg", "pprof"):
            answer = agent.request("GET", "/api/v1/flamegraph", format=kind, query='{service="loose"}')
            assert answer[0] == 200 and (kind == "pprof" or b"\0" not in answer[1]), kind


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
     what_is_too_old_is_said_and_the_rest_kept, a_retry_is_known_by_its_profiles_ids,
     an_id_of_zeros_is_none_and_each_generation_has_its_own, values_and_times_without_attributes_are_what_1_8_wrote,
     lists_in_pieces_and_groups_are_read_whole, what_is_broken_costs_its_neighbours_nothing,
     failures_are_told_in_the_statuses_that_clients_know, many_labels_cost_a_nameless_service_little,
     json_is_the_same_profile, json_as_protobuf_allows_it, what_points_nowhere_is_refused)
