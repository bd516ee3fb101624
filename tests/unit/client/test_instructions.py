# SPDX-License-Identifier: Apache-2.0
"""What a hook adds to a call, in instructions by callgrind.  test_instructions.py LIBRARIES PROGRAMS."""
import os
import re
import shutil
import subprocess
import sys

LIB, BIN = (os.path.abspath(p) for p in sys.argv[1:3])
MOST = 25  # for a malloc/free pair with everything on


def instructions(n, **env):
    out = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                          os.path.join(BIN, "client_pairs"), str(n)], capture_output=True, text=True,
                         check=True, env=dict(os.environ, **env)).stderr
    return int(re.search(r"Collected : (\d+)", out).group(1))


def per_pair(**env):
    """From two runs, so that what a start costs is left out."""
    few, many = 100000, 500000
    return (instructions(many, **env) - instructions(few, **env)) / (many - few)


if not shutil.which("valgrind"):
    print("ok malloc_and_free # skipped: valgrind is not installed")
    sys.exit(0)
plain = per_pair()
watched = per_pair(LD_PRELOAD=os.path.join(LIB, "libhearth-preload.so"), HEARTH_ENABLED="1",
                   HEARTH_AGENT="unix:/nonexistent/agent.sock")
passed = plain > 20 and 0 < watched - plain <= MOST
print(f"# {plain:.1f} instructions without the hooks, {watched:.1f} with them: +{watched - plain:.1f}")
print("ok" if passed else "not ok", "malloc_and_free")
sys.exit(not passed)
