# SPDX-License-Identifier: Apache-2.0
"""Uploads that mean harm: each costs a bounded amount, is answered, and others are served meanwhile."""
import gzip
import json
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import tempfile
import threading

from support import Agent, main, wait_for
from wire import message, multipart, number, packed, pprof, varint

RSS_MAX_KB = 256 << 10
SMALL = pprof([("samples", "count"), ("cpu", "nanoseconds")], {"main;work": (3, 30)}, period_type=("cpu", "nanoseconds"))
# Only the sanitizers' own memory is above it.
INSTRUMENTED = "asan" in str(os.environ.get("HEARTH_BUILD", "")) or "tsan" in str(os.environ.get("HEARTH_BUILD", ""))


def peak_kb(agent):
    status = pathlib.Path(f"/proc/{agent.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def served(agent, service="neighbour"):
    """Somebody else's upload is taken and shown."""
    status, body, _ = agent.request("POST", "/api/v1/profiles", body=SMALL, service=service)
    assert status == 200, (status, body)
    assert agent.folded(type="cpu", query='{service="%s"}' % service)


def unharmed(agent, service="neighbour"):
    served(agent, service)
    peak = peak_kb(agent)
    print(f"# peak {peak >> 10} MB")
    assert INSTRUMENTED or peak <= RSS_MAX_KB, peak


def upload(agent, body, path="/api/v1/profiles", headers=None, **parameters):
    return agent.request("POST", path, body=body, headers=headers or {}, **parameters)


def zeros(megabytes):
    yield from (b"\0" * (1 << 20) for _ in range(megabytes))


def bombs_cost_little_whatever_they_are_packed_with():
    with Agent() as agent:
        plain = b"\0" * (64 << 20)
        bombs = {"gzip": gzip.compress(plain), "gzip members": gzip.compress(plain[:4 << 20]) * 40,
                 "nested": gzip.compress(gzip.compress(plain) * 3)}
        if shutil.which("zstd"):
            bombs["zstd"] = subprocess.run(["zstd", "-19", "-c"], input=plain, capture_output=True, check=True).stdout
            bombs["zstd long"] = subprocess.run(["zstd", "--long=27", "-c"], input=plain, capture_output=True, check=True).stdout
        kind, form = multipart([("event", "event.json", b'{"version":"4"}')] +
                               [(f"{i}.pprof", f"{i}.pprof", bombs["gzip members"][:len(bombs["gzip members"]) // 40])
                                for i in range(64)])
        for name, bomb in bombs.items():
            for path, headers in (("/api/v1/profiles", {}), ("/v1development/profiles", {"Content-Encoding": "gzip"}),
                                  ("/push.v1.PusherService/Push", {"Content-Type": "application/proto"}),
                                  ("/ingest?name=x", {})):
                status, body, _ = upload(agent, bomb, path, headers)
                assert status in (400, 413, 415, 422, 429), (name, path, status, body)
        status, body, _ = upload(agent, form, "/profiling/v1/input", {"Content-Type": kind})
        assert status in (400, 413, 415), (status, body)
        unharmed(agent)


def a_gigabyte_in_chunks_is_refused_on_its_way():
    with Agent() as agent:
        with socket.create_connection(agent.tcp, timeout=60) as s:
            s.sendall(b"POST /api/v1/profiles?service=big HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            answer, sent = b"", 0
            try:
                for block in zeros(1024):
                    s.sendall(b"100000\r\n" + block + b"\r\n")
                    sent += len(block)
                s.sendall(b"0\r\n\r\n")
            except OSError:
                pass
            try:
                while piece := s.recv(4096):
                    answer += piece
            except OSError:
                pass
        print(f"# {sent >> 20} MB were taken off the wire")
        assert b" 413 " in answer.split(b"\r\n")[0] if answer else sent < 1 << 30, answer[:200]
        unharmed(agent)


def five_hundred_slow_bodies_keep_nobody_out():
    with Agent() as agent:
        held = []
        try:
            for _ in range(500):
                s = socket.create_connection(agent.tcp, timeout=60)
                s.sendall(b"POST /api/v1/profiles?service=slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nx")
                held.append(s)
            for s in held:
                s.sendall(b"y")
            unharmed(agent)
        finally:
            for s in held:
                s.close()
        wait_for("the connections to be gone", lambda: agent.status()["http"]["open"] <= 2)


def ten_thousand_idle_connections_keep_nobody_out():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(10000, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, wanted + 200), hard))
    held = []
    try:
        with Agent() as agent:
            for _ in range(wanted):
                try:
                    held.append(socket.create_connection(agent.tcp, timeout=5))
                except OSError:
                    break # it has as many as it may; that is an answer
            print(f"# {len(held)} connections are held")
            unharmed(agent)
    finally:
        for s in held:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def cut_after_every_byte_nothing_is_kept():
    kind, form = multipart([("event", "event.json", b'{"version":"4","tags_profiler":"service:cut"}'), ("cpu.pprof", "cpu.pprof", SMALL)])
    with Agent() as agent:
        for cut in range(len(SMALL)):
            # Of a protobuf any whole number of fields is a message; it names what it cannot.
            assert upload(agent, SMALL[:cut], service="cut", format="pprof")[0] in (200, 400), cut
        for cut in range(len(form) - 3):
            status, body, _ = upload(agent, form[:cut], "/profiling/v1/input", {"Content-Type": kind})
            assert status == 400, (cut, status, body)
        unharmed(agent)


def what_points_nowhere_or_at_itself_is_refused():
    with Agent() as agent:
        strings = b"".join(message(6, text) for text in ("", "samples", "count", "f"))
        types = message(1, number(1, 1), number(2, 2))
        function, location = message(5, number(1, 1), number(2, 3)), message(4, number(1, 1), message(4, number(1, 1)))
        sample = message(2, packed(1, [1]), packed(2, [1]))
        wrong = {
            "a string that is not there": types + sample + location + message(5, number(1, 1), number(2, 1 << 31)) + strings,
            "a location that is not there": types + message(2, packed(1, [9]), packed(2, [1])) + location + function + strings,
            "a function that is not there": types + sample + message(4, number(1, 1), message(4, number(1, 9))) + function + strings,
            "two functions of one id": types + sample + location + function * 2 + strings,
            "more values than types": types + message(2, packed(1, [1]), packed(2, [1, 2])) + location + function + strings,
            "a length of 2^31": types + sample + location + function + strings + varint(6 << 3 | 2) + varint(1 << 31),
            "a varint of eleven bytes": types + b"\x10" + b"\xff" * 10 + b"\x01",
        }
        for name, body in wrong.items():
            status, answer, _ = upload(agent, body, service="wrong", format="pprof")
            assert status == 400 and json.loads(answer)["detail"], (name, status, answer)
        assert upload(agent, types + sample + location + function + strings, service="right")[0] == 200
        unharmed(agent)


def millions_of_numbers_and_labels_are_bounded():
    with Agent() as agent:
        many = (message(1, number(1, 1), number(2, 2)) + message(2, packed(1, [1] * 4_000_000), packed(2, [1])) +
                message(4, number(1, 1), message(4, number(1, 1))) + message(5, number(1, 1), number(2, 3)) +
                b"".join(message(6, text) for text in ("", "samples", "count", "f")))
        status, body, _ = upload(agent, many, service="deep")
        assert status == 200 and json.loads(body)["cut"]["stacks"] == 1, (status, body)
        # A million samples, each with a label that no other has.
        text = [message(6, t) for t in ("", "samples", "count", "f", "request id")] + [message(6, str(i)) for i in range(300_000)]
        samples = b"".join(message(2, packed(1, [1]), packed(2, [1]), message(3, number(1, 4), number(2, 5 + i))) for i in range(300_000))
        wide = (message(1, number(1, 1), number(2, 2)) + samples + message(4, number(1, 1), message(4, number(1, 1))) +
                message(5, number(1, 1), number(2, 3)) + b"".join(text))
        status, body, _ = upload(agent, gzip.compress(wide, 1), service="wide")
        assert status in (200, 413), (status, body)
        unharmed(agent)


def new_series_without_end_are_refused():
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write("limits:\n  new_series_per_minute: 50\n  labels_per_series: 8\n")
        file.flush()
        with Agent("--config", file.name) as agent:
            answers = [upload(agent, b"a;b 1", format="folded", service=f"s{i}")[0] for i in range(80)]
            assert answers.count(200) == 50 and answers.count(429) == 30, answers
            status, body, headers = upload(agent, b"a;b 1", format="folded", service="another")
            assert status == 429 and b"limits.new_series_per_minute" in body and headers["Retry-After"] == "60", (status, body)
            # What is known goes on.
            assert upload(agent, b"a;b 1", format="folded", service="s7")[0] == 200


def names_of_any_bytes_come_out_harmless():
    with Agent() as agent:
        names = ["nul\0inside", "<script>alert(1)</script>", "line\nbreak;semicolon", "\u202eoverride", "a" * 100_000]
        functions = b"".join(message(5, number(1, i + 1), number(2, i + 3)) for i in range(len(names) + 1))
        locations = b"".join(message(4, number(1, i + 1), message(4, number(1, i + 1))) for i in range(len(names) + 1))
        text = b"".join(message(6, t) for t in ["", "samples", "count"] + names) + message(6, b"\xff\xfe\x80 not utf-8")
        body = (message(1, number(1, 1), number(2, 2)) + message(2, packed(1, list(range(1, len(names) + 2))), packed(2, [1])) +
                locations + functions + text)
        assert upload(agent, body, service="odd", format="pprof")[0] == 200
        for kind in ("json", "folded", "flamebearer", "svg", "pprof"):
            status, answer, _ = agent.request("GET", "/api/v1/flamegraph", type="cpu_samples", format=kind, max_nodes=0,
                                              query='{service="odd"}')
            if status == 200:
                answer = gzip.decompress(answer) if kind == "pprof" else answer.decode().encode()
                if kind == "pprof":
                    continue
                assert b"\0" not in answer and (kind != "svg" or b"<script>alert" not in answer), kind
        unharmed(agent)


def many_at_once_are_bounded_together():
    with Agent() as agent:
        bomb = gzip.compress(b"\0" * (100 << 20))
        threads = [threading.Thread(target=lambda: upload(agent, bomb, service="crowd")) for _ in range(24)]
        for thread in threads:
            thread.start()
        served(agent)
        for thread in threads:
            thread.join()
        unharmed(agent, "after")


main(bombs_cost_little_whatever_they_are_packed_with, a_gigabyte_in_chunks_is_refused_on_its_way,
     five_hundred_slow_bodies_keep_nobody_out, ten_thousand_idle_connections_keep_nobody_out,
     cut_after_every_byte_nothing_is_kept, what_points_nowhere_or_at_itself_is_refused,
     millions_of_numbers_and_labels_are_bounded, new_series_without_end_are_refused,
     names_of_any_bytes_come_out_harmless, many_at_once_are_bounded_together)
