# SPDX-License-Identifier: Apache-2.0
"""Inserts and queries, without end or as many as the second argument says; shows in the file named how many operations there were, how many of them
were queries, and the nanoseconds that each of the last QUERIES_SHOWN queries took."""
import mmap
import random
import sqlite3
import struct
import sys
import time

QUERIES_SHOWN = 4096

db = sqlite3.connect(":memory:", isolation_level=None)
db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v TEXT)")
db.execute("CREATE INDEX tk ON t (k)")
with open(sys.argv[1], "r+b") as f:
    shown = mmap.mmap(f.fileno(), 16 + 4 * QUERIES_SHOWN)
draw, done, queries = random.Random(1), 0, 0
limit = int(sys.argv[2]) if len(sys.argv) > 2 else None
while limit is None or done < limit:
    db.execute("BEGIN")
    for _ in range(200):
        db.execute("INSERT OR REPLACE INTO t VALUES (?, ?, ?)",
                   (draw.randrange(20000), draw.randrange(1000), "value of some length " * 4))
    db.execute("COMMIT")
    for _ in range(100):
        began = time.perf_counter_ns()
        db.execute("SELECT count(*), max(v) FROM t WHERE k = ?", (draw.randrange(1000),)).fetchall()
        struct.pack_into("=I", shown, 16 + 4 * (queries % QUERIES_SHOWN),
                         min(time.perf_counter_ns() - began, 2 ** 32 - 1))
        queries += 1
    done += 300
    struct.pack_into("=QQ", shown, 0, done, queries)
