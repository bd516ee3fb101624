# SPDX-License-Identifier: Apache-2.0
"""Filters, shapes, diffs, pages and the API's own description, over HTTP."""
import gzip
import json
import math
import re
import shutil
import subprocess

from support import Agent, SOURCE, main
from wire import pprof

TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
SPAN = {"from": "now-1h", "until": "now+1m"}
STACKS = {"main;work;spin": 30, "main;work": 10, "main;idle": 5, "main;work;work;spin": 4, "main;f<int>(int)": 2,
          "main;f<char>(char)": 3, "main;[kernel]": 6}
NEWER = {"main;work;spin": 90, "main;work": 10, "main;added": 20}
LABELS = {"main;work;spin": {"thread name": "fast", "bytes": 4096, "span id": 0xabc}, "main;idle": {"thread name": "slow"}}


def put(agent, service, stacks, labels=None):
    body = pprof([("cpu", "nanoseconds")], {stack: (value,) for stack, value in stacks.items()}, ("cpu", "nanoseconds"), labels)
    status, answer, _ = agent.request("POST", "/api/v1/profiles", body=body, service=service)
    assert status == 200, answer


def of(service, **more):
    return {"type": TYPE, "query": '{service="%s"}' % service, **SPAN, **more}


def filters_and_shapes_change_stacks():
    table = [
        ({"focus": "spin"}, {"main;work;spin": 30, "main;work;work;spin": 4}),
        ({"ignore": "sp|f<|kernel"}, {"main;work": 10, "main;idle": 5}),
        ({"hide": "^work$", "focus": "work"}, {"main": 10, "main;spin": 34}),
        ({"show": "spin|idle"}, {"spin": 34, "idle": 5}),
        ({"show_from": "work"}, {"work": 10, "work;spin": 30, "work;work;spin": 4}),
        ({"tagfocus": "thread name=fast"}, {"main;work;spin": 30}),
        ({"tagfocus": "4kb:"}, {"main;work;spin": 30}),
        ({"tagignore": "bytes=:1mb", "focus": "work"}, {"main;work": 10, "main;work;work;spin": 4}),
        ({"thread": "slow"}, {"main;idle": 5}),
        ({"span_id": "0000000000000ABC"}, {"main;work;spin": 30}),
        ({"trace_id": "0" * 32}, {}),
        ({"invert": "true", "focus": "idle"}, {"idle;main": 5}),
        ({"collapse": "true", "focus": "spin"}, {"main;work;spin": 34}),
        ({"sandwich": "work", "side": "callees"}, {"work": 10, "work;spin": 30, "work;work;spin": 4}),
        ({"sandwich": "work", "side": "callers"}, {"work;main": 44}),
        ({"path": "main;work;work"}, {"main;work;work;spin": 4}),
        ({"path": "main;f<int>(int)"}, {"main;f<int>(int)": 2}),
        ({"names": "plain", "focus": "f<"}, {"main;f<int>": 2, "main;f<char>": 3}),
        ({"names": "folded", "focus": "f<"}, {"main;f<...>": 5}),
        # The kernel's side of a leaf is a frame, so that it can be told apart.
        ({"focus": r"^\[kernel\]$"}, {"main;[kernel]": 6}),
    ]
    with Agent() as agent:
        put(agent, "a", STACKS, LABELS)
        for parameters, stacks in table:
            answer = agent.folded(**of("a", **parameters))
            assert answer == stacks, (parameters, answer)
            tree = agent.get("/api/v1/flamegraph", **of("a", side="callees", **parameters) if "side" not in parameters
                             else of("a", **parameters))
            assert tree["total"] == sum(stacks.values()), (parameters, tree)
            whole = tree["total"] + tree.get("removed", {"value": 0})["value"]
            assert whole == sum(STACKS.values()), (parameters, tree)
            line = agent.get("/api/v1/timeline", **of("a", **parameters))
            assert sum(map(sum, (group["values"] for group in line["groups"]))) == tree["total"], (parameters, line)
        both = agent.get("/api/v1/flamegraph", **of("a", sandwich="work"))
        assert both["schema"] == "hearth.sandwich/1" and both["callers"]["total"] == both["callees"]["total"] == 44, both
        threads = agent.get("/api/v1/top", **of("a", by="thread", focus="spin|idle"))
        assert {row["name"]: row["self"] for row in threads["rows"]} == {"fast": 30, "slow": 5, "(none)": 4}, threads


def two_sides_join_and_say_what_the_difference_is_worth():
    with Agent() as agent:
        put(agent, "a", STACKS)
        put(agent, "b", NEWER)
        sides = of("b", base_query='{service="a"}')
        tree = agent.get("/api/v1/diff", **sides)
        assert tree["schema"] == "hearth.diff/1" and (tree["base_total"], tree["total"]) == (60, 120), tree
        node = tree["node"]
        assert len({len(column) for column in node.values()}) == 1, node
        assert sum(node["self"]) + sum(node["hidden"]) == 120 and sum(node["base_self"]) == 60, node
        rows = {row["name"]: row for row in agent.get("/api/v1/diff", format="top", **sides)["rows"]}
        spin = rows["spin"]
        assert (spin["total"], spin["base_total"]) == (90, 34), spin
        assert math.isclose(spin["total_delta"], 100 * (90 / 120 - 34 / 60)), spin
        error = 100 * math.sqrt(.75 * .25 / spin_samples(rows["main"], "samples_total") +
                                34 / 60 * 26 / 60 / spin_samples(rows["main"], "base_samples_total"))
        assert math.isclose(spin["total_se"], error), (spin, error)
        folded = agent.get("/api/v1/diff", format="folded", **sides).splitlines()
        assert "main;work;spin 30 90" in folded and "main;added 0 20" in folded and "main;idle 5 0" in folded, folded
        flame = agent.get("/api/v1/diff", format="flamebearer", **sides)
        assert (flame["leftTicks"], flame["rightTicks"]) == (60, 120), flame
        assert flame["metadata"]["format"] == "double" and all(len(level) % 7 == 0 for level in flame["flamebearer"]["levels"])
        assert "<svg" in agent.get("/api/v1/diff", format="svg", **sides)
        status, page, headers = agent.request("GET", "/api/v1/diff", format="html", **sides)
        assert status == 200 and (b'"schema":"hearth.diff_top/1"' in page or b"<svg" in page), page[:300]
        assert "sandbox" in headers["Content-Security-Policy"], headers
        per_second = agent.get("/api/v1/diff", normalize="time", focus="spin", **sides)
        assert per_second["total"] == 90 and per_second["removed"]["value"] == 30, per_second
        assert per_second["base"]["removed"]["value"] == 26, per_second
        assert agent.request("GET", "/api/v1/diff", **of("b"))[0] == 400


def spin_samples(row, key):
    assert row[key] > 0, row
    return row[key]


def pages_follow_each_other():
    with Agent() as agent:
        for name in ("c", "a", "b"):
            put(agent, name, {"main;" + name: 1})
        for path, key, name in (("/api/v1/services", "services", lambda s: s["name"]),
                                ("/api/v1/labels/service/values", "values", str)):
            seen, cursor = [], ""
            while cursor is not None:
                page = agent.get(path, limit=2, cursor=cursor, **SPAN)
                assert {"samples", "lost", "partial"} <= page.keys() and len(page[key]) <= 2, page
                seen += map(name, page[key])
                cursor = page.get("next")
            assert seen == ["a", "b", "c"], seen
        seen, cursor = [], 0
        while cursor is not None:
            page = agent.get("/api/v1/top", limit=3, cursor=cursor, type=TYPE, **SPAN)
            seen += [row["name"] for row in page["rows"]]
            cursor = page.get("next")
        assert sorted(seen) == ["a", "b", "c", "main"], seen


def a_range_that_ended_has_a_tag():
    with Agent() as agent:
        put(agent, "a", STACKS)
        line = agent.get("/api/v1/timeline", **of("a"))
        end = str(line["until"])
        # What was put has a time; a range behind it has not ended, and one before it has.
        closed = {"type": TYPE, "from": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}
        for path in ("/api/v1/flamegraph", "/api/v1/top", "/api/v1/timeline", "/api/v1/services"):
            status, body, headers = agent.request("GET", path, **closed)
            assert status == 200 and headers["ETag"], (path, headers)
            status, body, again = agent.request("GET", path, headers={"If-None-Match": headers["ETag"]}, **closed)
            assert (status, body) == (304, b"") and again["ETag"] == headers["ETag"], (path, status, body)
            status, body, _ = agent.request("GET", path, headers={"If-None-Match": '"other"'}, **closed)
            assert status == 200 and body, path
        assert "ETag" not in agent.request("GET", "/api/v1/top", type=TYPE, **{"from": "now-1h", "until": end})[2]


def answers_are_packed_as_the_caller_takes_them():
    with Agent() as agent:
        put(agent, "a", {f"main;frame{i}": 1 for i in range(500)})
        parameters = of("a", **{"from": "now-30m"})
        plain = agent.request("GET", "/api/v1/flamegraph", **parameters)
        assert plain[0] == 200 and "Content-Encoding" not in plain[2], plain[2]
        for accepted, coding in (("gzip", "gzip"), ("zstd, gzip", "zstd"), ("zstd;q=0, gzip", "gzip"), ("br", None), ("gzip;q=0.0", None),
                                 ("gzip;q=0.5", "gzip"), ("*", "zstd"), ("xgzip", None)):
            status, body, headers = agent.request("GET", "/api/v1/flamegraph", headers={"Accept-Encoding": accepted}, **parameters)
            assert status == 200 and headers.get("Content-Encoding") == coding, (accepted, headers)
            assert "Accept-Encoding" in headers["Vary"], headers
            if coding == "gzip":
                body = gzip.decompress(body)
            elif coding and shutil.which("zstd"):
                body = subprocess.run(["zstd", "-dc"], input=body, capture_output=True, check=True).stdout
            elif coding:
                continue
            assert json.loads(body)["total"] == 500, accepted


def requests_have_an_id():
    with Agent() as agent:
        for given in ("abc-123", "a" * 128):
            _, body, headers = agent.request("GET", "/api/v1/nothing", headers={"X-Request-Id": given})
            assert headers["X-Request-Id"] == given and json.loads(body)["request_id"] == given, headers
        made = set()
        for given in ({}, {"X-Request-Id": "a b"}, {"X-Request-Id": "a" * 129}, {"X-Request-Id": '"\\'}):
            _, _, headers = agent.request("GET", "/healthz", headers=given)
            assert re.fullmatch("[0-9a-f]{16}", headers["X-Request-Id"]), headers
            made.add(headers["X-Request-Id"])
        assert len(made) == 4, made


def pages_of_other_sites_read_when_the_configuration_says_so():
    path, page = "/api/v1/services", {"Origin": "https://grafana.example"}
    with Agent() as agent:
        _, _, headers = agent.request("GET", path, headers=page)
        assert not any(name.startswith("Access-Control") for name in headers), headers
        assert agent.request("OPTIONS", path, headers=page)[0] == 405
        file = agent.directory / "hearthd.yaml"
        file.write_text("cors: ['https://grafana.example']\n")
        agent.stop()
        agent.options = ["--config", str(file)]
        agent.start()
        _, _, headers = agent.request("GET", path, headers=page)
        assert headers["Access-Control-Allow-Origin"] == page["Origin"] and "Origin" in headers["Vary"], headers
        status, body, headers = agent.request("OPTIONS", path, headers=page, tcp=True)
        assert (status, body) == (204, b"") and "Authorization" in headers["Access-Control-Allow-Headers"], headers
        # It says what may be asked; it lets nobody in, and no other page read, and no page write.
        assert agent.request("GET", path, headers=page, tcp=True)[0] == 401
        _, _, headers = agent.request("GET", path, headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in headers, headers
        assert agent.request("POST", "/api/v1/profiles?service=a", body=b"a;b 1\n", headers=page, tcp=True)[0] == 403


def wrong_filters_are_named():
    with Agent() as agent:
        for parameters, words in (
                ({"focus": "("}, "focus"), ({"tagfocus": "a=["}, "tagfocus"), ({"hide": "x" * 2000}, "1024"),
                ({"span_id": "12"}, "16 hexadecimal"), ({"trace_id": "z" * 32}, "32 hexadecimal"),
                ({"names": "short"}, "full, plain, folded"), ({"invert": "yes"}, "false, true"), ({"side": "up"}, "callees"),
                ({"path": ";".join("a" * 2000)}, "1024 frames"), ({"span_id": ",".join(["0" * 16] * 300)}, "256"),
                ({"granularity": "word"}, "library")):
            status, body, headers = agent.request("GET", "/api/v1/top", **parameters)
            assert status in (400, 413) and words in json.loads(body)["detail"], (parameters, status, body)
            assert headers["Content-Type"] == "application/problem+json", headers


def parameters_of(document, operation):
    named = document["components"]["parameters"]
    found = [named[p["$ref"].rsplit("/", 1)[1]] if "$ref" in p else p for p in operation["parameters"]]
    return {p["name"] for p in found if p["in"] == "query"}


def read_in(*names):
    """Parameters that these files read."""
    text = "".join((SOURCE / "server" / name).read_text() for name in names)
    return set(re.findall(r'(?:http_query\((?:call->request|r), |question_\w+\(call, |flag_parse\(call, |ids_parse\(call, q, )"(\w+)"', text)) | \
        set(re.findall(r'question_range\(call, "\w+", "(\w+)"', text))


def the_api_describes_itself_as_it_is():
    with Agent() as agent:
        status, body, headers = agent.request("GET", "/api/v1/openapi.json", tcp=True)
        assert status == 200 and headers["ETag"], headers
        document = json.loads(body)
        assert document["openapi"].startswith("3.1."), document["openapi"]
        routes = set(re.findall(r'^ROUTE\("(\w+)", "(/(?:api/v1/|healthz|readyz|metrics)[^"]*)"', (SOURCE / "server/routes.def").read_text(), re.M))
        described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
        assert routes == described, routes ^ described
        ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
        assert len(ids) == len(set(ids)), ids
        for reference in re.findall(r'"\$ref":\s*"#/([^"]+)"', body.decode()):
            part = document
            for key in reference.split("/"):
                part = part[key]
        # What the code reads is what the document says.
        queries = {p for path in ("flamegraph", "top", "timeline", "diff", "services", "types", "labels")
                   for p in parameters_of(document, document["paths"]["/api/v1/" + path]["get"])}
        assert queries == read_in("question.c", "route_query.c", "route_diff.c"), queries ^ read_in("question.c", "route_query.c", "route_diff.c")
        diff = parameters_of(document, document["paths"]["/api/v1/diff"]["get"])
        assert diff == (read_in("question.c", "route_diff.c")), diff ^ read_in("question.c", "route_diff.c")
        for path, method, file in (("/api/v1/control", "post", "route_control.c"), ("/api/v1/symbols", "post", "route_symbols.c")):
            said = parameters_of(document, document["paths"][path][method])
            assert said == read_in(file), (path, said ^ read_in(file))
        # Enumerations hold: every value that is named answers.
        put(agent, "a", STACKS)
        for p in document["paths"]["/api/v1/diff"]["get"]["parameters"]:
            for value in p.get("schema", {}).get("enum", []):
                assert agent.request("GET", "/api/v1/diff", **of("a", base_query="{}", **{p["name"]: value}))[0] == 200, (p, value)
        for name in ("granularity", "names", "collapse", "invert", "side"):
            for value in document["components"]["parameters"][name]["schema"]["enum"]:
                assert agent.request("GET", "/api/v1/top", **of("a", **{name: value}))[0] == 200, (name, value)
        (formats,) = [p["schema"]["enum"] for p in document["paths"]["/api/v1/flamegraph"]["get"]["parameters"] if p.get("name") == "format"]
        for value in formats:
            assert agent.request("GET", "/api/v1/flamegraph", **of("a", format=value))[0] == 200, value
        built = set(re.findall(r"^FORMAT\((\w+)\)", (SOURCE / "query/formats.def").read_text(), re.M))
        assert built == set(formats), built ^ set(formats)


main(filters_and_shapes_change_stacks, two_sides_join_and_say_what_the_difference_is_worth, pages_follow_each_other,
     a_range_that_ended_has_a_tag, answers_are_packed_as_the_caller_takes_them, requests_have_an_id,
     pages_of_other_sites_read_when_the_configuration_says_so, wrong_filters_are_named, the_api_describes_itself_as_it_is)
