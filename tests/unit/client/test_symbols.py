# SPDX-License-Identifier: Apache-2.0
"""What the client's objects may call and what its libraries show.  test_symbols.py BUILD."""
import glob
import os
import re
import subprocess
import sys

BUILD = sys.argv[1]
LIB = os.path.join(BUILD, "lib")
OBJECTS = os.path.join(BUILD, "client/CMakeFiles/client_objects.dir")

# Everything that a signal handler can reach, and what it may take from libc: POSIX's async-signal-safe
# functions, plain memory and string functions, and the few that glibc's source shows to be safe:
#   _dl_find_object     takes no lock, by design
#   sched_getcpu        reads the thread's rseq area or the vDSO
#   pthread_self        reads a register
#   pthread_setspecific for a key below 32 stores into the thread's descriptor (thread.c looks)
#   syscall, prctl, madvise, mmap, munmap, fcntl, ftruncate, getrlimit: bare system calls
HANDLER = ["budget", "source_cpu", "source_wall", "source_lock", "source_exception", "source_alloc", "lock_marks", "unwind",
           "cfi", "record", "rule", "expression", "write", "hello", "maps", "tasks", "session", "otel",
           "stack", "target", "draw", "heap"]
SAFE = """__libc_single_threaded clock_gettime clock_getres fstat stat getpid geteuid sigaction sigemptyset syscall
prctl madvise mmap munmap fcntl ftruncate getrlimit getrlimit64 fcntl64 ftruncate64 fstat64 stat64
getsockname getpeername getsockopt
memcpy memmove memset memcmp memchr strlen strnlen strchr strcmp strncmp sched_getcpu __errno_location
__stack_chk_fail""".split()
# thread.c, module.c and profiler.c also hold functions that run outside handlers only.
OUTSIDE = {
    "thread": """pthread_key_create pthread_getattr_np pthread_attr_getstack pthread_attr_destroy
                 pthread_self pthread_setspecific""".split(),
    "module": "_dl_find_object getauxval readlink".split(),
    "lock_names": "pthread_mutex_lock pthread_mutex_unlock".split(),
}


def symbols(path, *flags):
    out = subprocess.run(["nm", *flags, path], capture_output=True, text=True, check=True).stdout
    return [line.split() for line in out.splitlines() if line.strip()]


def undefined(name):
    path = os.path.join(OBJECTS, name + ".c.o")
    return {s[-1] for s in symbols(path, "--undefined-only")}


def defined_here():
    names = set()
    for path in glob.glob(os.path.join(OBJECTS, "*.o")):
        names |= {s[-1] for s in symbols(path, "--defined-only")}
    return names


def test_handler_calls_only_safe_functions():
    own = defined_here() | {"_GLOBAL_OFFSET_TABLE_"}
    assert len(own) > 50
    for name in HANDLER + list(OUTSIDE):
        stray = undefined(name) - own - set(SAFE) - set(OUTSIDE.get(name, []))
        assert not stray, (name, stray)


def test_no_dynamic_thread_local_storage():
    for name in HANDLER + list(OUTSIDE):
        assert "__tls_get_addr" not in undefined(name)
    for library in ("libhearth.so", "libhearth-preload.so"):
        out = subprocess.run(["readelf", "-lW", os.path.join(LIB, library)], capture_output=True,
                             text=True, check=True).stdout
        tls = re.search(r"^ +TLS +\S+ \S+ \S+ \S+ (\S+)", out, re.M)
        assert tls and int(tls.group(1), 16) <= 64, tls


def test_exports():
    shown = {s[-1].split("@")[0] for s in symbols(os.path.join(LIB, "libhearth.so"), "-D",
                                                    "--defined-only")}
    shown = {s for s in shown if not s.startswith("HEARTH_")}
    assert "otel_thread_ctx_v1" in shown  # OTEP 4947 fixes that name
    shown.remove("otel_thread_ctx_v1")
    assert shown and all(s.startswith("hearth_") for s in shown), shown
    header = open(os.path.join(os.path.dirname(__file__), "../../../client/hearth.h")).read()
    public = set(re.findall(r"\b(hearth_[a-z_]+)\(", header))
    assert public == shown, public ^ shown
    archive = {s[-1] for s in symbols(os.path.join(LIB, "libhearth.a"), "-g", "--defined-only")
               if len(s) == 3} - {"otel_thread_ctx_v1"}
    assert archive == public, archive ^ public


def test_preload_stands_before_every_call():
    shown = {s[-1] for s in symbols(os.path.join(LIB, "libhearth-preload.so"), "-D",
                                    "--defined-only")}
    calls = open(os.path.join(os.path.dirname(__file__), "../../../client/calls.def")).read()
    missing = set(re.findall(r"^(?:LOCK_)?CALL\((\w+),", calls, re.M)) - shown
    assert not missing, missing
    assert not any("@" in s and not s.startswith("hearth_") for s in shown), shown


def test_libraries_need_libc_alone():
    for library in ("libhearth.so", "libhearth-preload.so"):
        out = subprocess.run(["readelf", "-dW", os.path.join(LIB, library)], capture_output=True,
                             text=True, check=True).stdout
        assert re.findall(r"NEEDED.*\[(.*)\]", out) == ["libc.so.6"], out
        assert "NODELETE" in out and "TEXTREL" not in out
    for path in glob.glob(os.path.join(OBJECTS, "*.o")):
        assert not any("asan" in s[-1] or "tsan" in s[-1] for s in symbols(path))


failed = 0
for name, test in list(globals().items()):
    if name.startswith("test_"):
        try:
            test()
            print("ok", name)
        except AssertionError as e:
            failed = 1
            print("not ok", name, e)
sys.exit(failed)
