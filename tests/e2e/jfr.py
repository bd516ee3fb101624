# SPDX-License-Identifier: Apache-2.0
"""Java Flight Recorder files, written from what their format is: one chunk, both integer encodings."""
import struct

PRIMITIVES = ("boolean", "char", "float", "double", "byte", "short", "int", "long", "java.lang.String")
TICKS, START_TICKS, START = 1_000_000_000, 5_000, 1
WIDTHS = {"char": 2, "short": 2, "int": 4, "long": 8}

# class: [(field, class, flags)]: k a constant's key, a an array, t ticks of a time
CLASSES = {
    "java.lang.Class": [("classLoader", "jdk.types.ClassLoader", "k"), ("name", "jdk.types.Symbol", "k")],
    "jdk.types.ClassLoader": [("type", "java.lang.Class", "k"), ("name", "jdk.types.Symbol", "k")],
    "java.lang.Thread": [("osName", "java.lang.String", ""), ("osThreadId", "long", ""),
                         ("javaName", "java.lang.String", ""), ("javaThreadId", "long", "")],
    "jdk.types.Symbol": [("string", "java.lang.String", "")],
    "jdk.types.ThreadState": [("name", "java.lang.String", "")],
    "jdk.types.GCCause": [("cause", "java.lang.String", "")],
    "jdk.types.Method": [("type", "java.lang.Class", "k"), ("name", "jdk.types.Symbol", "k")],
    "jdk.types.StackFrame": [("method", "jdk.types.Method", "k"), ("lineNumber", "int", "")],
    "jdk.types.StackTrace": [("truncated", "boolean", ""), ("frames", "jdk.types.StackFrame", "a")],
    "profiler.types.AttributeValue": [("value", "java.lang.String", "")],
}
HEAD = [("startTime", "long", "t"), ("eventThread", "java.lang.Thread", "k"), ("stackTrace", "jdk.types.StackTrace", "k")]
LONG = HEAD[:1] + [("duration", "long", "t")] + HEAD[1:]
SPAN = [("spanId", "long", ""), ("localRootSpanId", "long", "")]
EVENTS = {
    "jdk.ExecutionSample": [("startTime", "long", "t"), ("sampledThread", "java.lang.Thread", "k"), HEAD[2],
                            ("state", "jdk.types.ThreadState", "k"), ("contextId", "long", "")],
    "jdk.ObjectAllocationSample": HEAD + [("objectClass", "java.lang.Class", "k"), ("weight", "long", "")],
    "jdk.ObjectAllocationInNewTLAB": HEAD + [("objectClass", "java.lang.Class", "k"), ("allocationSize", "long", ""),
                                             ("tlabSize", "long", "")],
    "jdk.ObjectAllocationOutsideTLAB": HEAD + [("objectClass", "java.lang.Class", "k"), ("allocationSize", "long", "")],
    "jdk.JavaMonitorEnter": LONG + [("monitorClass", "java.lang.Class", "k")],
    "jdk.JavaMonitorWait": LONG + [("monitorClass", "java.lang.Class", "k")],
    "jdk.ThreadPark": LONG + [("parkedClass", "java.lang.Class", "k")],
    "jdk.JavaExceptionThrow": LONG + [("thrownClass", "java.lang.Class", "k")],
    "jdk.GarbageCollection": LONG[:2] + [("name", "java.lang.String", ""), ("cause", "jdk.types.GCCause", "k"),
                                         ("sumOfPauses", "long", "t")],
    "jdk.GCPhasePause": LONG[:2] + [("name", "java.lang.String", "")],
    "jdk.ActiveSetting": HEAD[:1] + [("id", "long", ""), ("name", "java.lang.String", ""), ("value", "java.lang.String", "")],
    "profiler.WallClockSample": HEAD + [("samples", "int", "")],
    "profiler.LiveObject": HEAD + [("objectClass", "java.lang.Class", "k"), ("allocationSize", "long", "")],
    "datadog.ExecutionSample": HEAD + [("weight", "long", "")] + SPAN + [
        ("_dd.trace.operation", "profiler.types.AttributeValue", "k")],
    "datadog.MethodSample": HEAD + [("weight", "long", "")] + SPAN,
    "datadog.ObjectSample": HEAD + [("objectClass", "java.lang.Class", "k"), ("size", "long", ""), ("weight", "float", "")],
    "datadog.HeapLiveObject": HEAD + [("objectClass", "java.lang.Class", "k"), ("size", "long", ""), ("weight", "float", "")],
    "datadog.Endpoint": HEAD[:1] + [("endpoint", "java.lang.String", "k"), ("localRootSpanId", "long", "")],
    "datadog.DatadogProfilerConfig": HEAD[:1] + [("cpuInterval", "long", "m"), ("wallInterval", "long", "m")],
    "datadog.QueueTime": LONG[:3] + [("task", "java.lang.Class", "k")],
}


class Recording:
    def __init__(self, compressed=True, start_ns=START, **more):
        self.compressed, self.start_ns = compressed, start_ns
        self.classes = {**CLASSES, **EVENTS, **more}
        self.ids = {name: i for i, name in enumerate([*PRIMITIVES, *self.classes], 3)}
        self.pools, self.keys, self.events = {}, {}, []

    def integer(self, value, width=8):
        if not self.compressed:
            return (value & (1 << 8 * width) - 1).to_bytes(width, "big")
        value, out = value & (1 << 64) - 1, bytearray()
        while value > 0x7f and len(out) < 8:
            out.append(value & 0x7f | 0x80)
            value >>= 7
        return bytes(out) + bytes([value])

    def text(self, value):
        if value is None:
            return b"\0"
        if isinstance(value, tuple):  # (encoding, bytes or units or key)
            encoding, inside = value
            if encoding == 2:
                return b"\2" + self.integer(inside)
            units = [self.integer(u, 2) for u in inside] if encoding == 4 else [bytes([u]) for u in inside]
            return bytes([encoding]) + self.integer(len(units), 4) + b"".join(units)
        return b"\3" + self.integer(len(value.encode()), 4) + value.encode() if value else b"\1"

    def one(self, kind, value):
        if kind == "java.lang.String":
            return self.text(value)
        if kind in ("float", "double"):
            return struct.pack(">f" if kind == "float" else ">d", value)
        if kind in ("boolean", "byte"):
            return bytes([value & 0xff])
        return self.integer(value, WIDTHS[kind]) if kind in WIDTHS else self.value(kind, value)

    def value(self, kind, values):
        if kind in PRIMITIVES:
            return self.one(kind, values)
        out = b""
        for (name, of, flags), value in zip(self.classes[kind], values, strict=True):
            write = (lambda v: self.integer(v)) if "k" in flags else (lambda v, of=of: self.one(of, v))
            out += self.integer(len(value), 4) + b"".join(map(write, value)) if "a" in flags else write(value)
        return out

    def constant(self, kind, values, key=None):
        """The key of a constant, which is made when it is new."""
        same = (kind, repr(values))
        if key is None and same in self.keys:
            return self.keys[same]
        pool = self.pools.setdefault(kind, [])
        key = key or len(pool) + 1
        pool.append((key, self.value(kind, values)))
        self.keys[same] = key
        return key

    def symbol(self, text):
        return self.constant("jdk.types.Symbol", (text,))

    def java_class(self, name):
        return self.constant("java.lang.Class", (0, self.symbol(name)))

    def thread(self, name, tid):
        return self.constant("java.lang.Thread", ("os " + name, tid, name, tid))

    def stack(self, text, truncated=False):
        """"pkg/Class.method:line;..." root first."""
        frames = []
        for frame in reversed(text.split(";")):
            name, _, line = frame.partition(":")
            owner, _, method = name.rpartition(".")
            key = self.constant("jdk.types.Method", (self.java_class(owner) if owner else 0, self.symbol(method)))
            frames.append((key, int(line or 0)))
        return self.constant("jdk.types.StackTrace", (truncated, frames))

    def event(self, kind, ticks, *values):
        self.events.append(self.framed(self.ids[kind], self.value(kind, (START_TICKS + ticks, *values))))
        return self

    def framed(self, kind, payload):
        payload = self.integer(kind) + payload
        size = len(payload) + 1
        while len(self.integer(size, 4)) + len(payload) != size:
            size += 1
        return self.integer(size, 4) + payload

    def checkpoint(self, delta=0, pools=None):
        pools = self.pools if pools is None else pools
        out = self.integer(START_TICKS) + self.integer(0) + self.integer(delta) + b"\0" + self.integer(len(pools), 4)
        for kind, constants in pools.items():
            out += self.integer(self.ids[kind]) + self.integer(len(constants), 4)
            out += b"".join(self.integer(key) + value for key, value in constants)
        return self.framed(1, out)

    def metadata(self):
        strings = {}

        def number(text):
            return strings.setdefault(str(text), len(strings))

        def element(what, children=(), /, **attributes):
            out = self.integer(number(what), 4) + self.integer(len(attributes), 4)
            for key, value in attributes.items():
                out += self.integer(number(key), 4) + self.integer(number(value), 4)
            return out + self.integer(len(children), 4) + b"".join(children)

        def field(name, kind, flags):
            attributes = {"name": name, "class": self.ids[kind]}
            if "k" in flags:
                attributes["constantPool"] = "true"
            if "a" in flags:
                attributes["dimension"] = 1
            unit = {"t": "TICKS", "m": "MILLISECONDS"}.get(flags)
            return element("field", [element("annotation", **{"class": 2, "value": unit})] if unit else [], **attributes)

        classes = [element("class", name=name, id=self.ids[name]) for name in PRIMITIVES]
        classes += [element("class", [field(*f) for f in fields], name=name, id=self.ids[name])
                    for name, fields in self.classes.items()]
        tree = element("root", [element("metadata", classes), element("region")])
        out = self.integer(START_TICKS) + self.integer(0) + self.integer(1) + self.integer(len(strings), 4)
        return self.framed(0, out + b"".join(map(self.text, strings)) + tree)

    def bytes(self, checkpoints=None, duration_ns=10**9):
        events = b"".join(self.events)
        checkpoints = self.checkpoint() if checkpoints is None else checkpoints
        metadata = self.metadata()
        size = 68 + len(events) + len(checkpoints) + len(metadata)
        return (b"FLR\0" + struct.pack(">HHQQQQQQQI", 2, 0, size, 68 + len(events), size - len(metadata), self.start_ns,
                                       duration_ns, START_TICKS, TICKS, int(self.compressed)) + events + checkpoints + metadata)


def known(compressed=True, start_ns=START, **more):
    """A recording of the JDK's whose sums are known: EXPECTED."""
    r = Recording(compressed, start_ns, **more)
    main, other = r.thread("main", 71), r.thread("worker", 72)
    hot, cold = r.stack("java/lang/Thread.run:9;app/Known.hot:7"), r.stack("java/lang/Thread.run:9;app/Known.cold")
    running = r.constant("jdk.types.ThreadState", ("STATE_RUNNABLE",))
    lock, array = r.java_class("app/Lock"), r.java_class("[B")
    r.event("jdk.ActiveSetting", 1, r.ids["jdk.ExecutionSample"], "period", "10 ms")
    for i in range(4):
        r.event("jdk.ExecutionSample", i, main, hot, running, i % 2)
    r.event("jdk.ExecutionSample", 9, other, cold, running, 0)
    r.event("jdk.ExecutionSample", 9, other, cold, r.constant("jdk.types.ThreadState", ("STATE_SLEEPING",)), 0)
    r.event("jdk.ObjectAllocationInNewTLAB", 5, main, hot, array, 100, 1000)
    r.event("jdk.ObjectAllocationOutsideTLAB", 5, main, cold, array, 5000)
    r.event("jdk.ObjectAllocationSample", 5, main, cold, array, 77777)
    r.event("jdk.JavaMonitorEnter", 6, 300, other, cold, lock)
    r.event("jdk.JavaMonitorWait", 6, 40, other, cold, lock)
    r.event("jdk.ThreadPark", 6, 50, other, hot, lock)
    r.event("jdk.JavaExceptionThrow", 7, 0, main, hot, r.java_class("java/lang/IllegalStateException"))
    r.event("jdk.GarbageCollection", 8, 900, "G1New", r.constant("jdk.types.GCCause", ("System.gc()",)), 600)
    r.event("jdk.GCPhasePause", 8, 600, "GC Pause")
    return r


HOT, COLD = "java.lang.Thread.run;app.Known.hot", "java.lang.Thread.run;app.Known.cold"
EXPECTED = {
    "cpu": {HOT: 40_000_000, COLD: 10_000_000}, "cpu_samples": {HOT: 4, COLD: 1},
    "alloc_space": {HOT: 1000, COLD: 5000}, "alloc_objects": {HOT: 10, COLD: 1},
    "lock_delay": {COLD: 300}, "lock_contentions": {COLD: 1}, "block_delay": {COLD: 40, HOT: 50},
    "block_count": {COLD: 1, HOT: 1}, "exceptions": {HOT: 1},
    "gc:pause:nanoseconds:pauses:count": {"G1New;System.gc()": 600}, "gc:pauses:count:pauses:count": {"G1New;System.gc()": 1},
}


def datadog(compressed=True, start_ns=START):
    r = Recording(compressed, start_ns)
    main, hot, array = r.thread("main", 71), r.stack("app/Known.hot:7"), r.java_class("[B")
    native = r.stack("libc.so.6.start_thread;app/Known.native", truncated=True)
    operation = r.constant("profiler.types.AttributeValue", ("servlet.request",))
    none = r.constant("profiler.types.AttributeValue", (None,))
    r.event("datadog.ExecutionSample", 1, main, hot, 2, 5, 9, operation)
    r.event("datadog.ExecutionSample", 1, main, native, 1, 0, 0, none)
    r.event("jdk.ExecutionSample", 1, main, hot, 0, 0)  # the JDK's own beside it
    r.event("datadog.MethodSample", 1, main, hot, 3, 5, 9)
    for _ in range(4):
        r.event("datadog.ObjectSample", 1, main, hot, array, 64, 1.5)
    r.event("datadog.HeapLiveObject", 1, main, hot, array, 128, 2.0)
    r.event("datadog.QueueTime", 1, 700, main, r.java_class("app/Task$$Lambda$14/0x0000000800c03000"))
    r.event("datadog.Endpoint", 2, r.constant("java.lang.String", "GET /shop"), 9)
    r.event("datadog.DatadogProfilerConfig", 2, 11, 70)
    return r


NATIVE = "[truncated];start_thread;app.Known.native"
DATADOG = {
    "cpu": {"app.Known.hot": 22_000_000, NATIVE: 11_000_000}, "wall": {"app.Known.hot": 210_000_000},
    "alloc_space": {"app.Known.hot": 4 * 96}, "alloc_objects": {"app.Known.hot": 6},
    "inuse_space": {"app.Known.hot": 256}, "inuse_objects": {"app.Known.hot": 2},
}
