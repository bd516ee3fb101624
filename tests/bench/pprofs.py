# SPDX-License-Identifier: Apache-2.0
"""An hour of one service as 360 pprofs of ten seconds, beside what the store keeps of them.

Two services.  `sqlite`: Python's interpreter over SQLite is profiled by hearth at ten times the usual rate, so that a second
holds the samples of ten, and each second is exported as a gzip'd pprof.  `prometheus`: Go's own runtime gives two seconds of a
Prometheus that scrapes itself and is asked without a pause, as one that is busy for a fifth of its time has in ten;
HEARTH_BENCH_SECONDS=10 waits an hour and has one that is busy all the time.
Each file is uploaded to an agent as ten seconds of the last hour.  The limit is a fortieth of the files.

HEARTH_BENCH_COUNT: how many files (360).  HEARTH_BENCH_ONLY: one of the services.  HEARTH_BENCH_FILES: a folder with a
folder for each service, where the files are kept; what is there is not recorded again.
"""
import gzip
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import BIN, Agent, wait_for  # noqa: E402

COUNT = int(os.environ.get("HEARTH_BENCH_COUNT", "360"))
SECONDS = os.environ.get("HEARTH_BENCH_SECONDS", "2")
LOAD = pathlib.Path(__file__).with_name("sqlite_load.py")
NS = 10**9
LIMIT = 40


def say(service, metric, value, unit, baseline=None):
    print(json.dumps({"bench": "pprofs", "service": service, "metric": metric, "value": value if value is None else round(value, 3), "unit": unit, "baseline": baseline}),
          flush=True)


def sqlite():
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


QUESTIONS = (
    'sum by (job)(rate(prometheus_http_requests_total[30s]))', 'topk(5, {__name__=~"go_.*"})', 'count({job=~".+"})',
    'histogram_quantile(0.9, sum by (le)(rate(prometheus_http_request_duration_seconds_bucket[1m])))',
    'avg_over_time(go_goroutines[1m])', 'label_replace(up, "a", "$1", "job", "(.*)")',
    'predict_linear(process_resident_memory_bytes[1m], 3600)')


def ask(address, stop):
    for i in range(1 << 40):
        if stop.is_set():
            return
        now = time.time()
        form = urllib.parse.urlencode({"query": QUESTIONS[i % len(QUESTIONS)], "start": now - 300, "end": now, "step": 5})
        with urllib.request.urlopen(f"http://{address}/api/v1/query_range?{form}") as answer:
            answer.read()


def prometheus():
    """The gzip'd files."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    files, stop = [], threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "prometheus.yml"
        config.write_text("scrape_configs:\n" + "".join(
            f"- {{job_name: j{i}, scrape_interval: 5s, static_configs: [{{targets: ['{address}'], labels: {{n: '{i}'}}}}]}}\n"
            for i in range(60)), encoding="ascii")
        # It ends with us, however we end.
        p = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data", "--log.level=error",
                              f"--web.listen-address={address}"], env=dict(os.environ, GOMAXPROCS="1"))
        asking = threading.Thread(target=ask, args=(address, stop))
        try:
            wait_for("prometheus", lambda: answers(f"http://{address}/-/ready"))
            asking.start()
            for _ in range(COUNT):
                with urllib.request.urlopen(f"http://{address}/debug/pprof/profile?seconds={SECONDS}") as answer:
                    files.append(answer.read())
        finally:
            stop.set()
            if asking.is_alive():
                asking.join()
            p.kill()
            p.wait()
    return files


def answers(url):
    try:
        with urllib.request.urlopen(url):
            return True
    except OSError:
        return False


def files_of(service, record):
    kept = pathlib.Path(os.environ["HEARTH_BENCH_FILES"]) / service if "HEARTH_BENCH_FILES" in os.environ else None
    if kept and kept.is_dir():
        return [file.read_bytes() for file in sorted(kept.iterdir())]
    files = record()
    if kept:
        kept.mkdir(parents=True)
        for i, body in enumerate(files):
            (kept / f"{i:05}.pb.gz").write_bytes(body)
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


def measure(service, files):
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
        say(service, "files", len(files), "pprofs")
        say(service, "gzipd", wire / 1e6, "megabytes")
        say(service, "stacks", samples, "samples of pprof")
        for level in (0, 1, 2):
            if level in kept:
                say(service, f"l{level}", kept[level][0] / 1e6, "megabytes")
        say(service, "smaller", wire / kept[1][0], "times", LIMIT)


def main():
    for service, record in (("sqlite", sqlite), ("prometheus", prometheus)):
        if os.environ.get("HEARTH_BENCH_ONLY", service) != service:
            continue
        if service == "prometheus" and not shutil.which("prometheus"):
            say(service, "skipped", None, "prometheus is not installed")
            continue
        measure(service, files_of(service, record))


main()
