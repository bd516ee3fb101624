# SPDX-License-Identifier: Apache-2.0
"""A native client that can lie: the layouts of client/ring.h, packed by hand."""
import array
import fcntl
import mmap
import os
import socket
import struct
import time

PAGE = 4096
VERSION = 2
MODULES_AT, MODULES = 3 * PAGE, 16
THREADS_AT, THREADS = 5 * PAGE, 64
RINGS_AT, RINGS, RING_BYTES = 9 * PAGE, 2, 65536
HEAP_AT, HEAP_BYTES = RINGS_AT + RINGS * (64 + RING_BYTES) + 3968, 4 * PAGE
TOTAL = HEAP_AT + HEAP_BYTES
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
FLUSH = 1


def head(runtime_id, **lies):
    field = dict(magic=0x31676E6972726168, version=VERSION, head_bytes=104, total=TOTAL, rid=runtime_id,
                 real=time.time_ns(), mono=time.monotonic_ns(), pid=os.getpid(), tid=os.getpid(),
                 modules_at=MODULES_AT, modules_max=MODULES, threads_at=THREADS_AT,
                 threads_max=THREADS, heap_at=HEAP_AT, heap_bytes=HEAP_BYTES, rings_at=RINGS_AT, rings=RINGS,
                 ring_bytes=RING_BYTES, hz=250)
    field.update(lies)
    return struct.pack("=QIIQ16sqqii10I", *field.values())


def hello(runtime_id, text=b"service\0hostile\0", flags=0, magic=0x6F6C6C48, modules=(0, 0), said=None):
    return struct.pack("=IIII16sII4Q", magic, VERSION, flags, len(text) if said is None else said, runtime_id,
                       *modules, 0, 0, 0, 0) + text


def sample(position, tid, weight_ns, frames=(0x1000, 0x2000)):
    size = -(-(72 + 16 + 8 * len(frames)) // 64) * 64
    record = struct.pack("=QIHHIIq4QBBHI", position + 1, size, 1, len(frames), tid, 0xFFFFFFFF,
                         time.monotonic_ns(), 0, 0, 0, 0, 0, 0, 0, 0)
    record += struct.pack("=QQ", weight_ns, 1) + struct.pack(f"={len(frames)}Q", *frames)
    return record.ljust(size, b"\0")


def memory(runtime_id, seals=SEALS, size=TOTAL, **lies):
    fd = os.memfd_create("hostile", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    os.pwrite(fd, head(runtime_id, **lies)[:size], 0)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def mapped(fd):
    return mmap.mmap(fd, TOTAL)


def own_proc():
    return os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def send(path, message, fds):
    """One message, then the end. False when the agent hung up first."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        try:
            s.connect(str(path))
            s.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
        except (BrokenPipeError, ConnectionResetError):
            return False
    return True
