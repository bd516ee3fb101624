# SPDX-License-Identifier: Apache-2.0
"""A Connect client of Pyroscope's querier, over HTTP/1.1, with the heads that connect-go sends; and a reader of
protobuf that knows no message, so that nothing of ours checks itself."""
import gzip
import json
import socket
import struct

from wire import fixed64, message, number

SERVICE = "/querier.v1.QuerierService/"
FLAMEGRAPH, TREE, DOT, PPROF = 1, 2, 3, 4


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def signed(value):
    return value - (1 << 64) if value >> 63 else value


def fields(data):
    """{field: [values]}: integers, bytes, or floats of what has 64 bits."""
    found, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
            value = signed(value)
        elif kind == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        elif kind == 2:
            size, at = varint(data, at)
            assert at + size <= len(data), "a field is longer than what remains"
            value, at = data[at:at + size], at + size
        else:
            raise AssertionError(f"wire type {kind}")
        found.setdefault(tag >> 3, []).append(value)
    return found


def numbers(packed):
    values, at = [], 0
    while at < len(packed):
        value, at = varint(packed, at)
        values.append(signed(value))
    return values


def texts(found, field):
    return [value.decode() for value in found.get(field, [])]


def double(field, value):
    return fixed64(field, struct.unpack("<Q", struct.pack("<d", value))[0])


def call(agent, method, body=b"", kind="application/proto", token=None, accept_gzip=True, version=True, **headers):
    """(status, headers, body) of a call as connect-go makes it."""
    head = {"Host": "%s:%d" % agent.tcp, "User-Agent": "connect-go/1.18.1 (go1.24.4)",
            "Content-Length": str(len(body)), "Content-Type": kind,
            "Authorization": f"Bearer {agent.token if token is None else token}"}
    if accept_gzip:
        head["Accept-Encoding"] = "gzip"
    if version:
        head["Connect-Protocol-Version"] = "1"
    head.update(headers)
    text = f"POST {SERVICE}{method} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in head.items()) + "\r\n"
    with socket.create_connection(agent.tcp, timeout=60) as s:
        s.sendall(text.encode() + body)
        data = b""
        while piece := s.recv(65536):
            data += piece
    top, _, rest = data.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    said = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
    if said.get("content-encoding") == "gzip":
        rest = gzip.decompress(rest)
    return int(lines[0].split()[1]), said, rest


def ask(agent, method, body=b"", **options):
    """The fields of the answer."""
    status, headers, answer = call(agent, method, body, **options)
    assert status == 200 and headers["content-type"] == "application/proto", (method, status, headers, answer[:300])
    return fields(answer)


def ask_json(agent, method, request, **options):
    status, headers, answer = call(agent, method, json.dumps(request).encode(), "application/json", **options)
    assert status == 200 and headers["content-type"] == "application/json", (method, status, headers, answer[:300])
    return json.loads(answer)


def levels(flamegraph, size=4):
    """[[(numbers of a node)]] of a FlameGraph's fields."""
    rows = []
    for level in flamegraph.get(2, []):
        values = numbers(b"".join(fields(level)[1]))
        assert values and len(values) % size == 0, values
        rows.append([tuple(values[i:i + size]) for i in range(0, len(values), size)])
    return rows


def stacks(names, rows):
    """{"root;...;leaf": self} of single levels: parents are found by x, as a renderer finds them."""
    found, above = {}, []
    for depth, row in enumerate(rows):
        x, placed = 0, []
        for gap, total, self_value, name in row:
            x += gap
            path = [] if not depth else next(p for a, b, p in above if a <= x and x + total <= b) + [names[name]]
            placed.append((x, x + total, path))
            if self_value:
                key = ";".join(path)
                found[key] = found.get(key, 0) + self_value
            x += total
        above = placed
    return found


def tree_stacks(data):
    """{"root;...;leaf": self} of Pyroscope's tree bytes, whose root has no name."""
    found, at, open_nodes = {}, 0, [([], None)]
    while at < len(data):
        path, _ = open_nodes.pop()
        size, at = varint(data, at)
        name, at = data[at:at + size].decode(), at + size
        value, at = varint(data, at)
        children, at = varint(data, at)
        here = path + [name] if name else path
        if signed(value):
            found[";".join(here)] = found.get(";".join(here), 0) + signed(value)
        open_nodes += [(here, None)] * children
    assert not open_nodes, "children are missing"
    return found


def selection(kind, selector, start, end, *more):
    """The head that SelectMergeStacktraces, SelectMergeProfile and SelectSeries have in common."""
    return message(1, kind) + message(2, selector) + number(3, start) + number(4, end) + b"".join(more)
