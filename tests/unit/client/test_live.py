# SPDX-License-Identifier: Apache-2.0
"""The client inside real programs: what arrives, and what the programs notice (nothing).

test_live.py LIBRARIES PROGRAMS [NAME...].  A program counts its own CPU time, so that a loaded
machine changes nothing but how long this takes.  Prints "ok NAME" and "not ok NAME".
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
import time
import traceback

sys.path.insert(0, os.path.dirname(__file__))
import agent  # noqa: E402

LIB, BIN = (os.path.abspath(p) for p in sys.argv[1:3])
PRELOAD = os.path.join(LIB, "libhearth-preload.so")
WORKERS = max(2, os.cpu_count() or 2)
PROGRAM = os.path.join(BIN, "client_program")
CALLS = ["none"] + re.findall(r"^(?:LOCK_)?CALL\((\w+),", open(os.path.join(
    os.path.dirname(__file__), "../../../client/calls.def")).read(), re.M)


class Run:
    """A program and everything that its sessions wrote, collected while it runs."""

    def __init__(self, *mode, preload=True, listen=True, program=PROGRAM, beat=None, **env):
        self.dir = tempfile.mkdtemp(prefix="hearth-live-")
        self.path = os.path.join(self.dir, "agent.sock")
        self.agent = agent.Agent(self.path) if listen else None
        self.records = collections.defaultdict(list)
        self.threads = []
        self.beat = beat or (lambda s: s.beat())
        full = dict(os.environ, HEARTH_AGENT="unix:" + self.path, LD_LIBRARY_PATH=LIB, **env)
        if preload:
            full.update(LD_PRELOAD=PRELOAD, HEARTH_ENABLED="1")
        self.process = subprocess.Popen([program, *mode], env=full, stdout=subprocess.PIPE,
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

    def of(self, kind, session=None):
        session = session or self.session()
        return [r for r in self.records[session.runtime_id] if r.kind == kind]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
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


def test_split_70_30():
    with run("split") as r:
        r.wait()
        total = leaves(r)
        share = total["burn_a"] / sum(total.values())
        assert 0.63 < share < 0.77, total
        s = r.session()
        c = s.counters()
        assert c["samples"]["cpu"] == sum(x.samples for x in r.of(agent.CPU)), c
        assert not c["drops"], c
        assert c["ends"]["root"] == sum(c["ends"].values()) and c["claims_open"] == 0, c
        end = [x for x in r.of(agent.THREAD_END) if x.flags & 2]
        assert len(end) == 1
        assert abs(sum(total.values()) / end[0].weight - 1) < 0.1, (total, end[0].weight)
        assert s.text["service"] == "client_program"
        main = [m for m in s.modules() if m["flags"] & 4][0]
        assert main["path"].endswith("client_program") and main["build_id"]


def test_every_thread_is_sampled():
    with run("threads") as r:
        r.wait()
        by_thread = collections.Counter()
        for x in r.of(agent.CPU):
            by_thread[x.tid] += x.weight
        busy = [t for t, w in by_thread.items() if w > 0.3e9]
        assert len(busy) == 4, by_thread
        ends = {x.tid: x.weight for x in r.of(agent.THREAD_END)}
        assert all(0.39e9 < ends[t] < 0.6e9 for t in busy), ends
        names = agent.function_names(r.session(), r.of(agent.CPU))
        stacks = {tuple(names[f] for f in x.frames[-4:]) for x in r.of(agent.CPU) if x.tid in busy}
        assert any(s[-3:] == ("burner", "start_thread", "clone3") or "burner" in s
                   for s in stacks), stacks
        assert not any("preload_thread" in s for s in stacks), stacks


def test_thread_churn_leaks_no_slot_and_no_timer():
    with run("churn") as r:
        r.wait()
        c = r.session().counters()
        assert c["threads_high"] < 16 and not any("no_" in d for d in c["drops"]), c


def test_plain_library_sees_threads_when_the_agent_asks():
    state = dict(rescan=0)

    def beat(s):
        state["rescan"] += 1
        s.beat(rescan=state["rescan"])
    with run("api", "late", preload=False, beat=beat) as r:
        r.wait()
        c = r.session().counters()
        assert c["preloaded"] == 0 and c["threads_high"] == 3, c
        assert leaves(r)["burn_a"] > 0.5e9, leaves(r)
        assert len(r.of(agent.THREAD_END)) == 3


def test_blocked_calls_have_target_duration_and_stack():
    with run("block") as r:
        r.wait()
        blocks = {CALLS[x.call]: x for x in r.of(agent.BLOCK) if x.duration > 0.2e9}
        names = agent.function_names(r.session(), r.of(agent.BLOCK) + r.of(agent.SITE))
        for call, function in [("pthread_mutex_lock", "locker"), ("read", "reader")]:
            x = blocks[call]
            assert 0.28e9 < x.duration, x.duration
            assert function in [names[f] for f in x.frames], x.frames
            assert x.end == "root"
        assert blocks["read"].target_kind == 1 and blocks["read"].target > 2
        sites = {x.site: x for x in r.of(agent.SITE)}
        still = [t for t in r.threads if t["call"] and CALLS[t["call"]] == "read"]
        assert still and any("reader" in [names[f] for f in sites[t["site"]].frames]
                             for t in still), still
        assert not any(t["call"] for t in r.session().threads())


def test_call_left_by_longjmp_is_taken_back():
    with run("jump") as r:
        r.wait()
        last = [t for t in r.threads][-1]
        assert last["call"] == 0, last


def test_children_are_processes_of_their_own():
    with run("forks") as r:
        r.wait()
        ids = {s.runtime_id for s in r.sessions()}
        assert len(ids) == len(r.sessions()) == 4, [s.pid for s in r.sessions()]
        parent = [s for s in r.sessions() if s.pid == r.process.pid][0]
        assert "burn_b" not in leaves(r, parent)
        for s in r.sessions():
            if s is not parent:
                assert leaves(r, s)["burn_b"] > 0.1e9, leaves(r, s)


def test_exec_leaves_nothing_behind():
    with run("execs") as r:
        r.wait()


def test_programs_own_locks_keep_their_meaning():
    with run("robust") as r:
        r.wait()


def test_closed_descriptors_are_not_mistaken_for_ours():
    with run("closeall", listen=False) as r:
        assert r.process.stdout.readline() == "closed\n"
        r.agent = agent.Agent(r.path)
        r.wait()
        assert not r.sessions()


def test_program_that_takes_sigprof():
    with run("sigprof") as r:
        r.wait()


def test_seccomp_filter_silences_the_client():
    with run("sandbox", listen=False) as r:
        r.wait()


def test_agent_restart_is_noticed():
    with run("slow") as r:
        until = time.monotonic() + 20
        while not r.of_any() and time.monotonic() < until:
            r.poll()
        first = r.agent
        assert len(first.sessions) == 1
        taken = len(r.of(agent.CPU))
        first.close()
        r.agent = agent.Agent(r.path)  # knows nothing; the heartbeat grows stale
        second = r.agent.accept(120)
        assert second and second.runtime_id == list(first.sessions)[0]
        assert not second.hello_flags & agent.EXIT  # it came back by itself
        assert taken > 0
        r.process.kill()


def test_stop_waits_for_the_agent():
    def beat(s):
        s.beat(flushed=s.counters()["flush_wanted"])
    with run("api", "flush", preload=False, beat=beat) as r:
        r.wait(out="stop 0\ndone\n")
        assert r.session().hello_flags & agent.FLUSH
        assert "burn_b" not in leaves(r)
    with run("api", "flush", preload=False, listen=False) as r:
        r.wait(out="stop -7\ndone\n")


def test_last_samples_are_offered_at_exit():
    with run("fds") as r:
        while r.process.poll() is None:
            time.sleep(0.01)
        out = r.process.stdout.read()
        r.poll()
        assert sum(leaves(r).values()) > 0.2e9, out


def test_one_descriptor():
    counts = []
    for preload in (False, True):
        with run("fds", preload=preload) as r:
            while r.process.poll() is None:
                r.poll()
            counts.append(int(r.process.stdout.read().split()[1]))
    assert counts[1] - counts[0] == 1, counts


def test_kill_switch_and_rate():
    state = dict(kill=0, interval=20000)

    def beat(s):
        s.beat(kill=state["kill"], interval_us=state["interval"])
    with run("slow", beat=beat) as r:
        while not (r.sessions() and r.session().counters()["interval_us"] == 20000):
            r.poll()
        state["kill"] = 1
        while not r.session().counters()["drops"].get("cpu.killed"):
            r.poll()
        r.poll()
        before = r.session().counters()["samples"]["cpu"]
        while r.session().counters()["drops"]["cpu.killed"] < 2:
            r.poll()
        assert r.session().counters()["samples"]["cpu"] == before
        state["kill"] = 0
        while r.session().counters()["samples"]["cpu"] == before:
            assert r.process.poll() is None
            r.poll()
        r.process.kill()


def test_full_ring_drops_and_counts():
    with run("split", HEARTH_CPU_INTERVAL_US="1000", beat=lambda s: None) as r:
        r.agent.accept(20)
        s = r.session()
        r.poll = lambda: None
        r.wait()
        assert s.counters()["samples"]["cpu"] + s.counters()["drops"].get("cpu.ring_full", 0) > 100
        taken = sum(x.samples for x in s.drain() if x.kind == agent.CPU)
        assert taken == s.counters()["samples"]["cpu"], taken


def test_spans_are_on_their_samples():
    with run("api", "spans", preload=False) as r:
        r.wait()
        by_span = collections.Counter()
        for x in r.of(agent.CPU):
            by_span[x.span] += x.weight
            if x.span:
                assert x.trace == b"0123456789abcdef" and x.root_span == 0x1111
        assert by_span[0x1111] > 0.2e9 and by_span[0x2222] > 0.2e9, by_span
        assert any(t["name"] == "worker of spans" for t in r.threads)


def test_start_and_stop_many_times():
    with run("api", "cycles", preload=False) as r:
        r.wait()
        assert sum(leaves(r).values()) > 0.4e9


def test_program_takes_over_from_the_preload():
    with run("api", "split", HEARTH_SERVICE="ours") as r:
        r.wait()
        s = r.session()
        assert s.counters()["preloaded"] == 1 and s.text["service"] == "ours", s.text
        assert sum(leaves(r).values()) > 1.5e9, leaves(r)


def test_no_call_is_interrupted():
    with run("eintr", HEARTH_CPU_INTERVAL_US="1000") as r:
        r.wait()


def test_walk_leaves_the_alternate_stack():
    with run("altstack") as r:
        r.wait()
        names = agent.function_names(r.session(), r.of(agent.CPU))
        whole = [x for x in r.of(agent.CPU) 
                 if {"burn_b", "altstack", "main"} <= {names[f] for f in x.frames}]
        assert len(whole) > 10 and all(x.end == "root" for x in whole), [
            ([names[f] for f in x.frames], x.end) for x in r.of(agent.CPU)][:3]


def test_small_stacks():
    with run("small", HEARTH_CPU_INTERVAL_US="1000") as r:
        r.wait()
        assert leaves(r)["burn_a"] > 1e9
        assert r.session().counters()["ends"]["bounds"] == 0


def test_libraries_that_come_and_go():
    with run("dlopens", HEARTH_CPU_INTERVAL_US="1000") as r:
        r.wait()
        c = r.session().counters()
        total = sum(c["ends"].values())
        # A library's resolvers run before the loader makes it known: those stacks are cut.
        assert total > 20 and c["ends"]["root"] >= 0.8 * total, c
        assert c["ends"]["bounds"] + c["ends"]["bad_cfi"] + c["ends"]["loop"] == 0, c


def test_limits_of_the_program():
    with run("api", "limits", preload=False) as r:
        r.wait()


def test_disabled_by_environment():
    with run("fds", preload=False, LD_PRELOAD=PRELOAD) as r:
        r.wait(out=None)
        assert not r.sessions()
    with run("api", "fds", preload=False, HEARTH_ENABLED="0") as r:
        r.wait(expect=3, out="")
        assert not r.sessions()


def test_examples():
    for name, out in [("example_simple", "most steps: 556; samples: "), ("example_off", "most steps: 556; samples: 0"),
                      ("example_simple_cc", "1278.329 1278.329"), ("example_spans", "request 9 trace_id=")]:
        with run(program=os.path.join(BIN, name), preload=False, listen=False) as r:
            while r.process.poll() is None:
                time.sleep(0.01)
            text = r.process.stdout.read()
            assert r.process.returncode == 0 and out in text, (name, text)


def outcome(test):
    try:
        test()
        return ""
    except Exception:
        return traceback.format_exc()


def main():
    wanted = sys.argv[3:]
    failed = 0
    Run.of_any = lambda self: any(self.records.values())
    tests = [test for name, test in globals().items()
             if name.startswith("test_") and (not wanted or name in wanted)]
    # Every test has programs and a socket of its own, and none asserts how long something took.
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for test, trace in zip(tests, pool.map(outcome, tests)):
            print("not ok" if trace else "ok", test.__name__, flush=True)
            if trace:
                failed += 1
                print(trace, flush=True)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
