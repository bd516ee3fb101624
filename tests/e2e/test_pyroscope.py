# SPDX-License-Identifier: Apache-2.0
"""Pyroscope's /ingest in its formats, its Push, Parca's WriteRaw, and speedscope files."""
import base64
import gzip
import json
import time

from support import Agent, main
from wire import message, multipart, pprof, varint

CPU = pprof([("samples", "count"), ("cpu", "nanoseconds")], {"main;work": (3, 30), "main;wait": (1, 10)},
            period_type=("cpu", "nanoseconds"))
BLOCK = pprof([("contentions", "count"), ("delay", "nanoseconds")], {"main;lock": (2, 500)},
              period_type=("contentions", "count"))
TREE = {"": (0, {"main": (0, {"work": (3, {}), "wait": (1, {})})})}
TRIE = {"": (0, {"main;w": (0, {"ork": (3, {}), "ait": (1, {})})})}
BOTH = {"main;work": 3, "main;wait": 1}


def serialized(nodes):
    (name, (value, children)), = nodes.items()
    return (varint(len(name)) + name.encode() + varint(value) + varint(len(children)) +
            b"".join(serialized({child: children[child]}) for child in children))


def ingest(agent, body, headers=None, path="/ingest", tcp=False, **parameters):
    now = time.time_ns()
    parameters = {"name": "shop.cpu{env=prod,region=a b}", "from": now - 10**10, "until": now, **parameters}
    return agent.request("POST", path, body=body, headers=headers or {}, tcp=tcp, **parameters)


def shown(agent, service="shop", kind="cpu_samples", **more):
    return agent.folded(type=kind, query='{service="%s"}' % service, **{"from": "now-2h", "until": "now+1h"}, **more)


def text_and_tree_formats_are_the_same_profile():
    bodies = {"groups": (b"main;work 3\nmain;wait 1\n", {}), "lines": (b"main;work\nmain;wait\nmain;work\nmain;work\n", {}),
              "tree": (serialized(TREE), {}), "trie": (serialized(TRIE), {}),
              "": (gzip.compress(b"main;work 3\nmain;wait 1\n"), {}),
              " trie": (serialized(TRIE), {"Content-Type": "binary/octet-stream+trie"}),
              " tree": (serialized(TREE), {"Content-Type": "binary/octet-stream+tree"})}
    with Agent() as agent:
        for i, (name, (body, headers)) in enumerate(bodies.items()):
            parameters = {"format": name} if name.strip() == name and name else {}
            status, answer, _ = ingest(agent, body, headers, tcp=True, name=f"app{i}.cpu{{env=prod,__x__=y}}",
                                       sampleRate="50", path=("/ingest", "/pyroscope/ingest")[i % 2], **parameters)
            assert (status, answer) == (200, b""), (name, status, answer)
            assert shown(agent, f"app{i}") == BOTH, name
            assert shown(agent, f"app{i}", "cpu") == {k: v * 20_000_000 for k, v in BOTH.items()}, name
        labels = agent.get("/api/v1/labels", query='{service="app0"}')["labels"]
        assert "env" in labels and "__x__" not in labels, labels


def a_pprof_comes_as_a_form_or_as_the_body():
    with Agent() as agent:
        kind, form = multipart([("profile", "profile.pprof", gzip.compress(CPU)),
                                ("sample_type_config", "sample_type_config.json", b'{"cpu":{"units":"samples"}}')])
        assert ingest(agent, form, {"Content-Type": kind}, name="go.app{}")[0] == 200
        assert shown(agent, "go.app", "cpu") == {"main;work": 30, "main;wait": 10}
        assert ingest(agent, CPU, name="raw", format="pprof")[0] == 200
        assert shown(agent, "raw", "cpu") == {"main;work": 30, "main;wait": 10}
        kind, form = multipart([("profile", "p", CPU), ("prev_profile", "q", CPU)])
        status, body, _ = ingest(agent, form, {"Content-Type": kind}, name="prev")
        assert status == 400 and "prev_profile" in json.loads(body)["message"], (status, body)


def names_choose_what_is_counted():
    with Agent() as agent:
        for word, kind in (("alloc_space", "alloc_space"), ("mutex_duration", "lock_delay"), ("wall", "wall_samples"),
                           ("block_count", "block_count"), ("exceptions", "exceptions")):
            assert ingest(agent, b"main;x 7", name=f"{word}.app.{word}")[0] == 200
            assert shown(agent, f"{word}.app", kind) == {"main;x": 7}, word


def what_is_wrong_is_said():
    with Agent() as agent:
        for wanted, body, parameters in ((400, b"a 1", {"name": ""}), (400, b"a 1", {"sampleRate": "x"}),
                                         (400, b"no number", {}), (400, b"a 1", {"from": "soon"}),
                                         (422, b"a 1", {"format": "nothing"}), (422, b"a 1", {"format": "datadog"}),
                                         (400, serialized(TREE)[:-1], {"format": "tree"}),
                                         (400, serialized(TREE) + b"x", {"format": "tree"}),
                                         (400, b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", {"format": "tree"})):
            status, answer, _ = ingest(agent, body, **parameters)
            assert status == wanted and json.loads(answer)["message"], (parameters, status, answer)


def push_request(service, identity=None, body=CPU, **labels):
    labels = {"__name__": "process_cpu", "service_name": service, "env": "prod", "__delta__": "false", **labels}
    pairs = b"".join(message(1, message(1, k) + message(2, v)) for k, v in labels.items())
    return message(1, message(2, message(1, body) + (message(2, identity) if identity else b"")) + pairs)


def push(agent, body, kind="application/proto", **headers):
    return agent.request("POST", "/push.v1.PusherService/Push", body=body, headers={"Content-Type": kind, **headers}, tcp=True)


def push_takes_proto_and_json():
    with Agent() as agent:
        status, body, headers = push(agent, gzip.compress(push_request("p", body=gzip.compress(CPU))), **{"Content-Encoding": "gzip"})
        assert (status, body, headers["Content-Type"]) == (200, b"", "application/proto"), (status, body)
        assert shown(agent, "p", "cpu") == {"main;work": 30, "main;wait": 10}
        as_json = {"series": [{"labels": [{"name": "service_name", "value": "j"}, {"name": "__name__", "value": "block"}],
                               "samples": [{"rawProfile": base64.b64encode(BLOCK).decode(), "ID": "1"}]}]}
        status, body, headers = push(agent, json.dumps(as_json), "application/json", **{"Connect-Protocol-Version": "1"})
        assert (status, body, headers["Content-Type"]) == (200, b"{}", "application/json"), (status, body)
        assert shown(agent, "j", "block_delay") == {"main;lock": 500}
        assert push(agent, b"")[0] == 200
        two = push_request("two", "a") + push_request("two", "b")
        assert [push(agent, body)[0] for body in (two, two, push_request("two", "b"), push_request("two"), push_request("two"))] == [200] * 5
        assert shown(agent, "two", "cpu")["main;work"] == 30 * (2 + 1 + 1 + 1)
        for wanted, code, request, kind in ((400, "invalid_argument", b"\x0a\x05abc", "application/proto"),
                                            (400, "invalid_argument", push_request("", service_name=""), "application/proto"),
                                            (400, "invalid_argument", b"{", "application/json"),
                                            (415, "unimplemented", b"x", "text/plain")):
            status, body, headers = push(agent, request, kind)
            assert (status, json.loads(body)["code"], headers["Content-Type"]) == (wanted, code, "application/json"), body


def parca_s_write_raw():
    with Agent() as agent:
        request = {"series": [{"labels": {"labels": [{"name": "job", "value": "parca"}, {"name": "__name__", "value": "process_cpu"}]},
                               "samples": [{"rawProfile": base64.b64encode(gzip.compress(CPU)).decode()}]}]}
        status, body, _ = agent.request("POST", "/api/profiles/writeraw", body=json.dumps(request),
                                        headers={"Content-Type": "application/json"}, tcp=True)
        assert (status, body) == (200, b"{}"), (status, body)
        assert shown(agent, "parca", "cpu") == {"main;work": 30, "main;wait": 10}


SPEEDSCOPE = {"$schema": "https://www.speedscope.app/file-format-schema.json",
              "shared": {"frames": [{"name": "main"}, {"name": "work", "file": "w.c", "line": 3}, {"name": "wait"}]},
              "profiles": [{"type": "sampled", "name": "a", "unit": "milliseconds", "startValue": 0, "endValue": 4,
                            "samples": [[0, 1], [0, 2]], "weights": [3, 1]},
                           {"type": "evented", "name": "b", "unit": "seconds", "startValue": 0, "endValue": 3, "events": [
                               {"type": "O", "frame": 0, "at": 0}, {"type": "O", "frame": 1, "at": 1},
                               {"type": "C", "frame": 1, "at": 2.5}, {"type": "C", "frame": 0, "at": 3}]}]}


def speedscope_s_two_sorts_of_profile():
    with Agent() as agent:
        for service, request in (("s", lambda body: agent.request("POST", "/api/v1/profiles", body=body, service="s")),
                                 ("t", lambda body: ingest(agent, body, name="t", format="speedscope"))):
            status, body, _ = request(json.dumps(SPEEDSCOPE))
            assert status == 200, body
            assert shown(agent, service, "cpu") == {"main;work": 3_000_000 + 1_500_000_000, "main;wait": 1_000_000,
                                                    "main": 1_500_000_000}
        for change in ({"samples": [[9]], "weights": [1]}, {"weights": [1]}, {"unit": "apples"}, {"type": "x"},
                       {"weights": [-1, 1]}):
            wrong = json.loads(json.dumps(SPEEDSCOPE))
            wrong["profiles"][0].update(change)
            assert agent.request("POST", "/api/v1/profiles", body=json.dumps(wrong), service="w")[0] == 400, change


def a_weight_below_one_is_rounded_and_not_refused():
    for unit, weights, total in (("none", [0.6, 0.1], 1), ("nanoseconds", [1.7, 0], 2), ("milliseconds", [1.005, 0.0], 1_005_000),
                                 ("milliseconds", [6e-07, 0], 1)):
        with Agent() as agent:
            file = json.loads(json.dumps(SPEEDSCOPE))
            file["profiles"] = [dict(file["profiles"][0], unit=unit, weights=weights)]
            status, body, _ = agent.request("POST", "/api/v1/profiles", body=json.dumps(file), service="s")
            assert status == 200, body
            (kind,) = json.loads(body)["series"]
            assert sum(shown(agent, "s", kind).values()) == total, (unit, weights)


def go_s_block_profile_is_told_by_how_it_is_to_be_shown():
    columns = pprof([("contentions", "count"), ("delay", "nanoseconds")], {"main;lock": (2, 500)}, period_type=("contentions", "count"))
    with Agent() as agent:
        for first in (True, False):
            for what in ("block", "mutex"):
                config = json.dumps({"contentions": {"units": "lock_samples", "display-name": what + "_count"},
                                     "delay": {"units": "lock_nanoseconds", "display-name": what + "_duration"}}).encode()
                fields = [("sample_type_config", "sample_type_config.json", config), ("profile", "profile.pprof", columns)]
                kind, body = multipart(fields if first else fields[::-1])
                assert ingest(agent, body, {"Content-Type": kind}, name="go.app{}")[0] == 200
        for kind in ("block_delay", "lock_delay"):
            assert shown(agent, "go.app", kind) == {"main;lock": 1000}, kind
        for config in (b"no json", b"[]", b'{"delay": 1}'):
            kind, body = multipart([("profile", "profile.pprof", columns), ("sample_type_config", None, config)])
            assert ingest(agent, body, {"Content-Type": kind}, name="odd{}")[0] == 200
        assert shown(agent, "odd", "lock_delay") == {"main;lock": 1500}, shown(agent, "odd", "lock_delay")


main(text_and_tree_formats_are_the_same_profile, a_pprof_comes_as_a_form_or_as_the_body, names_choose_what_is_counted,
     what_is_wrong_is_said, push_takes_proto_and_json, parca_s_write_raw, speedscope_s_two_sorts_of_profile,
     a_weight_below_one_is_rounded_and_not_refused, go_s_block_profile_is_told_by_how_it_is_to_be_shown)
