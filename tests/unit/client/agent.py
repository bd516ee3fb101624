# SPDX-License-Identifier: Apache-2.0
"""The agent's side of client/ring.h, as small as a test needs it.

Accepts hello messages, reads the memfd with pread, writes struct ring_agent with pwrite.  It checks
what the format promises and leaves storing and naming to the real agent.
"""
import array
import os
import random
import socket
import struct
import subprocess
import time

PAGE = 4096
UNIT = 64
HEAD_BYTES = 64
RECORD = struct.Struct("<QIHHIIq4QBBHHH")
MODULE = struct.Struct("<QQQI32sI232s")
THREAD = struct.Struct("<IIIIqQQ2QQQ32sQ2Q2Q48x")
DIMENSIONS = ["cpu", "wall", "alloc", "heap", "lock", "exception"]
DROPS = ["ring_full", "no_slot", "no_timer", "nested", "altstack", "foreign_signal", "budget",
         "modules", "killed"]
ENDS = ["root", "depth", "no_cfi", "bad_cfi", "bounds", "loop", "budget"]
PAD, CPU, BLOCK, SITE, THREAD_END, ALLOC, LOCK, EXCEPTION, SPAN = range(9)
FLUSH, EXIT = 1, 2
TAIL_AT = 8 + 8 + 4 * 6 + 8 + 24 * 8


class Record:
    def __init__(self, kind, tid, slot, time_ns, ids, end, flags, payload, frames, labels):
        self.kind, self.tid, self.slot, self.time_ns = kind, tid, slot, time_ns
        self.trace = struct.pack("<QQ", *ids[:2])
        self.span, self.root_span = ids[2:]
        self.end, self.flags, self.frames, self.labels = ENDS[end], flags, frames, labels
        if kind in (CPU, THREAD_END):
            self.weight, self.samples = struct.unpack("<QQ", payload)
        elif kind in (BLOCK, SITE):
            (self.call, self.target_kind, self.target, self.duration, self.site,
             self.since, self.mean) = struct.unpack("<IIQQQqQ", payload)
        elif kind == ALLOC:
            self.size, self.mean, self.address = struct.unpack("<QQQ", payload)
        elif kind == LOCK:
            (self.what, self.lock_kind, self.lock, self.creator, self.duration,
             self.mean) = struct.unpack("<IIQQQQ", payload)
        elif kind == EXCEPTION:
            self.count, = struct.unpack("<Q", payload)
        elif kind == SPAN:
            self.trace = payload[:16]
            (self.span, self.parent, self.root_span, self.start,
             self.duration) = struct.unpack("<QQQqQ", payload[16:])


class Session:
    """One program's memory."""

    def __init__(self, fd, proc, text):
        self.fd, self.proc, self.text = fd, proc, text
        head = os.pread(fd, PAGE, 0)
        (self.magic, self.version, self.head_bytes, self.total) = struct.unpack_from("<QIIQ", head)
        assert self.magic == 0x31676E6972726168 and self.version == 2
        assert os.fstat(fd).st_size == self.total
        self.runtime_id = head[24:40]
        (self.start_real, self.start_monotonic, self.pid, self.tid, self.modules_at,
         self.modules_max, self.threads_at, self.threads_max, _, _, self.rings_at,
         self.rings_count, self.ring_bytes, self.hz) = struct.unpack_from("<qqii10I", head, 40)
        self.tails = [0] * self.rings_count
        self.files = {}
        self.generation = random.getrandbits(64)

    def beat(self, kill=0, interval_us=0, off=0, rescan=0, flushed=None, now=None):
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) if now is None else now
        os.pwrite(self.fd, struct.pack("<qQ6I", now, self.generation, kill, interval_us, off, 0, 0,
                                       rescan), PAGE)
        if flushed is not None:
            os.pwrite(self.fd, struct.pack("<Q", flushed), PAGE + 40)

    def counters(self):
        raw = os.pread(self.fd, PAGE, 2 * PAGE)
        words = list(struct.unpack_from("<%dQ" % (4 + 6 + 54 + 7 + 2 + 32 + 11 + 6 + 2), raw))
        take = lambda n: [words.pop(0) for _ in range(n)]
        c = dict(zip(["modules", "threads_high", "flush_wanted", "attaches"], take(4)))
        c["samples"] = dict(zip(DIMENSIONS, take(6)))
        c["drops"] = {}
        for d in DIMENSIONS:
            for why, n in zip(DROPS, take(9)):
                if n:
                    c["drops"][d + "." + why] = n
        c["ends"] = dict(zip(ENDS, take(7)))
        c["claims_open"], c["cost_ns"] = take(2)
        c["handler_ns"] = take(32)
        for name in ["unused_0", "unused_1", "alloc_calls", "alloc_bytes", "lock_contended",
                     "lock_wait_ns", "exceptions", "engine", "interval_us", "preloaded", "state"]:
            c[name] = take(1)[0]
        take(6)
        c["spans"], c["spans_dropped"] = take(2)
        return c

    def modules(self):
        out = []
        for i in range(self.counters()["modules"]):
            raw = os.pread(self.fd, MODULE.size, self.modules_at + i * MODULE.size)
            start, end, bias, flags, build_id, n, path = MODULE.unpack(raw)
            out.append(dict(start=start, end=end, bias=bias, flags=flags,
                            build_id=build_id[:n].hex(), path=path.split(b"\0")[0].decode()))
        return out

    def threads(self):
        out = []
        for i in range(self.counters()["threads_high"]):
            raw = os.pread(self.fd, THREAD.size, self.threads_at + i * THREAD.size)
            f = THREAD.unpack(raw)
            if f[0]:
                out.append(dict(slot=i, tid=f[0], generation=f[1], sequence=f[2], call=f[3],
                                since=f[4], site=f[5], target=f[6], span=f[9], root_span=f[10],
                                name=f[11].split(b"\0")[0].decode(), signals=f[12],
                                cpu_base=f[13], cpu_stop=f[14]))
        return out

    def drain(self, keep=False):
        """All committed records; moves the tails unless `keep`."""
        out = []
        for ring in range(self.rings_count):
            base = self.rings_at + ring * (HEAD_BYTES + self.ring_bytes)
            at = self.tails[ring]
            while True:
                place = base + HEAD_BYTES + (at & (self.ring_bytes - 1))
                raw = os.pread(self.fd, RECORD.size, place)
                commit, size, kind, count = struct.unpack_from("<QIHH", raw)
                if commit != at + 1:
                    break
                assert size % UNIT == 0 and 0 < size <= self.ring_bytes
                if kind != PAD:
                    out.append(self.record(place, size, count))
                at += size
            if not keep:
                self.tails[ring] = at
                for offset in (0, 8):
                    os.pwrite(self.fd, struct.pack("<Q", at),
                              PAGE + TAIL_AT + 16 * ring + offset)
        return out

    def record(self, place, size, count):
        raw = os.pread(self.fd, size, place)
        (_, _, kind, _, tid, slot, time_ns, a, b, c, d, end, flags, _, text,
         _) = RECORD.unpack_from(raw)
        payload = {CPU: 16, THREAD_END: 16, BLOCK: 48, SITE: 48, ALLOC: 24, LOCK: 40,
                   EXCEPTION: 8, SPAN: 56}[kind]
        assert RECORD.size + payload + 8 * count + text <= size
        frames = struct.unpack_from("<%dQ" % count, raw, RECORD.size + payload)
        frames = [(f >> 48, f & ((1 << 48) - 1)) for f in frames]
        at = RECORD.size + payload + 8 * count
        words = raw[at:at + text].decode().split("\0")
        return Record(kind, tid, slot, time_ns, (a, b, c, d), end, flags,
                      raw[RECORD.size:RECORD.size + payload], frames,
                      dict(zip(words[0:-1:2], words[1::2])))


class Agent:
    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(path)
        self.socket.listen(64)
        self.sessions = {}
        self.hellos = []

    def close(self):
        self.socket.close()
        os.unlink(self.path)

    def accept(self, timeout=20):
        """Take one hello.  Returns its session, None when none came in time."""
        self.socket.settimeout(timeout)
        try:
            peer, _ = self.socket.accept()
        except socket.timeout:
            return None
        with peer:
            peer.settimeout(20)  # one call connects and sends, however long it is kept from going on in between
            raw, control, flags, _ = peer.recvmsg(8192, socket.CMSG_SPACE(4 * 253))
        if not raw:
            return self.accept(timeout)
        assert not flags & socket.MSG_CTRUNC
        fds = array.array("i")
        for level, kind, data in control:
            fds.frombytes(data[:len(data) - len(data) % 4])
        return self.take(raw, list(fds))

    def take(self, raw, fds):
        magic, version, flags, text_bytes = struct.unpack_from("<4I", raw)
        assert magic == 0x6F6C6C48 and version == 2
        runtime_id = raw[16:32]
        first, count = struct.unpack_from("<2I", raw, 32)
        no_file = struct.unpack_from("<4Q", raw, 40)
        parts = raw[72:72 + text_bytes].decode().split("\0")[:-1]
        text = dict(zip(parts[::2], parts[1::2]))
        memfd, proc, files = fds[0], fds[1], fds[2:]
        session = self.sessions.get(runtime_id)
        if session is None:
            session = self.sessions[runtime_id] = Session(memfd, proc, text)
            assert session.runtime_id == runtime_id
        else:
            os.close(memfd)
            os.close(proc)
        for i in range(count):
            if not no_file[i // 64] >> i % 64 & 1:
                session.files[first + i] = files.pop(0)
        assert not files
        session.hello_flags = flags
        self.hellos.append(session)
        return session


def names(fd, addresses):
    """Functions at ELF addresses of a file, by addr2line."""
    out = subprocess.run(["addr2line", "-f", "-e", "/proc/self/fd/%d" % fd] +
                         ["%x" % a for a in addresses], pass_fds=[fd], capture_output=True,
                         text=True, check=True).stdout.splitlines()
    return out[::2]


def function_names(session, records):
    """{(module, address): name} of all frames."""
    wanted = {}
    for r in records:
        for module, address in r.frames:
            wanted.setdefault(module, set()).add(address)
    out = {}
    for module, addresses in wanted.items():
        addresses = sorted(addresses)
        fd = session.files.get(module - 1)
        found = names(fd, addresses) if fd is not None else ["??"] * len(addresses)
        out.update(((module, a), n) for a, n in zip(addresses, found))
    return out
