# SPDX-License-Identifier: Apache-2.0
"""Threads that sleep are looked at rarely once their process is old (server/quiet.h), and what they do then is there."""
import subprocess

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


main(what_a_thread_does_after_a_long_sleep_is_there)
