# SPDX-License-Identifier: Apache-2.0
"""Redis of the distribution, built -O2 -g without frame pointers, under load and under the profiler.

Right: its hot functions are named with file and line, 99.5 % of the CPU samples reach a thread's
first frame, and the CPU time shown is what the kernel charged.  Throughput with and without the
profiler, in alternating runs, is printed for information: on a shared machine it varies by more.
"""
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import BIN, SOURCE, Agent, main, wait_for  # noqa: E402

SECONDS = 30
SLICE = 3
PAIRS = 4
TICK = os.sysconf("SC_CLK_TCK")


def programs():
    built = subprocess.run(["sh", SOURCE / "tests/proof/redis_build.sh", SOURCE / "build/proof"],
                           stdout=subprocess.PIPE, text=True, check=True)
    return pathlib.Path(built.stdout.strip())


class Redis:
    """A server on a Unix socket of its own; `prefix` is what runs it."""

    def __init__(self, folder, prefix=(), env=None):
        self.folder = folder
        self.directory = tempfile.mkdtemp(prefix="hearth-redis.")
        self.socket = self.directory + "/s"
        self.process = subprocess.Popen(
            [*prefix, folder / "redis-server", "--port", "0", "--unixsocket", self.socket,
             "--save", "", "--appendonly", "no", "--dir", self.directory],
            env=env, stdout=subprocess.DEVNULL)
        wait_for("redis to answer", self.answers)

    def answers(self):
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(self.socket)
            except OSError:
                return False
            s.sendall(b"PING\r\n")
            return s.recv(16) == b"+PONG\r\n"

    def pid(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.socket)
            s.sendall(b"INFO server\r\n")
            text = b""
            while b"process_id:" not in text or not text.endswith(b"\r\n"):
                text += s.recv(65536)
        return int(text.split(b"process_id:")[1].split()[0])

    def load(self, seconds):
        """Requests answered a second."""
        began, requests = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            for tests, count, pipeline in ("set,get", 60000, 16), ("lpush", 60000, 16), ("lrange_100", 6000, 4):
                done = subprocess.run(
                    [self.folder / "redis-benchmark", "-s", self.socket, "-t", tests, "-n", str(count),
                     "-P", str(pipeline), "-c", "20", "-r", "100000", "-q"],
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                assert done.returncode == 0, done.stderr
                requests += count * len(tests.split(","))
        return requests / (time.monotonic() - began)

    def close(self):
        self.process.terminate()
        assert self.process.wait(60) == 0
        subprocess.run(["rm", "-rf", self.directory], check=True)


def watched(folder, agent):
    return Redis(folder, [BIN / "hearth", "run", "-q", "--service", "redis", "--"],
                 dict(os.environ, HEARTH_SERVER=f"unix:{agent.run}"))


def charged_ns(pid):
    """utime + stime, and the thread clocks' sum, which the kernel keeps exactly."""
    words = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    ticks = (int(words[11]) + int(words[12])) * 1e9 / TICK
    exact = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        exact += int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0])
    return ticks, exact


def redis_under_load():
    folder = programs()
    with Agent() as agent:
        server = watched(folder, agent)
        rate = server.load(SECONDS)
        ticks, exact = charged_ns(server.pid())
        server.close()
        status = agent.settled()["native"]
        total = sum(agent.folded(type="cpu").values())
        rows = agent.get("/api/v1/top", type="cpu")["rows"][:15]
        print(f"# {rate:,.0f} requests/s; {status['samples']} CPU samples, {status['blocks']} blocked calls, "
              f"lost {status['lost']}")
        stacks = status["stacks"]
        share = stacks["root"] / sum(stacks.values())
        print(f"# stacks to the first frame {100 * share:.3f} %; by how they ended {stacks}")
        print(f"# CPU shown {total / 1e9:.3f} s; thread clocks {exact / 1e9:.3f} s "
              f"({100 * (total / exact - 1):+.2f} %); utime+stime {ticks / 1e9:.2f} s; "
              f"not sampled {status['cpu_not_sampled_ns'] / 1e9:.3f} s")
        for row in rows:
            print(f"#   {100 * row['self'] / total:5.1f} %  {row['name']}  "
                  f"{os.path.basename(row['file'])}:{row['line']}  {row['library']}")
        own = [row for row in rows if row["library"] == "redis-server"]
        assert len(own) >= 5, rows
        for row in own:
            assert row["line"] > 0 and row["file"].endswith((".c", ".h")) and "+0x" not in row["name"], row
        assert share >= 0.995, stacks
        assert abs(total - exact) <= 0.01 * exact, (total, exact)


def what_it_costs():
    folder = programs()
    with Agent() as agent:
        plain, profiled = Redis(folder), watched(folder, agent)
        for server in (plain, profiled):
            server.load(2)
        ratios = []
        for i in range(PAIRS):
            first, second = (plain, profiled) if i % 2 == 0 else (profiled, plain)
            rates = {first: first.load(SLICE)}
            rates[second] = second.load(SLICE)
            ratios.append(rates[profiled] / rates[plain])
            print(f"#   {rates[plain]:,.0f} requests/s without, {rates[profiled]:,.0f} with the profiler")
        print(f"# with : without, median {statistics.median(ratios):.4f}, "
              f"from {min(ratios):.4f} to {max(ratios):.4f} (for information)")
        plain.close()
        profiled.close()


if __name__ == "__main__":
    main(redis_under_load, what_it_costs)
