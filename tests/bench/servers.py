# SPDX-License-Identifier: Apache-2.0
"""Sampling switched by turns inside one loaded server: CPU time an operation, by the server's own count."""
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

from measure import report, report_pairs, slices
from support import Agent, wait_for

LIMIT = 1.0
SQLITE = pathlib.Path(__file__).with_name("sqlite_load.py")


class Tool:
    """A load generator, again and again until it is closed."""

    def __init__(self, *command):
        self.process = subprocess.Popen(["sh", "-c", 'while :; do "$@" >/dev/null 2>&1 || sleep 0.1; done', "sh",
                                         *map(str, command)], start_new_session=True)

    def close(self):
        os.killpg(self.process.pid, 9)
        self.process.wait()


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
    with Agent() as agent, tempfile.TemporaryDirectory() as folder:
        path = folder + "/s"
        p = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no",
                              "--dir", folder], env=agent.environment(), stdout=subprocess.DEVNULL)
        wait_for("redis", lambda: os.path.exists(path) and b"PONG" in ask_redis(path, "PING"))
        tool = Tool("redis-benchmark", "-s", path, "-t", "set,get", "-n", 2000000, "-P", 16, "-c", 20, "-r", 100000)

        def operations():
            return int(ask_redis(path).split(b"total_commands_processed:")[1].split()[0])
        wait_for("load", lambda: operations() > 100000)
        pairs = slices(agent, p.pid, operations, time.monotonic() + seconds)
        tool.close()
        p.terminate()
        p.wait()
    report_pairs("redis", pairs, LIMIT)


def sqlite(seconds):
    with Agent() as agent, tempfile.TemporaryDirectory() as folder:
        count = pathlib.Path(folder) / "count"
        count.write_bytes(bytes(8))
        p = subprocess.Popen([sys.executable, SQLITE, str(count)], env=agent.environment(), stdin=subprocess.PIPE)

        def operations():
            return struct.unpack("=Q", count.read_bytes())[0]
        wait_for("load", lambda: operations() > 1000)
        time.sleep(1)
        pairs = slices(agent, p.pid, operations, time.monotonic() + seconds)
        p.kill()
        p.wait()
    report_pairs("sqlite", pairs, LIMIT)


NGINX = """daemon off; worker_processes 1; pid {0}/pid; error_log {0}/error crit;
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


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def child_of(pid):
    children = open(f"/proc/{pid}/task/{pid}/children").read().split()
    return int(children[0]) if children else None


def nginx_start(folder, port, env):
    path = pathlib.Path(folder)
    path.chmod(0o755)
    (path / "index.html").write_text("x" * 4000)
    (path / "conf").write_text(NGINX.format(folder, port))
    p = subprocess.Popen(["nginx", "-c", folder + "/conf", "-p", folder], env=env, stderr=subprocess.DEVNULL)

    def up():
        try:
            return b"200 OK" in fetch(port, "/index.html")
        except OSError:
            return False
    wait_for("nginx", up)
    return p


def nginx(seconds):
    tool = shutil.which("wrk") or shutil.which("ab")
    if not shutil.which("nginx") or not tool:
        return report("nginx_skipped", None, "nginx, wrk and ab are not all installed")
    port = free_port()
    with Agent() as agent, tempfile.TemporaryDirectory() as folder:
        p = nginx_start(folder, port, agent.environment())
        url = f"http://127.0.0.1:{port}/index.html"
        load = Tool(*([tool, "-t1", "-c16", "-d60", url] if tool.endswith("wrk") else
                      [tool, "-q", "-k", "-c", "16", "-n", "1000000", url]))

        def operations():
            return int(fetch(port, "/status").split(b"requests")[1].split()[2])
        wait_for("load", lambda: operations() > 2000)
        time.sleep(1)
        pairs = slices(agent, child_of(p.pid), operations, time.monotonic() + seconds)
        load.close()
        p.terminate()
        p.wait()
    report_pairs("nginx", pairs, LIMIT)
