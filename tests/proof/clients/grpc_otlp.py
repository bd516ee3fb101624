# SPDX-License-Identifier: Apache-2.0
"""Sends an OTLP request on standard input with grpcio, compressed and not; grpc_otlp.py TARGET"""
import sys

import grpc

body = sys.stdin.buffer.read()
with grpc.insecure_channel(sys.argv[1]) as channel:
    export = channel.unary_unary("/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export")
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        assert export(body, timeout=20, compression=compression) == b""
    calls = [export.future(body, timeout=60) for _ in range(100)]
    assert {call.result() for call in calls} == {b""}
    for wrong, code in ((b"\xff" * 30, grpc.StatusCode.INVALID_ARGUMENT), (bytes(64 << 20), grpc.StatusCode.RESOURCE_EXHAUSTED)):
        try:
            export(wrong, timeout=20)
            sys.exit(f"{code} was expected")
        except grpc.RpcError as error:
            assert error.code() == code, error
            print(error.code(), error.details())
print("grpcio", grpc.__version__)
