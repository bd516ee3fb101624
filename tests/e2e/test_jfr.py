# SPDX-License-Identifier: Apache-2.0
"""Java Flight Recorder files through every way in: known sums in both encodings, contexts, times, and hostile ones."""
import gzip
import json
import pathlib
import shutil
import subprocess
import time

from jfr import CLASSES, COLD, DATADOG, EXPECTED, HEAD, HOT, PRIMITIVES, Recording, datadog, known
from support import Agent, main
from wire import message, multipart, number

SPAN = {"from": "now-2h", "until": "now+1h"}
RSS_MAX_KB = 1 << 20  # a sanitizer's own memory included


def shown(agent, service, kind, **span):
    return agent.folded(type=kind, query='{service="%s"}' % service, **(span or SPAN))


def rows(agent, service, kind, by):
    top = agent.get("/api/v1/top", type=kind, by=by, query='{service="%s"}' % service, **SPAN)
    return {row["name"]: row["self"] for row in top["rows"]}


def upload(agent, body, service="s", **headers):
    return agent.request("POST", "/api/v1/profiles", body=body, headers=headers, service=service)


def right(agent, service, expected=EXPECTED):
    for kind, stacks in expected.items():
        assert shown(agent, service, kind) == stacks, (service, kind, shown(agent, service, kind))


def compressed(tool, body):
    if not shutil.which(tool):
        return body
    return subprocess.run([tool, "-c"], input=body, stdout=subprocess.PIPE, check=True).stdout


def intake(agent, body, service):
    event = {"version": "4", "family": "java", "tags_profiler": f"service:{service}",
             "start": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60)),
             "end": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    kind, form = multipart([("main", "main.jfr", body), ("event", "event.json", json.dumps(event).encode())])
    return agent.request("POST", "/profiling/v1/input", body=form, headers={"Content-Type": kind}, tcp=True)


def the_same_sums_whichever_way_it_comes():
    with Agent() as agent:
        for plain in (False, True):
            name, body = "plain" if plain else "packed", known(not plain).bytes()
            for way, status in (("sniffed", upload(agent, body, name + "sniffed")),
                                ("gzip", upload(agent, gzip.compress(body), name + "gzip")),
                                ("ingest", agent.request("POST", "/ingest", body=body, tcp=True, format="jfr", name=name + "ingest")),
                                ("datadog", intake(agent, body, name + "datadog")),
                                ("lz4", intake(agent, compressed("lz4", body), name + "lz4")),
                                ("zstd", intake(agent, compressed("zstd", body), name + "zstd"))):
                assert status[0] == 200, (way, status)
                right(agent, name + way)


def what_datadog_s_profiler_says():
    with Agent() as agent:
        for service, body in (("a", datadog().bytes()), ("b", datadog(False).bytes()),
                              # As its tracer sends it: the JDK's recording, then its own.
                              ("c", Recording().event("jdk.ObjectAllocationSample", 1, 0, 0, 0, 9999).bytes() + datadog().bytes())):
            status, answer, _ = upload(agent, body, service)
            assert status == 200, answer
            assert json.loads(answer)["cut"]["stacks"] == 1, answer
            right(agent, service, DATADOG)
            assert sum(rows(agent, service, "queue:delay:nanoseconds:contentions:count", "task").values()) == 700
            assert "app.Task$$Lambda$14" in rows(agent, service, "queue:delay:nanoseconds:contentions:count", "task")
            assert rows(agent, service, "cpu", "trace endpoint")["GET /shop"] == 22_000_000
            assert rows(agent, service, "cpu", "local root span id")["9"] == 22_000_000
            assert rows(agent, service, "cpu", "_dd.trace.operation")["servlet.request"] == 22_000_000
            top = agent.get("/api/v1/top", type="cpu", query='{service="%s"}' % service, limit=0, **SPAN)["rows"]
            assert {row["name"]: row["library"] for row in top}["start_thread"] == "libc.so.6", top


def async_profiler_s_settings():
    def recording(event, **settings):
        r = Recording()
        main_thread, hot = r.thread("main", 71), r.stack("app/Known.hot:7")
        asleep = r.constant("jdk.types.ThreadState", ("STATE_SLEEPING",))
        r.event("jdk.ActiveSetting", 1, 99999, "event", event)
        for name, value in settings.items():
            r.event("jdk.ActiveSetting", 1, r.ids["jdk.ExecutionSample"], name, value)
        r.event("jdk.ExecutionSample", 1, main_thread, hot, 0, 0)
        r.event("jdk.ExecutionSample", 1, main_thread, hot, asleep, 0)
        r.event("profiler.WallClockSample", 1, main_thread, hot, 5) if event == "cpu" else None
        r.event("profiler.LiveObject", 1, main_thread, hot, r.java_class("[B"), 128)
        return r.bytes()

    with Agent() as agent:
        for i, (event, settings, expected) in enumerate((
                ("cpu", {"interval": "0", "wall": "20000000"}, {"cpu": 10_000_000, "wall": 100_000_000, "inuse_space": 128}),
                ("cpu", {"interval": "1000000", "wall": "-1"}, {"cpu": 1_000_000, "wall_samples": 5}),
                ("wall", {"interval": "5000000"}, {"cpu": 0, "wall": 10_000_000, "wall_samples": 2}),
                ("cache-misses", {"interval": "1000"}, {"cpu": 0, "cache-misses:samples:count:cache-misses:count": 1}))):
            assert upload(agent, recording(event, **settings), f"s{i}")[0] == 200
            for kind, value in expected.items():
                assert sum(shown(agent, f"s{i}", kind).values()) == value, (event, kind, shown(agent, f"s{i}", kind))


def contexts_are_labels_of_records():
    snapshot = (message(1, number(1, 1), message(2, message(1, number(1, 10), number(2, 11)))) +
                message(2, number(1, 10), message(2, "region")) + message(2, number(1, 11), message(2, "eu")))
    with Agent() as agent:
        for i, labels in enumerate((snapshot, gzip.compress(snapshot))):
            for order in (1, -1):
                name = f"app{i}{order}"
                kind, form = multipart([("jfr", "jfr", gzip.compress(known().bytes())), ("labels", "labels", labels)][::order])
                status, answer, _ = agent.request("POST", "/ingest", body=form, headers={"Content-Type": kind}, tcp=True,
                                                  format="jfr", name=name)
                assert (status, answer) == (200, b""), (status, answer)
                right(agent, name)
                assert rows(agent, name, "cpu", "region")["eu"] == 20_000_000
        assert rows(agent, "app01", "cpu", "thread") == {"main": 40_000_000, "worker": 10_000_000}
        assert rows(agent, "app01", "lock_delay", "lock name") == {"app.Lock": 300}
        assert rows(agent, "app01", "block_delay", "target") == {"app.Lock": 90}
        assert rows(agent, "app01", "exceptions", "exception type") == {"java.lang.IllegalStateException": 1}
        assert rows(agent, "app01", "alloc_space", "class") == {"[B": 6000}
        kind, form = multipart([("jfr", "jfr", known().bytes()), ("labels", "labels", b"\x0a\x05abc")])
        status, answer, _ = agent.request("POST", "/ingest", body=form, headers={"Content-Type": kind}, format="jfr", name="bad")
        assert status == 400 and b"labels" in answer, (status, answer)


def what_has_more_labels_than_are_kept_says_how_many_were_cut():
    attributes = [(f"a{i}", "profiler.types.AttributeValue", "k") for i in range(20)]
    r = Recording(**{"datadog.ExecutionSample": HEAD + [("weight", "long", ""), ("spanId", "long", ""),
                                                                ("localRootSpanId", "long", "")] + attributes})
    keys = [r.constant("profiler.types.AttributeValue", (f"v{i}",)) for i in range(20)]
    r.event("datadog.ExecutionSample", 1, r.thread("main", 1), r.stack("app/Known.hot"), 2, 0, 0, *keys)
    none = r.constant("profiler.types.AttributeValue", (None,))  # is no label, and takes no place
    r.event("datadog.ExecutionSample", 1, r.thread("main", 1), r.stack("app/Known.cold"), 2, 0, 0, *[none] * 19, keys[19])
    pairs = b"".join(message(1, number(1, i), number(2, 100 + i)) for i in range(1, 19))
    snapshot = message(1, number(1, 1), message(2, pairs)) + b"".join(
        message(2, number(1, i), message(2, f"l{i}")) for i in [*range(1, 19), *range(101, 119)])
    with Agent() as agent:
        status, answer, _ = upload(agent, r.bytes())
        assert status == 200 and json.loads(answer)["cut"]["labels"] == 4, answer
        assert rows(agent, "s", "cpu", "a15")["v15"] == rows(agent, "s", "cpu", "a19")["v19"] > 0
        one = Recording()
        one.event("jdk.ExecutionSample", 1, one.thread("main", 1), one.stack("app/Known.hot"), 0, 1)
        kind, form = multipart([("jfr", "jfr", one.bytes()), ("labels", "labels", snapshot)])
        status, answer, _ = agent.request("POST", "/ingest", body=form, headers={"Content-Type": kind}, format="jfr", name="p")
        assert (status, answer) == (200, b""), (status, answer)
        assert set(rows(agent, "p", "cpu", "l16")) == {"l116"}
        assert agent.status()["limits"]["cut"]["labels"] == 4 + 2, agent.status()["limits"]


def records_stand_at_their_own_time():
    now = time.time_ns()
    start = (now - 3600 * 10**9) // 10**10 * 10**10  # a window begins here
    r = Recording(True, start)
    hot, cold = r.stack("a.hot"), r.stack("a.cold")
    r.event("jdk.ExecutionSample", 10**9, 0, hot, 0, 0).event("jdk.ExecutionSample", 1201 * 10**9, 0, cold, 0, 0)
    r.event("jdk.ExecutionSample", -10**18, 0, hot, 0, 0)  # nonsense: the upload's midpoint
    with Agent() as agent:
        status, answer, _ = upload(agent, r.bytes(duration_ns=1800 * 10**9))
        assert status == 200 and not json.loads(answer)["clamped"], answer
        for at, stacks in ((0, {"a.hot": 1}), (1200, {"a.cold": 1}), (900, {"a.hot": 1}), (300, {})):
            span = {"from": start + at * 10**9, "until": start + (at + 10) * 10**9}
            assert shown(agent, "s", "cpu_samples", **span) == stacks, (at, shown(agent, "s", "cpu_samples", **span))
        assert shown(agent, "s", "cpu") == {"a.hot": 40_000_000, "a.cold": 20_000_000}


def text_in_every_encoding():
    with Agent() as agent:
        for compact in (True, False):
            r = Recording(compact)
            r.constant("java.lang.String", (3, b"pooled"), 40)
            r.constant("java.lang.String", (2, 41), 41)  # a circle
            names = {"latin\u00e9": (5, "latin\u00e9".encode("latin-1")), "\u6f22\U0001f600\ufffd": (4, [0x6f22, 0xd83d, 0xde00, 0xd800]),
                     "pooled": (2, 40), "[unknown]": (2, 41), "utf\u00e9": "utf\u00e9"}
            for text in names.values():
                method = r.constant("jdk.types.Method", (0, r.constant("jdk.types.Symbol", (text,))))
                r.event("jdk.ExecutionSample", 1, 0, r.constant("jdk.types.StackTrace", (False, [(method, 3)])), 0, 0)
            assert upload(agent, r.bytes(), f"s{compact}")[0] == 200
            assert shown(agent, f"s{compact}", "cpu_samples") == {name: 1 for name in names}


def constants_may_be_circles_and_of_equal_ones_the_last_counts():
    r = Recording()
    a, b = r.symbol("a/A"), r.symbol("b/B")
    for key, name in ((1, a), (2, b)):  # class 1 -> loader 1 -> class 2 -> loader 2 -> class 1
        r.constant("java.lang.Class", (key, name), key)
        r.constant("jdk.types.ClassLoader", (3 - key, 0), key)
    method = r.constant("jdk.types.Method", (2, r.symbol("run")))
    stack = r.constant("jdk.types.StackTrace", (False, [(method, 1), (999, 0)]))
    r.event("jdk.ExecutionSample", 1, 777, stack, 888, 0).event("jdk.ExecutionSample", 1, 0, 12345, 0, 0)
    pools = dict(r.pools)
    old = {"jdk.types.Method": [(method, r.value("jdk.types.Method", (1, a)))]}
    chain = r.checkpoint(-7, old) + r.checkpoint(0x7fffffffffff, {}) + r.checkpoint(0, pools) + r.checkpoint(-1, {})
    with Agent() as agent:
        assert upload(agent, r.bytes(chain))[0] == 200
        assert {k: v for k, v in shown(agent, "s", "cpu_samples").items() if k} .get("[unknown];b.B.run") == 1
        assert upload(agent, r.bytes() + known().bytes() + known(False).bytes(), "three")[0] == 200
        assert shown(agent, "three", "lock_delay") == {COLD: 600}
        assert shown(agent, "three", "cpu")[HOT] == 80_000_000


def rss_kb(agent):
    text = pathlib.Path(f"/proc/{agent.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))


def cut_short_anywhere_it_is_refused():
    with Agent() as agent:
        for body in (known().bytes(), known(False).bytes()):
            for length in (*range(4, len(body), 50), len(body) - 1):
                status, answer, _ = upload(agent, body[:length])
                assert status == 400 and b"jfr" in answer, (length, status, answer)
                assert agent.request("POST", "/ingest", body=body[:length], format="jfr", name="s")[0] == 400
            whole = body + body[:60]
            assert upload(agent, whole)[0] == 400
        assert shown(agent, "s", "cpu") == {}
        right(agent, "s", {}) if upload(agent, known().bytes())[0] == 200 else None
        assert shown(agent, "s", "cpu")[HOT] == 40_000_000


def nested(depth):
    """Metadata whose elements stand in each other."""
    r = Recording()
    strings = r.integer(1) + r.text("x")
    tree = (r.integer(0) + r.integer(0) + r.integer(1)) * depth + r.integer(0) * 3
    metadata = r.framed(0, r.integer(1) * 3 + strings + tree)
    head = bytearray(known().bytes()[:68])
    head[8:16] = (68 + len(metadata)).to_bytes(8, "big")
    head[24:32] = (68).to_bytes(8, "big")
    return bytes(head) + metadata


def hostile(**classes):
    """A constant of a class that is one of these, of all bytes that there are."""
    r = Recording(True, **classes)
    name = next(iter(classes))
    r.pools[name] = [(1, b"\xff" * 3 + b"\x07" + b"\0" * 1000)]
    return r.bytes()


def bombs_cost_little():
    body, twice = Recording().bytes(), Recording()
    twice.ids["jdk.types.Method"] = twice.ids["jdk.types.Symbol"]
    wide = {f"W{i}": [(f"f{k}", f"W{i + 1}", "") for k in range(40)] for i in range(12)} | {"W12": []}
    cases = [
        ("metadata nested", nested(100_000), 400, b"metadata"),
        ("a class inside itself", hostile(Loop=[("self", "Loop", "")]), 400, b"not as their class"),
        ("arrays of itself", hostile(Loop=[("self", "Loop", "a")]), 400, b"not as their class"),
        ("2^28 of nothing", hostile(Of=[("nothing", "Nothing", "a")], Nothing=[]), 400, b"not as their class"),
        ("40^12 of nothing", hostile(**wide), 400, b"not as their class"),
        ("another version", b"FLR\0\0\1\0\0" + body[8:], 400, b"version"),
        ("no clock", body[:56] + b"\0" * 8 + body[64:], 400, b"ticks"),
        ("a class twice", twice.bytes(), 400, b"described twice"),
        ("metadata outside", body[:24] + b"\xff" * 8 + body[32:], 400, b"metadata"),
        ("a size of 2^63", body[:8] + b"\x80" + body[9:], 400, b"chunk"),
    ]
    with Agent() as agent:
        for what, bomb, wanted, why in cases:
            began = time.process_time()
            status, answer, _ = upload(agent, bomb)
            assert status in (wanted, 415, 422) and why in answer, (what, status, answer)
            assert time.process_time() - began < 30, what
        # Constants of two bytes take sixteen here: above the limit, which is named.
        r = Recording()
        r.constant("jdk.types.ThreadState", ("x",))
        pool = r.integer(r.ids["jdk.types.ThreadState"]) + r.integer(12_000_000, 4) + b"\5\0" * 12_000_000
        body = r.bytes(r.framed(1, r.integer(1) * 3 + b"\0" + r.integer(1) + pool))
        status, answer, _ = upload(agent, body)
        assert status == 413 and b"half of limits.decompressed_bytes" in answer, (status, answer)
        status, answer, _ = upload(agent, gzip.compress(body))
        assert status == 413 and b"limits.ratio" in answer, (status, answer)
        # Short events that all lead to one long text.
        r = Recording()
        asleep = r.constant("jdk.types.ThreadState", ("STATE" + "_" * 60_000,))
        for _ in range(50_000):
            r.event("jdk.ExecutionSample", 1, 0, 0, asleep, 0)
        status, answer, _ = upload(agent, r.bytes())
        assert status == 413 and b"look at more than 64 times" in answer, (status, answer)
        assert agent.request("GET", "/healthz", tcp=True)[0] == 200
        assert upload(agent, known().bytes())[0] == 200
        right(agent, "s")
        print(f"# peak resident memory: {rss_kb(agent)} kB")
        assert rss_kb(agent) < RSS_MAX_KB, rss_kb(agent)


assert set(PRIMITIVES).isdisjoint(CLASSES)
main(the_same_sums_whichever_way_it_comes, what_datadog_s_profiler_says, async_profiler_s_settings,
     contexts_are_labels_of_records, what_has_more_labels_than_are_kept_says_how_many_were_cut,
     records_stand_at_their_own_time, text_in_every_encoding,
     constants_may_be_circles_and_of_equal_ones_the_last_counts, cut_short_anywhere_it_is_refused, bombs_cost_little)
