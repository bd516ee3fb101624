# SPDX-License-Identifier: Apache-2.0
"""Limits: each is a setting, counts when it is met, and is named where something is refused."""
import contextlib
import gzip
import json
import pathlib
import socket
import subprocess
import tempfile

import h2
from otlp_wire import Request
from support import BIN, Agent, main, wait_for
from wire import message, multipart, pprof

CPU = pprof([("samples", "count"), ("cpu", "nanoseconds")], {"main;work": (3, 30)}, period_type=("cpu", "nanoseconds"))
RANGE = {"from": "now-12h", "until": "now+1h"}


def datadog(agent, tags, body=CPU):
    event = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:01:00Z", "version": "4", "tags_profiler": tags}
    kind, form = multipart([("event", "event.json", json.dumps(event).encode()), ("a.pprof", "a.pprof", body)])
    return agent.request("POST", "/profiling/v1/input", body=form, headers={"Content-Type": kind})


def otlp(agent, attributes, of_sample=()):
    """The resource's attributes, in this order and with the service's name among them."""
    request = Request("1.10", None)
    request.profile([request.sample("main;work", values=[5], attributes=[request.attribute(*pair) for pair in of_sample])])
    pairs = b"".join(message(1, message(1, key) + message(2, message(1, value))) for key, value in attributes)
    return agent.request("POST", "/v1development/profiles", body=request.bytes(pairs),
                         headers={"Content-Type": "application/x-protobuf"})


def push(agent, labels):
    pairs = b"".join(message(1, message(1, key) + message(2, value)) for key, value in labels)
    return agent.request("POST", "/push.v1.PusherService/Push", body=message(1, pairs + message(2, message(1, CPU))),
                         headers={"Content-Type": "application/proto"})


def a_series_keeps_its_service_among_many_labels():
    for count in (40, 140):
        many = [(f"l{i}", "v") for i in range(count)]
        with Agent() as agent:
            joined = ",".join(f"{key}={value}" for key, value in many)
            sent = {
                "datadog": datadog(agent, ",".join(f"{key}:{value}" for key, value in many) + ",service:datadog,env:prod"),
                "otlp": otlp(agent, many + [("service.name", "otlp")]),
                "push": push(agent, many + [("service_name", "push"), ("env", "prod")]),
                "ingest": agent.request("POST", "/ingest", body=CPU, format="pprof", name="ingest{%s,env=prod}" % joined),
                "api": agent.request("POST", "/api/v1/profiles", body=CPU, **dict(many), service="api", env="prod"),
            }
            for name, (status, body, _) in sent.items():
                assert status == 200, (name, status, body)
                labels = agent.get("/api/v1/labels", query='{service="%s"}' % name, **RANGE)["labels"]
                assert "env" in labels and len([label for label in labels if label[0] == "l"]) < 32, (name, labels)
            assert json.loads(sent["api"][1])["cut"]["labels"] == count + 2 - 32, sent["api"]


@contextlib.contextmanager
def limited(**limits):
    """An agent with these settings."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write("limits:\n" + "".join(f"  {key}: {value}\n" for key, value in limits.items()))
        file.flush()
        with Agent("--config", file.name, "--grpc", "127.0.0.1:0") as agent:
            yield agent


def upload(agent, body, service="a", **parameters):
    status, answer, _ = agent.request("POST", "/api/v1/profiles", body=body, service=service, **parameters)
    return status, json.loads(answer)


def counted(agent):
    """What the limits' counters say, which is the same in status and in metrics."""
    limits = agent.status()["limits"]
    metrics = dict(line.rsplit(" ", 1) for line in agent.get("/metrics").splitlines() if not line.startswith("#"))
    for key, value in limits["refused"].items():
        assert metrics['hearth_uploads_refused_total{limit="%s"}' % key] == str(value), (key, value)
    for what, value in limits["cut"].items():
        assert metrics['hearth_uploads_cut_total{what="%s"}' % what] == str(value), (what, value)
    return {key: value for of in limits.values() for key, value in of.items() if value}


def stacks(count):
    """main and `count` functions below it, a sample each."""
    return b"".join(b"main;f%d 1\n" % i for i in range(count))


def what_is_at_its_limit_passes_and_what_is_above_names_the_setting():
    body = stacks(10)
    for setting, most, words in (
            ("frames", 11, "more than 10 frames"), ("stack_nodes", 11, "more than 10 stack nodes"),
            ("samples", 10, "more than 9 samples"), ("body_bytes", len(body), "above the limit of"),
            ("decompressed_bytes", len(body), "more than"), ("bytes_per_minute", len(body), "bytes of uid")):
        with limited(**{setting: most}) as agent:
            assert upload(agent, body)[0] == 200, setting
        with limited(**{setting: most - 1}) as agent:
            status, answer = upload(agent, body)
            assert status == (429 if "minute" in setting else 413), (setting, status, answer)
            assert f"limits.{setting}" in answer["detail"] and words in answer["detail"], (setting, answer)
            assert str(most - 1) in answer["detail"], (setting, answer)
            assert counted(agent) == {setting: 1}, setting


def what_is_refused_counts_by_its_limit():
    with limited(string_bytes=1000, requests_per_minute=4, new_series_per_minute=1) as agent:
        status, answer = upload(agent, stacks(1000))
        assert status == 413 and "1000 bytes of text (limits.string_bytes)" in answer["detail"], answer
        for _ in range(2): # a bomb, in whatever it would be
            status, answer = upload(agent, gzip.compress(bytes(2 << 20)))
            assert status == 413 and "limits.ratio" in answer["detail"], answer
        assert upload(agent, b"f 1")[0] == 200
        status, answer = upload(agent, b"f 1")
        assert status == 429 and "limits.requests_per_minute" in answer["detail"], answer
        assert counted(agent) == {"string_bytes": 1, "ratio": 2, "requests_per_minute": 1}
        assert agent.status()["uploads"]["unknown"]["failed"] == 3


def what_is_cut_counts_whoever_sent_it():
    deep = pprof([("samples", "count"), ("cpu", "nanoseconds")], {";".join(f"f{i}" for i in range(100)): (1, 10)},
                 period_type=("cpu", "nanoseconds"))
    with limited(stack_depth=20, string_length=30, labels_per_series=8, labels_per_sample=1) as agent:
        assert datadog(agent, "service:deep", deep)[0] == 200
        assert counted(agent) == {"stacks": 1}
        ((stack, _),) = agent.folded(type="cpu", query='{service="deep"}', **RANGE).items()
        names = stack.split(";")
        assert len(names) == 20 and names[0] == "f0" and names[-1] == "f99" and names.count("[truncated]") == 1, stack
        assert upload(agent, b"a" * 40 + b" 1", "long")[0] == 200
        assert counted(agent) == {"stacks": 1, "strings": 1}
        assert datadog(agent, ",".join(f"l{i}:v" for i in range(10)) + ",service:many")[0] == 200
        assert counted(agent) == {"stacks": 1, "strings": 1, "labels": 3}
        labelled = pprof([("samples", "count")], {"f": (1,)}, labels={"f": {"a": "1", "b": "2", "c": "3"}})
        assert upload(agent, labelled)[0] == 200
        assert counted(agent)["labels"] == 5
        assert otlp(agent, [], [(f"a{i}", "v") for i in range(70)])[0] == 200
        assert counted(agent)["labels"] == 5 + 69


def connections_beyond_their_number_are_told_so():
    with limited(connections=4) as agent:
        held = []
        try:
            for _ in range(4):
                held.append(socket.create_connection(agent.tcp, timeout=60))
                held[-1].sendall(b"POST /api/v1/profiles HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
            wait_for("a refusal", lambda: agent.request("GET", "/healthz")[0] == 503)
            status, body, _ = agent.request("GET", "/healthz")
            assert status == 503 and b"limit 4 (limits.connections)" in body, body
        finally:
            for s in held:
                s.close()
        wait_for("room", lambda: agent.request("GET", "/healthz")[0] == 200)
        assert counted(agent)["connections"] >= 2


def a_body_has_its_seconds():
    with limited(request_seconds=4) as agent: # one that stalls has half of them
        with socket.create_connection(agent.tcp, timeout=60) as stalls, socket.create_connection(agent.tcp, timeout=60) as drips:
            for s in (stalls, drips):
                s.sendall(b"POST /api/v1/profiles HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\nx")
            drips.settimeout(0.2)
            ended = []

            def drip():
                with contextlib.suppress(TimeoutError):
                    with contextlib.suppress(ConnectionError):
                        drips.sendall(b"x")
                        assert drips.recv(100) == b""
                    ended.append(counted(agent))
                return ended

            wait_for("the end of one that drips", drip)
            assert stalls.recv(100) == b"" and ended == [{"request_seconds": 2}], ended
        # Who leaves was not slow.
        with socket.create_connection(agent.tcp, timeout=60) as s:
            s.sendall(b"POST /api/v1/profiles HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
        wait_for("it to be gone", lambda: agent.status()["http"]["open"] <= 1)
        assert counted(agent) == {"request_seconds": 2}


def calls_of_grpc_have_the_same_limits():
    with limited(body_bytes=1000, request_seconds=1) as agent, h2.Client(agent.bound["grpc"][0]) as client:
        fields, _ = client.call(h2.message(bytes(2000)))
        assert fields["grpc-status"] == "8" and "limits.body_bytes" in fields["grpc-message"], fields
        for deadline, status in (({}, "limits.request_seconds"), ({"grpc_timeout": "100m"}, "its time")):
            stream = client.open(**deadline)
            client.data(stream, h2.message(bytes(500))[:9], end=False)
            fields, _ = client.answer(stream)
            assert fields["grpc-status"] == "4" and status in fields["grpc-message"], fields
        assert counted(agent) == {"body_bytes": 1, "request_seconds": 1} # the client's own deadline is no limit
    with limited(connections=4) as agent, contextlib.ExitStack() as held:
        calls = [held.enter_context(h2.Client(agent.bound["grpc"][0])) for _ in range(4)]
        for client in calls:
            client.open()
            client.send(h2.frame(h2.PING, 0, 0, bytes(8))) # its answer comes after the call was seen
            while client.receive()[0] != h2.PING:
                pass
        with contextlib.suppress(OSError, h2.Closed), h2.Client(agent.bound["grpc"][0]) as client:
            client.call(h2.message(b""))
        wait_for("it to be counted", lambda: counted(agent) == {"connections": 1})


def settings_out_of_range_are_named():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "x.yaml"
        for key, value, right in (("stack_depth", 1024, True), ("stack_depth", 1025, False), ("stack_depth", 2, False),
                                  ("connections", 1025, False), ("request_seconds", 0, False), ("request_seconds", 3600, True),
                                  ("labels_per_series", 129, False), ("labels_per_sample", 128, True), ("frames", 0, False)):
            path.write_text(f"limits:\n  {key}: {value}\n")
            done = subprocess.run([BIN / "hearthd", "--config", path, "--check"], capture_output=True)
            assert done.returncode == (0 if right else 2), (key, value, done)
            assert right or f"limits.{key}: {value} is not ".encode() in done.stderr, done


main(a_series_keeps_its_service_among_many_labels, what_is_at_its_limit_passes_and_what_is_above_names_the_setting,
     what_is_refused_counts_by_its_limit, what_is_cut_counts_whoever_sent_it, connections_beyond_their_number_are_told_so,
     a_body_has_its_seconds, calls_of_grpc_have_the_same_limits, settings_out_of_range_are_named)
