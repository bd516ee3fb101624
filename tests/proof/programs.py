# SPDX-License-Identifier: Apache-2.0
"""Real programs under the preload, every dimension on, with an agent: each does what it does without.

For each one line: equal or not, the client's own cost, what was lost, stacks that are complete, and
the share of wall time that is not explained.  HEARTH_PROGRAMS=name,name runs some.
"""
import os
import pathlib
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
from support import SOURCE, Agent, main, wait_for  # noqa: E402
from servers import fetch, free_port, nginx_start  # noqa: E402

LIMIT = 240
FILES = 1024  # the limit that systemd and a login set
PYTHON_TESTS = ("test_thread test_threading test_signal test_subprocess test_queue test_selectors test_sched "
                "test_mmap test_select test_poll test_popen test_wait4").split()


def plain():
    return {k: v for k, v in os.environ.items() if not k.startswith(("HEARTH_", "DD_")) and k != "LD_PRELOAD"}


def done(command, env, **more):
    p = subprocess.run([str(c) for c in command], env=env, capture_output=True, timeout=LIMIT, **more)
    return p.returncode, p.stdout, p.stderr


class Watch:
    """The agent's status while a program runs: own cost is there until the process ends."""

    def __init__(self, agent):
        self.agent, self.cost = agent, {}

    def look(self):
        for p in self.agent.status()["processes"]:
            if p["cpu_ns"]:
                self.cost[p["pid"]] = (p["own_cost_ns"], p["cpu_ns"])


def figures(agent, watch):
    status = agent.settled()["native"]
    stacks = status["stacks"]
    wall = agent.folded(type="wall")
    rest = sum(v for k, v in wall.items() if k.endswith("[off CPU, not explained]"))
    own, cpu = (sum(c[i] for c in watch.cost.values()) for i in (0, 1))
    return (f"{status['attached']} processes, {status['samples']} CPU samples, own cost "
            f"{f'{100 * own / cpu:.3f} %' if own else 'below what is measured'}, lost {status['lost'] or 'nothing'}, stacks complete "
            f"{100 * stacks['root'] / max(1, sum(stacks.values())):.2f} %, wall unexplained "
            f"{100 * rest / max(1, sum(wall.values())):.2f} %")


def compare(name, work, tidy=lambda result: result):
    """work(env, folder) gives something to compare."""
    with tempfile.TemporaryDirectory(prefix="hearth-p.") as a, Agent() as agent:
        without = tidy(work(plain(), a))
        watch = Watch(agent)
        with tempfile.TemporaryDirectory(prefix="hearth-p.") as b:
            import threading
            over = threading.Event()

            def looking():
                while not over.wait(0.3):
                    watch.look()
            thread = threading.Thread(target=looking)
            thread.start()
            try:
                within = tidy(work(agent.environment(), b))
            finally:
                over.set()
                thread.join()
        equal = without == within
        print(f"# {name}: {'equal' if equal else 'NOT EQUAL'}; {figures(agent, watch)}", flush=True)
        assert equal, (name, str(without)[:2000], str(within)[:2000])


def sqlite():
    script = ["PRAGMA journal_mode=WAL;", "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c REAL);"]
    script.append("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300000) "
                  "INSERT INTO t SELECT i, printf('%08x', i*2654435761), i/7.0 FROM n;")
    script += [f"BEGIN; UPDATE t SET b=b||'{i}' WHERE a%97={i % 97}; COMMIT;" for i in range(40)]
    script += ["CREATE INDEX tb ON t(b);", "SELECT count(*), sum(c), min(b), max(b) FROM t;",
               "SELECT substr(b,1,2), count(*) FROM t GROUP BY 1 ORDER BY 1;", "PRAGMA integrity_check;", ".dump"]
    compare("sqlite3", lambda env, folder: done(["sqlite3", folder + "/db"], env,
                                                input="\n".join(script).encode()))


def git():
    def work(env, folder):
        out = [done(["git", "clone", "-q", "--no-local", f"file://{SOURCE}", folder + "/clone"], env)]
        for words in (["fsck", "--full", "--no-progress"], ["log", "--stat", "--format=%H"], ["repack", "-adq", "--threads=2"],
                      ["fsck", "--full", "--no-progress"]):
            out.append(done(["git", "-C", folder + "/clone", *words], env))
        return [(code, text, error.replace(folder.encode(), b"")) for code, text, error in out]
    compare("git", work)


def gcc():
    sources = sorted((SOURCE / "client").glob("[a-z]*.c")) + sorted((SOURCE / "ingest").glob("native*.c"))
    sources = [s for s in sources if "def" not in s.name]

    def work(env, folder):
        out = []
        for source in sources[:24]:
            code = done(["gcc", "-O2", "-D_GNU_SOURCE", '-DHEARTH_VERSION="0"', f"-I{SOURCE}", "-c", source, "-o", folder + "/o"], env)
            out.append((source.name, code, (pathlib.Path(folder) / "o").read_bytes() if code[0] == 0 else None))
        assert any(o[2] for o in out)
        return out
    compare("gcc", work, lambda out: [(n, c[0], c[1], re.sub(rb"/tmp/\S+", b"", c[2]), o) for n, c, o in out])


def python():
    for path in [os.environ.get("HEARTH_PYTHON"), "/usr/bin/python3", sys.executable, shutil.which("python3")]:
        if path and done([path, "-c", "import test.test_subprocess, test.test_threading"], plain())[0] == 0:
            break
    else:
        return "no Python with its tests"

    def work(env, folder):
        code, out, _ = done([path, "-m", "test", "-u", "none", "--timeout", "120", "-j2", *PYTHON_TESTS], env, cwd=folder)
        text = out.decode(errors="replace")
        verdicts = dict(re.findall(r"\] (test_\w+) (passed|failed|skipped)", text))
        verdicts = verdicts or {"result": re.search(r"Result: (\w+)|Tests? result: (\w+)", text).group(0)}
        failed = sorted(re.findall(r"\] (test_\w+) (failed(?: \(\d+ failures?\))?)", text))
        return code, sorted(re.findall(r"^    (test_\w+)", text, re.M)), failed
    compare("python3 -m test", work)


def nginx():
    tool = shutil.which("ab")
    if not shutil.which("nginx") or not tool:
        return "nginx or ab is not installed"

    def work(env, folder):
        port = free_port()
        p = nginx_start(folder, port, env)
        body = fetch(port, "/index.html").split(b"\r\n\r\n", 1)[1]
        _, out, _ = done([tool, "-q", "-k", "-c", "16", "-n", "150000", f"http://127.0.0.1:{port}/index.html"], plain())
        p.terminate()
        p.wait(60)
        text = out.decode()
        return (body, p.returncode, *(re.search(k + r": +(\d+)", text).group(1)
                                      for k in ("Complete requests", "Failed requests", "HTML transferred")))
    compare("nginx", work)


def postgres():
    folder = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    if not folder:
        return "postgresql is not installed"
    binaries = folder[-1]

    def work(env, where):
        os.chmod(where, 0o755)
        data = where + "/d"
        os.mkdir(data)
        shutil.chown(data, "postgres", "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        port = free_port()
        command = ["-D", data]
        quiet = plain()
        assert done([*as_user, binaries / "initdb", *command, "-A", "trust", "--no-sync"], quiet, cwd="/")[0] == 0
        server = subprocess.Popen([*as_user, str(binaries / "postgres"), "-D", data, "-p", str(port), "-k", data,
                                   "-c", "listen_addresses="], env=env, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, cwd="/")
        at = ["-h", data, "-p", str(port), "-U", "postgres"]
        wait_for("postgres", lambda: done([binaries / "pg_isready", *at], quiet)[0] == 0)
        made = done([binaries / "pgbench", "-i", "-q", "-s", "2", *at, "postgres"], quiet)[0]
        bench = done([binaries / "pgbench", "-n", "-c", "4", "-j", "2", "-t", "1000", *at, "postgres"], quiet)
        ran = re.search(rb"transactions actually processed: (\d+/\d+)", bench[1]).group(1)
        sums = done(["psql", *at, "-At", "-c", "SELECT count(*) FROM pgbench_history; SELECT count(*), "
                     "sum(abalance) = (SELECT sum(bbalance) FROM pgbench_branches) FROM pgbench_accounts", "postgres"], quiet)
        server.terminate()
        server.wait(60)
        return made, bench[0], ran, sums, server.returncode
    compare("postgres", work)


def redis():
    built = subprocess.run(["sh", SOURCE / "tests/proof/redis_build.sh",
                            os.environ.get("HEARTH_PROOF_BUILD", SOURCE / "build/proof")],
                           stdout=subprocess.PIPE, text=True)
    if built.returncode or not shutil.which("tclsh"):
        return "redis's source or tcl is not there"
    root = pathlib.Path(built.stdout.strip()).parent

    def work(env, folder):
        units = "unit/type/list unit/type/hash unit/type/zset unit/expire unit/scripting unit/multi".split()
        command = ["./runtest", "--clients", "2", "--tags", "-needs:debug -external:skip"]
        for unit in units:
            command += ["--single", unit]
        code, out, _ = done(command, env, cwd=root)
        text = re.sub(r"\x1b\[[0-9;]*m", "", out.decode(errors="replace"))
        tests = sorted(re.sub(r" \(\d+ ms\)", "", line) for line in re.findall(r"^\[(?:ok|err|exception)\].*", text, re.M))
        # The names of a few carry random seeds and measured times.
        return code, sum(t.startswith("[ok]") for t in tests), [t for t in tests if not t.startswith("[ok]")]
    compare("redis's own tests", work)


ALL = [sqlite, git, gcc, nginx, postgres, redis, python]
if __name__ == "__main__":
    wanted = os.environ.get("HEARTH_PROGRAMS")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES if hard == resource.RLIM_INFINITY else min(FILES, hard), hard))
    main(*[test for test in ALL if not wanted or test.__name__ in wanted.split(",")])
