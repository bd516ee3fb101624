# SPDX-License-Identifier: Apache-2.0
"""OTLP requests with profiles, as the generations of opentelemetry-proto write them."""
import time

from wire import Strings, fixed64, message, number, packed

TRACE, SPAN = bytes(range(16)), bytes(range(8, 16))


class Request:
    """One resource with profiles, built for one generation."""

    def __init__(self, generation="1.10", service="shop"):
        self.s, self.generation, self.service = Strings(), generation, service
        self.stacks, self.functions, self.locations, self.attributes = [b""], [b""], [b""], [b""]
        self.links = [b"", message(1, TRACE) + message(2, SPAN)]
        self.profiles = []

    def stack(self, text):
        indices = []
        for name in reversed(text.split(";")):
            self.functions.append(number(1, self.s(name)) + number(3, self.s(f"{name}.c")))
            self.locations.append(message(3, number(1, len(self.functions) - 1) + number(2, 7)))
            indices.append(len(self.locations) - 1)
        self.stacks.append(packed(1, indices))
        return len(self.stacks) - 1

    def attribute(self, key, value):
        any_value = number(3, value) if isinstance(value, int) else message(1, value)
        self.attributes.append(number(1, self.s(key)) + message(2, any_value))
        return len(self.attributes) - 1

    def sample(self, stack, values=(), times=(), attributes=(), link=0):
        fields = [(1, "n", self.stack(stack)), (2, "p", attributes), (3, "n", link), (4, "p", values)]
        if self.generation == "1.8":
            fields = [(1, "n", self.stack(stack)), (2, "p", values), (3, "p", attributes), (4, "n", link)]
        if self.generation == "1.7":
            fields = [(1, "n", 1), (2, "n", 1), (3, "p", values)]
        body = b"".join(packed(f, v) if kind == "p" else number(f, v) for f, kind, v in fields if v)
        if times:
            body += message(5, b"".join(t.to_bytes(8, "little") for t in times))
        return body

    def profile(self, samples, kind=("samples", "count"), period=("cpu", "nanoseconds", 10_000_000), identity=None):
        now = time.time_ns()
        body = message(1, number(1, self.s(kind[0])) + number(2, self.s(kind[1])))
        body += b"".join(message(2, sample) for sample in samples)
        body += fixed64(3, now - 10**10) + number(4, 10**10)
        if period:
            body += message(5, number(1, self.s(period[0])) + number(2, self.s(period[1]))) + number(6, period[2])
        self.profiles.append(body + (message(7, identity) if identity else b""))

    def bytes(self, more=b""):
        def keyed(key, value):
            return message(1, message(1, key) + message(2, message(1, value)))
        resource = keyed("service.name", self.service) if self.service else b""
        resource += keyed("deployment.environment.name", "prod") + keyed("process.executable.name", "shopd") + more
        scope = message(2, b"".join(message(2, p) for p in self.profiles))
        tables = ((2, self.locations), (3, self.functions), (4, self.links), (6, self.attributes), (7, self.stacks))
        dictionary = b"".join(message(f, entry) for f, table in tables for entry in table)
        dictionary += b"".join(message(5, text) for text in self.s.table)
        return message(1, message(1, resource) + scope) + message(2, dictionary)
