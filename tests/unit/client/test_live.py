# SPDX-License-Identifier: Apache-2.0
"""The client inside real programs: what arrives, and what the programs notice (nothing).

test_live.py LIBRARIES PROGRAMS [NAME...].  A program counts its own CPU time, so that a loaded
machine changes nothing but how long this takes.  Prints "ok NAME" and "not ok NAME".
"""
import collections
import os
import re
import struct
import subprocess
import time
import uuid

import agent
from live import BIN, CALLS, PRELOAD, leaves, main, run


def in_doubt(r):
    """What samples stand for beyond an interval that may have been spent in another function: where
    one follows the other, and where as much time as the shorter piece (0.12 s) passed at once.
    Beside many busy programs the kernel looks at a CPU timer seldom: of twenty intervals there was
    one signal, without us."""
    doubt, last = 0, None
    names = agent.function_names(r.session(), r.of(agent.CPU))
    for record in sorted(r.of(agent.CPU), key=lambda x: x.time_ns):
        here = [names[f] for f in record.frames if names[f].startswith("burn")]
        if here != last or record.weight > 0.12e9 or not here:
            doubt += record.weight - record.weight // record.samples
        last = here
    return doubt


def test_split_70_30():
    with run("split") as r:
        r.wait()
        total = leaves(r)
        whole = sum(total.values())
        assert abs(total["burn_a"] - 0.7 * whole) < 0.07 * whole + in_doubt(r), (
            total, in_doubt(r))
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


def test_naps_are_timed_exactly_at_more_sites_than_are_kept():
    with run("naps", HEARTH_MAX_OVERHEAD_PCT="100") as r:
        r.wait()
        naps = [x.duration for x in r.of(agent.BLOCK) if CALLS[x.call] == "nanosleep"]
        # By the coarse clock, which moves by 4 ms, half of them would have taken 4 ms.
        assert len(naps) > 20 and min(naps) >= 6_000_000, sorted(naps)[:10]


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
    with run("api", "spans", preload=False, HEARTH_ENV="two words") as r:
        r.wait()
        by_span = collections.Counter()
        texts = collections.defaultdict(set)
        for x in r.of(agent.CPU):
            by_span[x.span] += x.weight
            texts[x.span].add(tuple(sorted(x.labels.items())))
            if x.span in (0x1111, 0x2222):
                assert x.trace == b"0123456789abcdef" and x.root_span == 0x1111
            elif x.span:
                assert x.trace == b"ABCDEFGHIJKLMNOP" and x.span == 0x3333, (x.trace, x.span)
        assert by_span[0x1111] > 0.2e9 and by_span[0x2222] > 0.2e9, by_span
        assert by_span[0x3333] > 0.2e9 and by_span[0] > 0.1e9, by_span
        assert texts[0x1111] == {(("trace endpoint", "GET /early"),)}, texts
        assert texts[0x2222] == {(("customer", "acme"), ("task name", "job 7"),
                                  ("trace endpoint", "GET /late"))}, texts
        assert texts[0x3333] == {()}, texts
        inner, outer, child = r.of(agent.SPAN)
        assert (inner.span, inner.parent, inner.root_span) == (0x2222, 0x1111, 0x1111)
        assert (outer.span, outer.parent, outer.root_span) == (0x1111, 0, 0x1111)
        assert (child.span, child.parent, child.trace) == (0x44, 0x3333, b"ABCDEFGHIJKLMNOP")
        assert inner.labels["operation"] == "query" and "endpoint" not in inner.labels
        assert outer.labels["operation"] == "request" and outer.labels["endpoint"] == "GET /late"
        assert outer.start <= inner.start and 0.25e9 < inner.duration < outer.duration
        assert r.session().counters()["spans"] == 3
        assert any(t["name"] == "worker of spans" for t in r.threads)


def test_spans_leave_half_of_a_ring_to_samples():
    with run("api", "storm", preload=False, beat=lambda s: None) as r:
        r.agent.accept(20)
        s = r.session()
        r.poll = lambda: None
        r.wait()
        c = s.counters()
        spans = [x for x in s.drain() if x.kind == agent.SPAN]
        assert c["spans_dropped"] > 0 and c["spans"] + c["spans_dropped"] == 100000, c
        assert len(spans) == c["spans"] and not c["drops"], c


def test_ids_of_spans_are_distinct():
    with run("api", "distinct", preload=False) as r:
        r.wait()


def test_contexts_can_be_switched_off():
    with run("api", "nospans", preload=False, HEARTH_OTEL_CONTEXT_ENABLED="0",
             DD_PROFILING_CODE_HOTSPOTS_COLLECTION_ENABLED="0",
             DD_PROFILING_ENDPOINT_COLLECTION_ENABLED="0") as r:
        r.wait()
        assert len(r.of(agent.CPU)) > 10
        assert not any(x.span or x.labels for x in r.of(agent.CPU))


def varint(raw, at):
    value = shift = 0
    while True:
        value |= (raw[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if raw[at - 1] < 128:
            return value, at


def fields(raw):
    at, out = 0, []
    while at < len(raw):
        tag, at = varint(raw, at)
        assert tag & 7 == 2
        size, at = varint(raw, at)
        out.append((tag >> 3, raw[at:at + size]))
        at += size
    return out


def attribute(raw):
    (_, key), (_, value) = fields(raw)
    (kind, inner), = fields(value)
    return key.decode(), inner.decode() if kind == 1 else [
        text.decode() for _, any_value in fields(inner) for _, text in fields(any_value)]


def otel_context(pid):
    """The process context as OTEP 4719 has it read from outside; None when there is none."""
    maps = open("/proc/%d/maps" % pid).read()
    found = re.findall(r"^(\w+)-.*(?:memfd:|anon_shmem:)OTEL_CTX", maps, re.M)
    assert len(found) <= 1, maps
    if not found:
        return None
    with open("/proc/%d/mem" % pid, "rb", buffering=0) as mem:
        mem.seek(int(found[0], 16))
        signature, version, size, published, payload = struct.unpack("<8sIIQQ", mem.read(32))
        assert signature == b"OTEL_CTX" and version == 2 and published > 0
        mem.seek(payload)
        raw = mem.read(size)
    out = {}
    for number, value in fields(raw):
        for key, text in ([attribute(a) for _, a in fields(value)] if number == 1 else
                          [attribute(value)]):
            assert key not in out, key
            out[key] = text
    return out


def test_process_context_is_published():
    with run("slow", HEARTH_SERVICE="shop", HEARTH_ENV="prod", HEARTH_TAGS="team:core") as r:
        while not r.sessions():
            r.poll()
        runtime_id = str(uuid.UUID(bytes=r.session().runtime_id))
        got = otel_context(r.process.pid)
        assert got == {
            "service.name": "shop", "deployment.environment.name": "prod", "team": "core",
            "service.instance.id": runtime_id, "telemetry.sdk.name": "hearth",
            "telemetry.sdk.version": got["telemetry.sdk.version"],
            "threadlocal.schema_version": "tlsdesc_v1_dev",
            "threadlocal.attribute_key_map": ["datadog.local_root_span_id"]}, got
        r.process.kill()
    with run("slow", HEARTH_OTEL_CONTEXT_ENABLED="0") as r:
        while not r.sessions():
            r.poll()
        assert otel_context(r.process.pid) is None
        r.process.kill()


def test_start_and_stop_many_times():
    with run("api", "cycles", preload=False) as r:
        r.wait()
        assert sum(leaves(r).values()) > 0.4e9


def flushed(s):
    s.beat(flushed=s.counters()["flush_wanted"])


def test_each_service_has_its_own_session():
    with run("api", "services", preload=False, beat=flushed) as r:
        r.wait()
        by_service = collections.defaultdict(list)
        for s in r.sessions():
            by_service[s.text["service"]].append(s)
        assert len({s.runtime_id for s in r.sessions()}) == len(r.sessions())
        total = {}
        for service in ("first", "second"):
            weight = collections.Counter()
            for s in by_service[service]:
                weight.update(leaves(r, s))
            total[service] = weight
            assert weight["burn_b"] > 0.3e9 and weight["burn_a"] > 0.2e9, total
        s = by_service["first"][0]
        assert "spinner" in {t["name"] for t in r.threads}
        # The first session is closed: every thread's clock stands in it, and no sample is missing.
        c = s.counters()
        assert c["state"] == 4, c
        taken = sum(x.samples for x in r.of(agent.CPU, s))
        assert taken == c["samples"]["cpu"] and not c["drops"], (taken, c)
        ends = r.of(agent.THREAD_END, s)
        assert len({x.tid for x in ends}) == 2, [x.tid for x in ends]
        sampled = sum(x.weight for x in r.of(agent.CPU, s))
        owed = sum(x.weight - x.samples for x in ends)
        assert abs(sampled / owed - 1) < 0.15, (sampled, owed)


def test_samples_that_no_agent_saw_are_counted_as_lost():
    with run("api", "unseen", preload=False, listen=False) as r:
        r.wait()


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


main(globals())
