# SPDX-License-Identifier: Apache-2.0
"""Clients that lie, hoard, scribble and dawdle: the agent goes on, and keeps nothing of theirs.

Runs under asan and tsan builds of hearthd as well: a report of theirs ends the agent with a status
that is not 0, which Agent.stop checks.
"""
import os
import pathlib
import random
import secrets
import socket
import struct
import threading

from hostile_client import (FLUSH, HEAP_AT, HEAP_BYTES, MODULES_AT, PAGE, RINGS, RING_BYTES, RINGS_AT, THREADS_AT, TOTAL,
                            hello, mapped, memory, own_proc, sample, send)
from support import Agent, main, wait_for

RSS_MAX_KB = 1 << 20  # a sanitizer's own memory included; a leak of what is sent here is above


def descriptors(agent):
    """All but the store's files, of which there may be more with time."""
    count = 0
    for fd in os.listdir(f"/proc/{agent.process.pid}/fd"):
        try:
            count += str(agent.directory / "data") not in os.readlink(
                f"/proc/{agent.process.pid}/fd/{fd}")
        except FileNotFoundError:
            pass
    return count


def rss_kb(agent):
    text = pathlib.Path(f"/proc/{agent.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))


def alive(agent):
    assert agent.request("GET", "/healthz", tcp=True)[0] == 200


def settled_descriptors(agent, baseline):
    try:
        wait_for("descriptors to be closed", lambda: descriptors(agent) <= baseline)
    except AssertionError:
        folder = f"/proc/{agent.process.pid}/fd"
        print("#", baseline, sorted(os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)))
        raise


def in_child(work):
    """Run work() in a process of its own, so that its /proc ends with it."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def warmed(agent):
    """The count of descriptors once everything that stays open is open."""
    agent.status()
    alive(agent)
    return descriptors(agent)


def lies(directory):
    """(name, message, descriptors): none of them may attach."""
    rid = secrets.token_bytes(16)
    right = hello(rid)
    proc = own_proc()
    trap = directory / "trap"
    (trap / "task").mkdir(parents=True)
    for name in ("comm", "stat"):
        os.mkfifo(trap / name)
    linked = directory / "linked"
    linked.mkdir()
    os.symlink("/etc/passwd", linked / "comm")
    os.mkfifo(directory / "fifo")
    (directory / "file").write_bytes(b"x" * TOTAL)
    directory_fd = [os.open(d, os.O_RDONLY | os.O_DIRECTORY) for d in (trap, linked, "/")]
    odd = [os.open(directory / "fifo", os.O_RDWR), os.open("/dev/zero", os.O_RDWR),
           socket.socket(socket.AF_UNIX).detach(), os.open("/", os.O_RDONLY | os.O_DIRECTORY),
           os.open(directory / "file", os.O_RDWR), os.open(directory / "file", os.O_PATH)]
    good = memory(rid)
    yield "nothing at all", b"", []
    yield "descriptors without a message", b"", [good, proc, good]
    yield "text of another protocol", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", [good, proc]
    yield "too long", right + bytes(9000), [good, proc]
    yield "no descriptors", right, []
    yield "one descriptor", right, [good]
    yield "another magic", hello(rid, magic=1), [good, proc]
    yield "text that is said to be longer", hello(rid, said=999), [good, proc]
    yield "text without its end", hello(rid, text=b"service\0x"), [good, proc]
    yield "modules out of range", hello(rid, modules=(0, 241)), [good, proc]
    yield "another process's id", hello(secrets.token_bytes(16)), [good, proc]
    yield "not sealed", right, [memory(rid, seals=0), proc]
    yield "shorter than a head", right, [memory(rid, size=100), proc]
    yield "shorter than it says", right, [memory(rid, size=TOTAL - 8), proc]
    for fd in odd:
        yield "not a memory file", right, [fd, proc]
    for fd in directory_fd:
        yield "not a directory of /proc", right, [good, fd]
    yield "a file as /proc", right, [good, good]
    for lie in ({"magic": 0}, {"version": 9}, {"head_bytes": 0}, {"total": 0}, {"modules_at": PAGE},
                {"modules_max": 0xFFFFFFFF}, {"threads_at": TOTAL}, {"threads_max": 0xFFFFFFFF},
                {"rings_at": 0xFFFFFFF8}, {"rings": 65}, {"ring_bytes": 1 << 31}, {"hz": 0},
                {"heap_at": 8, "heap_bytes": TOTAL}, {"heap_at": TOTAL, "heap_bytes": 64},
                {"heap_bytes": (4 << 20) + PAGE}):
        yield f"a head with {lie}", right, [memory(rid, **lie), proc]
    yield "surplus descriptors", hello(secrets.token_bytes(16)), [good, proc] + [good] * 248


def hellos_that_lie_are_refused_and_leave_nothing():
    with Agent() as agent:
        baseline = warmed(agent)
        for name, message, fds in lies(agent.directory):
            send(agent.run / "agent.sock", message, fds)
            alive(agent)
            status = agent.status()
            assert not status["processes"] and not status["native"]["attached"], (name, status)
        settled_descriptors(agent, baseline)
        agent.stop()


def who_connects_and_says_nothing_keeps_nobody_out():
    with Agent() as agent:
        baseline = warmed(agent)
        silent = []
        for _ in range(600):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.connect(str(agent.run / "agent.sock"))
            silent.append(s)
        rid = secrets.token_bytes(16)
        assert ended(in_child(lambda: send(agent.run / "agent.sock", hello(rid),
                                           [memory(rid), own_proc()]))) == 0
        wait_for("the one that speaks", lambda: agent.status()["native"]["attached"])
        settled_descriptors(agent, baseline)  # the silent ones are still open on their side
        for s in silent:
            s.close()
        agent.stop()


def surplus_and_odd_files_of_modules_are_closed():
    with Agent() as agent:
        baseline = warmed(agent)
        rid = secrets.token_bytes(16)

        def work():
            fd = memory(rid)
            mapped(fd)[2 * PAGE] = 3  # three modules, all zero
            os.mkfifo(agent.directory / "fifo")
            odd = [os.open(agent.directory / "fifo", os.O_RDWR), os.open("/dev/zero", os.O_RDONLY),
                   os.open("/", os.O_RDONLY | os.O_DIRECTORY)]
            for _ in range(20):
                send(agent.run / "agent.sock", hello(rid, modules=(0, 3)),
                     [fd, own_proc()] + odd + [odd[0]] * 200)

        assert ended(in_child(work)) == 0
        agent.settled()
        settled_descriptors(agent, baseline)
        agent.stop()


def scribble(view, rng):
    """Something a program that has lost its mind might write."""
    kind = rng.randrange(8)
    ring = RINGS_AT + rng.randrange(RINGS) * (64 + RING_BYTES)
    if kind == 0:
        view[ring:ring + 8] = rng.getrandbits(64).to_bytes(8, "little")
    elif kind == 1:
        view[ring:ring + 8] = (rng.randrange(1 << 20) * 64).to_bytes(8, "little")
    elif kind == 2:
        at = ring + 64 + rng.randrange(RING_BYTES - 4096)
        view[at:at + 4096] = rng.randbytes(4096)
    elif kind == 3:
        view[2 * PAGE:2 * PAGE + 1024] = rng.randbytes(1024)
    elif kind == 4:
        view[MODULES_AT:MODULES_AT + 4096] = rng.randbytes(4096)
    elif kind == 5:
        view[THREADS_AT:THREADS_AT + 8192] = rng.randbytes(8192)
    elif kind == 6:
        view[HEAP_AT:HEAP_AT + HEAP_BYTES] = rng.randbytes(HEAP_BYTES)
    else:
        live_blocks(view, rng)


def live_blocks(view, rng):
    """A table that holds together, with values that need not."""
    entries, blocks = 1 << rng.randrange(3, 7), 64
    table = struct.pack("=IIQQ", entries, blocks, entries, 1 << 19).ljust(128, b"\0")
    table += b"".join(struct.pack("=Q", rng.getrandbits(40) << 3 | rng.choice((0, 0, 0, 1, 2, 4)))
                      for _ in range(entries))
    table += b"".join(struct.pack("=IIQQqQQIHH", 2, rng.getrandbits(32), rng.getrandbits(64) >> rng.randrange(64),
                                  rng.getrandbits(64) >> rng.randrange(64), rng.getrandbits(63), 0, 0,
                                  rng.randrange(blocks + 2), rng.randrange(600), 0)
                      for _ in range(entries))
    table += b"".join(struct.pack("=7QII", *(rng.getrandbits(64) for _ in range(7)),
                                  rng.randrange(blocks + 2), 0) for _ in range(blocks))
    view[HEAP_AT:HEAP_AT + len(table)] = table


def records(view, rng):
    """Committed records of any threads, with any weights, and a head that says so."""
    ring = RINGS_AT + rng.randrange(RINGS) * (64 + RING_BYTES)
    position = int.from_bytes(view[ring:ring + 8], "little") % (1 << 40) // 64 * 64
    for _ in range(rng.randrange(200)):
        record = bytearray(sample(position, rng.getrandbits(32), rng.getrandbits(64),
                                  [rng.getrandbits(64) for _ in range(rng.randrange(40))]))
        record[12] = rng.randrange(9)  # type
        at = position % RING_BYTES
        if at + len(record) > RING_BYTES:
            break
        view[ring + 64 + at:ring + 64 + at + len(record)] = bytes(record)
        position += len(record)
    view[ring:ring + 8] = position.to_bytes(8, "little")


def scribbling_during_drains_harms_nobody():
    rounds = 3000
    with Agent() as agent:
        baseline = warmed(agent)

        def work():
            seed = 20240229
            rid = secrets.token_bytes(16)
            fd = memory(rid)
            view = mapped(fd)
            stop = threading.Event()

            def run(offset):
                rng = random.Random(seed + offset)
                while not stop.is_set():
                    (scribble if rng.randrange(3) else records)(view, rng)

            thread = threading.Thread(target=run, args=(1,))
            thread.start()
            proc = own_proc()
            for _ in range(rounds):
                send(agent.run / "agent.sock", hello(rid, flags=FLUSH), [fd, proc])
            stop.set()
            thread.join()

        pid = in_child(work)
        most = 0
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            alive(agent)
            most = max(most, rss_kb(agent))
        assert ended(pid) == 0
        status = agent.settled()
        print(f"# {status['native']['hellos']} hellos, {status['native']['batches']} batches, "
              f"{status['native']['bad_records']} bad records, at most {most >> 10} MiB")
        assert status["native"]["hellos"] == rounds and most < RSS_MAX_KB, (status["native"], most)
        settled_descriptors(agent, baseline)
        agent.get("/api/v1/flamegraph", type="cpu")
        agent.stop()


def one_user_cannot_take_every_place():
    with Agent() as agent:
        baseline = warmed(agent)
        reading, writing = os.pipe()

        def one():
            rid = secrets.token_bytes(16)
            send(agent.run / "agent.sock", hello(rid), [memory(rid), own_proc()])
            os.read(reading, 1)

        def crowd():
            """A process has one session at a time, so that a crowd takes processes."""
            os.close(writing)
            members = [in_child(one) for _ in range(1100)]
            assert [ended(pid) for pid in members] == [0] * 1100

        def other():
            os.setuid(65534)
            rid = secrets.token_bytes(16)
            assert send(agent.run / "agent.sock", hello(rid), [memory(rid), own_proc()])
            os.read(reading, 1)

        pids = [in_child(crowd)]
        wait_for("a full crowd", lambda: agent.status()["native"]["refused"] == 76)
        assert len(agent.status()["processes"]) == 1024
        alive(agent)
        if os.getuid() == 0:
            pids.append(in_child(lambda: (os.close(writing), other())))
            wait_for("somebody else", lambda: any(p["uid"] == 65534
                                                  for p in agent.status()["processes"]))
        os.close(writing)
        os.close(reading)
        assert [ended(pid) for pid in pids] == [0] * len(pids)
        agent.settled()
        settled_descriptors(agent, baseline)
        assert rss_kb(agent) < RSS_MAX_KB
        agent.stop()


def half_open_heads_keep_nobody_out_and_end():
    with Agent() as agent:
        baseline = warmed(agent)
        slow = []
        for i in range(300):
            s = socket.create_connection(agent.tcp, timeout=60)
            s.sendall(b"GET /healthz HTTP/1.1\r\nX: "[:5 + i % 20])
            slow.append(s)
        alive(agent)
        for s in slow:
            while s.recv(65536):
                pass
            s.close()
        settled_descriptors(agent, baseline)
        agent.stop()


def more_half_open_heads_than_there_are_places_keep_nobody_out():
    with Agent() as agent:
        slow = [socket.create_connection(agent.tcp, timeout=60) for _ in range(1300)]
        alive(agent)
        for s in slow:
            s.close()
        agent.stop()


def bodies_over_the_limit_and_bodies_cut_short_leave_nothing():
    with Agent() as agent:
        baseline = warmed(agent)
        status, body, _ = agent.request("POST", "/api/v1/profiles?service=large&format=folded",
                                        body=b"a;b 1\n" * (6 << 20), tcp=True)
        assert status == 413 and b"limits.body_bytes" in body, (status, body)
        for _ in range(20):
            with socket.create_connection(agent.tcp) as s:
                s.sendall(b"POST /api/v1/profiles?service=cut&format=folded HTTP/1.1\r\n"
                          b"Host: localhost\r\nContent-Length: 1000\r\n\r\na;b 1\n")
        status, body, _ = agent.request("POST", "/api/v1/symbols?build_id=00112233", tcp=True,
                                        body=b"x" * (40 << 20))
        assert status == 403, (status, body)
        settled_descriptors(agent, baseline)
        assert agent.status()["storage"]["profiles"] == 0
        agent.stop()


def a_storm_of_uploads_is_stored_to_the_last():
    threads, each = 8, 40
    with Agent() as agent:
        failures, done = [], threading.Event()

        def upload(number):
            for i in range(each):
                status, body, _ = agent.request(
                    "POST", f"/api/v1/profiles?service=storm&format=folded&thread={number}",
                    body=b"main;work%d %d\nmain 1\n" % (i, number + 1), tcp=bool(i % 2))
                if status != 200:
                    failures.append((status, body))

        def ask():
            while not done.is_set():
                agent.folded(type="cpu_samples", query='{service="storm"}')
                agent.status()

        asking = threading.Thread(target=ask)
        asking.start()
        storm = [threading.Thread(target=upload, args=(n,)) for n in range(threads)]
        for t in storm:
            t.start()
        for t in storm:
            t.join()
        done.set()
        asking.join()
        assert not failures, failures[:3]
        total = sum(agent.folded(type="cpu_samples", query='{service="storm"}').values())
        assert total == each * (sum(range(1, threads + 1)) + threads), total
        agent.stop()


def sums_that_leave_their_range_harm_nobody():
    with Agent() as agent:
        for _ in range(4):
            agent.request("POST", "/api/v1/profiles?service=large&format=folded",
                          body=b"a;b 9223372036854775807\na;c 9223372036854775807\n")
        for path in ("flamegraph", "top", "timeline"):
            assert agent.request("GET", f"/api/v1/{path}?type=cpu_samples")[0] == 200
        alive(agent)
        agent.stop()


main(hellos_that_lie_are_refused_and_leave_nothing, who_connects_and_says_nothing_keeps_nobody_out,
     surplus_and_odd_files_of_modules_are_closed, scribbling_during_drains_harms_nobody,
     one_user_cannot_take_every_place, half_open_heads_keep_nobody_out_and_end,
     more_half_open_heads_than_there_are_places_keep_nobody_out,
     bodies_over_the_limit_and_bodies_cut_short_leave_nothing,
     a_storm_of_uploads_is_stored_to_the_last, sums_that_leave_their_range_harm_nobody)
