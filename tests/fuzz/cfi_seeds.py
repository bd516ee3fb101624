#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes seeds of fuzz_cfi into the folder named: one function whose rules use what compilers
seldom write (DWARF 5 §2.5 expressions, §6.4.2 instructions), as x86-64 numbers the registers."""
import os
import struct
import sys

SP = b"\x77\x00"  # DW_OP_breg7 0


def module(rules, pc=0x200, stack=bytes(range(64)) * 2):
    header, at = 20, 20
    cie = struct.pack("<IB", 0, 1) + b"zR\0\x01\x78\x10\x01\x1b" + b"\x0c\x07\x08\x90\x01"
    cie += b"\0" * (-(len(cie) + 4) % 8)
    cie = struct.pack("<I", len(cie)) + cie
    fde_at = at + len(cie)
    fde = struct.pack("<IiI", fde_at + 4 - at, 0x100 - (fde_at + 8), 0x400) + b"\0" + rules
    fde += b"\0" * (-(len(fde) + 4) % 8)
    fde = struct.pack("<I", len(fde)) + fde
    head = b"\x01\x1b\x03\x3b" + struct.pack("<iIii", at - 4, 1, 0x100, fde_at)
    assert len(head) == header
    body = (head + cie + fde + b"\0\0\0\0").ljust(0x180, b"\x90")
    return struct.pack("<qQH", pc, 8, len(stack)) + stack + body


def block(code):
    return bytes([len(code)]) + code


def seeds():
    unary = [b"\x94\x01", b"\x94\x09", b"\x94\x08", b"\x06", b"\x19", b"\x1f", b"\x20", b"\x23\x08", b"\x96",
             b"\x12\x1c", b"\x13", b"\x15\x00", b"\x15\x09", b"\x14", b"\x16", b"\x17", b"\x11\x7f",
             b"\x28\x01\x00\x96", b"\x2f\x01\x00\x96", b"\x2f\xf0\xff", b"\x2f\x00\x7f", b"\x92\x07\x08",
             b"\x92\x40\x00", b"\x80\x00", b"\xff", b"\x11\x7f\x19\x1c", b"\x12" * 40]
    constants = [b"\x08\x01", b"\x09\xff", b"\x0a\x01\x00", b"\x0b\xff\xff", b"\x0c\1\0\0\0", b"\x0d\xff\xff\xff\xff",
                 b"\x0e\1\0\0\0\0\0\0\0", b"\x0f" + b"\xff" * 8, b"\x10\x05", b"\x11\x7e", b"\x30", b"\x4f"]
    for i, op in enumerate(unary):
        yield f"unary_{i}", b"\x0f" + block(SP + op)
    for op in list(range(0x1a, 0x2f)):
        yield f"binary_{op:x}", b"\x0f" + block(SP + b"\x40\x12" + bytes([op]) + b"\x38" + bytes([op]) + b"\x30" + bytes([op]))
        yield f"binary_{op:x}_wrong", b"\x0f" + block(SP + b"\x11\x7f" + bytes([op]) + b"\x11\x7f" + bytes([op]))
    for i, op in enumerate(constants):
        yield f"constant_{i}", b"\x0f" + block(SP + op + b"\x22")
    yield "over_rot", b"\x0f" + block(SP + b"\x31\x32\x14\x17\x16\x13\x13\x13")
    yield "not_enough", b"\x0f" + block(b"\x22")
    yield "too_long", b"\x0f\x7f\x77"
    yield "ra_expression", b"\x10\x10" + block(SP)
    yield "ra_value", b"\x16\x10" + block(SP + b"\x06")
    yield "ra_outside", b"\x10\x10" + block(b"\x30\x06")
    yield "fp_expression", b"\x10\x06" + block(b"\x76\x00")
    yield "drap", b"\x0f" + block(b"\x76\x78\x06") + b"\x10\x06" + block(b"\x76\x00")
    yield "plt", b"\x0f" + block(b"\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22")
    yield "ra_undefined", b"\x07\x10"
    yield "ra_same", b"\x08\x10"
    yield "ra_register", b"\x09\x10\x03"
    yield "offset_sf", b"\x11\x10\x01"
    yield "value", b"\x14\x10\x01"
    yield "value_sf", b"\x15\x10\x7f"
    yield "negate_ra", b"\x2d"
    yield "fp_undefined", b"\x07\x06\x0c\x07\x10"
    yield "fp_kept", b"\x0c\x06\x10\x86\x02"
    yield "fp_value", b"\x14\x06\x02"
    yield "advance", b"\x0a\x02\x10\x00\x03\x10\x00\x04\x10\x00\x00\x00\x41\x0e\x10\x0b\xc6\x06\x06"
    yield "forms", b"\x05\x06\x02\x12\x07\x7e\x13\x7e\x0d\x06\x0e\x10\x2e\x10\x01\x10\x00"
    yield "steps", b"\0" * 3000 + b"\x0e\x10"
    yield "loop", b"\x0f" + block(SP + b"\x2f\xfd\xff")


def main():
    for name, rules in seeds():
        with open(os.path.join(sys.argv[1], name), "wb") as out:
            out.write(module(rules))


if __name__ == "__main__":
    main()
