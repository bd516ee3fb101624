# SPDX-License-Identifier: Apache-2.0
"""The store as its operator meets it: maintenance of a live one, a full disk, two agents."""
import json
import os
import pathlib
import random
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time

from support import Agent, BIN, main, run, wait_for

HEARTH = BIN / "hearth"


def folded(seed, stacks):
    draw = random.Random(seed)
    return "".join(f"main;handler_{draw.randrange(50)};leaf_{draw.randrange(10 ** 9):x}_{n} {n + 1}\n"
                   for n in range(stacks))


def upload(agent, body, **more):
    status, answer, _ = agent.request("POST", "/api/v1/profiles", body=body, service="stored",
                                      format="folded", **more)
    return status, answer


def a_live_store_is_checked_copied_and_taken_in_elsewhere():
    with Agent() as agent, Agent() as other, tempfile.TemporaryDirectory() as folder:
        env = dict(os.environ, HEARTH_SERVER=f"unix:{agent.run}")
        now = int(time.time())
        for n in range(5):
            assert upload(agent, folded(n, 200), **{"from": now - 60 - n, "until": now - 50 - n})[0] == 200
        want = agent.folded(query='{service="stored"}', type="cpu_samples", **{"from": "now-2h"})
        assert len(want) > 900, len(want)
        for words in (["nonsense"], ["stats", "more"], ["backup"], []):
            assert run([HEARTH, "db", *words]).returncode == 2, words
        away = {k: v for k, v in env.items() if k != "HEARTH_SERVER"}
        assert run([HEARTH, "db", "stats", "--server", env["HEARTH_SERVER"]], env=away).returncode == 0
        done = run([HEARTH, "db", "stats"], env=env)
        assert done.returncode == 0 and b"l0/" in done.stdout, done
        for verb, said in (("check", b", 0 damaged"), ("compact", b" KB before"), ("check", b", 0 damaged")):
            done = run([HEARTH, "db", verb], env=env)
            assert done.returncode == 0 and said in done.stdout, done
            done = run([HEARTH, "db", verb, "--json"], env=env)
            assert json.loads(done.stdout)["schema"] == f"hearth.db.{verb}/1", done
        assert json.loads(done.stdout)["damaged"] == [], done
        archive = pathlib.Path(folder) / "store.tar"
        done = run([HEARTH, "db", "export", archive], env=env)
        assert done.returncode == 0 and not list(archive.parent.glob("*.partial")), done
        assert run([HEARTH, "db", "export", archive], env=env).returncode == 1
        names = [name for name in run(["tar", "-tf", archive]).stdout.decode().split() if name[0] == "l"]
        # What says how much of another it holds is copied, and taken in, before that one.
        assert names[-1].startswith("l0/") and names == sorted(names, reverse=True), names
        done = run([HEARTH, "db", "import", archive], env=dict(env, HEARTH_SERVER=f"unix:{other.run}"))
        assert done.returncode == 0, done
        assert other.folded(query='{service="stored"}', type="cpu_samples", **{"from": "now-2h"}) == want
        done = run([HEARTH, "db", "import", archive], env=env)
        assert done.returncode == 0 and b"there already" in done.stderr, done
        short = pathlib.Path(folder) / "short.tar"
        whole = archive.read_bytes().rstrip(b"\0")
        short.write_bytes(whole + b"\0" * (-len(whole) % 512))
        done = run([HEARTH, "db", "import", short], env=env)
        assert done.returncode == 1 and b"cut short" in done.stderr, done
        file = next((other.directory / "data" / "l0").glob("*.db")).read_bytes()
        for name in ("l0/20250101T00.db", "l1/20250101.db", "l2/202501.db"):
            status, body, _ = other.request("POST", "/api/v1/db", body=file, action="import", name=name)
            assert status in (400, 415), (name, status, body)
        assert not list((other.directory / "data").glob("l?/2025*"))
        backup = pathlib.Path(folder) / "backup"
        assert run([HEARTH, "db", "backup", backup], env=env).returncode == 0
        with Agent(store=f"sqlite:{backup}") as third:
            assert third.folded(query='{service="stored"}', type="cpu_samples",
                                **{"from": "now-2h"}) == want


def grow(path, megabytes):
    """A part of so many bytes that do not compress; its store is closed."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous=OFF")
    db.execute("CREATE TABLE ballast(x BLOB)")
    db.execute("WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
               "INSERT INTO ballast SELECT randomblob(1048576) FROM n", (megabytes,))
    db.commit()
    db.close()
    return path.stat().st_size


def peak(agent):
    """Bytes of memory, the most that it had at once."""
    for line in pathlib.Path(f"/proc/{agent.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10


def leftovers(agent):
    return [path for path in (agent.directory / "data").rglob("*") if ".adopted" in path.name or "copying" in path.name]


def a_part_of_any_size_goes_out_and_comes_in():
    with Agent() as agent, Agent() as other, tempfile.TemporaryDirectory() as folder:
        here, there = (dict(os.environ, HEARTH_SERVER=f"unix:{a.run}") for a in (agent, other))
        assert upload(agent, folded(1, 200))[0] == 200
        agent.stop()
        path = next((agent.directory / "data" / "l0").glob("*.db"))
        size = grow(path, 260)
        assert size > 260 << 20
        agent.start()
        # What the start itself takes, with its check of the file, is not what a copy takes.
        assert run([HEARTH, "db", "check"], env=here).returncode == 0
        want = agent.folded(query='{service="stored"}', type="cpu_samples", **{"from": "now-2h"})
        before = peak(agent), peak(other)
        archive = pathlib.Path(folder) / "store.tar"
        done = run([HEARTH, "db", "export", archive], env=here)
        assert done.returncode == 0 and archive.stat().st_size > size, done
        done = run([HEARTH, "db", "import", archive], env=there)
        assert done.returncode == 0, done
        assert other.folded(query='{service="stored"}', type="cpu_samples", **{"from": "now-2h"}) == want
        more = [peak(a) - was for a, was in zip((agent, other), before)]
        print(f"# {size >> 20} MB out and in took {more[0] >> 10} and {more[1] >> 10} KB of memory")
        assert max(more) < size / 8, more
        assert not leftovers(agent) and not leftovers(other)
        archive.unlink()


def who_reads_or_sends_slowly_holds_nothing_up():
    with Agent() as agent:
        assert upload(agent, folded(1, 200))[0] == 200
        agent.stop()
        path = next((agent.directory / "data" / "l0").glob("*.db"))
        grow(path, 20)
        agent.start()
        name = f"l0/{path.name}"
        slow = socket.socket(socket.AF_UNIX)
        slow.connect(str(agent.run / "http.sock"))
        slow.sendall(f"GET /api/v1/db/file?name={name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        got = slow.recv(1000)
        sender = socket.socket(socket.AF_UNIX)
        sender.connect(str(agent.run / "http.sock"))
        sender.sendall(b"POST /api/v1/db?action=import&name=l0/20250101T00.db HTTP/1.1\r\nHost: x\r\n"
                       b"Content-Length: 1000000\r\n\r\n" + b"x" * 1000)
        wait_for("the first of what comes", lambda: leftovers(agent))
        assert not list(agent.directory.rglob("copying-*"))
        for n in range(20):
            assert upload(agent, folded(2 + n, 200))[0] == 200
        # No transaction is open: the file's WAL can be moved and cut off.
        assert run([HEARTH, "db", "compact"], env=dict(os.environ, HEARTH_SERVER=f"unix:{agent.run}")).returncode == 0
        wal = path.with_name(path.name + "-wal")
        assert not wal.exists() or wal.stat().st_size == 0, wal.stat().st_size
        sender.close()
        wait_for("what was sent in part to go", lambda: not leftovers(agent))
        while True:
            more = slow.recv(1 << 20)
            if not more:
                break
            got += more
        slow.close()
        head, _, body = got.partition(b"\r\n\r\n")
        assert b" 200 " in head and f"Content-Length: {len(body)}".encode() in head, (head, len(body))
        # It is as the file was when it was asked for, whatever came later.
        copy = agent.directory / "copy.db"
        copy.write_bytes(body)
        db = sqlite3.connect(copy)
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT count(*) FROM batch").fetchall() == [(1,)]
        db.close()


def a_part_that_may_not_come_is_refused_with_the_reason():
    with tempfile.TemporaryDirectory() as folder:
        settings = pathlib.Path(folder) / "settings.yaml"
        settings.write_text("retention:\n  bytes: 100000000\n")
        with Agent("--config", settings) as agent:
            post = dict(action="import", name="l0/20250101T00.db")
            status, answer, _ = agent.request("POST", "/api/v1/db", headers={"Content-Length": "100000001"},
                                              body=b"x" * 100000001, **post)
            assert status == 413 and b"retention.bytes" in answer, (status, answer)
            assert agent.request("POST", "/api/v1/db", body=b"", **post)[0] == 400
            assert agent.request("POST", "/api/v1/db", body=b"x" * 5000, **post)[0] == 400
            assert agent.request("POST", "/api/v1/db", body=b"x", action="import", name="../x.db")[0] == 400
            assert agent.request("POST", "/api/v1/db", body=b"x", tcp=True, **post)[0] == 403
            chunks = (b"x" * 1000 for _ in range(10))  # of no length that is said before
            assert agent.request("POST", "/api/v1/db", body=chunks, **post)[0] == 400
            status, answer, _ = agent.request("GET", "/api/v1/db/file", name="l0/20250101T00.db")
            assert status == 404 and b"l0/20250101T00.db" in answer, (status, answer)
            assert not leftovers(agent)


def damage_is_found_by_check_and_put_aside():
    with Agent() as agent:
        env = dict(os.environ, HEARTH_SERVER=f"unix:{agent.run}")
        assert upload(agent, folded(1, 2000))[0] == 200
        agent.stop()
        path = next((agent.directory / "data" / "l0").glob("*.db"))
        with open(path, "r+b") as file:
            file.seek(path.stat().st_size // 2 // 4096 * 4096)
            file.write(b"\x5a" * 4096)
        agent.start()
        done = run([HEARTH, "db", "check"], env=env)
        assert done.returncode == 1 or list(path.parent.glob("*.damaged-1")), done
        assert upload(agent, folded(2, 10))[0] == 200


def a_second_agent_is_told_who_has_the_store():
    with Agent() as agent:
        done = run([BIN / "hearthd", "--run", agent.directory / "second", "--data",
                    agent.directory / "data", "--listen", "127.0.0.1:0"])
        assert done.returncode == 1 and f"in use by process {agent.process.pid}".encode() in done.stderr, done
        assert "SQLite 3." in agent.logged()


def a_full_file_system_answers_507_until_there_is_room():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hearth-full."))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", folder],
                             capture_output=True).returncode == 0
    if not mounted:
        print("# not root: no file system of 64 MB here; tests/unit/storage fills a simulated one")
        shutil.rmtree(folder)
        return
    try:
        ballast = folder / "ballast"
        with open(ballast, "wb") as file:
            file.write(b"x" * (58 << 20))
        settings = folder / "settings.yaml"
        settings.write_text("retention:\n  free_percent: 0\n")
        with Agent("--config", settings, store=f"sqlite:{folder}/store") as agent:
            stored, status, answer = 0, 200, b""
            while status == 200 and stored < 400:
                status, answer = upload(agent, folded(stored, 8000))
                stored += status == 200
            assert status == 507, (status, answer)
            assert upload(agent, folded(1000, 8000))[0] == 507
            before = sum(agent.folded(query='{service="stored"}', type="cpu_samples",
                                      **{"from": "now-2h"}).values())
            assert before == stored * 8000 * 8001 // 2, (before, stored)
            ballast.unlink()
            deadline = time.monotonic() + 60
            while upload(agent, folded(1001, 8000))[0] != 200:
                assert time.monotonic() < deadline
            agent.stop()
            agent.start()
            after = sum(agent.folded(query='{service="stored"}', type="cpu_samples",
                                     **{"from": "now-2h"}).values())
            assert after == (stored + 1) * 8000 * 8001 // 2, (after, stored)
            assert "damaged" not in agent.logged()
    finally:
        subprocess.run(["umount", "-l", folder])
        shutil.rmtree(folder, ignore_errors=True)


main(a_live_store_is_checked_copied_and_taken_in_elsewhere, a_part_of_any_size_goes_out_and_comes_in,
     who_reads_or_sends_slowly_holds_nothing_up, a_part_that_may_not_come_is_refused_with_the_reason,
     damage_is_found_by_check_and_put_aside,
     a_second_agent_is_told_who_has_the_store, a_full_file_system_answers_507_until_there_is_room)
