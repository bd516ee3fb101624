# SPDX-License-Identifier: Apache-2.0
"""The scraper: a target that serves /debug/pprof/ over HTTP, and others that fail in every way."""
import gzip
import http.server
import json
import pathlib
import socket
import tempfile
import threading
import time

from support import BIN, Agent, main, run, wait_for
from wire import pprof

SPAN = {"from": "now-1h", "until": "now+1h"}
ALLOCS = [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")]
LOCKS = [("contentions", "count"), ("delay", "nanoseconds")]


class Target:
    """A program whose counts a test moves: counts[profile] = (types, {stack: values}, period type)."""

    def __init__(self):
        self.counts, self.asked, self.answer = {}, [], None
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                target.asked.append(self.path)
                if target.answer:
                    target.answer(self)
                    return
                name = self.path.removeprefix("/debug/pprof/").split("?")[0]
                types, stacks, period = target.counts.get(name, (None, None, None))
                body = gzip.compress(pprof(types, stacks, period, time_ns=time.time_ns())) if types else b""
                self.send_response(200 if types else 404)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def scraping(*entries):
    """An agent with these entries: JSON is YAML."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump({"scrape": list(entries), "limits": {"body_bytes": 200000}}, file)
        file.flush()
        return Agent("--config", file.name)


def entry(target, *profiles, **more):
    return {"service": "shop", "url": target.url, "interval": 1, "profiles": list(profiles), **more}


def shown(agent, kind, service="shop"):
    return agent.folded(type=kind, query='{service="%s"}' % service, **SPAN)


def scrapes(agent):
    return {s["url"]: s for s in agent.status()["scrapes"]}


def asked_again(agent, url, times=2):
    """So often that whatever is served now has been stored."""
    before = scrapes(agent)[url]["scrapes"]
    return wait_for(f"{url} to be asked {times} times", lambda: scrapes(agent)[url]["scrapes"] >= before + times)


def differences_are_stored_and_gauges_are_as_they_are():
    with Target() as target:
        def count(a, b, live):
            target.counts["allocs"] = (ALLOCS, {"main;a": (a, 10 * a, live, 10 * live), "main;b": (b, 10 * b, 0, 0)}, ("space", "bytes"))
        count(1000, 500, 7)
        with scraping(entry(target, "allocs", labels=["env=prod", "team=x=y"])) as agent:
            url = target.url + "/debug/pprof/allocs"
            asked_again(agent, url)
            assert not shown(agent, "alloc_objects")
            assert shown(agent, "inuse_objects") == {"main;a": 7}
            count(1005, 500, 3)
            asked_again(agent, url)
            assert shown(agent, "alloc_space") == {"main;a": 50}
            count(1009, 520, 4)
            asked_again(agent, url)
            assert shown(agent, "alloc_objects") == {"main;a": 9, "main;b": 20}
            count(2, 3, 1)  # started again
            asked_again(agent, url)
            assert shown(agent, "alloc_objects") == {"main;a": 11, "main;b": 23}
            state = scrapes(agent)[url]
            assert state["restarts"] == 1 and not state["failures"] and state["last_success"] and state["last_error"] == "", state
            labels = agent.get("/api/v1/labels/team/values", **SPAN)
            assert "x=y" in str(labels), labels
            agent.stop()


def each_profile_has_its_type():
    with Target() as target:
        locks = {"main;wait": (3, 3000)}
        target.counts = {"profile": ([("samples", "count"), ("cpu", "nanoseconds")], {"main;burn": (5, 50000000)}, ("cpu", "nanoseconds")),
                         "block": (LOCKS, dict(locks), ("contentions", "count")), "mutex": (LOCKS, dict(locks), ("contentions", "count")),
                         "goroutine": ([("goroutine", "count")], {"main;sleep": (12,)}, ("goroutine", "count"))}
        with scraping(entry(target, "profile", "block", "mutex", "goroutine")) as agent:
            wait_for("each to be asked", lambda: all(s["scrapes"] > 1 for s in agent.status()["scrapes"]))
            assert "/debug/pprof/profile?seconds=1" in target.asked
            locks["main;wait"] = (4, 4500)
            target.counts["block"] = (LOCKS, locks, ("contentions", "count"))
            asked_again(agent, target.url + "/debug/pprof/block")
            assert shown(agent, "block_delay") == {"main;wait": 1500} and not shown(agent, "lock_delay")
            assert shown(agent, "cpu")["main;burn"] % 50000000 == 0
            types = {t["id"].split(":")[0] for t in agent.get("/api/v1/types", **SPAN)["types"]}
            assert types >= {"process_cpu", "block", "goroutines"}, types
            goroutines = next(t["id"] for t in agent.get("/api/v1/types", **SPAN)["types"] if t["id"].startswith("goroutines"))
            assert shown(agent, goroutines) == {"main;sleep": 12}
            agent.stop()


def who_fails_is_named_and_does_not_stop_the_others():
    def says(status, headers=(), body=b""):
        def answer(handler):
            handler.send_response(status)
            for name, value in headers:
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)
        return answer

    def hangs(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.flush()
        wait_for("the agent to hang up", lambda: handler.connection.recv(1) == b"")

    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(bytes(65536))
        except OSError:
            pass
    with Target() as good, Target() as elsewhere, socket.create_server(("127.0.0.1", 0)) as closed:
        good.counts["goroutine"] = ([("goroutine", "count")], {"main;sleep": (1,)}, ("goroutine", "count"))
        nobody = "http://127.0.0.1:%d" % closed.getsockname()[1]
        closed.close()
        bad = {"the answer's status is 302": says(302, [("Location", elsewhere.url + "/debug/pprof/goroutine")]),
               "the answer's status is 500": says(500), "limits.body_bytes": endless, "Timeout": hangs,
               "pprof": says(200, body=b"<html>not a profile</html>"), "limits.": says(200, body=gzip.compress(bytes(64 << 20)))}
        targets = [Target() for _ in bad]
        for target, answer in zip(targets, bad.values()):
            target.answer = answer
        entries = [entry(t, "goroutine", service=f"bad{i}") for i, t in enumerate(targets)]
        entries.append({"service": "nobody", "url": nobody, "interval": 1, "profiles": ["goroutine"]})
        with scraping(*entries, entry(good, "goroutine")) as agent:
            states = wait_for("each to fail", lambda: all(s["failures"] or s["service"] == "shop" for s in agent.status()["scrapes"])
                              and scrapes(agent))
            for target, words in zip(targets, bad):
                state = states[target.url + "/debug/pprof/goroutine"]
                assert words in state["last_error"] and state["last_failure"] and not state["last_success"], (words, state)
            assert "connect" in states[nobody + "/debug/pprof/goroutine"]["last_error"], states
            asked_again(agent, good.url + "/debug/pprof/goroutine")
            assert not elsewhere.asked
            assert states[good.url + "/debug/pprof/goroutine"]["failures"] == 0
            agent.stop()
        for target in targets:
            target.server.shutdown()


def an_agent_stops_while_a_transfer_runs():
    with Target() as target:
        target.answer = lambda handler: handler.connection.recv(1)
        with scraping(entry(target, "profile", interval=600)) as agent:
            wait_for("the target to be asked", lambda: target.asked)
            agent.stop()


def wrong_entries_are_named():
    right = {"service": "a", "url": "http://127.0.0.1:1"}
    wrong = [({"url": "ftp://h/"}, "write http://"), ({"url": "http://u:p@h/"}, "'@'"), ({"url": "http://"}, "write http://"),
             ({"interval": 0}, "interval"), ({"interval": 4000}, "interval"), ({"profiles": ["../x"]}, "no profile's name"),
             ({"profiles": ["heap", "allocs"]}, "same numbers"), ({"profiles": ["heap", "heap"]}, "twice"), ({"labels": ["x"]}, "key=value"),
             ({"other": 1}, "other"), ({"url": None}, "")]
    with Agent() as agent:
        path = pathlib.Path(agent.directory) / "x.yaml"
        for change, words in [({}, None), *wrong]:
            changed = {k: v for k, v in {**right, **change}.items() if v is not None}
            path.write_text(json.dumps({"scrape": [changed]}))
            done = run([BIN / "hearthd", "--config", path, "--check"])
            assert done.returncode == (0 if words is None else 2) and (words or "").encode() in done.stderr, (change, done)


main(differences_are_stored_and_gauges_are_as_they_are, each_profile_has_its_type,
     who_fails_is_named_and_does_not_stop_the_others, an_agent_stops_while_a_transfer_runs, wrong_entries_are_named)
