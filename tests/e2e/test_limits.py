# SPDX-License-Identifier: Apache-2.0
"""Limits: each is a setting, counts when it is met, and is named where something is refused."""
import json

from otlp_wire import Request
from support import Agent, main
from wire import message, multipart, pprof

CPU = pprof([("samples", "count"), ("cpu", "nanoseconds")], {"main;work": (3, 30)}, period_type=("cpu", "nanoseconds"))
RANGE = {"from": "now-12h", "until": "now+1h"}


def datadog(agent, tags, body=CPU):
    event = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:01:00Z", "version": "4", "tags_profiler": tags}
    kind, form = multipart([("event", "event.json", json.dumps(event).encode()), ("a.pprof", "a.pprof", body)])
    return agent.request("POST", "/profiling/v1/input", body=form, headers={"Content-Type": kind})


def otlp(agent, attributes, service):
    request = Request("1.10", service)
    request.profile([request.sample("main;work", values=[5])])
    return agent.request("POST", "/v1development/profiles", body=request.bytes(attributes),
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
                "otlp": otlp(agent, many, "otlp"),
                "push": push(agent, many + [("service_name", "push"), ("env", "prod")]),
                "ingest": agent.request("POST", "/ingest", body=CPU, format="pprof", name="ingest{%s,env=prod}" % joined),
                "api": agent.request("POST", "/api/v1/profiles", body=CPU, **dict(many), service="api", env="prod"),
            }
            for name, (status, body, _) in sent.items():
                assert status == 200, (name, status, body)
                labels = agent.get("/api/v1/labels", query='{service="%s"}' % name, **RANGE)["labels"]
                assert "env" in labels and len([label for label in labels if label[0] == "l"]) < 32, (name, labels)
            assert json.loads(sent["api"][1])["cut"]["labels"] == count + 2 - 32, sent["api"]


main(a_series_keeps_its_service_among_many_labels)
