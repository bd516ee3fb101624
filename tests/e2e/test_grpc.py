# SPDX-License-Identifier: Apache-2.0
"""OTLP profiles over gRPC: what a right client gets, and what clients that lie, flood and dawdle get."""
import base64
import gzip
import pathlib
import resource
import socket
import struct
import threading
import zlib

from h2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
                WINDOW_UPDATE, Client, Closed, field, frame, message)
from otlp_wire import Request
from support import BIN, Agent, main, run, wait_for

ENHANCE_YOUR_CALM = 11


def agent_with_grpc(*options, **more):
    return Agent("--grpc", "127.0.0.1:0", *options, **more)


def address(agent):
    return agent.bound["grpc"][0]


def request(service="shop", stack="main;work", value=3, identity=None):
    r = Request(service=service)
    r.profile([r.sample(stack, [value])], identity=identity)
    return r.bytes()


def shown(agent, service="shop"):
    return agent.folded(type="cpu_samples", query='{service="%s"}' % service, **{"from": "now-2h", "until": "now+1h"})


def serves(agent, service="alive"):
    with Client(address(agent)) as client:
        fields, body = client.call(message(request(service)))
        assert fields.get("grpc-status") == "0" and body == message(b""), (fields, body)


def status_of(agent, body, **headers):
    with Client(address(agent)) as client:
        fields, _ = client.call(body, **headers)
        return fields.get("grpc-status"), fields


def a_call_is_kept_before_it_is_answered():
    with agent_with_grpc() as agent, Client(address(agent)) as client:
        for kind in ("application/grpc", "application/grpc+proto"):
            fields, body = client.call(message(request()), content_type=kind)
            assert (fields[":status"], fields["content-type"], fields["grpc-status"]) == ("200", "application/grpc", "0"), fields
            assert body == message(b"") and "grpc-message" not in fields, (fields, body)
        packed = gzip.compress(request())
        fields, _ = client.call(message(packed, 1), grpc_encoding="gzip")
        assert fields["grpc-status"] == "0", fields
        agent.kill()
        agent.start()
        assert shown(agent) == {"main;work": 9}
        agent.stop()


def many_calls_share_a_connection_and_a_retry_counts_once():
    with agent_with_grpc() as agent, Client(address(agent)) as client:
        streams = [client.open() for _ in range(32)]
        for i, stream in reversed(list(enumerate(streams))):
            client.data(stream, message(request(stack=f"main;f{i % 2}", value=1, identity=bytes([i % 16 + 1] * 16))))
        answered = {}
        while len(answered) < 32:
            kind, flags, stream, payload = client.receive()
            if kind == HEADERS:
                fields = dict(client.decoder.fields(payload))
                if flags & END_STREAM:
                    answered[stream] = fields["grpc-status"]
        assert set(answered.values()) == {"0"} and set(answered) == set(streams), answered
        assert sum(shown(agent).values()) == 16
        assert agent.status()["grpc"]["served"] == 32 and agent.status()["uploads"]["otlp"]["duplicates"] == 16
        agent.stop()


def a_large_message_passes_through_the_windows():
    with agent_with_grpc() as agent:
        r = Request()
        r.profile([r.sample(f"main;{'x' * 2000}{i}", [1]) for i in range(1200)])
        assert len(r.bytes()) > 4 << 20
        status, fields = status_of(agent, message(r.bytes()))
        assert status == "0", fields
        assert agent.status()["uploads"]["otlp"]["samples"] == 1200


def partial_success_is_said():
    with agent_with_grpc() as agent, Client(address(agent)) as client:
        r = Request("1.7")
        r.profile([r.sample("main;old", [1])])
        fields, body = client.call(message(r.bytes()))
        assert fields["grpc-status"] == "0" and b"1.7" in body and body[5] == 0x0a, (fields, body)


def each_failure_has_its_status():
    whole = message(request())
    with agent_with_grpc() as agent:
        wrong = [
            ("12", whole, {"path": "/opentelemetry.proto.collector.trace.v1.TraceService/Export"}),
            ("12", whole, {"content_type": "application/grpc+json"}),
            ("12", whole, {"grpc_encoding": "zstd"}),
            ("3", whole, {"te": None}),
            ("3", whole, {"grpc_timeout": "soon"}),
            ("3", b"", {}),
            ("3", whole[:4], {}),
            ("3", whole[:-1], {}),
            ("3", whole + whole, {}),
            ("3", b"\x02" + whole[1:], {}),
            ("3", message(b"\xff" * 40), {}),
            ("3", message(request(), 1), {"grpc_encoding": "gzip"}),
            ("3", message(gzip.compress(request()), 1), {}),
            ("3", message(gzip.compress(request())[:-9], 1), {"grpc_encoding": "gzip"}),
            ("7", whole, {":authority": "attacker.example"}),
        ]
        for status, body, headers in wrong:
            got, fields = status_of(agent, body, **headers)
            assert got == status and fields["grpc-message"], (status, headers, body[:9], fields)
        assert status_of(agent, whole, grpc_encoding="zstd")[1]["grpc-accept-encoding"] == "gzip, identity"
        assert status_of(agent, whole, path="/%zz\u00e9".encode())[1]["grpc-message"].endswith("/%25zz%C3%A9")
        for headers in ({"content_type": "application/json"}, {"content_type": "application/grpcx"}, {":method": "GET"}):
            with Client(address(agent)) as client:
                fields, _ = client.call(whole, **headers)
                assert fields[":status"] == "415", fields
        assert not shown(agent)
        serves(agent)
        agent.stop()


def settle(agent, settings):
    """Starts it again with these."""
    path = pathlib.Path(agent.directory) / "settings.yaml"
    path.write_text(settings)
    agent.stop()
    agent.options += ["--config", str(path)]
    agent.start()


def limits_are_named():
    with agent_with_grpc() as agent:
        settle(agent, "limits: {body_bytes: 100000, decompressed_bytes: 3000000, ratio: 100}\n")
        status, fields = status_of(agent, message(bytes(200000)))
        assert status == "8" and "limits.body_bytes" in fields["grpc-message"], fields
        for bomb, setting in ((bytes(90 << 20), "decompressed_bytes"), (bytes(2900000), "ratio")):
            pressed = zlib.compressobj(9, zlib.DEFLATED, 31)
            status, fields = status_of(agent, message(pressed.compress(bomb) + pressed.flush(), 1), grpc_encoding="gzip")
            assert status == "8" and "limits." in fields["grpc-message"], (setting, fields)
        serves(agent)
        agent.stop()


def a_call_ends_at_its_own_deadline():
    with agent_with_grpc() as agent, Client(address(agent)) as client:
        stream = client.open(grpc_timeout="300m")
        client.data(stream, message(request())[:9], end=False)
        fields, _ = client.answer(stream)
        assert fields["grpc-status"] == "4", fields
        serves(agent)
        assert agent.status()["grpc"]["timed_out"] == 1


def a_call_whose_time_is_over_at_work_is_answered_once():
    with agent_with_grpc() as agent, Client(address(agent)) as client:
        r = Request(service="late")
        r.profile([r.sample(f"main;{'x' * 1000}{i}", [1]) for i in range(600)])
        body = message(r.bytes())
        answers = {}

        def take():
            kind, flags, number, payload = client.receive()
            if kind == HEADERS:
                found = dict(client.decoder.fields(payload))
                if flags & END_STREAM:
                    answers.setdefault(number, []).append(found["grpc-status"])
        streams = [client.open(grpc_timeout="250m") for _ in range(32)]
        for stream in streams:
            for at in range(0, len(body), 16384):
                while stream not in answers and min(client.windows[0], client.windows.get(stream, client.first_window)) < 16384:
                    take()
                if stream in answers:
                    break
                part = body[at:at + 16384]
                client.send(frame(DATA, END_STREAM if at + 16384 >= len(body) else 0, stream, part))
                client.windows[0] -= len(part)
                client.windows[stream] = client.windows.get(stream, client.first_window) - len(part)
        while len(answers) < 32:
            take()
        assert all(got in (["0"], ["4"]) for got in answers.values()), answers
        serves(agent)
        agent.stop()


def store_trouble_says_when_to_come_again():
    with agent_with_grpc() as agent:
        # A full disk, in the one way that root feels too.
        resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, (0, 0))
        status, fields = status_of(agent, message(request()))
        assert status == "14", fields
        text = fields["grpc-status-details-bin"]
        details = base64.b64decode(text + "=" * (-len(text) % 4))
        assert b"google.rpc.RetryInfo" in details and details.endswith(b"\x0a\x02\x08\x05"), details


def a_quota_says_when_to_come_again_and_a_size_does_not():
    with agent_with_grpc() as agent:
        settle(agent, "limits: {requests_per_minute: 2, decompressed_bytes: 3000000}\n")
        status, fields = status_of(agent, message(gzip.compress(bytes(4000000)), 1), grpc_encoding="gzip")
        assert status == "8" and "grpc-status-details-bin" not in fields, fields
        statuses = [status_of(agent, message(request())) for _ in range(2)]
        assert [status for status, _ in statuses] == ["0", "8"], statuses
        text = statuses[1][1]["grpc-status-details-bin"]
        details = base64.b64decode(text + "=" * (-len(text) % 4))
        assert details.startswith(b"\x08\x08") and details.endswith(b"\x0a\x02\x08\x3c"), details


def no_listener_but_where_it_is_asked_for():
    with Agent() as agent:
        assert agent.bound["grpc"] == []
    with agent_with_grpc() as agent:
        taken = address(agent)
        done = run([BIN / "hearthd", "--run", agent.directory / "r2", "--data", agent.directory / "d2", "--listen",
                    "127.0.0.1:0", "--grpc", taken])
        assert done.returncode == 1 and taken.encode() in done.stderr, done
        for outside in ("0.0.0.0:0", "[::]:0"):
            done = run([BIN / "hearthd", "--run", agent.directory / "r2", "--data", agent.directory / "d2", "--listen",
                        "127.0.0.1:0", "--grpc", outside])
            assert done.returncode == 1 and b"only loopback" in done.stderr, done


# ---- clients that break the rules ----

def what_is_not_http2_is_cut():
    with agent_with_grpc() as agent:
        for greeting in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", PREFACE[:-1] + b"X", b"\x16\x03\x01" + bytes(200),
                         PREFACE + frame(DATA, 0, 1, b"x"), PREFACE + b"\xff" * 9):
            with Client(address(agent), greet=False) as client:
                client.send(greeting + bytes(64))
                client.ended()
        with Client(address(agent), greet=False) as client:  # says nothing
            client.ended()
        serves(agent)
        assert agent.status()["grpc"]["cut"] >= 4, agent.status()["grpc"]
        agent.stop()


def header_blocks_are_bounded():
    with agent_with_grpc() as agent:
        with Client(address(agent)) as client:  # one large list, in frames of the right size
            block = client.headers() + b"".join(field(f"x-{i}", "y" * 1000) for i in range(40))
            client.send(frame(HEADERS, 0, 1, block[:16000]))
            for at in range(16000, len(block), 16000):
                client.send(frame(CONTINUATION, END_HEADERS if at + 16000 >= len(block) else 0, 1, block[at:at + 16000]))
            assert client.ended() == ENHANCE_YOUR_CALM, client.goaway
        with Client(address(agent)) as client:  # a field that is put into the table once and named ten thousand times
            table = b"\x40" + field("x", "y" * 3900)[1:]
            client.send(frame(HEADERS, END_HEADERS, 1, client.headers() + table + b"\xbe" * 10000))
            assert client.ended() == ENHANCE_YOUR_CALM, client.goaway
        with Client(address(agent)) as client:  # CONTINUATION without end
            client.send(frame(HEADERS, 0, 1, client.headers()))
            try:
                for _ in range(100000):
                    client.send(frame(CONTINUATION, 0, 1, b""))
                raise AssertionError("a header block went on for 100000 frames")
            except OSError:
                pass
        with Client(address(agent)) as client:  # one field that is too long for what it may be
            stream = client.open(path="/" + "a" * 300)
            fields, _ = client.answer(stream)
            assert "reset" in fields, fields
        serves(agent)
        agent.stop()


def rapid_resets_end_the_connection():
    with agent_with_grpc() as agent:
        with Client(address(agent)) as client:
            try:
                for _ in range(5000):
                    stream = client.open()
                    client.send(frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
            except OSError:
                pass
            client.ended()
        status = agent.status()["grpc"]
        assert status["cut"] == 1 and 100 < status["resets"] < 1000, status
        with Client(address(agent)) as client:  # after whole bodies, so that each was handed to a worker
            body = message(request("reset"))
            try:
                for _ in range(5000):
                    stream = client.open()
                    client.send(frame(DATA, END_STREAM, stream, body) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
            except OSError:
                pass
            client.ended()
        serves(agent)
        agent.stop()


def floods_of_control_frames_are_cut():
    with agent_with_grpc() as agent:
        for flood in (frame(PING, 0, 0, bytes(8)), frame(SETTINGS)):
            with Client(address(agent)) as client:
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.sock.settimeout(2)
                try:
                    for _ in range(2000):  # nothing is read: the answers pile up here, not there
                        client.send(flood * 1000)
                except OSError:
                    pass
        serves(agent)
        agent.stop()


def an_answer_waits_for_a_window_and_not_for_ever():
    with agent_with_grpc() as agent:
        with Client(address(agent), settings=[(4, 0)]) as client:
            stream = client.open(grpc_timeout="60S")
            client.data(stream, message(request("window")))
            while True:
                kind, flags, number, payload = client.receive()
                if kind == HEADERS:
                    assert not flags & END_STREAM
                    break
            serves(agent)
            client.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 100)))
            fields, body = client.answer(stream)
            assert body == message(b"") and fields["grpc-status"] == "0", (fields, body)
        with Client(address(agent), settings=[(4, 0)]) as client:
            stream = client.open(grpc_timeout="500m")
            client.data(stream, message(request("window")))
            fields, _ = client.answer(stream)
            assert fields.get("reset") == 8 or fields.get("grpc-status") == "4", fields
        agent.stop()


def calls_that_are_cut_short_leave_nothing():
    with agent_with_grpc() as agent:
        whole = PREFACE + frame(SETTINGS)
        with Client(address(agent), greet=False) as client:
            block = client.headers()
        body = message(request("cut"))
        whole += frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, 0, 1, body[:200]) + frame(DATA, END_STREAM, 1, body[200:])
        for cut in range(1, len(whole) - 1, 7):
            with Client(address(agent), greet=False) as client:
                client.send(whole[:cut])
        for lie in (b"\xff\xff\xff\0\1\0\0\0\1", frame(HEADERS, END_HEADERS, 1, b"\x80"), frame(HEADERS, END_HEADERS, 1, b"\0\x7f"),
                    frame(HEADERS, END_HEADERS, 2, block), frame(WINDOW_UPDATE, 0, 0, bytes(4)), frame(SETTINGS, ACK, 0, b"x"),
                    frame(GOAWAY, 0, 0, bytes(3)), frame(RST_STREAM, 0, 9, bytes(4)), frame(CONTINUATION, END_HEADERS, 1, block)):
            with Client(address(agent)) as client:
                client.send(lie)
                client.sock.shutdown(socket.SHUT_WR)
                client.ended()
        serves(agent)
        wait_for("the connections to be closed", lambda: agent.status()["grpc"]["open"] == 0)
        assert not shown(agent, "cut")
        agent.stop()


def idle_connections_make_room_for_others():
    with agent_with_grpc() as agent:
        idle = [Client(address(agent)) for _ in range(400)]
        threads = [threading.Thread(target=serves, args=(agent, f"s{i}")) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for i in range(8):
            assert shown(agent, f"s{i}") == {"main;work": 3}
        assert agent.status()["grpc"]["open"] <= 128
        for client in idle:
            client.sock.close()
        agent.stop()


def more_streams_than_allowed_are_refused():
    with agent_with_grpc() as agent:
        with Client(address(agent)) as client:
            for _ in range(40):
                client.open()
            refused = set()
            try:
                while not refused:
                    kind, _, stream, payload = client.receive()
                    if kind == RST_STREAM:
                        refused.add((stream, struct.unpack(">I", payload)[0]))
                    elif kind == GOAWAY:
                        refused.add((0, client.goaway))
            except Closed:
                refused.add(None)
            assert refused
        serves(agent)


main(a_call_is_kept_before_it_is_answered, many_calls_share_a_connection_and_a_retry_counts_once,
     a_large_message_passes_through_the_windows, partial_success_is_said, each_failure_has_its_status, limits_are_named,
     a_call_ends_at_its_own_deadline, a_call_whose_time_is_over_at_work_is_answered_once,
     store_trouble_says_when_to_come_again, a_quota_says_when_to_come_again_and_a_size_does_not,
     no_listener_but_where_it_is_asked_for,
     what_is_not_http2_is_cut, header_blocks_are_bounded, rapid_resets_end_the_connection, floods_of_control_frames_are_cut,
     an_answer_waits_for_a_window_and_not_for_ever, calls_that_are_cut_short_leave_nothing,
     idle_connections_make_room_for_others, more_streams_than_allowed_are_refused)
