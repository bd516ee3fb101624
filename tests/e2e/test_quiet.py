# SPDX-License-Identifier: Apache-2.0
"""What is looked at rarely is there all the same: threads that sleep, once their process is old (server/quiet.h), and
rings while nobody asks (server/processes_watch.c)."""
import json
import subprocess
import sys
import time

from support import Agent, PROGRAMS, main, wait_for

OWED = 20 * 10e6  # so many intervals of a living thread may wait for a sample that carries them
OLD = 26  # seconds: young processes are read in full every second


def what_a_thread_does_after_a_long_sleep_is_there():
    with Agent() as agent:
        program = subprocess.Popen([PROGRAMS / "quiet", str(OLD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   env=agent.environment())
        try:
            seen, unseen, total = (int(word) for word in program.stdout.readline().split())

            def shown():
                stacks = agent.folded(type="cpu")
                return (sum(v for k, v in stacks.items() if k == "[not sampled]"), sum(stacks.values()))

            # While it lives and nothing asks: the process's own clock says that somebody ran.
            wait_for("what no sample carried", lambda: shown()[0] > unseen - OWED)
            assert shown()[0] <= 1.03 * unseen + 20e6, (shown(), unseen)
            assert abs(shown()[1] - total) <= 0.03 * total + 20e6 + OWED, (shown(), total)
            threads = agent.status()["processes"][0]["threads"]
            assert threads == 8, threads  # the main one, six that sleep, and who did not end
            program.stdin.close()
            program.wait()
            agent.settled()
            assert abs(shown()[1] - total) <= 0.03 * total + 30e6, (shown(), total, seen)
            wall = agent.folded(type="wall")
            asleep = sum(v for k, v in wall.items() if k == "[off CPU, not explained]")
            assert asleep > 0.9 * 6 * OLD * 1e9, wall
        finally:
            program.kill()
            program.wait()


# Little enough that no ring becomes full before its time, however small the rings of many processors are.
HARDLY_BUSY = """
import time
while True:
    end = time.process_time() + .02
    while time.process_time() < end:
        pass
    time.sleep(.3)
"""
YOUNG = 20  # seconds: server/process.c


def who_asks_after_a_while_sees_what_rings_held():
    with Agent() as agent:
        program = subprocess.Popen([sys.executable, "-c", HARDLY_BUSY], env=agent.environment())
        try:
            native = lambda: agent.status()["native"]  # which is no question
            wait_for("a process", lambda: native()["batches"])
            drains = []  # when they were seen

            def seconds_since_one_was_seen():
                count = native()["batches"] - drained
                drains.extend([time.monotonic()] * (count - len(drains)))
                return time.monotonic() - (drains or [began])[-1]

            began, drained = time.monotonic(), native()["batches"]
            wait_for("an old process", lambda: time.monotonic() > began + YOUNG)
            assert not native()["watched"]
            began, drained = time.monotonic(), native()["batches"]
            wait_for("a while", lambda: seconds_since_one_was_seen() > 3 and time.monotonic() > began + 12)
            # One in ten seconds, and now and then one for what the client says; before they were one a second.
            assert len(drains) < (time.monotonic() - began) / 2, (began, drains)
            _, body, _ = agent.request("GET", "/api/v1/top", type="cpu", **{"from": "now-2s"})
            assert json.loads(body)["samples"] > 0, body
            assert native()["watched"]
            drained = native()["batches"]
            wait_for("drains for who may ask again", lambda: native()["batches"] > drained + 1)
        finally:
            program.kill()
            program.wait()


main(who_asks_after_a_while_sees_what_rings_held, what_a_thread_does_after_a_long_sleep_is_there)
