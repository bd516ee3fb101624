# SPDX-License-Identifier: Apache-2.0
"""Sampling switched by turns inside one loaded server: CPU time an operation, by the server's own count."""
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

from measure import Blocks, of_server, report, report_blocks
from support import Agent, wait_for

LIMIT = 1.0
QUERIES_SHOWN = 4096  # as in sqlite_load.py
SQLITE = pathlib.Path(__file__).with_name("sqlite_load.py")


class Tool:
    """A load generator, again and again until it is closed."""

    def __init__(self, *command):
        self.process = subprocess.Popen(["sh", "-c", 'while :; do "$@" >/dev/null 2>&1 || sleep 0.1; done', "sh",
                                         *map(str, command)], start_new_session=True)

    def close(self):
        os.killpg(self.process.pid, 9)
        self.process.wait()


class Probe:
    """One request after another on a connection of its own: how long each took, in nanoseconds."""

    def __init__(self, family, address, request, end):
        self.socket = socket.socket(family)
        self.socket.connect(address)
        self.request, self.end = request, end

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self):
        began, text = time.perf_counter_ns(), b""
        self.socket.sendall(self.request)
        while not text.endswith(self.end):
            more = self.socket.recv(65536)
            assert more, "the server closed the connection"
            text += more
        yield time.perf_counter_ns() - began


def ask_redis(path, command="INFO stats"):
    """The whole of a "$length" answer, or a line."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(command.encode() + b"\r\n")
        with s.makefile("rb") as answer:
            line = answer.readline()
            return answer.read(int(line[1:])) if line[:1] == b"$" else line


def redis(seconds):
    if not shutil.which("redis-server") or not shutil.which("redis-benchmark"):
        return report("redis_skipped", None, "redis-server is not installed")
    blocks = Blocks("redis")
    with Agent() as agent, tempfile.TemporaryDirectory() as folder:
        path = folder + "/s"
        p = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no",
                              "--dir", folder], env=agent.environment(), stdout=subprocess.DEVNULL)
        wait_for("redis", lambda: os.path.exists(path) and b"PONG" in ask_redis(path, "PING"))
        # At the same time, since a set costs more than a get and a slice is to hold as many of either.
        tools = [Tool("redis-benchmark", "-s", path, "-t", which, "-n", 1000000000, "-P", 16, "-c", 10, "-r", 100000)
                 for which in ("set", "get")]

        def operations():
            return int(ask_redis(path).split(b"total_commands_processed:")[1].split()[0])
        wait_for("load", lambda: operations() > 100000)
        with Probe(socket.AF_UNIX, path, b"GET key:000000000001\r\n", b"\r\n") as probe:
            blocks.run(agent, p.pid, seconds, of_server(p.pid, operations, probe.ask))
        for tool in tools:
            tool.close()
        p.terminate()
        p.wait()
    report_blocks("redis", blocks, LIMIT)


class Shown:
    """The times of queries that sqlite_load.py left since it was asked before."""

    def __init__(self, path):
        self.path, self.seen = path, None

    def ask(self):
        time.sleep(0.02)
        text = self.path.read_bytes()
        queries, = struct.unpack_from("=Q", text, 8)
        first = queries if self.seen is None else max(self.seen, queries - QUERIES_SHOWN + 100)
        self.seen = queries
        for i in range(first, queries):
            yield struct.unpack_from("=I", text, 16 + 4 * (i % QUERIES_SHOWN))[0]


def sqlite(seconds):
    blocks = Blocks("sqlite")
    with Agent() as agent, tempfile.TemporaryDirectory() as folder:
        count = pathlib.Path(folder) / "count"
        count.write_bytes(bytes(16 + 4 * QUERIES_SHOWN))
        p = subprocess.Popen([sys.executable, SQLITE, str(count)], env=agent.environment(), stdin=subprocess.PIPE)

        def operations():
            return struct.unpack_from("=Q", count.read_bytes())[0]
        wait_for("load", lambda: operations() > 1000)
        time.sleep(1)
        blocks.run(agent, p.pid, seconds, of_server(p.pid, operations, Shown(count).ask))
        p.kill()
        p.wait()
    report_blocks("sqlite", blocks, LIMIT)


NGINX = """daemon off; {2}worker_processes 1; pid {0}/pid; error_log {0}/error crit;
events {{ worker_connections 512; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {0}/b; proxy_temp_path {0}/p;
 fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;
 server {{ listen 127.0.0.1:{1}; root {0}; location /status {{ stub_status; }} }} }}
"""


def fetch(port, path):
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        text = b""
        while True:
            more = s.recv(65536)
            if not more:
                return text
            text += more


def counted(command, env, ready, load):
    """Instructions of a server under callgrind, from its start to its end, while `load` runs once."""
    with tempfile.NamedTemporaryFile() as log:
        p = subprocess.Popen(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                              f"--log-file={log.name}", *command], env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if ready:
            wait_for("the server below valgrind", ready)
            load()
            p.terminate()
        p.wait()
        return int(re.search(rb"Collected : (\d+)", log.read())[1])


def nginx_counted(env, requests):
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        nginx_files(folder, port, "master_process off; ")
        return counted(["nginx", "-c", folder + "/conf", "-p", folder], env, lambda: nginx_up(port), lambda: subprocess.run(
            ["ab", "-q", "-k", "-c", "4", "-n", str(requests), f"http://127.0.0.1:{port}/index.html"], check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def redis_counted(env, requests):
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/s"
        return counted(["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no",
                        "--dir", folder], env, lambda: os.path.exists(path) and b"PONG" in ask_redis(path, "PING"),
                       lambda: subprocess.run(["redis-benchmark", "-s", path, "-t", "set,get", "-n", str(requests // 2),
                                               "-P", "16", "-c", "4", "-r", "1000"], check=True, stdout=subprocess.DEVNULL))


def sqlite_counted(env, operations):
    with tempfile.NamedTemporaryFile() as shown:
        shown.write(bytes(16 + 4 * QUERIES_SHOWN))
        shown.flush()
        return counted([sys.executable, SQLITE, shown.name, str(operations)], dict(env, PYTHONHASHSEED="0"), None, None)


def instructions_of_servers(plain, watched):
    """What the hooks add to an operation: sampling switched by the control page leaves them where they are."""
    if not all(map(shutil.which, ("valgrind", "nginx", "ab", "redis-server", "redis-benchmark"))):
        return report("server_instructions", None, "skipped: valgrind or a server is not installed")
    for name, count, few, many in (("nginx", nginx_counted, 1000, 5000), ("redis", redis_counted, 20000, 100000),
                                   ("sqlite", sqlite_counted, 3000, 15000)):
        a, b = ((count(env, many) - count(env, few)) / (many - few) for env in (plain, watched))
        report(f"{name}_instructions_an_operation", round(a), "instructions in user space")
        report(f"{name}_instructions_added", round(b - a), "instructions in user space")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def child_of(pid):
    children = open(f"/proc/{pid}/task/{pid}/children").read().split()
    return int(children[0]) if children else None


def nginx_up(port):
    try:
        return b"200 OK" in fetch(port, "/index.html")
    except OSError:
        return False


def nginx_files(folder, port, more=""):
    path = pathlib.Path(folder)
    path.chmod(0o755)
    (path / "index.html").write_text("x" * 3999 + "\n")
    (path / "conf").write_text(NGINX.format(folder, port, more))


def nginx_start(folder, port, env):
    nginx_files(folder, port)
    p = subprocess.Popen(["nginx", "-c", folder + "/conf", "-p", folder], env=env, stderr=subprocess.DEVNULL)
    wait_for("nginx", lambda: nginx_up(port))
    return p


def nginx(seconds):
    tool = shutil.which("wrk") or shutil.which("ab")
    if not shutil.which("nginx") or not tool:
        return report("nginx_skipped", None, "nginx, wrk and ab are not all installed")
    port, blocks = free_port(), Blocks("nginx")
    with Agent() as agent, tempfile.TemporaryDirectory() as folder:
        p = nginx_start(folder, port, agent.environment())
        url = f"http://127.0.0.1:{port}/index.html"
        load = Tool(*([tool, "-t1", "-c16", "-d60", url] if tool.endswith("wrk") else
                      [tool, "-q", "-k", "-c", "16", "-n", "1000000", url]))

        def operations():
            return int(fetch(port, "/status").split(b"requests")[1].split()[2])
        wait_for("load", lambda: operations() > 2000)
        time.sleep(1)
        with Probe(socket.AF_INET, ("127.0.0.1", port), b"GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n",
                   b"x\n") as probe:
            blocks.run(agent, child_of(p.pid), seconds, of_server(child_of(p.pid), operations, probe.ask))
        load.close()
        p.terminate()
        p.wait()
    report_blocks("nginx", blocks, LIMIT)
