# SPDX-License-Identifier: Apache-2.0
"""Each export opens in what it is for, where that is here."""
import csv
import gzip
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

from connect import fields, numbers
from support import Agent, BIN, main, run
from wire import pprof

HEARTH = BIN / "hearth"
STACKS = {"main;work;spin": 60_000_000, "main;work;work;spin": 10_000_000, "main;wait": 30_000_000, "main;=cmd|' /C calc'!A0": 1_000_000,
          'main;a "quoted", name': 2_000_000}


def fill(agent, stacks=None, **labels):
    body = pprof([("cpu", "nanoseconds")], {k: (v,) for k, v in (stacks or STACKS).items()}, period_type=("cpu", "nanoseconds"),
                 time_ns=time.time_ns() - 2 * 10**9, labels=labels.pop("labels", None))
    status, answer, _ = agent.request("POST", "/api/v1/profiles", body=body, **{"service": "shop", **labels})
    assert status == 200, answer


def exported(agent, form, **parameters):
    status, body, _ = agent.request("GET", "/api/v1/flamegraph", format=form, **{"max_nodes": 0, "from": "now-1h", **parameters})
    assert status == 200, body
    return body


def text_has_the_rows_of_go_tool_pprof():
    if not shutil.which("go"):
        return "Go is not here"
    with Agent() as agent, tempfile.TemporaryDirectory() as folder:
        for scale in (1, 1000, 7):
            fill(agent, {k: v * scale for k, v in STACKS.items()}, version=str(scale))
            query = {"query": '{version="%d"}' % scale}
            path = pathlib.Path(folder, "x.pb.gz")
            path.write_bytes(exported(agent, "pprof", **query))
            done = run(["go", "tool", "pprof", "-top", "-nodecount=0", "-nodefraction=0", "-edgefraction=0", path],
                       env={**os.environ, "PPROF_BINARY_PATH": "/nonexistent"})
            theirs = done.stdout.decode().splitlines()
            ours = exported(agent, "text", **query).decode().splitlines()
            first = next(i for i, line in enumerate(theirs) if line.startswith("Showing"))
            assert ours[1:3] == theirs[first:first + 2], (ours, theirs)
            # Equal values may stand in another order, and so have other sums.
            rows = [sorted(re.sub(r"%\s+\S+%", "%", line, count=1) for line in lines) for lines in (ours[3:], theirs[first + 2:])]
            assert rows[0] == rows[1], (ours, theirs)
    return None


def speedscope_is_by_its_schema():
    with Agent() as agent:
        fill(agent)
        file = json.loads(exported(agent, "speedscope"))
        profile, frames = file["profiles"][0], file["shared"]["frames"]
        assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
        assert (profile["type"], profile["unit"], profile["endValue"]) == ("sampled", "nanoseconds", sum(STACKS.values()))
        assert len(profile["samples"]) == len(profile["weights"])
        found = {";".join(frames[i]["name"] for i in sample): weight for sample, weight in zip(profile["samples"], profile["weights"])}
        assert found == STACKS, found
        cut = json.loads(exported(agent, "speedscope", max_nodes=3))
        assert sum(cut["profiles"][0]["weights"]) == sum(STACKS.values())
        # What goes out comes in again.
        assert agent.request("POST", "/api/v1/profiles", body=json.dumps(file), service="again")[0] == 200
        assert agent.folded(query='{service="again"}', type="cpu") == STACKS


def csv_is_read_by_readers_and_runs_in_none():
    with Agent() as agent:
        fill(agent)
        rows = list(csv.reader(io.StringIO(exported(agent, "csv").decode(), newline="")))
        assert rows[0] == ["name", "file", "line", "library", "self (nanoseconds)", "total (nanoseconds)", "samples"]
        table = {row[0]: (int(row[4]), int(row[5])) for row in rows[1:]}
        assert table["spin"] == (70_000_000, 70_000_000) and table["work"] == (0, 70_000_000), table
        assert 'a "quoted", name' in table and "'=cmd|' /C calc'!A0" in table, table


def dot_is_a_graph():
    with Agent() as agent:
        fill(agent)
        dot = exported(agent, "dot").decode()
        names = dict((number, name) for number, name in re.findall(r'^(n\d+) \[label="((?:[^"\\]|\\[^n])*)\\n', dot, re.M))
        edges = {(names[a], names[b]): int(v) for a, b, v in re.findall(r'^(n\d+) -> (n\d+) \[label=" (\d+)"', dot, re.M)}
        assert edges[("main", "work")] == 70_000_000 and edges[("work", "work")] == 10_000_000 and edges[("work", "spin")] == 70_000_000, edges
        if shutil.which("dot"):
            assert subprocess.run(["dot", "-Tsvg"], input=dot.encode(), capture_output=True).returncode == 0


def pprof_has_the_labels_that_came_in():
    def sets(body):
        profile = fields(gzip.decompress(body))
        strings = [s.decode() for s in profile[6]]
        found = {}
        for sample in map(fields, profile[2]):
            labels = frozenset((strings[label[1][0]], strings[label[2][0]] if label.get(2, [0])[0] else label[3][0])
                               for label in map(fields, sample.get(3, [])))
            found[labels] = found.get(labels, 0) + numbers(sample[2][0])[0]
        return found, {strings[c] for c in profile.get(13, [])}
    with Agent() as agent:
        fill(agent, {"main;a": 5, "main;b": 7}, labels={"main;a": {"thread": "x", "bytes": 512}}, env="prod")
        found, comments = sets(exported(agent, "pprof"))
        assert found == {frozenset(): 7, frozenset({("thread", "x"), ("bytes", 512)}): 5}, found
        assert comments == {"service=shop", "env=prod"}, comments
        fill(agent, {"main;a": 3}, env="dev")
        found, comments = sets(exported(agent, "pprof"))
        assert found == {frozenset({("env", "prod")}): 7, frozenset({("env", "dev")}): 3,
                         frozenset({("env", "prod"), ("thread", "x"), ("bytes", 512)}): 5}, found
        assert comments == {"service=shop"}, comments
        assert sets(exported(agent, "pprof", labels="none")) == ({frozenset(): 15}, set())
        assert sets(exported(agent, "pprof", focus="^a$")) == ({frozenset(): 8}, set())
        assert sum(sets(exported(agent, "pprof", max_nodes=2))[0].values()) == 15
        assert agent.request("GET", "/api/v1/flamegraph", format="pprof", labels="x")[0] == 400


PROGRAM = """
static volatile unsigned sink;
__attribute__((noinline)) static unsigned hot(unsigned n)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum = sum * 3 + (i ^ sink);
	return sum;
}
int main(void)
{
	for (int i = 0; i < 900; i++)
		sink += hot(1000000);
	return 0;
}
"""


def clang_reads_the_sample_profile():
    if not shutil.which("clang"):
        return "clang is not here"
    with Agent() as agent, tempfile.TemporaryDirectory() as folder:
        env = dict(os.environ, HEARTH_SERVER=f"unix:{agent.run}")
        pathlib.Path(folder, "x.c").write_text(PROGRAM)
        build = ["clang", "-O1", "-g", "-fdebug-info-for-profiling", f"{folder}/x.c"]
        assert run([*build, "-o", f"{folder}/x"]).returncode == 0
        assert run([HEARTH, "run", "-q", "-S", "x", "--", f"{folder}/x"], env=env).returncode == 0
        agent.settled()
        profile = pathlib.Path(folder, "x.afdo")
        assert run([HEARTH, "export", "--format", "autofdo", "-o", profile], env=env).returncode == 0
        lines = profile.read_text().splitlines()
        assert any(line.startswith("hot:") for line in lines) and any(re.fullmatch(r" [3-5]: \d+", line) for line in lines), lines
        done = run([*build, f"-fprofile-sample-use={profile}", "-S", "-emit-llvm", "-o", "-"])
        assert done.returncode == 0 and b"function_entry_count" in done.stdout, done.stderr


def go_s_compiler_reads_the_pprof():
    if not shutil.which("go"):
        return "Go is not here"
    with Agent() as agent, tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder, "main.go")
        program.write_text('package main\n\nimport (\n\t"os"\n\t"runtime/pprof"\n)\n\n//go:noinline\nfunc hot(n int) (sum int) {\n'
                           "\tfor i := 0; i < n; i++ {\n\t\tsum = sum*3 + i\n\t}\n\treturn\n}\n\nfunc main() {\n\tpprof.StartCPUProfile(os.Stdout)\n"
                           "\tsum := 0\n\tfor i := 0; i < 500; i++ {\n\t\tsum += hot(1000000)\n\t}\n\tpprof.StopCPUProfile()\n\tos.Exit(sum & 0)\n}\n")
        env = {**os.environ, "GOFLAGS": "-mod=mod"}
        pathlib.Path(folder, "go.mod").write_text("module x\n\ngo 1.21\n")
        done = run(["go", "run", "."], cwd=folder, env=env)
        assert done.returncode == 0 and done.stdout, done
        assert agent.request("POST", "/api/v1/profiles", body=done.stdout, service="go")[0] == 200
        path = pathlib.Path(folder, "default.pgo")
        path.write_bytes(exported(agent, "pprof", type="cpu", query='{service="go"}'))
        done = run(["go", "tool", "preprofile", "-i", path, "-o", f"{folder}/edges"], cwd=folder, env=env)
        if b"no such tool" in done.stderr:
            return "this Go has no preprofile"
        assert done.returncode == 0 and "main.hot" in pathlib.Path(folder, "edges").read_text(), done
    return None


main(text_has_the_rows_of_go_tool_pprof, speedscope_is_by_its_schema, csv_is_read_by_readers_and_runs_in_none, dot_is_a_graph,
     pprof_has_the_labels_that_came_in, clang_reads_the_sample_profile, go_s_compiler_reads_the_pprof)
