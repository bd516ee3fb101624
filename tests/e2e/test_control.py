# SPDX-License-Identifier: Apache-2.0
"""Orders to running clients, and what the agent reads of a process beside its ring."""
import os
import subprocess

from support import BIN, PROGRAMS, Agent, main, run, wait_for


class Steady:
    """A program that works until it is told to end, attached."""

    def __init__(self, agent, **more):
        env = dict(os.environ, HEARTH_AGENT=f"unix:{agent.run}/agent.sock", HEARTH_ENABLED="1", **more)
        self.agent = agent
        self.process = subprocess.Popen([PROGRAMS / "steady"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env=env)
        wait_for("the program to attach", self.shown)

    def shown(self):
        mine = [p for p in self.agent.status()["processes"] if p["pid"] == self.process.pid]
        return mine[0] if mine and mine[0]["samples"] else None

    def end(self):
        out, _ = self.process.communicate(b"\n", timeout=60)
        assert self.process.returncode == 0
        return [int(word) for word in out.split()]


def hearth(agent, *words):
    return run([BIN / "hearth", *words, "--server", f"unix:{agent.run}/http.sock"])


def a_zoom_samples_faster_and_ends():
    with Agent() as agent:
        program = Steady(agent)
        assert program.shown()["interval_us"] == 9900
        done = hearth(agent, "zoom", "steady", "--cpu-hz", "997", "--for", "10m")
        assert done.returncode == 0 and b"997 samples a second" in done.stderr, done
        wait_for("the faster rate", lambda: program.shown()["interval_us"] == 1003)
        assert hearth(agent, "resume", "steady").returncode == 0
        wait_for("the rate of before", lambda: program.shown()["interval_us"] == 9900)
        # One that ends by itself.
        assert hearth(agent, "zoom", "steady", "--cpu-hz", "500", "--for", "1s").returncode == 0
        wait_for("the faster rate", lambda: program.shown()["interval_us"] == 2000)
        wait_for("its end", lambda: program.shown()["interval_us"] == 9900)
        program.end()


def a_pause_stops_the_samples_of_one_process():
    with Agent() as agent:
        one, other = Steady(agent), Steady(agent)
        done = hearth(agent, "pause", "--pid", str(one.process.pid))
        assert done.returncode == 0, done
        wait_for("samples that are refused", lambda: one.shown()["lost"].get("cpu.killed"))
        before, others = one.shown()["samples"], other.shown()["samples"]
        wait_for("the other to go on", lambda: other.shown()["samples"] > others + 100)
        assert one.shown()["samples"] == before
        assert hearth(agent, "resume", "--pid", str(one.process.pid)).returncode == 0
        wait_for("samples again", lambda: one.shown()["samples"] > before + 10)
        one.end()
        other.end()


def the_switch_file_stops_everything():
    with Agent() as agent:
        program = Steady(agent)
        (agent.run / "disable").touch()
        wait_for("samples that are refused", lambda: program.shown()["lost"].get("cpu.killed"))
        before = program.shown()["samples"]
        (agent.run / "disable").unlink()
        wait_for("samples again", lambda: program.shown()["samples"] > before + 10)
        program.end()


def orders_that_make_no_sense_are_refused():
    with Agent() as agent:
        for words, says in (((), "say whom"), (("zoom", "x"), "cpu_hz and for"),
                            (("zoom", "x", "--cpu-hz", "9999", "--for", "1s"), "1 to 1000"),
                            (("zoom", "x", "--cpu-hz", "99", "--for", "2h"), "limit of a zoom"),
                            (("pause", "x", "--for", "soon"), "soon"),
                            (("resume", "x"), "no rule")):
            done = hearth(agent, *(words or ("pause",)))
            assert done.returncode != 0 and says in done.stderr.decode(), (words, done)
        for i in range(64):
            assert hearth(agent, "pause", f"service-{i}").returncode == 0
        done = hearth(agent, "pause", "one-more")
        assert done.returncode == 1 and b"64 rules" in done.stderr, done
        status, _, _ = agent.request("POST", "/api/v1/control", tcp=True, action="pause", all="true",
                                     headers={"Authorization": "Bearer " + agent.token})
        assert status == 403


def faults_and_memory_are_those_of_proc():
    with Agent() as agent:
        program = Steady(agent)
        proc = f"/proc/{program.process.pid}"
        at = int(agent.status()["now"])

        def resident():
            stacks = agent.folded(type="resident")
            return sum(stacks.values())
        shown = wait_for("a reading of its memory", resident)
        with open(f"{proc}/statm") as f:
            truth = int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        assert abs(shown - truth) <= 0.1 * truth, (shown, truth, at)
        wait_for("a second reading", lambda: agent.status()["native"]["batches"] > 4)
        text = open(f"{proc}/status").read()
        switches = int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0])
        wait_for("its switches",
                 lambda: sum(agent.folded(type="voluntary_switches").values()) >= switches // 2)
        program.end()
        agent.settled()
        assert sum(agent.folded(type="voluntary_switches").values()) > 0


def code_made_at_run_time_has_its_name():
    with Agent() as agent:
        program = subprocess.Popen([PROGRAMS / "jit"], stdin=subprocess.PIPE, env=agent.environment())
        name = "JS:~compiled_loop shop.js:7"
        wait_for("the name", lambda: name in agent.get("/api/v1/flamegraph", format="folded", type="cpu",
                                                       max_nodes=0) if agent.status()["processes"] else 0)
        program.communicate(b"\n", timeout=60)
        assert program.returncode == 0
        agent.settled()
        stacks = agent.folded(type="cpu")
        named = sum(v for k, v in stacks.items() if k.endswith("main;" + name))
        assert named > 0, list(stacks)[:5]


main(code_made_at_run_time_has_its_name, a_zoom_samples_faster_and_ends, a_pause_stops_the_samples_of_one_process,
     the_switch_file_stops_everything, orders_that_make_no_sense_are_refused,
     faults_and_memory_are_those_of_proc)
