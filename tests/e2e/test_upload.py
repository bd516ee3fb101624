# SPDX-License-Identifier: Apache-2.0
"""Profiles that other programs made go in, and come out with the same totals."""
import csv
import gzip
import json
import math
import os
import shutil
import struct
import subprocess
import urllib.parse

from support import Agent, SOURCE, main, wait_for
from wire import pprof

CORPUS = os.environ.get("HEARTH_CORPUS", str(SOURCE / "../shared/corpus"))
# What another program calls by its own name and hearth by its one (profile/mapping.def).
MAPPED = {"objects/count": "inuse_objects/count", "space/bytes": "inuse_space/bytes"}


def expected():
    with open(f"{CORPUS}/expected.tsv", newline="") as file:
        for row in csv.reader(file, delimiter="\t"):
            if row and not row[0].startswith("#"):
                totals = [] if row[2].startswith("-") else row[2].split()
                yield row[0], {t.split("=")[0]: int(t.split("=")[1]) for t in totals}


def upload(agent, body, **parameters):
    return agent.request("POST", "/api/v1/profiles", body=body, **parameters)


def types_of(agent, service):
    query = '{service="%s"}' % service
    answer = agent.get("/api/v1/types", query=query, **{"from": "now-24h", "until": "now+1h"})
    return {f'{t["type"]}/{t["unit"]}': t["id"] for t in answer["types"]}


def total(agent, service, type_id):
    return sum(agent.folded(type=type_id, query='{service="%s"}' % service,
                            **{"from": "now-24h", "until": "now+1h"}).values())


def every_file_of_the_corpus_keeps_its_totals():
    if not os.path.exists(f"{CORPUS}/expected.tsv"):
        return "the corpus is not here"
    with Agent() as agent:
        count = 0
        for name, totals in expected():
            with open(f"{CORPUS}/pprof/{name}", "rb") as file:
                status, body, _ = upload(agent, file.read(), service=name)
            assert status == 200, (name, status, body)
            types = types_of(agent, name)
            if not totals:
                assert types, name
            for kind, value in totals.items():
                kind = kind if kind in types else MAPPED.get(kind, kind)
                assert kind in types, (name, kind, types)
                assert total(agent, name, types[kind]) == value, (name, kind, value)
                count += 1
        print(f"# {count} totals agree")


FOLDED = b"main;work;spin 30\nmain;work 10\nmain;idle 5\n"


def folded_compressed_and_plain_are_the_same():
    with Agent() as agent:
        bodies = {"plain": FOLDED, "gzip": gzip.compress(FOLDED)}
        if shutil.which("zstd"):
            bodies["zstd"] = subprocess.run(["zstd", "-c"], input=FOLDED, capture_output=True).stdout
        for name, body in bodies.items():
            status, answer, _ = upload(agent, body, service=name, format="folded")
            assert status == 200, answer
            (type_id,) = types_of(agent, name).values()
            assert total(agent, name, type_id) == 45, name


def a_retry_with_the_same_id_counts_once():
    with Agent() as agent:
        for _ in range(3):
            status, _, _ = upload(agent, FOLDED, service="a", format="folded", id="one")
            assert status == 200
        for _ in range(2):
            status, _, _ = upload(agent, FOLDED, service="b", format="folded")
            assert status == 200
        agent.kill()
        agent.start()
        status, _, _ = upload(agent, FOLDED, service="a", format="folded", id="one")
        assert status == 200
        for service, times in (("a", 1), ("b", 2)):
            (type_id,) = types_of(agent, service).values()
            assert total(agent, service, type_id) == 45 * times, service


def bad_bodies_are_refused_with_a_reason():
    with Agent() as agent:
        for body, status, words in (
                (b"", 415, b"format"),
                (b"\xff\xfe\xfd nothing", 415, b"format"),
                (gzip.compress(b"\0" * (64 << 20)), 413, b"limits.ratio"),
                (b"\x1f\x8b broken", 400, b"gzip")):
            got, answer, _ = upload(agent, body, service="x")
            assert got == status and words in answer, (got, answer, status, words)
        got, answer, _ = upload(agent, b"a;b notanumber\n", service="x", format="folded")
        assert got == 400 and b"line 1" in answer, answer
        assert agent.get("/api/v1/services", **{"from": "now-24h"})["services"] == []


def what_was_answered_is_there_after_a_kill():
    with Agent() as agent:
        for i in range(20):
            assert upload(agent, FOLDED, service="s", format="folded", id=str(i))[0] == 200
        agent.kill()
        agent.start()
        (type_id,) = types_of(agent, "s").values()
        assert total(agent, "s", type_id) == 20 * 45


PERF = b"""# captured on: today
Web Content 12/34 [001] 5123.456789:   10101010 cpu-clock:ppp:
\t          4005d0 work+0x10 (/usr/bin/program)
\t          4005f0 inner (inlined)
\t          4006f0 main (/usr/bin/program)

Web Content 12/35 [001] 5123.466789:   10101010 cpu-clock:ppp:
\t          4005d0 work+0x20 (/usr/bin/program)
\t          4005f0 inner (inlined)
\t          4006f0 main (/usr/bin/program)

swapper 0 cycles:
ffffffff8103d0ca native_write(int, char) ([kernel.kallsyms])

"""


def what_perf_script_prints():
    with Agent() as agent:
        status, body, _ = upload(agent, PERF, service="perf")
        assert status == 200, body
        assert agent.folded(type="cpu") == {"main;inner;work": 20202020}
        assert agent.folded(type="cpu_samples") == {"main;inner;work": 2}
        assert list(agent.folded(type="perf:samples:count:cycles:count")) == ["native_write(int, char)"]
        rows = agent.get("/api/v1/top", type="cpu", by="thread")["rows"]
        assert [(row["name"], row["total"]) for row in rows] == [("Web Content", 20202020)], rows
        assert upload(agent, b"a sample without ids\n", service="x", format="perf_script")[0] == 400


PERF_LINES = b"""           sleep  1234 [001]   123.456789:          1 cycles:P:  ffffffff81061234 native_write_msr+0x4 ([kernel.kallsyms])
              dd  1235 [001]   123.456889:       3333 cycles:P:      7f3a5c0d1e10 _dl_start+0x0 (/usr/lib/ld.so)
"""
PERF_TRACEPOINTS = b"""           sleep  1234 [001]   123.456789: sched:sched_switch: prev_comm=sleep prev_pid=1234 ==> next_comm=dd
              dd  1235 [001]   123.456799: sched:sched_switch: prev_comm=dd prev_pid=1235 ==> next_comm=sleep
"""


def perf_samples_of_a_line_each():
    with Agent() as agent:
        status, body, _ = upload(agent, PERF_LINES, service="lines")
        assert status == 200, body
        assert agent.folded(type="perf:cycles:count:cycles:count") == {"native_write_msr": 1, "_dl_start": 3333}
        status, body, _ = upload(agent, PERF_TRACEPOINTS, service="points")
        assert status == 200 and json.loads(body)["samples"] == 2, body
        (kind,) = json.loads(body)["series"]
        assert kind == "perf:samples:count:sched_sched_switch:count" and agent.folded(type=kind) == {"[no stack]": 2}


def a_folded_line_that_is_wrong_costs_the_others_nothing():
    with Agent() as agent:
        status, body, _ = upload(agent, b"a;b 1\nbad\nc 2\na;;b 1\n", service="s", format="folded")
        said = json.loads(body)
        assert status == 200 and said["rejected"] == 2 and "line 2: no space" in said["why"], body
        assert agent.folded(type="cpu_samples") == {"a;b": 1, "c": 2}
        assert agent.status()["uploads"]["folded"]["rejected"] == 2


def the_perf_scripts_of_the_corpus():
    folder = f"{CORPUS}/perf-script"
    if not os.path.isdir(folder):
        return "the corpus is not here"
    with Agent() as agent:
        for name in sorted(os.listdir(folder)):
            with open(f"{folder}/{name}", "rb") as file:
                text = file.read()
            # A sample is what stands between empty lines, comments aside.
            blocks = [b for b in text.split(b"\n\n") if [line for line in b.splitlines() if line and line[:1] != b"#"]]
            assert upload(agent, text, service=name)[0] == 200, name
            types = types_of(agent, name)
            assert sum(total(agent, name, kind) for kind in types.values()) == len(blocks), (name, types, len(blocks))
    return None


def words(*numbers):
    return struct.pack(f"<{len(numbers)}Q", *numbers)


MAPS = b"00400000-00fcb000 r-xp 00001000 00:00 21306940    /usr/bin/program\n"
# The second address of every stack is where the signal's handler returns to.
LEGACY_CPU = (words(0, 3, 0, 10000, 0) + words(2, 3, 0x401000, 0x900, 0x402001) + words(1, 3, 0x401000, 0x900, 0x402001) +
              words(0, 1, 0) + MAPS)
LEGACY_HEAP = (b"heap profile: 2: 8192 [4: 16384] @ heap_v2/524288\n 1: 4096 [3: 12288] @ 0x401001 0x402001\n"
               b" 1: 4096 [1: 4096] @ 0x402001\n\nMAPPED_LIBRARIES:\n" + MAPS)
LEGACY_CONTENTION = (b"--- contentionz 1 ---\ncycles/second = 2000000000\nsampling period = 100\n 2000 3 @ 0x401001 0x402001\n"
                     b"--- Memory map: ---\n  00400000-00fcb000: /usr/bin/program\n")


def what_gperftools_wrote():
    with Agent() as agent:
        for name, body in (("cpu", LEGACY_CPU), ("heap", LEGACY_HEAP), ("contention", LEGACY_CONTENTION)):
            status, answer, _ = upload(agent, body, service=name)
            assert status == 200, (name, answer)
        cpu = agent.folded(type="cpu")
        assert list(cpu.values()) == [30_000_000] and list(cpu)[0].count(";") == 1, cpu
        scale = 1 / -math.expm1(-4096 / 524288)
        assert total(agent, "heap", "memory:inuse_space:bytes:space:bytes") == 2 * int(4096 * scale)
        assert total(agent, "heap", "memory:alloc_objects:count:space:bytes") == int(3 * scale) + int(scale)
        assert total(agent, "contention", "mutex:delay:nanoseconds:contentions:count") == 100_000
        assert total(agent, "contention", "mutex:contentions:count:contentions:count") == 300
        rows = agent.get("/api/v1/top", type="cpu", by="library")["rows"]
        assert [row["name"] for row in rows] == ["program"], rows
        for cut in range(40, len(LEGACY_CPU) - len(MAPS) - 1, 8):
            assert upload(agent, LEGACY_CPU[:cut], service="cut", format="gperftools")[0] == 400, cut


# As `go tool pprof -raw` adds them up.
LEGACY = {"gperftools-cppbench.contention": (3500, 690508213), "gperftools-cppbench.cpu": (712, 7120000000),
          "gperftools-cppbench.growth": (85, 178257920), "gperftools-cppbench.heap": (41063, 80935293),
          "gperftools-gobench.cpu": (305, 3050000000)}


def the_gperftools_files_of_the_corpus():
    if not os.path.isdir(f"{CORPUS}/legacy"):
        return "the corpus is not here"
    with Agent() as agent:
        for name, totals in LEGACY.items():
            with open(f"{CORPUS}/legacy/{name}", "rb") as file:
                assert upload(agent, file.read(), service=name)[0] == 200, name
            assert sorted(total(agent, name, kind) for kind in types_of(agent, name).values()) == sorted(totals), name
    return None


def what_goes_in_as_pprof_comes_out_as_pprof():
    """Exported by line and uploaded again, every function and line has what it had."""
    folder = f"{CORPUS}/pprof"
    body = (open(f"{folder}/pyroscope-heap.pb.gz", "rb").read() if os.path.isdir(folder) else
            pprof([("cpu", "nanoseconds")], {"main;work": (30,), "main;work;deep": (12,)}, period_type=("cpu", "nanoseconds")))
    span = {"from": "now-24h", "until": "now+1h"}
    with Agent() as agent:
        assert upload(agent, body, service="in")[0] == 200
        for kind in types_of(agent, "in").values():
            def lines(service):
                rows = agent.get("/api/v1/top", type=kind, by="line", limit=0, query='{service="%s"}' % service, **span)["rows"]
                return {(r["name"], r["file"], r["line"]): (r["self"], r["total"]) for r in rows if r["self"] or r["total"]}
            status, out, _ = agent.request("GET", "/api/v1/flamegraph", type=kind, query='{service="in"}', max_nodes=0,
                                           format="pprof", **span)
            assert status == 200 and out[:2] == b"\x1f\x8b", status
            if not lines("in"):
                continue
            assert upload(agent, out, service=f"out {kind}")[0] == 200
            assert lines(f"out {kind}") == lines("in"), kind


if __name__ == "__main__":
    main(what_goes_in_as_pprof_comes_out_as_pprof, what_gperftools_wrote, the_gperftools_files_of_the_corpus, what_perf_script_prints, perf_samples_of_a_line_each, a_folded_line_that_is_wrong_costs_the_others_nothing, the_perf_scripts_of_the_corpus, every_file_of_the_corpus_keeps_its_totals, folded_compressed_and_plain_are_the_same,
         a_retry_with_the_same_id_counts_once, bad_bodies_are_refused_with_a_reason,
         what_was_answered_is_there_after_a_kill)
