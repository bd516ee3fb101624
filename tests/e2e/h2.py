# SPDX-License-Identifier: Apache-2.0
"""A small HTTP/2 client that can also misbehave: frames (RFC 9113) and literal header fields (RFC 7541)."""
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
EXPORT = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"


def frame(kind, flags=0, stream=0, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(value, bits, first=0):
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytearray([first | most]), value - most
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def field(name, value):
    """Literal without indexing, a new name, no Huffman code."""
    name, value = name.encode(), value if isinstance(value, bytes) else value.encode()
    return b"\0" + integer(len(name), 7) + name + integer(len(value), 7) + value


# RFC 7541, appendix A: the entries that answers use; and appendix B, for the agent encodes with Huffman's code.
STATIC = {8: (":status", "200"), 9: (":status", "204"), 13: (":status", "404"), 31: ("content-type", "")}
STATIC_NAMES = {**{i: ":status" for i in range(8, 15)}, 31: "content-type"}
HUFFMAN = {}


def huffman_table():
    """The code is canonical: lengths by symbol say all."""
    lengths = [
        13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28,
        28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6,
        12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5,
        6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28]
    code = last = 0
    for length, symbol in sorted((n, s) for s, n in enumerate(lengths) if n <= 15):
        code <<= length - last
        HUFFMAN[(length, code)] = chr(symbol)
        code, last = code + 1, length


huffman_table()


def unhuffman(data):
    out, code, length = "", 0, 0
    for byte in data:
        for bit in range(7, -1, -1):
            code, length = code << 1 | byte >> bit & 1, length + 1
            if (length, code) in HUFFMAN:
                out, code, length = out + HUFFMAN[(length, code)], 0, 0
    return out


class Decoder:
    def __init__(self):
        self.dynamic = []

    def entry(self, index):
        if index in STATIC:
            return STATIC[index]
        if index > 61:
            return self.dynamic[index - 62]
        return STATIC_NAMES.get(index, f"static-{index}"), f"static-{index}"

    def fields(self, block):
        at, found = 0, []

        def number(bits):
            nonlocal at
            most = (1 << bits) - 1
            value, at = block[at] & most, at + 1
            shift = 0
            while value >= most:
                value, shift, at, more = value + ((block[at] & 0x7f) << shift), shift + 7, at + 1, block[at] & 0x80
                if not more:
                    break
            return value

        def text():
            nonlocal at
            coded = block[at] & 0x80
            length = number(7)
            data, at = block[at:at + length], at + length
            return unhuffman(data) if coded else data.decode()

        while at < len(block):
            first = block[at]
            if first & 0x80:
                found.append(self.entry(number(7)))
            elif first & 0xe0 == 0x20:
                number(5)
            else:
                indexed = first & 0x40
                index = number(6 if indexed else 4)
                name = self.entry(index)[0] if index else text()
                found.append((name, text()))
                if indexed:
                    self.dynamic.insert(0, found[-1])
        return found


def message(body, compressed=0):
    return bytes([compressed]) + len(body).to_bytes(4, "big") + body


class Closed(Exception):
    pass


class Client:
    def __init__(self, address, settings=(), greet=True):
        host, port = address.rsplit(":", 1)
        self.authority = address
        self.sock = socket.create_connection((host, int(port)), timeout=60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.decoder, self.next_id, self.buffer = Decoder(), 1, b""
        self.windows, self.first_window, self.goaway = {0: 65535}, 65535, None
        if greet:
            self.send(PREFACE + frame(SETTINGS, payload=b"".join(struct.pack(">HI", *s) for s in settings)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def receive(self):
        """One frame: (kind, flags, stream, payload); Closed at the end."""
        def exactly(count):
            while len(self.buffer) < count:
                try:
                    more = self.sock.recv(65536)
                except ConnectionResetError:
                    more = b""
                if not more:
                    raise Closed()
                self.buffer += more
            data, self.buffer = self.buffer[:count], self.buffer[count:]
            return data
        head = exactly(9)
        kind, flags, stream = head[3], head[4], struct.unpack(">I", head[5:9])[0]
        payload = exactly(int.from_bytes(head[:3], "big"))
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                key, value = struct.unpack(">HI", payload[at:at + 6])
                if key == 4:
                    for number in self.windows:
                        self.windows[number] += (value - self.first_window) if number else 0
                    self.first_window = value
            try:
                self.send(frame(SETTINGS, ACK))
            except OSError:
                pass  # what is here already can be read
        if kind == WINDOW_UPDATE:
            self.windows[stream] = self.windows.get(stream, self.first_window) + struct.unpack(">I", payload)[0]
        if kind == GOAWAY:
            self.goaway = struct.unpack(">II", payload[:8])[1]
        return kind, flags, stream, payload

    def headers(self, path=EXPORT, **more):
        fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": self.authority,
                  "content-type": "application/grpc", "te": "trailers"}
        fields.update({key.replace("_", "-") if not key.startswith(":") else key: value for key, value in more.items()})
        return b"".join(field(name, value) for name, value in fields.items() if value is not None)

    def open(self, end=False, block=None, **more):
        stream, self.next_id = self.next_id, self.next_id + 2
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block or self.headers(**more)))
        return stream

    def data(self, stream, body, end=True, patient=True):
        """Within the windows that the agent gives; returns False when the stream was answered before."""
        at = 0
        while at < len(body) or (end and not body):
            room = min(16384, self.windows[0], self.windows.get(stream, self.first_window))
            if room <= 0 and body:
                kind, flags, number, _ = got = self.receive()
                if number == stream and kind in (HEADERS, RST_STREAM):
                    self.early = got
                    return False
                continue
            part = body[at:at + room]
            at += len(part)
            self.send(frame(DATA, END_STREAM if end and at == len(body) else 0, stream, part))
            self.windows[0] -= len(part)
            self.windows[stream] = self.windows.get(stream, self.first_window) - len(part)
            if not body:
                break
        return True

    def answer(self, stream, early=None):
        """(headers and trailers as one dict, message bytes)."""
        fields, body = {}, b""
        while True:
            kind, flags, number, payload = early or self.receive()
            early = None
            if kind == HEADERS:
                found = dict(self.decoder.fields(payload))
                if number == stream:
                    fields.update(found)
            if number != stream:
                continue
            if kind == DATA:
                body += payload
            if kind == RST_STREAM:
                fields["reset"] = struct.unpack(">I", payload)[0]
            if kind == RST_STREAM or flags & END_STREAM and kind in (DATA, HEADERS):
                return fields, body

    def call(self, body, path=EXPORT, **more):
        stream = self.open(path=path, **more)
        self.early = None
        if not self.data(stream, body):
            return self.answer(stream, self.early)
        return self.answer(stream)

    def ended(self):
        """Read until the agent closes; the error of its GOAWAY, or None."""
        try:
            while True:
                self.receive()
        except Closed:
            return self.goaway
