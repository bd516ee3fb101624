# SPDX-License-Identifier: Apache-2.0
"""What the tests of the client in real programs share: a program under a fake agent, and the runner.

The command line is LIBRARIES PROGRAMS [NAME...].
"""
import collections
import concurrent.futures
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

import agent

LIB, BIN = (os.path.abspath(p) for p in sys.argv[1:3])
PRELOAD = os.path.join(LIB, "libhearth-preload.so")
WORKERS = max(2, os.cpu_count() or 2)
PROGRAM = os.path.join(BIN, "client_program")
CALLS = ["none"] + re.findall(r"^(?:LOCK_)?CALL\((\w+),", open(os.path.join(
    os.path.dirname(__file__), "../../../client/calls.def")).read(), re.M)


class Run:
    """A program and everything that its sessions wrote, collected while it runs."""

    def __init__(self, *mode, preload=True, listen=True, program=PROGRAM, beat=None,
                 mode_api=False, **env):
        mode = ["api", *mode] if mode_api else mode
        self.dir = tempfile.mkdtemp(prefix="hearth-live-")
        self.path = os.path.join(self.dir, "agent.sock")
        self.agent = agent.Agent(self.path) if listen else None
        self.records = collections.defaultdict(list)
        self.threads = []
        self.beat = beat or (lambda s: s.beat())
        full = dict(os.environ, HEARTH_AGENT="unix:" + self.path, LD_LIBRARY_PATH=LIB, **env)
        if preload:
            full.update(LD_PRELOAD=PRELOAD, HEARTH_ENABLED="1")
        self.process = subprocess.Popen([program, *mode], env=full, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)

    def poll(self):
        while self.agent and self.agent.accept(0.02):
            pass
        for session in self.sessions():
            self.beat(session)
            self.threads.extend(session.threads())
            self.records[session.runtime_id] += session.drain()

    def sessions(self):
        return list(self.agent.sessions.values()) if self.agent else []

    def wait(self, expect=0, out="done\n"):
        while self.process.poll() is None:
            self.poll()
        self.poll()
        text = self.process.stdout.read()
        assert self.process.returncode == expect, (self.process.returncode, text)
        assert out is None or text == out, text
        return self

    def session(self):
        assert len(self.sessions()) == 1, self.sessions()
        return self.sessions()[0]

    def of_any(self):
        return any(self.records.values())

    def of(self, kind, session=None):
        session = session or self.session()
        return [r for r in self.records[session.runtime_id] if r.kind == kind]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        if self.agent:
            self.agent.socket.close()
            for s in self.sessions():
                for fd in [s.fd, s.proc, *s.files.values()]:
                    os.close(fd)
        shutil.rmtree(self.dir)


def run(*mode, **options):
    return contextlib.closing(Run(*mode, **options))


def leaves(r, session=None):
    session = session or r.session()
    names = agent.function_names(session, r.of(agent.CPU, session))
    total = collections.Counter()
    for record in r.of(agent.CPU, session):
        stack = [names[f] for f in record.frames]
        total[next((n for n in stack if n.startswith("burn")), stack[0])] += record.weight
    return total


def outcome(test):
    try:
        test()
        return ""
    except Exception:
        return traceback.format_exc()


def main(names):
    """Run the functions test_* of a module's globals(), and end with what came of it."""
    wanted = sys.argv[3:]
    failed = 0
    tests = [test for name, test in names.items()
             if name.startswith("test_") and (not wanted or name in wanted)]
    # Every test has programs and a socket of its own, and none asserts how long something took.
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for test, trace in zip(tests, pool.map(outcome, tests)):
            print("not ok" if trace else "ok", test.__name__, flush=True)
            if trace:
                failed += 1
                print(trace, flush=True)
    sys.exit(failed != 0)
