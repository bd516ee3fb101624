# SPDX-License-Identifier: Apache-2.0
"""Pyroscope's read API, as Grafana's data source and profilecli call it: each rule on which they break is a test."""
import gzip
import json
import struct
import time

from connect import (DOT, FLAMEGRAPH, PPROF, TREE, ask, ask_json, call, double, fields, levels, numbers, selection, stacks,
                     texts, tree_stacks)
from support import Agent, main
from wire import message, number, pprof

CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
INUSE = "memory:inuse_space:bytes:space:bytes"
STACKS = {"main;work": 30, "main;wait": 10, "main;work;deep": 5}
# profile-metrics.json of Grafana: what is a gauge there, and so must have exactly these names here.
INSTANT = {"memory:inuse_objects:count:space:bytes", INUSE}


def filled(agent, service="shop", samples=None, at_ns=None, **labels):
    """One profile a second ago; returns the range around it, in ms."""
    samples = samples or STACKS
    now = at_ns or time.time_ns()
    body = pprof([("cpu", "nanoseconds")], {k: (v,) for k, v in samples.items()}, period_type=("cpu", "nanoseconds"),
                 time_ns=now - 2 * 10**9, duration_ns=10**9)
    status, answer, _ = agent.request("POST", "/api/v1/profiles", body=body, service=service, **labels)
    assert status == 200, answer
    return now // 10**6 - 60_000, now // 10**6 + 60_000


def stacktraces(agent, start, end, selector='{service_name="shop"}', kind=CPU, *more):
    return ask(agent, "SelectMergeStacktraces", selection(kind, selector, start, end, *more))


def level_0_is_one_root_of_full_width_called_total():
    with Agent() as agent:
        start, end = filled(agent)
        graph = fields(stacktraces(agent, start, end)[1][0])
        rows, names = levels(graph), texts(graph, 1)
        assert rows[0] == [(0, 45, 0, 0)] and names[0] == "total", (rows, names)
        assert graph[3] == [45] and graph[4] == [30], graph
        assert stacks(names, rows) == STACKS, rows
        assert all(0 <= node[3] < len(names) for row in rows for node in row)


def an_empty_result_has_no_flamegraph():
    with Agent() as agent:
        start, end = filled(agent)
        for selector, kind in (('{service_name="nobody"}', CPU), ("{}", INUSE), ('{__profile_type__="other"}', CPU)):
            assert stacktraces(agent, start, end, selector, kind) == {}, (selector, kind)
        assert stacktraces(agent, start - 10**9, end - 10**9) == {}
        for form in (TREE, DOT, PPROF):
            assert stacktraces(agent, start, end, '{service_name="nobody"}', CPU, number(6, form)), form
        assert ask(agent, "SelectSeries", selection(CPU, '{service_name="nobody"}', start, end, double(6, 15))) == {}


def what_does_not_fit_is_one_child_called_other():
    with Agent() as agent:
        start, end = filled(agent, samples={f"main;f{i:02}": 100 - i for i in range(40)})
        graph = fields(stacktraces(agent, start, end, '{service_name="shop"}', CPU, number(5, 10))[1][0])
        rows, names = levels(graph), texts(graph, 1)
        found = stacks(names, rows)
        assert sum(found.values()) == sum(100 - i for i in range(40)) == graph[3][0], found
        assert len(found) == 9 and found["main;other"] == sum(100 - i for i in range(8, 40)), found
        everything = fields(stacktraces(agent, start, end)[1][0])
        assert len(stacks(texts(everything, 1), levels(everything))) == 40


def gauges_have_the_names_that_grafana_knows_them_by():
    with Agent() as agent:
        now = time.time_ns()
        body = pprof([("inuse_objects", "count"), ("inuse_space", "bytes")], {"main;keep": (2, 4096)},
                     period_type=("space", "bytes"), time_ns=now - 2 * 10**9)
        assert agent.request("POST", "/api/v1/profiles", body=body, service="heap")[0] == 200
        start, end = now // 10**6 - 60_000, now // 10**6 + 60_000
        types = {texts(fields(t), 1)[0] for t in ask(agent, "ProfileTypes", number(1, start) + number(2, end))[1]}
        assert types == INSTANT, types
        series = ask(agent, "SelectSeries", selection(INUSE, "{}", start, end, double(6, 15)))
        points = [fields(p) for p in fields(series[1][0])[2]]
        assert [p[1] for p in points] == [[4096.0]], points


def profile_types_are_complete_and_parted():
    with Agent() as agent:
        start, end = filled(agent)
        for body in (b"", number(1, start) + number(2, end)):
            found, = ask(agent, "ProfileTypes", body)[1]
            t = fields(found)
            assert [texts(t, i) for i in (1, 2, 4, 5, 6, 7)] == [[CPU], ["process_cpu"], ["cpu"], ["nanoseconds"], ["cpu"],
                                                                ["nanoseconds"]], t
        assert ask(agent, "ProfileTypes", number(1, 1000) + number(2, 2000)) == {}


def label_names_and_values():
    with Agent() as agent:
        start, end = filled(agent, env="prod", **{"team.name": "core"})
        filled(agent, service="other", env="dev")
        span = number(2, start) + number(3, end)
        names = texts(ask(agent, "LabelNames", span), 1)
        assert {"service_name", "env", "__profile_type__", "__name__", "__type__", "__unit__", "__period_type__",
                "__period_unit__", "__service_name__"} <= set(names) and names == sorted(names), names
        assert "service" not in names and "team.name" not in names, names
        assert "team.name" in texts(ask(agent, "LabelNames", span, Accept="*/*;allow-utf8-labelnames=true"), 1)
        matched = message(1, '{service_name="other"}')
        assert "env" in texts(ask(agent, "LabelNames", matched + span), 1)
        for name, matchers, wanted in (("service_name", [], ["other", "shop"]), ("__service_name__", [], ["other", "shop"]),
                                       ("env", ['{service_name="shop"}'], ["prod"]), ("env", ['{env=~"p.*"}', '{env="dev"}'], ["dev", "prod"]),
                                       ("__profile_type__", [], [CPU]), ("env", ['{__profile_type__="%s"}' % CPU], ["dev", "prod"]),
                                       ("env", ['{__profile_type__="no"}'], []), ("nothing", [], [])):
            body = message(1, name) + b"".join(message(2, m) for m in matchers) + number(3, start) + number(4, end)
            assert texts(ask(agent, "LabelValues", body), 1) == wanted, (name, matchers)


def series_are_sets_of_labels():
    def sets(agent, body):
        found = [dict(zip(*[[texts(fields(p), i)[0] for p in fields(s)[1]] for i in (1, 2)])) for s in ask(agent, "Series", body).get(2, [])]
        return sorted(found, key=lambda labels: labels["service_name"])
    with Agent() as agent:
        start, end = filled(agent, env="prod")
        filled(agent, service="other", env="dev")
        span = number(3, start) + number(4, end)
        assert sets(agent, message(2, "service_name") + message(2, "__profile_type__") + span) == [
            {"service_name": "other", "__profile_type__": CPU}, {"service_name": "shop", "__profile_type__": CPU}]
        whole, = sets(agent, message(1, '{env="prod"}') + span)
        assert whole.items() >= {"service_name": "shop", "env": "prod", "__name__": "process_cpu", "__type__": "cpu"}.items(), whole
        assert sets(agent, message(1, '{env="none"}') + span) == []


def a_series_adds_up_to_the_flamegraph():
    with Agent() as agent:
        end = time.time_ns() // 10**6 // 15_000 * 15_000
        start = end - 150_000
        for i in range(8):
            filled(agent, samples={"main;work": i + 1}, at_ns=(start + 15_000 * i + 7_000) * 10**6, env="even" if i % 2 else "odd")
        for step, group_by in ((15, []), (30, []), (150, []), (1000, []), (15, ["env"]), (15, ["service_name", "env"])):
            body = selection(CPU, '{service_name="shop"}', start, end, *[message(5, g) for g in group_by], double(6, step))
            total = 0
            series = ask(agent, "SelectSeries", body)[1]
            assert len(series) == (2 if "env" in group_by else 1), series
            for one in map(fields, series):
                labels = {texts(fields(p), 1)[0]: texts(fields(p), 2)[0] for p in one.get(1, [])}
                assert set(labels) == set(group_by), labels
                times = [fields(p)[2][0] for p in one[2]]
                assert times == sorted(times) and all(start <= t < end and not (t - start) % (step * 1000) for t in times), times
                total += sum(fields(p)[1][0] for p in one[2])
            assert total == 36, (step, group_by, total)
        body = selection(CPU, '{service_name="shop"}', start, end, message(5, "env"), double(6, 15), number(9, 1))
        assert len(ask(agent, "SelectSeries", body)[1]) == 1


def formats_of_one_profile_agree():
    with Agent() as agent:
        start, end = filled(agent)
        answers = {form: stacktraces(agent, start, end, '{service_name="shop"}', CPU, number(6, form)) for form in (0, FLAMEGRAPH, TREE, DOT, PPROF)}
        assert answers[0] == answers[FLAMEGRAPH] and set(answers[0]) == {1}
        assert tree_stacks(answers[TREE][2][0]) == STACKS
        assert answers[DOT][3][0].startswith(b"digraph") and b"work" in answers[DOT][3][0]
        profile = fields(fields(answers[PPROF][5][0])[1][0])
        assert sum(sum(numbers(fields(s)[2][0])) for s in profile[2]) == 45 and b"deep" in profile[6]
        alone = ask(agent, "SelectMergeProfile", selection(CPU, '{service_name="shop"}', start, end))
        assert alone[6] == profile[6] and alone[2] == profile[2]


def a_diff_has_seven_numbers_a_node():
    with Agent() as agent:
        start, end = filled(agent)
        filled(agent, service="new", samples={"main;work": 50, "main;more": 20})
        sides = [message(i + 1, selection(CPU, '{service_name="%s"}' % s, start, end)) for i, s in enumerate(("shop", "new"))]
        graph = fields(ask(agent, "Diff", b"".join(sides))[1][0])
        rows, names = levels(graph, 7), texts(graph, 1)
        assert rows[0] == [(0, 45, 0, 0, 70, 0, 0)] and names[0] == "total", rows
        assert (graph[3], graph[5], graph[6]) == ([115], [45], [70]), graph
        assert {names[n[6]]: (n[1], n[4]) for n in rows[2]} == {"work": (35, 50), "wait": (10, 0), "more": (0, 20)}, rows
        other = message(2, selection(INUSE, "{}", start, end))
        status, _, answer = call(agent, "Diff", sides[0] + other)
        assert status == 400 and json.loads(answer)["code"] == "invalid_argument", answer


def spans_traces_and_call_sites():
    ids = {"main;work": {"span_id": "00000bac2a5ab0c7", "trace_id": "ab" * 16}, "main;wait": {"profile_id": "1122334455667788"}}
    with Agent() as agent:
        now = time.time_ns()
        body = pprof([("cpu", "nanoseconds")], {k: (v,) for k, v in STACKS.items()}, labels=ids,
                     period_type=("cpu", "nanoseconds"), time_ns=now - 2 * 10**9)
        assert agent.request("POST", "/api/v1/profiles", body=body, service="shop")[0] == 200
        start, end = now // 10**6 - 60_000, now // 10**6 + 60_000
        def shown(*more):
            graph = stacktraces(agent, start, end, "{}", CPU, *more).get(1)
            return stacks(texts(fields(graph[0]), 1), levels(fields(graph[0]))) if graph else {}
        for span, wanted in (("00000bac2a5ab0c7", {"main;work": 30}), ("1122334455667788", {"main;wait": 10}), ("ff" * 8, {})):
            assert shown(message(11, span)) == wanted, span
            old = ask(agent, "SelectMergeSpanProfile", message(1, CPU) + message(2, "{}") + message(3, span) + number(4, start) +
                      number(5, end) + number(7, TREE))
            assert (tree_stacks(old[2][0]) if 2 in old else {}) == wanted, old
        assert shown(message(10, "ab" * 16)) == {"main;work": 30}
        for wrong in (message(11, "12"), message(10, "xy" * 16), message(8, "11111111-2222-3333-4444-555555555555")):
            status, _, answer = call(agent, "SelectMergeStacktraces", selection(CPU, "{}", start, end, wrong))
            assert status in (400, 501) and json.loads(answer)["message"], answer
        site = message(1, message(1, "main")) + message(1, message(1, "work"))
        assert shown(message(7, site)) == {"main;work": 30, "main;work;deep": 5}
        series, = ask(agent, "SelectSeries", selection(CPU, "{}", start, end, double(6, 15), message(8, site), message(5, "service_name")))[1]
        assert sum(fields(p)[1][0] for p in fields(series)[2]) == 35, series


def heat_maps_count_profiles_and_spans():
    with Agent() as agent:
        end = time.time_ns() // 10**6 // 15_000 * 15_000
        start = end - 60_000
        for i, value in enumerate((10, 10, 20, 30)):
            body = pprof([("cpu", "nanoseconds")], {"main;work": (value,), "main;bare": (100 * (i == 3),)},
                         labels={"main;work": {"span_id": f"{i % 3 + 1:016x}"}}, period_type=("cpu", "nanoseconds"),
                         time_ns=(start + 15_000 * i + 5_000) * 10**6)
            assert agent.request("POST", "/api/v1/profiles", body=body, service="shop")[0] == 200
        def cells(kind, *more):
            found = {}
            for series in map(fields, ask(agent, "SelectHeatmap", selection(CPU, "{}", start, end, double(5, 15), message(6, "service_name"),
                                                                           number(7, kind), *more)).get(1, [])):
                assert texts(fields(series[1][0]), 2) == ["shop"]
                for slot in map(fields, series[2]):
                    mins = struct.unpack("<20d", slot[2][0])
                    assert list(mins) == sorted(mins) and not (slot[1][0] - start) % 15_000
                    for low, count in zip(mins, numbers(slot[3][0])):
                        if count:
                            found[slot[1][0] - start, low] = count
            return found
        profiles = cells(1)
        assert profiles == {(0, 10.0): 1, (15_000, 10.0): 1, (30_000, 16.0): 1, (45_000, 124.0): 1}, profiles
        spans = cells(2)
        # Span 1 was charged twice: 10 and 30.
        assert sum(spans.values()) == 3 and {low for _, low in spans} == {10.0, 19.0, 38.5}, spans
        series, = ask(agent, "SelectHeatmap", selection(CPU, "{}", start, end, double(5, 60), number(7, 2), number(8, 3)))[1]
        exemplars = [fields(e) for e in fields(fields(series)[2][0])[4]]
        assert {(texts(e, 3)[0], e[4][0]) for e in exemplars} == {(f"{1:016x}", 40), (f"{2:016x}", 10), (f"{3:016x}", 20)}, exemplars
        assert ask(agent, "SelectHeatmap", selection(CPU, '{a="b"}', start, end, double(5, 15))) == {}


def stats_and_analysis():
    with Agent() as agent:
        assert ask(agent, "GetProfileStats") == {}
        start, end = filled(agent)
        stats = ask(agent, "GetProfileStats")
        assert stats[1] == [1] and start <= stats[2][0] <= stats[3][0] <= end, stats
        answer = ask(agent, "AnalyzeQuery", number(2, start) + number(3, end) + message(4, CPU + '{service_name="shop"}'))
        assert fields(answer[2][0])[3] == [1], answer


def proto_and_json_gzip_and_versions():
    with Agent() as agent:
        start, end = filled(agent)
        body = selection(CPU, '{service_name="shop"}', start, end)
        plain = call(agent, "SelectMergeStacktraces", body)[2]
        for options in ({"version": False}, {"accept_gzip": False}):
            assert call(agent, "SelectMergeStacktraces", body, **options)[2] == plain, options
        assert call(agent, "SelectMergeStacktraces", gzip.compress(body), **{"Content-Encoding": "gzip"})[2] == plain
        request = {"profileTypeID": CPU, "labelSelector": '{service_name="shop"}', "start": str(start), "end": end}
        graph = ask_json(agent, "SelectMergeStacktraces", request)["flamegraph"]
        assert graph["names"][0] == "total" and graph["total"] == "45" and graph["levels"][0]["values"] == ["0", "45", "0", "0"], graph
        for word in ("PROFILE_FORMAT_TREE", 2):
            assert set(ask_json(agent, "SelectMergeStacktraces", {**request, "format": word})) == {"tree"}
        series = ask_json(agent, "SelectSeries", {**request, "step": 15.0, "groupBy": ["service_name"]})["series"]
        assert series[0]["labels"] == [{"name": "service_name", "value": "shop"}] and series[0]["points"][0]["value"] == 45, series
        assert ask_json(agent, "SelectMergeProfile", request)["stringTable"][0] == ""
        assert ask_json(agent, "ProfileTypes", {})["profileTypes"][0]["ID"] == CPU
        assert ask_json(agent, "SelectMergeStacktraces", {**request, "labelSelector": '{a="b"}'}) == {}
        # A large answer is packed for those who take it.
        filled(agent, service="big", samples={f"main;function_{i}": i + 1 for i in range(500)})
        assert call(agent, "SelectMergeStacktraces", selection(CPU, '{service_name="big"}', start, end))[1]["content-encoding"] == "gzip"


def errors_are_connect_s_json():
    with Agent() as agent:
        start, end = filled(agent)
        good = selection(CPU, "{}", start, end)
        for wanted, code, method, body, options in (
                (400, "invalid_argument", "SelectMergeStacktraces", b"\x0a\xff", {}),
                (400, "invalid_argument", "SelectMergeStacktraces", number(1, 1), {}),
                (400, "invalid_argument", "SelectMergeStacktraces", selection("x", "{}", start, end), {}),
                (400, "invalid_argument", "SelectMergeStacktraces", selection(CPU, "{a=", start, end), {}),
                (400, "invalid_argument", "SelectMergeStacktraces", selection(CPU, "{}", end, start), {}),
                (400, "invalid_argument", "SelectMergeStacktraces", good + number(6, 9), {}),
                (400, "invalid_argument", "SelectSeries", good, {}),
                (400, "invalid_argument", "LabelValues", b"", {}),
                (400, "invalid_argument", "Diff", b"", {}),
                (400, "invalid_argument", "Series", b"{", {"kind": "application/json"}),
                (400, "invalid_argument", "Series", good, {"Connect-Protocol-Version": "2"}),
                (429, "resource_exhausted", "LabelNames", message(1, "{}") * 200, {}),
                (501, "unimplemented", "Series", b"", {"kind": "text/plain"}),
                (501, "unimplemented", "Series", b"", {"Content-Encoding": "br"}),
                (501, "unimplemented", "Nothing", b"", {})):
            status, headers, answer = call(agent, method, body, **options)
            assert (status, headers["content-type"]) == (wanted, "application/json"), (method, status, headers, answer)
            problem = json.loads(answer)
            assert problem["code"] == code and problem["message"], (method, problem)
        assert call(agent, "ProfileTypes", token="wrong")[0] == 401


def the_older_api_renders():
    with Agent() as agent:
        start, end = filled(agent, env="prod")
        filled(agent, env="dev", samples={"main;work": 7})
        query = CPU + '{service_name="shop",env="prod"}'
        for prefix in ("/pyroscope", ""):
            flame = agent.get(prefix + "/render", query=query, until=end, **{"from": start})
            assert flame["version"] == 1 and flame["flamebearer"]["names"][0] == "total"
            assert flame["flamebearer"]["levels"][0] == [0, 45, 0, 0] and flame["flamebearer"]["numTicks"] == 45
            assert flame["metadata"] == {"format": "single", "spyName": "hearth", "sampleRate": 1000000000, "units": "samples", "name": CPU}
            line = flame["timeline"]
            assert line["startTime"] == start // 1000 and line["durationDelta"] == 15 and sum(line["samples"]) == 45, line
        both = agent.get("/render", query='{__profile_type__="%s"}' % CPU, groupBy="env", until=end, **{"from": start})
        assert {k: sum(v["samples"]) for k, v in both["groups"].items()} == {"prod": 45, "dev": 7}, both["groups"]
        assert agent.get("/render", query=query, format="dot", until=end, **{"from": start}).startswith("digraph")
        diff = agent.get("/pyroscope/render-diff", leftQuery=query, leftFrom=start, leftUntil=end, rightFrom=start, rightUntil=end,
                         rightQuery=CPU + '{env="dev"}')
        assert (diff["leftTicks"], diff["rightTicks"], diff["metadata"]["format"]) == (45, 7, "double"), diff
        empty = agent.get("/render", query=CPU + '{env="none"}', until=end, **{"from": start})
        assert empty["flamebearer"]["levels"] == [] and sum(empty["timeline"]["samples"]) == 0, empty
        assert agent.get("/pyroscope/label-values", label="__name__") == [CPU]
        assert agent.get("/label-values", label="env", query='{service_name="shop"}') == ["dev", "prod"]
        assert "service_name" in agent.get("/labels")
        for path, parameters in (("/render", {}), ("/render", {"query": "x{}"}), ("/render", {"query": query, "format": "png"}),
                                 ("/render", {"query": query, "maxNodes": "x"}), ("/label-values", {}),
                                 ("/render-diff", {"leftQuery": query, "rightQuery": INUSE + "{}"})):
            assert agent.request("GET", path, **parameters)[0] == 400, (path, parameters)


def probes_answer_without_a_token():
    with Agent() as agent:
        status, body, _ = agent.request("GET", "/ready", tcp=True)
        assert (status, body) == (200, b"ready\n")
        status, body, _ = agent.request("GET", "/api/v1/status/buildinfo", tcp=True)
        assert status == 200 and json.loads(body)["data"]["version"]
        assert agent.request("GET", "/render", tcp=True)[0] == 401


main(level_0_is_one_root_of_full_width_called_total, an_empty_result_has_no_flamegraph,
     what_does_not_fit_is_one_child_called_other, gauges_have_the_names_that_grafana_knows_them_by,
     profile_types_are_complete_and_parted, label_names_and_values, series_are_sets_of_labels,
     a_series_adds_up_to_the_flamegraph, formats_of_one_profile_agree, a_diff_has_seven_numbers_a_node,
     spans_traces_and_call_sites, heat_maps_count_profiles_and_spans, stats_and_analysis, proto_and_json_gzip_and_versions, errors_are_connect_s_json, the_older_api_renders,
     probes_answer_without_a_token)
