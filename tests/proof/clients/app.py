# SPDX-License-Identifier: Apache-2.0
"""Computes, waits for a lock, allocates and throws in three threads, for as many seconds as it is told."""
import sys
import threading
import time

lock = threading.Lock()
kept = []


def hot_python(n=20000):
    return sum(i * i for i in range(n))


def wait_lock():
    with lock:
        time.sleep(0.01)


def allocate():
    return [bytearray(1000) for _ in range(200)]


def throw():
    try:
        raise ValueError("known")
    except ValueError:
        pass


def worker(until):
    while time.time() < until:
        hot_python()
        wait_lock()
        kept.append(allocate()[:1])
        throw()


if __name__ == "__main__":
    end = time.time() + float(sys.argv[1])
    threads = [threading.Thread(target=worker, args=(end,), name=f"worker-{i}") for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
