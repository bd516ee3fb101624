# SPDX-License-Identifier: Apache-2.0
"""Who gets in, and what a connection may say."""
import base64
import os
import socket
import sqlite3
import threading

from support import Agent, main, run
from wire import pprof

GOOD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def raw(agent, data):
    """The status of the answer to these bytes, 0 when the connection just ends."""
    with socket.create_connection(agent.tcp, timeout=30) as connection:
        connection.sendall(data)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


def heads_are_read_strictly():
    table = [
        (GOOD, 200),
        (b"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1:4040\r\n\r\n", 200),
        (b"GET http://localhost/healthz HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 421),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost:4040@evil\r\n\r\n", 421),
        (b"GET /healthz HTTP/1.1\r\nHost: user@localhost\r\n\r\n", 421),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost.\r\n\r\n", 421),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
        (b"GET /healthz HTTP/1.1\nHost: localhost\n\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", 400),
        (b"GET /health\x01z HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n folded: 1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
        (b"GET /healthz\r\nHost: localhost\r\n\r\n", 400),
        (b"POST /api/v1/profiles HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
         b"Content-Length: 1\r\n\r\nx", 400),
        (b"POST /api/v1/profiles HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
         b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /api/v1/profiles HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n"
         b"\r\n0\r\n\r\n", 501),
        (b"POST /api/v1/profiles HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /api/v1/profiles HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1,1\r\n\r\nx", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 20000 + b"\r\n\r\n", 431),
        # What follows a body is never a second request.
        (b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n" + GOOD, 405),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    ]
    with Agent() as agent:
        for data, status in table:
            got = raw(agent, data)
            assert got == status, (data[:120], got, status)


def a_head_may_come_a_byte_at_a_time():
    with Agent() as agent, socket.create_connection(agent.tcp, timeout=30) as connection:
        for byte in GOOD:
            connection.sendall(bytes([byte]))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def reading_over_tcp_asks_for_the_token():
    with Agent() as agent:
        path = "/api/v1/services"
        basic = base64.b64encode(f"any:{agent.token}".encode()).decode()
        for headers, status in (
                ({}, 401),
                ({"Authorization": f"Bearer {agent.token}"}, 200),
                ({"Authorization": f"Basic {basic}"}, 200),
                ({"Authorization": "Bearer " + "0" * 64}, 401),
                ({"Authorization": f"Bearer {agent.token}0"}, 401),
                ({"Authorization": "Bearer "}, 401),
                ({"Cookie": "hearth_session=" + agent.token}, 401)):
            assert agent.request("GET", path, headers=headers, tcp=True)[0] == status, headers
        assert agent.request("GET", path)[0] == 200


def a_link_lets_one_browser_in_once():
    with Agent() as agent:
        status, body, _ = agent.request("POST", "/api/v1/login", body=b"")
        link = __import__("json").loads(body)["path"]
        assert agent.request("POST", "/api/v1/login", body=b"", tcp=True)[0] == 403
        status, _, headers = agent.request("GET", link, tcp=True)
        assert status == 303 and headers["Location"] == "/", headers
        cookie = headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie, cookie
        cookie = cookie.split(";")[0]
        assert agent.request("GET", "/api/v1/services", headers={"Cookie": cookie}, tcp=True)[0] == 200
        assert agent.request("GET", link, tcp=True)[0] == 403


def another_site_s_page_cannot_write():
    with Agent() as agent:
        body, path = b"a;b 1\n", "/api/v1/profiles?format=folded&service=x"
        for headers, status in (
                ({}, 200),
                ({"Origin": "http://evil.example"}, 403),
                ({"Origin": "null"}, 403),
                ({"Origin": "http://localhost:4040"}, 200),
                ({"Sec-Fetch-Site": "cross-site"}, 403),
                ({"Sec-Fetch-Site": "same-site"}, 403),
                ({"Sec-Fetch-Site": "same-origin"}, 200)):
            assert agent.request("POST", path, body=body, headers=headers, tcp=True)[0] == status, headers


def answers_carry_the_headers_that_protect_the_page():
    with Agent() as agent:
        _, _, headers = agent.request("GET", "/healthz", tcp=True)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "require-trusted-types-for" in policy, policy
        assert headers["X-Content-Type-Options"] == "nosniff"


# A program that asks the agent's socket as another user; the kernel says who it is.
ASK = """
import http.client, os, socket, sys
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(sys.argv[1] + "/http.sock")
connection.request(sys.argv[3], sys.argv[4], body=b"a;b 1\\n" if sys.argv[3] == "POST" else None)
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""


def ask_as(agent, uid, method, path):
    done = run(["python3", "-c", ASK, agent.run, uid, method, path])
    assert done.returncode == 0, done
    status, body = done.stdout.decode().split(" ", 1)
    return int(status), body


def users_see_what_is_theirs():
    if os.geteuid():
        return "only root can be two users"
    with Agent() as agent:
        for uid, service in ((1001, "ours"), (1002, "theirs")):
            status, _ = ask_as(agent, uid, "POST", f"/api/v1/profiles?format=folded&service={service}")
            assert status == 200, status
        for path in ("/api/v1/services", "/api/v1/labels/service/values"):
            status, body = ask_as(agent, 1001, "GET", path)
            assert status == 200 and "ours" in body and "theirs" not in body, (path, body)
        for path in ("/api/v1/top?type=other:samples:count::", "/api/v1/types"):
            status, body = ask_as(agent, 1003, "GET", path)
            assert status == 200 and "\"a\"" not in body and "samples:count" not in body.split("rows")[-1], body
        status, body = ask_as(agent, 1001, "GET", "/api/v1/status")
        assert status == 200 and "processes" not in body, body
        assert ask_as(agent, 1001, "POST", "/api/v1/login")[0] == 403
        everything = agent.get("/api/v1/services")
        assert {s["name"] for s in everything["services"]} == {"ours", "theirs"}, everything


def wrong_questions_get_a_problem_that_says_why():
    with Agent() as agent:
        for path, status, words in (
                ("/api/v1/nothing", 404, "nothing is served"),
                ("/api/v1/flamegraph?type=bogus", 400, "alias"),
                ("/api/v1/flamegraph?format=bogus", 400, "bogus"),
                ("/api/v1/flamegraph?from=yesterday", 400, "RFC 3339"),
                ("/api/v1/flamegraph?from=now&until=now-1h", 400, "before"),
                ("/api/v1/flamegraph?query={a=~%22(%22}", 400, "pattern"),
                ("/api/v1/flamegraph?query={a", 400, "expected"),
                ("/api/v1/top?limit=-1", 400, "count"),
                ("/api/v1/timeline?step=1ms&from=now-1d", 400, "11000")):
            got, body, headers = agent.request("GET", path)
            assert got == status and words.encode() in body, (path, got, body)
            assert headers["Content-Type"] == "application/problem+json", headers
        assert agent.request("DELETE", "/api/v1/services")[0] == 405
        for path in ("/v1/traces", "/v0.7/config", "/push.v1.PusherService/Nope", "/nope"):
            assert agent.request("POST", path, body=b"{}")[0] == 404, path


def questions_and_uploads_do_not_wait_for_each_other():
    """More uploads than threads wait for a file that somebody else writes: the agent still says how many they are."""
    with Agent() as agent:
        body = pprof([("cpu", "nanoseconds")], {"main;work": (7,)}, period_type=("cpu", "nanoseconds"))

        def upload():
            answers.append(agent.request("POST", "/api/v1/profiles", body=body, service="queue")[0])

        answers, asked = [], False
        upload()
        for _ in range(5):  # SQLite's patience ends after five seconds, on a machine that stands still too
            answers = []
            file = max((agent.directory / "data").rglob("l0/*.db"))
            with sqlite3.connect(file, isolation_level=None) as db:
                db.execute("BEGIN IMMEDIATE")
                uploads = [threading.Thread(target=upload) for _ in range(16)]
                for thread in uploads:
                    thread.start()
                while not asked and not answers:
                    asked = agent.status()["http"]["open"] > len(uploads) and not answers
                db.execute("ROLLBACK")
            for thread in uploads:
                thread.join()
            if asked:
                break
        assert asked and answers == [200] * 16, (asked, answers)


main(heads_are_read_strictly, a_head_may_come_a_byte_at_a_time, reading_over_tcp_asks_for_the_token,
     a_link_lets_one_browser_in_once, another_site_s_page_cannot_write,
     answers_carry_the_headers_that_protect_the_page, users_see_what_is_theirs,
     wrong_questions_get_a_problem_that_says_why, questions_and_uploads_do_not_wait_for_each_other)
