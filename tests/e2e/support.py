# SPDX-License-Identifier: Apache-2.0
"""Starts the real programs for end-to-end tests; a test is a function whose name says what holds.

Waiting is for a state, with a generous limit that only a broken program reaches; nothing asserts a
time.  The build folder comes from HEARTH_BUILD.
"""
import http.client
import json
import math
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.parse

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HEARTH_BUILD", SOURCE / "build/release"))
BIN = BUILD / "bin"
PROGRAMS = BUILD / "tests"
PRELOAD = BUILD / "lib/libhearth-preload.so"
PATIENCE = 60.0


def wait_for(what, condition, patience=PATIENCE):
    """Poll until condition() gives something true, which is returned."""
    limit = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > limit:
            raise AssertionError(f"waited {patience:.0f} s for {what}")
        time.sleep(0.02)


# On a busy machine a short program's cost may pass its limit, and samples become fewer: what is known of their
# errors at the defaults does not hold then.  Tests of such errors go without the limit; test_budget.py has it.
NO_LIMIT = {"HEARTH_MAX_OVERHEAD_PCT": "100"}


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self.path))


class Agent:
    """A hearthd of its own, in a folder of its own."""

    def __init__(self, *options, store=None):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="hearth-e2e."))
        self.directory.chmod(0o755)
        self.run = self.directory / "run"
        self.options = list(options)
        if store:
            self.options += ["--store", store]
        self.process = None
        self.start()

    def start(self):
        self.log = open(self.directory / "log", "ab")
        self.process = subprocess.Popen(
            [BIN / "hearthd", "--run", self.run, "--data", self.directory / "data",
             "--listen", "127.0.0.1:0", *self.options], stderr=self.log)
        wait_for("hearthd to be ready", self.ready)
        return self

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"hearthd ended with {self.process.returncode}:\n{self.logged()}")
        try:
            self.bound = json.loads((self.run / "hearthd.json").read_text())
        except (OSError, ValueError):
            return False
        return self.bound["pid"] == self.process.pid

    def logged(self):
        return (self.directory / "log").read_text(errors="replace")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(timeout=PATIENCE) == 0, self.logged()

    def close(self):
        if self.process.poll() is None:
            self.kill()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            sys.stdout.write("".join("# " + line + "\n" for line in self.logged().splitlines()[-20:]))
        self.close()

    @property
    def tcp(self):
        host, port = self.bound["http"][0].rsplit(":", 1)
        return host, int(port)

    @property
    def token(self):
        return (self.run / "token").read_text().strip()

    def request(self, method, path, /, body=None, headers=None, tcp=False, **parameters):
        if parameters:
            path += "?" + urllib.parse.urlencode(parameters)
        connection = (http.client.HTTPConnection(*self.tcp, timeout=60) if tcp
                      else UnixConnection(self.run / "http.sock"))
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def get(self, path, /, **parameters):
        status, body, headers = self.request("GET", path, **parameters)
        assert status == 200, (path, parameters, status, body[:500])
        return json.loads(body) if "json" in headers["Content-Type"] else body.decode()

    def folded(self, **parameters):
        """{stack: value}, everything shown."""
        text = self.get("/api/v1/flamegraph", format="folded", max_nodes=0, **parameters)
        stacks = {}
        for line in text.splitlines():
            stack, value = line.rsplit(" ", 1)
            stacks[stack] = stacks.get(stack, 0) + int(value)
        return stacks

    def status(self):
        return self.get("/api/v1/status")

    def settled(self):
        """Every process that attached has ended and been stored, and every binary been read."""
        def done():
            status = self.status()
            return (not status["processes"] and status["native"]["attached"] > 0 and
                    status["symbols"]["queued"] == 0 and status)
        return wait_for("the processes' last batches", done)

    def environment(self, **more):
        env = dict(os.environ, HEARTH_AGENT=f"unix:{self.run}/agent.sock", HEARTH_ENABLED="1",
                   LD_PRELOAD=str(PRELOAD))
        env.update(more)
        return env


def run(command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, timeout=300, **options)


def within(measured, share, samples, errors):
    """Whether a measured share lies within `errors` standard errors of the true one."""
    se = math.sqrt(share * (1 - share) / samples)
    return abs(measured - share) <= errors * se


def main(*tests):
    wanted = sys.argv[1:]
    failed = 0
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        try:
            skipped = test()
            print(f"ok {test.__name__}" + (f" # skipped: {skipped}" if skipped else ""), flush=True)
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print(f"not ok {test.__name__}", flush=True)
    sys.exit(1 if failed else 0)
