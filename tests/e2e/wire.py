# SPDX-License-Identifier: Apache-2.0
"""Bytes of the wire formats that clients send, written from their field tables."""


def varint(value):
    out, value = bytearray(), value & (1 << 64) - 1
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def fixed64(field, value):
    return varint(field << 3 | 1) + (value & (1 << 64) - 1).to_bytes(8, "little")


def message(field, *parts):
    body = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def packed(field, values):
    return message(field, b"".join(varint(v) for v in values))


class Strings:
    def __init__(self):
        self.table = [""]

    def __call__(self, text):
        if text not in self.table:
            self.table.append(text)
        return self.table.index(text)


def pprof(types, samples, period_type=None, labels=None, time_ns=0, duration_ns=0):
    """types: [(type, unit)]; samples: {"root;leaf": (values...)}; labels: {stack: {key: text or number}}."""
    s, body = Strings(), b""
    functions = {}
    for kind, unit in types:
        body += message(1, number(1, s(kind)), number(2, s(unit)))
    for stack, values in samples.items():
        ids = [functions.setdefault(name, len(functions) + 1) for name in reversed(stack.split(";"))]
        tags = b""
        for key, value in (labels or {}).get(stack, {}).items():
            tags += message(3, number(1, s(key)), number(3, value) if isinstance(value, int) else number(2, s(value)))
        body += message(2, packed(1, ids), packed(2, values), tags)
    for name, i in functions.items():
        body += message(4, number(1, i), message(4, number(1, i), number(2, 7)))
        body += message(5, number(1, i), number(2, s(name)))
    if period_type:
        body += message(11, number(1, s(period_type[0])), number(2, s(period_type[1]))) + number(12, 10000000)
    body += number(9, time_ns) + number(10, duration_ns)
    return body + b"".join(message(6, text) for text in s.table)


def multipart(parts, boundary="----hearth-test"):
    """parts: [(name, filename or None, bytes)]; returns (content type, body)."""
    body = b""
    for name, filename, data in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        if filename:
            body += f'; filename="{filename}"\r\nContent-Type: application/octet-stream'.encode()
        body += b"\r\n\r\n" + data + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()
