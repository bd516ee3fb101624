# SPDX-License-Identifier: Apache-2.0
"""Inserts and queries without end; counts them in the file named."""
import mmap
import random
import sqlite3
import struct
import sys

db = sqlite3.connect(":memory:", isolation_level=None)
db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v TEXT)")
db.execute("CREATE INDEX tk ON t (k)")
with open(sys.argv[1], "r+b") as f:
    shown = mmap.mmap(f.fileno(), 8)
draw, done = random.Random(1), 0
while True:
    db.execute("BEGIN")
    for _ in range(200):
        db.execute("INSERT OR REPLACE INTO t VALUES (?, ?, ?)",
                   (draw.randrange(20000), draw.randrange(1000), "value of some length " * 4))
    db.execute("COMMIT")
    for _ in range(100):
        db.execute("SELECT count(*), max(v) FROM t WHERE k = ?", (draw.randrange(1000),)).fetchall()
    done += 300
    shown[:] = struct.pack("=Q", done)
