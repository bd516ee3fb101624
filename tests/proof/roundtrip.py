# SPDX-License-Identifier: Apache-2.0
"""pprof in, pprof out: `go tool pprof` opens what comes out and shows the same rows as of what went in.

Every file of the corpus that the tool reads itself, every sample type, by function and by line: flat and
cumulative values of every row.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
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


main(every_row_of_every_file)
