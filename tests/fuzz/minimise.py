#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fewer inputs that reach the same: `minimise.py TARGET [MORE...]`, after scripts/proof.sh fuzz has built.

Inputs with a name are kept: somebody wrote them, or they found something.  Of those that a fuzzer named
(40 hexadecimal digits), and of those in the folders MORE, the fewest are kept that reach what all
reach of the files that the target answers for, by the greedy rule, the smaller of two equals.
"""
import glob
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "proof"))
import fuzz  # noqa: E402


def hashes(name):
    """What the profile calls the functions of these files: the hash of a name, which for a static one has
    its file in front."""
    found = set()
    for file in fuzz.FILES[name].split():
        path = f"{fuzz.ROOT}/{file}"
        with open(path, encoding="utf-8") as text:
            names = set(re.findall(r"\b(\w+)\(", text.read()))
        for n in names:
            for full in (n, f"{path}:{n}", f"{os.path.basename(path)}:{n}"):
                found.add(hashlib.md5(full.encode()).digest()[:8])
    return found


def reached(name, inputs, raw, functions):
    """The counters of these functions that the inputs raise.  Of a branch each side has one, or follows
    from two.  Layout: llvm/ProfileData/InstrProfData.inc, version 8."""
    subprocess.run([f"{fuzz.BUILD}/fuzz/fuzz_{name}"] + inputs, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, env=fuzz.environment(raw))
    with open(raw, "rb") as at:
        data = at.read()
    head = struct.unpack_from("<11Q", data)
    if head[1] & 0xffff != 8:
        sys.exit("another version of the profile: see InstrProfData.inc")
    records = 88 + head[2]
    counters = records + head[3] * 48 + head[4]
    found = set()
    for i in range(head[3]):
        at = records + i * 48
        if data[at:at + 8] not in functions:
            continue
        pointer, count = struct.unpack_from("<16xQ16xI", data, at)
        first = (pointer - (head[8] - i * 48)) & (2 ** 64 - 1)
        values = struct.unpack_from(f"<{count}Q", data, counters + first)
        # A counter that rose more than once tells a loop from a line, and outcomes that are differences.
        found |= {(data[at:at + 8], k) for k, v in enumerate(values) if v}
        found |= {(data[at:at + 8], k, j) for k, v in enumerate(values) for j in (k - 1, k - 2)
                  if j >= 0 and v > values[j]}
        found |= {(data[at:at + 8], k, j, "below") for k, v in enumerate(values)
                  for j in (k - 1, k - 2) if j >= 0 and v < values[j]}
    return found


def main():
    name, more = sys.argv[1], sys.argv[2:]
    corpus = f"{HERE}/corpus/{name}"
    folder = tempfile.mkdtemp()
    files = glob.glob(corpus + "/*")
    named = [f for f in files if not re.fullmatch("[0-9a-f]{40}", os.path.basename(f))]
    others = [f for f in files if f not in named]
    for other in more:
        others += glob.glob(other + "/*")
    functions = hashes(name)
    have = set()
    for f in named:
        have |= reached(name, [f], folder + "/raw", functions)
    reach = {}
    for f in sorted(others, key=os.path.getsize):
        new = reached(name, [f], folder + "/raw", functions) - have
        if new:
            reach[f] = new
    kept = []
    while reach:
        best = max(reach, key=lambda f: (len(reach[f]), -os.path.getsize(f)))
        kept.append(best)
        taken = reach.pop(best)
        reach = {f: new - taken for f, new in reach.items() if new - taken}
    for f in kept:
        if not f.startswith(corpus + "/"):
            with open(f, "rb") as at:
                shutil.copy(f, f"{corpus}/{hashlib.sha1(at.read()).hexdigest()}")
    for f in files:
        if f in others and f not in kept:
            os.unlink(f)
    shutil.rmtree(folder)
    print(f"{name}: {len(files)} -> {len(named)} named + {len(kept)}", flush=True)


if __name__ == "__main__":
    main()
