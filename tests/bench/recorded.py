# SPDX-License-Identifier: Apache-2.0
"""The store under the stacks of ten real programs, beside the model: records each for HEARTH_BENCH_SECONDS (15) with the
library loaded, as a gzip'd pprof, and then runs bench/store over them: a host of ten services, HEARTH_BENCH_HOURS (24).

HEARTH_BENCH_STACKS: a folder where the recordings are kept; one that is there is not made again.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from servers import free_port  # noqa: E402
from support import BIN, Agent  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = float(os.environ.get("HEARTH_BENCH_SECONDS", "15"))
HOURS = os.environ.get("HEARTH_BENCH_HOURS", "24")
# What each does in an endless loop, in an empty folder.  What only makes load has no library in it ("$BARE").
PROGRAMS = {
    "clang": f"for file in {ROOT}/storage/*.c; do clang -O2 -w -c -I {ROOT} -o out.o $file; done",
    "compileall": f"cp -r {os.path.dirname(os.__file__)}/email . && python3 -m compileall -q -f email",
    "gcc": f"for file in {ROOT}/storage/*.c; do gcc -O2 -w -c -I {ROOT} -o out.o $file; done",
    "git": f"git -C {ROOT} log -p --stat -n 300 >/dev/null && git -C {ROOT} blame README.md >/dev/null",
    "groff": "for page in $PAGES; do zcat -f $page | groff -mandoc -Tutf8 >/dev/null 2>&1; done",
    "nginx": "nginx -p $PWD -c conf & $BARE ab -q -k -c 4 -n 50000 http://127.0.0.1:$PORT/page >/dev/null; kill %1; wait",
    "pod2man": "pod2man $(find /usr/share/perl /usr/lib/git-core /usr/lib/*/perl -name '*.p[mo]d*' | head -40) >/dev/null",
    "redis": "redis-server --port 0 --unixsocket s --save '' --appendonly no >/dev/null & sleep 0.5;"
             " $BARE redis-benchmark -q -s s -n 20000 -r 10000 >/dev/null; kill %1; wait",
    "sqlite": f"python3 {ROOT}/tests/bench/sqlite_load.py shown 200000",
    "zstd": f"zstd -q -f -15 -o out.zst {sys.executable}",
}
NGINX = """daemon off; master_process off; pid pid; error_log error crit; events {{ }}
http {{ access_log off; keepalive_requests 1000000; server {{ listen 127.0.0.1:{0}; root .; }} }}
"""


def prepare(folder, port):
    (folder / "shown").write_bytes(bytes(1 << 16))
    (folder / "page").write_text("page " * 200, encoding="ascii")
    (folder / "conf").write_text(NGINX.format(port), encoding="ascii")


def record(name, command, to):
    with Agent() as agent, tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        port = free_port()
        prepare(folder, port)
        env = agent.environment(HEARTH_CPU_HZ="997", HEARTH_SERVICE=name, HEARTH_MAX_OVERHEAD_PCT="100")
        env.update(PORT=str(port), BARE="env -u LD_PRELOAD",
                   PAGES=" ".join(map(str, sorted(pathlib.Path("/usr/share/man/man1").glob("g*"))[:30])))
        p = subprocess.Popen(["sh", "-c", f"while :; do {command}; done"], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(SECONDS)
        os.killpg(p.pid, signal.SIGTERM)
        p.wait()
        agent.settled()
        status, body, _ = agent.request("GET", "/api/v1/flamegraph", format="pprof", granularity="line", max_nodes="0",
                                        query='{service="%s"}' % name, type="cpu")
        assert status == 200, body
        to.write_bytes(body)


def main():
    with tempfile.TemporaryDirectory() as own:
        stacks = pathlib.Path(os.environ.get("HEARTH_BENCH_STACKS") or own)
        stacks.mkdir(exist_ok=True)
        for name, command in PROGRAMS.items():
            to = stacks / f"{name}.pb.gz"
            if not to.exists():
                print(f"recording {name}, {SECONDS:g} s", file=sys.stderr, flush=True)
                record(name, command, to)
        subprocess.run([BIN.parent / "bench" / "store", str(len(PROGRAMS)), HOURS], check=True,
                       env=dict(os.environ, HEARTH_STACKS=str(stacks)))


main()
