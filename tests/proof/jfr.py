# SPDX-License-Identifier: Apache-2.0
"""Recordings of the JDK's Flight Recorder and of async-profiler, read here and by the JDK's own `jfr print`:
the same value for every stack of every type.

Needs a JDK 17 or later (java, javac, jfr) and, for async-profiler, Maven.
"""
import json
import re
import shutil
import subprocess
from collections import defaultdict

import clients
from support import Agent, main

SPAN = {"from": "now-1h", "until": "now+1m"}
EVENTS = ("ExecutionSample,NativeMethodSample,ObjectAllocationSample,ObjectAllocationInNewTLAB,ObjectAllocationOutsideTLAB,"
          "JavaMonitorEnter,JavaMonitorWait,ThreadPark,ThreadSleep,SocketRead,SocketWrite,FileRead,FileWrite,"
          "JavaExceptionThrow,GarbageCollection,GCPhasePause,WallClockSample,LiveObject")
ALWAYS = ("jdk.ExecutionSample#period=10ms,jdk.JavaExceptionThrow#enabled=true,jdk.JavaMonitorEnter#threshold=0ms,"
          "jdk.ThreadPark#threshold=0ms,jdk.JavaMonitorWait#threshold=0ms")


def prepared():
    if not (shutil.which("javac") and shutil.which("jfr")):
        return None
    folder = clients.prepared("java", "Known.java")
    subprocess.run(["javac", "Known.java"], cwd=folder, check=True)
    return folder


def spelled(name):
    return re.split(r"[/+.]0x", name)[0].replace("/", ".")


def stack_of(values):
    trace = values.get("stackTrace")
    if not trace:
        return "[no stack]"
    names = []
    for frame in trace["frames"]:
        method = frame["method"]
        owner = spelled(method["type"]["name"]) if method["type"] else ""
        names.append(method["name"] if ".so" in owner and "/" not in owner else f'{owner}.{method["name"]}' if owner else method["name"])
    return ";".join((["[truncated]"] if trace["truncated"] else []) + names[::-1]) or "[no stack]"


def nanoseconds(text):
    """Of "PT1M0.5S"."""
    hours, minutes, seconds = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?", text).groups()
    whole, _, part = (seconds or "0").partition(".")
    return ((int(hours or 0) * 60 + int(minutes or 0)) * 60 + int(whole)) * 10**9 + int(part.ljust(9, "0") or 0)


def told(path, cpu_ns, wall_ns):
    """{type: {stack: value}} as the JDK's tool reads it."""
    done = subprocess.run(["jfr", "print", "--json", "--stack-depth", "4096", "--events", EVENTS, path],
                          stdout=subprocess.PIPE, check=True)
    events = json.loads(done.stdout)["recording"]["events"]
    kinds = {event["type"] for event in events}
    sums, count = defaultdict(lambda: defaultdict(int)), defaultdict(int)
    for event in events:
        kind, v = event["type"], event["values"]
        stack = stack_of(v)
        count[kind] += 1

        def add(**values):
            for alias, value in values.items():
                sums[alias][stack] += value
        if kind == "jdk.ExecutionSample" and v["state"] != "STATE_SLEEPING":
            add(cpu=cpu_ns, cpu_samples=1)
        elif kind == "profiler.WallClockSample":
            add(wall=wall_ns * v["samples"], wall_samples=v["samples"])
        elif kind == "jdk.JavaMonitorEnter":
            add(lock_delay=nanoseconds(v["duration"]), lock_contentions=1)
        elif kind in ("jdk.JavaMonitorWait", "jdk.ThreadPark", "jdk.ThreadSleep") or kind.startswith(("jdk.Socket", "jdk.File")):
            add(block_delay=nanoseconds(v["duration"]), block_count=1)
        elif kind == "jdk.ObjectAllocationInNewTLAB":
            add(alloc_space=v["tlabSize"])
        elif kind == "jdk.ObjectAllocationOutsideTLAB":
            add(alloc_space=v["allocationSize"])
        elif kind == "jdk.ObjectAllocationSample" and "jdk.ObjectAllocationInNewTLAB" not in kinds:
            add(alloc_space=v["weight"], alloc_objects=1)
        elif kind == "jdk.JavaExceptionThrow":
            add(exceptions=1)
        elif kind == "jdk.GarbageCollection":
            stack = f'{v["name"]};{v["cause"]}'  # a collection has none
            add(**{"gc:pause:nanoseconds:pauses:count": nanoseconds(v["sumOfPauses"]), "gc:pauses:count:pauses:count": 1})
        elif kind == "jdk.NativeMethodSample":
            add(**{"native:samples:count:native:nanoseconds": 1})
        elif kind == "profiler.LiveObject":
            add(inuse_space=v["allocationSize"], inuse_objects=1)
    print("# " + ", ".join(f"{kind} {n}" for kind, n in sorted(count.items())))
    return sums


def same(path, cpu_ns, wall_ns, asked):
    sums = told(path, cpu_ns, wall_ns)
    assert asked <= set(sums), (asked, set(sums))
    with Agent() as agent:
        status, body, _ = agent.request("POST", "/api/v1/profiles", body=path.read_bytes(), service="s")
        assert status == 200, body
        for kind, stacks in sorted(sums.items()):
            shown = agent.folded(type=kind, query='{service="s"}', **SPAN)
            stacks = {stack: value for stack, value in stacks.items() if value}
            print(f"# {kind}: {len(stacks)} stacks, {sum(stacks.values())} there, {sum(shown.values())} here", flush=True)
            # Durations: ticks to ns is rounded by either in its own way, where they are not the same.
            wrong = {s: (stacks.get(s), shown.get(s)) for s in stacks.keys() | shown.keys()
                     if abs(stacks.get(s, 0) - shown.get(s, 0)) > 1e-6 * stacks.get(s, 0)}
            assert not wrong, (kind, list(wrong.items())[:3])


def recorded(folder, name, *options):
    path = folder / name
    path.unlink(missing_ok=True)
    done = subprocess.run(["java", *(str(o).replace("FILE", str(path)) for o in options), "Known", "5"], cwd=folder,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert done.returncode == 0 and path.exists(), done.stdout[-2000:]
    return path


WAITS = {"lock_delay", "lock_contentions", "block_delay", "block_count", "exceptions", "alloc_space"}


def the_jdk_s_recorder():
    folder = prepared()
    if not folder:
        return "no JDK is here"
    path = recorded(folder, "jdk.jfr", f"-XX:StartFlightRecording:filename=FILE,settings=profile,{ALWAYS}")
    same(path, 10**7, 0, WAITS | {"cpu", "alloc_objects", "gc:pause:nanoseconds:pauses:count"})
    return None


def the_jdk_s_recorder_with_tlab_events_and_small_chunks():
    folder = prepared()
    if not folder:
        return "no JDK is here"
    path = recorded(folder, "tlab.jfr", "-XX:FlightRecorderOptions:maxchunksize=1M,stackdepth=2",
                    f"-XX:StartFlightRecording:filename=FILE,settings=profile,{ALWAYS},"
                    "jdk.ObjectAllocationInNewTLAB#enabled=true,jdk.ObjectAllocationOutsideTLAB#enabled=true,"
                    "jdk.ObjectAllocationInNewTLAB#stackTrace=true,jdk.ObjectAllocationOutsideTLAB#stackTrace=true,"
                    "jdk.GCPhaseParallel#enabled=true")
    print(f"# {path.stat().st_size} bytes, {path.read_bytes().count(bytes('FLR', 'ascii') + bytes(2))} chunks")
    same(path, 10**7, 0, WAITS | {"cpu"})
    return None


def async_profiler():
    folder = prepared()
    library = clients.async_profiler_library() if folder else None
    if not library:
        return "async-profiler cannot be had"
    path = recorded(folder, "async.jfr", f"-agentpath:{library}=start,event=itimer,wall=20ms,alloc=128k,live,lock=0,jfr,file=FILE")
    same(path, 10**7, 2 * 10**7, {"cpu", "wall", "alloc_space", "lock_delay", "inuse_space"})
    return None


if __name__ == "__main__":
    main(the_jdk_s_recorder, the_jdk_s_recorder_with_tlab_events_and_small_chunks, async_profiler)
