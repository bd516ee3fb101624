# SPDX-License-Identifier: Apache-2.0
"""What a hook adds to a call, in instructions by callgrind.  test_instructions.py LIBRARIES PROGRAMS."""
import os
import re
import shutil
import subprocess
import sys

LIB, BIN = (os.path.abspath(p) for p in sys.argv[1:3])
# The most that a round of a program may be more, everything on; and the least that it is without.  A read
# that does not block takes 116, of which 24 are libc's for the clock: valgrind has no vDSO.
PROGRAMS = {"client_pairs": ("malloc_and_free", 25, 20), "client_reads": ("read", 140, 10)}


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
    watched = per_round(program, LD_PRELOAD=os.path.join(LIB, "libhearth-preload.so"), HEARTH_ENABLED="1",
                        HEARTH_AGENT="unix:/nonexistent/agent.sock")
    passed = plain > least and 0 < watched - plain <= most
    print(f"# {plain:.1f} instructions without the hooks, {watched:.1f} with them: +{watched - plain:.1f}")
    print("ok" if passed else "not ok", name)
    failed |= not passed
sys.exit(failed)
