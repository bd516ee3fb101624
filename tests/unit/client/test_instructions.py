# SPDX-License-Identifier: Apache-2.0
"""What a hook adds to a call, in instructions by callgrind.  test_instructions.py LIBRARIES PROGRAMS."""
import os
import re
import shutil
import subprocess
import sys

LIB, BIN = (os.path.abspath(p) for p in sys.argv[1:3])
# The most that a round of a program may be more, everything on; and the least that it is without.  A read that does
# not block takes 128 with two readings of a clock that stands still (still_clock.c): how many calls share a tick, the
# first of which costs some 1,500, is the machine's business.  What is noted once a tick of the CPU (where in it the thread
# runs) is in it all the same: 1 on a fast machine, 3 on a slow and busy one.
PROGRAMS = {"client_pairs": ("malloc_and_free", 25, 20), "client_reads": ("read", 135, 10)}


def instructions(program, n, **env):
    out = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                          os.path.join(BIN, program), str(n)], capture_output=True, text=True,
                         check=True, env=dict(os.environ, **env)).stderr
    return int(re.search(r"Collected : (\d+)", out).group(1))


def per_round(program, **env):
    """From two runs, so that what a start costs is left out."""
    few, many = 100000, 500000
    return (instructions(program, many, **env) - instructions(program, few, **env)) / (many - few)


failed = 0
for program, (name, most, least) in PROGRAMS.items():
    if not shutil.which("valgrind") or not os.path.exists(os.path.join(BIN, program)):
        print(f"ok {name} # skipped: valgrind or {program} is not there")
        continue
    plain = per_round(program)
    watched = per_round(program, HEARTH_ENABLED="1",
                        LD_PRELOAD=f"{LIB}/libhearth-preload.so:{BIN}/client_still_clock.so",
                        HEARTH_AGENT="unix:/nonexistent/agent.sock")
    passed = plain > least and 0 < watched - plain <= most
    print(f"# {plain:.1f} instructions without the hooks, {watched:.1f} with them: +{watched - plain:.1f}")
    print("ok" if passed else "not ok", name)
    failed |= not passed
sys.exit(failed)
