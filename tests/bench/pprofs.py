# SPDX-License-Identifier: Apache-2.0
"""An hour of one service as 360 pprofs of ten seconds, beside what the store keeps of them.

A real program (Python's interpreter over SQLite) is profiled at ten times the usual rate, so that a second holds the
samples of ten; each second is exported as a gzip'd pprof and uploaded to a second agent as ten seconds of the last hour.
The limit is a fortieth of the files.  HEARTH_BENCH_SECONDS: how many such files (360).
"""
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import BIN, Agent, wait_for  # noqa: E402

COUNT = int(os.environ.get("HEARTH_BENCH_SECONDS", "360"))
LOAD = pathlib.Path(__file__).with_name("sqlite_load.py")
NS = 10**9
LIMIT = 40


def say(metric, value, unit, baseline=None):
    print(json.dumps({"bench": "pprofs", "metric": metric, "value": round(value, 3), "unit": unit, "baseline": baseline}),
          flush=True)


def recorded():
    """The gzip'd files."""
    with Agent() as agent, tempfile.NamedTemporaryFile() as shown:
        shown.write(bytes(1 << 16))
        shown.flush()
        began = time.time_ns()
        p = subprocess.Popen([sys.executable, LOAD, shown.name], stdin=subprocess.PIPE, env=agent.environment(
            HEARTH_CPU_HZ="997", HEARTH_SERVICE="shop", HEARTH_MAX_OVERHEAD_PCT="100"))
        time.sleep(COUNT + 3)
        p.kill()
        p.wait()
        agent.settled()
        files = []
        for i in range(COUNT):
            span = {"from": str(began + (i + 2) * NS), "until": str(began + (i + 3) * NS), "query": '{service="shop"}', "type": "cpu"}
            status, body, _ = agent.request("GET", "/api/v1/flamegraph", format="pprof", granularity="line", max_nodes="0", **span)
            assert status == 200, body
            files.append(body if body[:2] == b"\x1f\x8b" else gzip.compress(body, 6))
        return files


def hearth(agent, *arguments):
    return subprocess.run([BIN / "hearth", "db", *arguments, "--server", f"unix:{agent.run}/http.sock"], capture_output=True,
                          check=True).stdout


def levels(agent):
    """{level: (bytes, records)}"""
    out = {}
    for file in json.loads(hearth(agent, "stats", "--json"))["files"]:
        was = out.get(file["level"], (0, 0))
        out[file["level"]] = was[0] + file["bytes"], was[1] + file["records"]
    return out


def main():
    files = recorded()
    wire = sum(map(len, files))
    with Agent() as agent:
        first, samples = time.time_ns() // (3600 * NS) * 3600 * NS - 3600 * NS, 0
        for i, body in enumerate(files):
            status, answer, _ = agent.request("POST", "/api/v1/profiles", body=body, service="shop",
                                              **{"from": str(first + i * 10 * NS), "until": str(first + (i + 1) * 10 * NS)})
            assert status == 200, answer
            samples += json.loads(answer)["samples"]
        wait_for("the windows", lambda: levels(agent).get(1, (0, 0))[1] >= samples, 180)
        hearth(agent, "compact")
        kept = levels(agent)
        say("files", len(files), "pprofs")
        say("gzipd", wire / 1e6, "megabytes")
        say("stacks", samples, "samples of pprof")
        for level in (0, 1, 2):
            if level in kept:
                say(f"l{level}", kept[level][0] / 1e6, "megabytes")
        say("smaller", wire / kept[1][0], "times", LIMIT)


main()
