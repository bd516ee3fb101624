#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every fuzz target for HEARTH_FUZZ_SECONDS (1800) under ASan and UBSan, one at a time, and then the
branches of its decoder that the corpus reaches.

A target ends when it has had that much of a core (its own CPU time) and the last quarter of it
brought no new edge, or none in the files that it answers for, which is said: a request's target goes
on finding edges of the bodies in it, which have targets of their own.  Else it ends after
HEARTH_FUZZ_LONGEST times as long (4), which is said, too.  More than
RSS_LIMIT_MB is a finding, as are a crash, a leak and an input that takes HEARTH_FUZZ_TIMEOUT (25)
seconds by the wall: more where the run is stopped at times for something else to be measured.
HEARTH_FUZZ_TARGETS names some of them; HEARTH_FUZZ_KEEP=1 adds the inputs that reach new edges to
tests/fuzz/corpus.  A dictionary is tests/fuzz/dict/NAME.
"""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SECONDS = float(os.environ.get("HEARTH_FUZZ_SECONDS", "1800"))
LONGEST = float(os.environ.get("HEARTH_FUZZ_LONGEST", "4"))
TIMEOUT = int(os.environ.get("HEARTH_FUZZ_TIMEOUT", "25"))
TICKS = os.sysconf("SC_CLK_TCK")
KEEP = os.environ.get("HEARTH_FUZZ_KEEP") == "1"
KEEP_BYTES = 40 << 10  # of one target in one run
RSS_LIMIT_MB = 256  # what the whole agent stays under
BRANCHES = 85.0
BUILD = os.path.join(ROOT, "build", "fuzz-cov")
WORK = os.path.join(ROOT, "build", "proof", "fuzz")
CLANG = "14"
SETTLED = {"all": "", "own": "  finding in other files alone", "": "  still finding"}
STEP = 60  # seconds of a core between two looks at what was found

# Which files' branches a target answers for: the decoder, not what several of them share.
FILES = {
    "auth": "server/auth.c",
    "cfi": "client/cfi.c client/expression.c client/rule.c client/unwind.c",
    "config": "server/config.c server/config_scrape.c",
    "datadog": "ingest/datadog.c ingest/tags.c",
    "decompress": "wire/decompress.c",
    "elf": "symbol/reader.c symbol/elf_read.c symbol/dwarf_read.c",
    "filter": "query/filter.c query/tags.c",
    "folded": "ingest/folded.c",
    "gperftools": "ingest/gperftools.c ingest/gperftools_cpu.c ingest/gperftools_text.c",
    "grpc": "server/grpc.c",
    "head": "server/head.c",
    "jfr": "wire/jfr.c wire/jfr_metadata.c wire/jfr_value.c ingest/jfr.c ingest/jfr_events.c "
           "ingest/jfr_labels.c ingest/jfr_names.c ingest/jfr_records.c",
    "lines": "ingest/lines.c",
    "multipart": "wire/multipart.c",
    "native": "ingest/native.c ingest/native_cpu.c ingest/native_wall.c ingest/native_alloc.c "
              "ingest/native_lock.c ingest/native_exception.c ingest/native_name.c "
              "ingest/native_process.c",
    "native_heap": "ingest/native_heap.c",
    "otlp": "wire/otlp.c ingest/otlp.c ingest/otlp_column.c ingest/otlp_samples.c "
            "ingest/otlp_stacks.c ingest/otlp_json.c wire/transcode.c",
    "parca": "ingest/parca.c",
    "perf_script": "ingest/perf_script.c",
    "pprof": "wire/pprof.c wire/pprof_read.c wire/pprof_samples.c ingest/pprof.c",
    "proc": "ingest/cgroup.c ingest/native_jit.c",
    "push": "ingest/push.c",
    "pyroscope": "ingest/pyroscope.c",
    "querier": "wire/querier.c wire/protojson.c",
    "selector": "query/selector.c base/time_parse.c",
    "settings": "client/config.c",
    "speedscope": "ingest/speedscope.c",
    "store": "storage/codec.c storage/codec_decode.c storage/dict_decode.c",
    "symbol_table": "symbol/table.c",
    "tree": "ingest/tree.c ingest/trie.c",
}


def run(command, **more):
    return subprocess.run(command, check=True, **more)


def targets():
    names = sorted(os.path.basename(f)[5:-2] for f in glob.glob(ROOT + "/tests/fuzz/fuzz_*.c"))
    missing = [n for n in names if n not in FILES]
    if missing:
        sys.exit(f"not ok fuzz: tests/proof/fuzz.py does not say what {missing} answers for")
    return os.environ.get("HEARTH_FUZZ_TARGETS", " ".join(names)).split()


def build(names):
    flags = "-fprofile-instr-generate -fcoverage-mapping -O1"
    os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
    with open(os.path.join(ROOT, "build", "fuzz-cov.log"), "w", encoding="utf-8") as log:
        run(["cmake", "--preset", "fuzz", "-B", BUILD, f"-DCMAKE_C_FLAGS={flags}",
             f"-DCMAKE_CXX_FLAGS={flags}"], cwd=ROOT, stdout=log, stderr=log)
        run(["cmake", "--build", BUILD, "-j", str(os.cpu_count()), "--target"]
            + ["fuzz_" + n for n in names], cwd=ROOT, stdout=log, stderr=log)


def environment(profile):
    # The quarantine holds what the decoder has freed; large, it would be what is measured.
    return dict(os.environ, LLVM_PROFILE_FILE=profile, UBSAN_OPTIONS="halt_on_error=1",
                ASAN_OPTIONS="quarantine_size_mb=8:malloc_context_size=8")


def cpu_seconds(pid):
    """User and system time of a child that nobody has waited for yet."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Shown:
    """What was found up to a time, by links: a fuzzer puts smaller inputs in larger ones' place."""

    def __init__(self, name, folder):
        self.name, self.folder, self.times = name, folder, []

    def note(self, now):
        """Whether it was time for it."""
        if now < STEP * (len(self.times) + 1):
            return False
        to = f"{self.folder}/{len(self.times)}"
        os.mkdir(to)
        for entry in os.scandir(self.folder + "/found"):
            try:
                os.link(entry.path, f"{to}/{entry.name}")
            except FileNotFoundError:
                pass
        self.times.append(now)
        return True

    def reached(self, i):
        return outcomes(self.name, [f"{ROOT}/tests/fuzz/corpus/{self.name}", f"{self.folder}/{i}"],
                        self.folder)

    def settled(self):
        """Whether the last quarter brought no outcome of the files that the target answers for."""
        before = [i for i, at in enumerate(self.times) if at <= self.times[-1] * 3 / 4]
        return bool(before) and self.reached(before[-1]) == self.reached(len(self.times) - 1)


def fuzz(name, folder):
    """Returns what one target did: CPU seconds, runs, edges, when the last edge came, peak, findings."""
    found, crashes, shown = folder + "/found", folder + "/findings/", Shown(name, folder)
    command = ["nice", "-n", "19", f"{BUILD}/fuzz/fuzz_{name}", f"-rss_limit_mb={RSS_LIMIT_MB}",
               f"-timeout={TIMEOUT}", f"-report_slow_units={TIMEOUT}", "-print_final_stats=1",
               f"-artifact_prefix={crashes}", found,
               f"{ROOT}/tests/fuzz/corpus/{name}"]
    dictionary = f"{ROOT}/tests/fuzz/dict/{name}"
    if os.path.exists(dictionary):
        command.insert(4, "-dict=" + dictionary)
    did = {"edges": 0, "last": 0.0, "runs": 0, "peak": 0, "settled": ""}
    with open(folder + "/log", "w+", encoding="utf-8", errors="replace") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, env=environment("/dev/null"))
        with open(folder + "/log", encoding="utf-8", errors="replace") as lines:
            now = 0.0
            while child.poll() is None:
                time.sleep(0.2)
                now = max(now, cpu_seconds(child.pid))
                look(lines, now, did)
                did["settled"] = "all" if now - did["last"] >= now / 4 else ""
                if shown.note(now) and now >= SECONDS and not did["settled"] and shown.settled():
                    did["settled"] = "own"
                if now >= SECONDS and (did["settled"] or now >= LONGEST * SECONDS):
                    child.send_signal(signal.SIGINT)
                    child.wait()
            did["seconds"] = now
            look(lines, did["last"], did)
    did["findings"] = os.listdir(crashes)
    # Ended by itself without an input to show: the corpus itself may be at fault.
    if did["seconds"] < SECONDS and not did["findings"]:
        did["findings"] = [f"ended by itself, see {folder}/log"]
    return did


def look(lines, now, did):
    for line in lines:
        at = re.match(r"#(\d+)\s.* cov: (\d+) .*rss: (\d+)Mb", line)
        if at:
            did["runs"] = max(did["runs"], int(at[1]))
            did["peak"] = max(did["peak"], int(at[3]))
            if int(at[2]) > did["edges"]:
                did["edges"] = int(at[2])
                did["last"] = now
        at = re.match(r"stat::(number_of_executed_units|peak_rss_mb):\s+(\d+)", line)
        if at:
            key = "peak" if at[1] == "peak_rss_mb" else "runs"
            did[key] = max(did[key], int(at[2]))


def keep(name, folder):
    """The committed corpus and beside it what of `found` reaches further edges, small inputs first."""
    small, committed = folder + "/corpus", f"{ROOT}/tests/fuzz/corpus/{name}"
    shutil.copytree(committed, small)
    with open(folder + "/merge.log", "w", encoding="utf-8") as log:
        run(["nice", "-n", "19", f"{BUILD}/fuzz/fuzz_{name}", "-merge=1", "-use_counters=0", small,
             folder + "/found"], stdout=log, stderr=log, env=environment("/dev/null"))
    new = [f for f in os.listdir(small) if not os.path.exists(f"{committed}/{f}")]
    new.sort(key=lambda f: os.path.getsize(f"{small}/{f}"))
    total = 0
    for f in new:
        total += os.path.getsize(f"{small}/{f}")
        if total > KEEP_BYTES:
            os.unlink(f"{small}/{f}")
        elif KEEP:
            shutil.copy(f"{small}/{f}", f"{committed}/{f}")
    return small


def out_of_memory(text, branch):
    """Whether the true outcome of this condition does nothing but `return -ENOMEM`."""
    for line in text[branch[2] - 1:branch[2] + 3]:
        line = line.strip()
        if line.startswith("return"):
            return "-ENOMEM" in line
    return False


def outcomes(name, folders, folder):
    """{(file, place): (whether it was true, false)} of the files that the target answers for, by inputs."""
    raw, data = folder + "/raw", folder + "/profdata"
    binary = f"{BUILD}/fuzz/fuzz_{name}"
    with open(folder + "/replay.log", "w", encoding="utf-8") as log:
        run(["nice", "-n", "19", binary, "-runs=0"] + folders, stdout=log, stderr=log, env=environment(raw))
    run(["llvm-profdata-" + CLANG, "merge", "-sparse", raw, "-o", data])
    sources = [f"{ROOT}/{f}" for f in FILES[name].split()]
    said = run(["llvm-cov-" + CLANG, "export", binary, "-instr-profile", data] + sources,
               stdout=subprocess.PIPE)
    seen = {}
    for file in json.loads(said.stdout)["data"][0]["files"]:
        # A function that is compiled in twice stands there twice: an outcome is reached in either.
        for branch in file["branches"]:
            at = (file["filename"], *branch[:4])
            old = seen.get(at, (False, False))
            seen[at] = (old[0] or branch[4] > 0, old[1] or branch[5] > 0)
    return seen


def coverage(name, corpus, folder):
    """Returns (outcomes, reached, outcomes that only a refused allocation takes)."""
    seen, each, refused = outcomes(name, [corpus], folder), {}, 0
    for (file, *at), (true, false) in seen.items():
        with open(file, encoding="utf-8") as source:
            refused += not true and out_of_memory(source.read().split("\n"), at)
        here, count = each.get(file, (0, 0))
        each[file] = (here + true + false, count + 2)
    with open(folder + "/files", "w", encoding="utf-8") as out:
        for file, (here, count) in sorted(each.items()):
            out.write(f"{os.path.relpath(file, ROOT)}\t{here}\t{count}\n")
    return 2 * len(seen), sum(map(sum, seen.values())), refused


def main():
    names = targets()
    build(names)
    good = True
    print("target         seconds  executions  edges  last new  peak MB  findings"
          "  branches        %  without refused memory", flush=True)
    for name in names:
        folder = f"{WORK}/{name}"
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder + "/found")
        os.makedirs(folder + "/findings")
        did = fuzz(name, folder)
        count = reached = refused = 0
        if not did["findings"]:
            count, reached, refused = coverage(name, keep(name, folder), folder)
        percent = 100 * reached / max(count, 1)
        print(f"{name:<14} {did['seconds']:7.0f} {did['runs']:11} {did['edges']:6} "
              f"{did['last']:7.0f} s {did['peak']:8} {len(did['findings']):9}  "
              f"{reached:4}/{count:<4} {percent:7.1f}  "
              f"{100 * reached / max(count - refused, 1):5.1f}"
              f"{SETTLED[did['settled']]}", flush=True)
        for finding in did["findings"]:
            print(f"  finding: {finding}")
        good = good and not did["findings"] and percent >= BRANCHES and bool(did["settled"])
    print("ok fuzz" if good else "not ok fuzz")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
