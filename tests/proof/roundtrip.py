# SPDX-License-Identifier: Apache-2.0
"""pprof in, pprof out: `go tool pprof` opens what comes out and shows the same rows as of what went in.

Every file of the corpus that the tool reads itself, every sample type, by function and by line: flat and
cumulative values of every row.
"""
import collections
import gzip
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from connect import fields, numbers  # noqa: E402
from support import Agent, main  # noqa: E402
from test_upload import CORPUS, MAPPED, expected, types_of, upload  # noqa: E402

SPAN = {"from": "now-24h", "until": "now+1h"}


def rows(path, index, *options):
    """{name: (flat, cum)} as the tool prints them, in the type's own unit."""
    done = subprocess.run(["go", "tool", "pprof", "-top", "-nodecount=0", "-nodefraction=0", "-edgefraction=0",
                           f"-sample_index={index}", "-unit=minimum", *options, path], capture_output=True, text=True, errors="replace",
                          cwd=tempfile.gettempdir(), env={**os.environ, "PPROF_BINARY_PATH": "/nonexistent"})
    if done.returncode:
        return None
    found = {}
    for line in done.stdout.splitlines():
        match = re.match(r"\s*(-?[\d.]+)\S*\s+\S+%\s+\S+%\s+(-?[\d.]+)\S*\s+\S+%\s+(.*)", line)
        # What has no name is called by its file there and by its address here.
        if match and (float(match[1]) or float(match[2])) and not re.match(r"<unknown>|\[|[0-9a-f]{8,} ", match[3]):
            name = match[3].replace(" (inline)", "").replace(" (partial-inline)", "")
            flat, cum = found.get(name, (0, 0))
            found[name] = (flat + float(match[1]), cum + float(match[2]))
    return found


def every_row_of_every_file():
    if not shutil.which("go") or not os.path.isdir(f"{CORPUS}/pprof"):
        return "Go or the corpus is not here"
    compared = differing = 0
    with Agent() as agent, tempfile.TemporaryDirectory() as folder:
        for name, totals in expected():
            if not totals:
                continue
            with open(f"{CORPUS}/pprof/{name}", "rb") as file:
                assert upload(agent, file.read(), service=name)[0] == 200
            types = types_of(agent, name)
            for kind in totals:
                theirs = kind if kind in types else MAPPED.get(kind, kind)
                status, out, _ = agent.request("GET", "/api/v1/flamegraph", type=types[theirs], format="pprof", max_nodes=0,
                                               query='{service="%s"}' % name, **SPAN)
                assert status == 200, (name, kind, out)
                path = f"{folder}/out.pb.gz"
                pathlib.Path(path).write_bytes(out)
                for options in ((), ("-lines",)):
                    before = rows(f"{CORPUS}/pprof/{name}", kind.split("/")[0], *options)
                    after = rows(path, theirs.split("/")[0], *options)
                    assert before is not None and after is not None, (name, kind)
                    same = sum(before[key] == after.get(key) for key in before)
                    compared += len(before)
                    differing += len(before) - same
                    if same != len(before):
                        wrong = next(key for key in before if before[key] != after.get(key))
                        print(f"# {name} {kind} {options}: {len(before) - same} of {len(before)} differ: {wrong!r} "
                              f"{before[wrong]} {after.get(wrong)}", flush=True)
    print(f"# {compared} rows compared, {differing} differ")
    assert compared and not differing
    return None


def labelled(body, index):
    """{labels of a sample: sum of a column}: what stands beside stacks, and how much it is charged with."""
    profile = fields(body)
    strings = profile[6]
    sums = collections.Counter()
    for sample in map(fields, profile.get(2, [])):
        values = [n for v in sample.get(2, []) for n in (numbers(v) if isinstance(v, bytes) else [v])]
        if not values[index]:
            continue
        labels = set()
        for label in map(fields, sample.get(3, [])):
            text = label.get(2, [0])[0]
            unit = strings[label.get(4, [0])[0]]
            # pprof's own rule: a number without a unit is in bytes or in nothing, as its key says.
            labels.add((strings[label[1][0]], strings[text] if text else label.get(3, [0])[0], b"" if text else unit))
        sums[frozenset(labels)] += values[index]
    return sums


def every_label_of_every_file():
    if not os.path.isdir(f"{CORPUS}/pprof"):
        return "the corpus is not here"
    files = sets = differing = 0
    with Agent() as agent:
        for name, totals in expected():
            if not totals:
                continue
            raw = pathlib.Path(f"{CORPUS}/pprof/{name}").read_bytes()
            assert upload(agent, raw, service=name)[0] == 200
            plain = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
            types = types_of(agent, name)
            columns = [[fields(plain)[6][fields(t).get(i, [0])[0]].decode() for i in (1, 2)] for t in fields(plain)[1]]
            labels = 0
            for kind in totals:
                theirs = kind if kind in types else MAPPED.get(kind, kind)
                status, out, _ = agent.request("GET", "/api/v1/flamegraph", type=types[theirs], format="pprof", max_nodes=0,
                                               query='{service="%s"}' % name, **SPAN)
                assert status == 200, (name, kind, out)
                before = labelled(plain, columns.index(kind.split("/")))
                after = labelled(gzip.decompress(out), 0)
                labels = max(labels, len(before))
                for key in before.keys() | after.keys():
                    if before[key] == after[key]:
                        continue
                    differing += 1
                    if differing <= 10:
                        print(f"# {name} {kind}: {sorted(key)[:4]} {before[key]} {after[key]}", flush=True)
            files += 1
            sets += labels
    print(f"# {files} files, {sets} sets of labels, {differing} differ")
    assert sets > files and not differing
    return None


main(every_row_of_every_file, every_label_of_every_file)
