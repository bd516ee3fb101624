# SPDX-License-Identifier: Apache-2.0
"""The agent dies and comes back; the program does not notice, and every sample is kept once."""
import subprocess

from support import Agent, PROGRAMS, main, wait_for


def stored(agent):
    return sum(agent.folded(type="cpu_samples").values())


def start(agent):
    env = agent.environment()
    del env["LD_PRELOAD"], env["HEARTH_ENABLED"]
    return subprocess.Popen([PROGRAMS / "steady"], env=env, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)


def finish(agent, program):
    out, _ = program.communicate("\n", timeout=60)
    assert program.returncode == 0
    taken, dropped = (int(word) for word in out.split())
    agent.settled()
    return taken, dropped


def samples_are_kept_once_through_kills_of_the_agent(kills=3):
    with Agent() as agent:
        program = start(agent)
        for _ in range(kills):
            before = wait_for("the first samples", lambda: stored(agent))
            wait_for("more samples", lambda: stored(agent) > before)
            agent.kill()
            agent.start()
            assert program.poll() is None
            # What was acknowledged before is there at once, and the program comes back by itself.
            assert stored(agent) >= before
            wait_for("the program to come back", lambda: agent.status()["processes"])
        taken, dropped = finish(agent, program)
        print(f"# {taken} samples taken, {dropped} dropped, {stored(agent)} stored")
        assert stored(agent) == taken, (stored(agent), taken, dropped)


def a_program_that_started_before_its_agent_is_seen():
    with Agent() as agent:
        agent.kill()
        program = start(agent)
        try:
            agent.start()
            wait_for("samples", lambda: stored(agent))
        finally:
            taken, dropped = finish(agent, program)
        assert stored(agent) == taken, (stored(agent), taken, dropped)


def a_graceful_stop_loses_nothing():
    with Agent() as agent:
        program = start(agent)
        wait_for("the first samples", lambda: stored(agent))
        agent.stop()
        agent.start()
        taken, dropped = finish(agent, program)
        assert stored(agent) == taken, (stored(agent), taken, dropped)


if __name__ == "__main__":
    main(samples_are_kept_once_through_kills_of_the_agent,
         a_program_that_started_before_its_agent_is_seen, a_graceful_stop_loses_nothing)
