# SPDX-License-Identifier: Apache-2.0
"""Beginnings and ends: forks, execs, every way to end, and agents that are not there.

test_lifecycle.py LIBRARIES PROGRAMS [NAME...].  Prints "ok NAME" and "not ok NAME"; figures stand in lines
that begin with "#" and decide nothing.
"""
import collections
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import agent
from live import LIB, PRELOAD, PROGRAM, leaves, main, run

ENDS = {"return": 0, "exit": 0, "quick_exit": 0, "_exit": 0, "abort": -signal.SIGABRT,
        "SIGTERM": -signal.SIGTERM, "SIGKILL": -signal.SIGKILL, "SIGSEGV": -signal.SIGSEGV}


def end(r):
    """Wait without draining, so that everything stays in the ring until the program is gone."""
    while r.process.poll() is None:
        time.sleep(0.01)
    return r.process.returncode


def test_nothing_in_the_ring_is_lost_however_a_program_ends():
    for how, status in ENDS.items():
        with run("ends", how) as r:
            s = r.agent.accept(30)
            s.beat()
            r.process.stdin.close()  # it waits for that, attached
            assert end(r) == status, (how, r.process.returncode)
            c = s.counters()
            records = s.drain()
            taken = sum(x.samples for x in records if x.kind == agent.CPU)
            assert taken == c["samples"]["cpu"] > 20 and not c["drops"], (how, taken, c)
            assert c["claims_open"] == 0, (how, c)
            last = [x for x in records if x.kind == agent.THREAD_END and x.flags & 2]
            assert len(last) == (how in ("return", "exit", "quick_exit")), (how, last)


def test_ends_in_good_order_offer_what_no_agent_saw():
    for how in ("return", "exit", "quick_exit"):
        with run("ends", how, preload=False, mode_api=True) as r:
            r.process.stdin.close()
            assert end(r) == 0
            r.poll()  # the message waited in the socket's queue
            assert r.session().hello_flags & agent.EXIT, how
            assert sum(leaves(r).values()) > 0.15e9, how
        with run("ends", how, preload=False, mode_api=True, HEARTH_STOP_ON_EXIT="0") as r:
            r.process.stdin.close()
            assert end(r) == 0
            r.poll()
            assert not any(s.hello_flags & agent.EXIT for s in r.sessions()), how


# ---- forks, by system calls ----

def traced(mode, preload, **env):
    """[system calls by process between the program's two marks]: the parent's, and the children's until
    they exec or end."""
    folder = tempfile.mkdtemp(prefix="hearth-strace-")
    try:
        full = dict(os.environ, HEARTH_AGENT="unix:/nonexistent/agent", HEARTH_CPU_INTERVAL_US="1000000",
                    LD_LIBRARY_PATH=LIB, **env)
        words = ["strace", "-ff", "-qq", "-o", os.path.join(folder, "t")]
        if preload:
            words += ["-E", "LD_PRELOAD=" + PRELOAD, "-E", "HEARTH_ENABLED=1"]
        done = subprocess.run([*words, PROGRAM, mode], env=full, capture_output=True, text=True)
        assert done.returncode == 0, done
        parent, children = None, []
        for name in sorted(os.listdir(folder)):
            lines = open(os.path.join(folder, name)).read().splitlines()
            calls = [m.group(1) for m in (re.match(r"(\w+)\(", line) for line in lines) if m]
            marks = [i for i, line in enumerate(lines) if line.startswith('write(1, "mark')]
            if marks:
                inside = lines[marks[0] + 1:marks[1]]
                parent = [m.group(1) for m in (re.match(r"(\w+)\(", l) for l in inside) if m]
            elif calls:
                until = next((i for i, c in enumerate(calls) if c in ("execve", "exit_group")),
                             len(calls))
                children.append(calls[:until])
        assert parent is not None and children
        return parent, children
    finally:
        shutil.rmtree(folder)


def extra(mode, **env):
    """What the preload adds: (in the parent, in each child)."""
    plain_parent, plain = traced(mode, False)
    parent, children = traced(mode, True, **env)
    waits = {"wait4", "waitid"}  # restarted now and then
    count = lambda calls: collections.Counter(c for c in calls if c not in waits)
    assert len(children) == len(plain)
    return count(parent) - count(plain_parent), [count(a) - count(plain[0]) for a in children]


def test_a_fork_costs_the_parent_nothing():
    parent, children = extra("forkexec")
    assert not parent, parent
    # What a child computes would never be seen without a timer that wakes it: two calls, of 1 us.
    assert all(c == {"timer_create": 1, "timer_settime": 1} for c in children), children
    parent, children = extra("forkexec", HEARTH_PROFILE_CHILDREN="0")
    assert not parent and not any(children), (parent, children)


def test_vfork_spawn_and_system_cost_nothing_at_all():
    for mode in ("vforks", "spawns"):
        parent, children = extra(mode)
        assert not parent and not any(children), (mode, parent, children)


def test_children_are_off_when_not_wanted():
    with run("forks", HEARTH_PROFILE_CHILDREN="0") as r:
        r.wait()
        assert {s.pid for s in r.sessions()} == {r.process.pid}


def test_a_child_starts_a_profiler_of_its_own():
    with run("forkstart", preload=False, mode_api=True,
             beat=lambda s: s.beat(flushed=s.counters()["flush_wanted"])) as r:
        r.wait()
        services = {s.text["service"]: s for s in r.sessions()}
        assert set(services) == {"client_program", "first", "second"}, services
        assert len({s.pid for s in services.values()}) == len(r.sessions()) == 3
        for name in ("first", "second"):
            total = leaves(r, services[name])
            assert total["burn_b"] > 0.2e9 and total["burn_a"] == 0, (name, total)
        assert leaves(r, services["client_program"])["burn_b"] == 0


def test_a_child_that_only_waits_changes_nothing():
    with run("idlechild") as r:
        r.wait()


# ---- agents that are no help ----

class Absent:
    path = "/nonexistent/agent.sock"

    def close(self):
        pass


class Listens:
    """Takes connections, as the kernel does for it, and never reads: hung or stopped."""

    def __init__(self, backlog=64, closed=False):
        self.folder = tempfile.mkdtemp(prefix="hearth-agent-")
        self.path = os.path.join(self.folder, "agent.sock")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(self.path)
        self.socket.listen(backlog)
        if closed:
            self.socket.close()  # refuses: the file is there and nobody behind it

    def close(self):
        self.socket.close()
        shutil.rmtree(self.folder)


class Slams(Listens):
    """Takes each connection and closes it at once."""

    def __init__(self):
        super().__init__()
        self.child = os.fork()
        if self.child == 0:
            while True:
                self.socket.accept()[0].close()

    def close(self):
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        super().close()


AGENTS = {"absent": Absent, "refuses": lambda: Listens(closed=True), "never reads": Listens,
          "queue is full": lambda: Listens(backlog=0), "slams the door": Slams}


def test_agents_that_are_no_help_change_nothing():
    for name, make in AGENTS.items():
        bad = make()
        try:
            env = dict(os.environ, LD_LIBRARY_PATH=LIB, HEARTH_AGENT="unix:" + bad.path,
                       HEARTH_STOP_TIMEOUT_MS="50")
            done = subprocess.run([PROGRAM, "timed"], env=env, capture_output=True, text=True)
            ended = time.monotonic_ns()
            assert done.returncode == 0 and not done.stderr, (name, done)
            start, stop, flush, code, left = map(int, done.stdout.split())
            assert code == -7, (name, code)  # HEARTH_E_TIMEOUT: not everything is stored
            print(f"# {name}: start {start / 1e3:.0f} us, stop {stop / 1e3:.0f} us, flush "
                  f"{flush / 1e6:.1f} ms of 50, exit at most {(ended - left) / 1e6:.1f} ms", flush=True)
        finally:
            bad.close()


main(globals())
