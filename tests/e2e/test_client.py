# SPDX-License-Identifier: Apache-2.0
"""The library's API with the real agent: settings, services one after another, labels and endpoints."""
import os
import signal
import time

from support import Agent, BIN, BUILD, PROGRAMS, main, run, wait_for


def environment(agent, **more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HEARTH_", "DD_"))}
    env.update(HEARTH_AGENT=f"unix:{agent.run}/agent.sock", LD_LIBRARY_PATH=str(BUILD / "lib"), **more)
    return env


def total(agent, query, function=None, **more):
    stacks = agent.folded(type="cpu", query=query, **more)
    return sum(v for k, v in stacks.items() if function is None or function in k.split(";"))


def settings_in_force_and_refused_are_shown():
    import subprocess
    with Agent() as agent:
        env = environment(agent, HEARTH_ENABLED="1", HEARTH_MAX_FRAMES="lots", DD_PROFILING_MAX_FRAMES="40",
                          HEARTH_CPU_INTERVAL_US="5", DD_PROFILING_LOCK_ENABLED="0", HEARTH_DEBUG="1",
                          LD_PRELOAD=str(BUILD / "lib/libhearth-preload.so"))
        program = subprocess.Popen([PROGRAMS / "client_program", "slow"], env=env, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        try:
            shown = wait_for("the process", lambda: agent.status()["processes"])[0]
            words = run([BIN / "hearth", "status", "--server", f"unix:{agent.run}"]).stdout.decode()
            assert "    setting refused: HEARTH_MAX_FRAMES=lots: not a number" in words, words
        finally:
            program.kill()
        out, said = program.communicate()
        settings = shown["settings"]
        assert settings["max_frames"] == "40" and settings["cpu_interval_us"] == "1000", settings
        assert settings["lock"] == "0" and settings["wall"] == "1", settings
        assert shown["settings_refused"] == [
            "HEARTH_CPU_INTERVAL_US=5: outside 1000 to 1000000; 1000 is taken",
            "HEARTH_MAX_FRAMES=lots: not a number in the range"], shown["settings_refused"]
        for line in shown["settings_refused"]:
            assert said.count("hearth: setting refused: " + line) == 1, said
        assert not out, out
    quiet = run([PROGRAMS / "client_program", "split"], env=dict(env, HEARTH_DEBUG="0"))
    assert quiet.returncode == 0 and not quiet.stderr, quiet.stderr


def profilers_one_after_another_have_services_of_their_own():
    with Agent() as agent:
        done = run([PROGRAMS / "client_program", "api", "services"], env=environment(agent))
        assert done.returncode == 0, done
        status = agent.settled()
        assert status["native"]["attached"] == status["native"]["ended"] >= 3, status["native"]
        assert not status["native"]["lost"], status["native"]
        services = {row["name"] for row in agent.get("/api/v1/services")["services"]}
        assert {"first", "second"} <= services, services
        sums = {s: total(agent, '{service="%s"}' % s, "burn_b") for s in ("first", "second")}
        # 0.4 s of it under each, as the program's own clock has it; exact but for the tick of a start.
        assert all(0.33e9 < v < 0.5e9 for v in sums.values()), sums


def labels_and_endpoints_are_on_samples():
    with Agent() as agent:
        done = run([PROGRAMS / "client_program", "api", "spans"],
                   env=environment(agent, HEARTH_ENV="two words"))
        assert done.returncode == 0, done
        status = agent.settled()
        assert status["native"]["spans"] == 3, status["native"]

        def by(label):
            rows = agent.get("/api/v1/top", type="cpu", by=label, limit=0)["rows"]
            return {row["name"]: row["self"] for row in rows}
        for label, name in (("trace endpoint", "GET /early"), ("trace endpoint", "GET /late"),
                            ("customer", "acme"), ("task name", "job 7"),
                            ("trace id", "30313233343536373839616263646566"),
                            ("trace id", "4142434445464748494a4b4c4d4e4f50")):
            got = by(label)
            assert got.get(name, 0) > 0.2e9, (label, got)


def a_stop_that_says_stored_was_stored():
    with Agent() as agent:
        done = run([PROGRAMS / "client_program", "api", "flush"], env=environment(agent))
        assert done.stdout.startswith(b"stop 0\n"), done
        agent.kill()  # nothing that was not on disk by then survives
        agent.start()
        assert total(agent, "{}", "burn_a") > 0.25e9
        assert total(agent, "{}", "burn_b") == 0


def what_a_stopped_agent_did_not_read_is_read_when_it_goes_on():
    for stopped in (False, True):
        with Agent() as agent:
            env = environment(agent, HEARTH_STOP_TIMEOUT_MS="100" if stopped else "10000")
            if stopped:
                agent.process.send_signal(signal.SIGSTOP)
            done = run([PROGRAMS / "client_program", "timed"], env=env)
            ended = time.monotonic_ns()
            agent.process.send_signal(signal.SIGCONT)
            assert done.returncode == 0, done
            start, stop, flush, code, left = map(int, done.stdout.split())
            assert code == (-7 if stopped else 0), code
            print(f"# {'stopped' if stopped else 'healthy'} agent: start {start / 1e3:.0f} us, stop "
                  f"{stop / 1e3:.0f} us, flush {flush / 1e6:.1f} ms, exit at most "
                  f"{(ended - left) / 1e6:.1f} ms")
            agent.settled()
            assert 0.2e9 < total(agent, "{}", "burn_a") < 0.4e9


main(settings_in_force_and_refused_are_shown,
     profilers_one_after_another_have_services_of_their_own,
     labels_and_endpoints_are_on_samples,
     what_a_stopped_agent_did_not_read_is_read_when_it_goes_on,
     a_stop_that_says_stored_was_stored)
