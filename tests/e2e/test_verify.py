# SPDX-License-Identifier: Apache-2.0
"""`hearth verify`: what it shows is true here, within five standard errors, and what it says is whole."""
import json
import os
import pathlib

from support import BIN, Agent, main, run

DIMENSIONS = {"cpu", "block", "alloc", "heap", "lock", "exception", "harm", "cost"}


def check(done):
    answer = json.loads(done.stdout)
    for c in answer["checks"]:
        print("# " + json.dumps(c))
    # What it costs in a few seconds of a machine that does other things is shown, and not judged here.
    wrong = [c for c in answer["checks"] if c["verdict"] == "WRONG"]
    assert not [c for c in wrong if c["dimension"] != "cost"] and not done.stderr, done
    assert answer["failures"] == len(wrong) and done.returncode == bool(wrong), done
    assert {c["dimension"] for c in answer["checks"]} == DIMENSIONS, answer
    assert answer["host"]["tick_hz"] > 0 and answer["host"]["engine"] == "posix-timer", answer["host"]
    eintr = [c for c in answer["checks"] if c["dimension"] == "harm"]
    assert len(eintr) == 6 and not any(c["shown"] for c in eintr), eintr
    for c in answer["checks"]:
        if "bias_se" in c and c["dimension"] not in ("lock", "alloc"):
            assert abs(c["bias_se"]) <= 5 or c["tolerance"], c
    return answer


def with_an_agent_that_runs():
    with Agent() as agent:
        answer = check(run([BIN / "hearth", "verify", "--for", "2s", "--json", "--server", f"unix:{agent.run}"]))
        assert answer["agent"] == str(agent.run), answer
        assert [s["name"] for s in agent.get("/api/v1/services")["services"]] == ["hearth-verify"]


def a_profiler_that_shows_nothing_is_called_wrong():
    """The truths can fail: what an agent that is paused shows is not what was."""
    with Agent() as agent:
        (agent.run / "disable").touch()
        done = run([BIN / "hearth", "verify", "--for", "1s", "--json", "--server", f"unix:{agent.run}"])
        answer = json.loads(done.stdout)
        wrong = {c["dimension"] for c in answer["checks"] if c["verdict"] == "WRONG"}
        assert done.returncode == 1 and answer["failures"] >= 4 and {"block", "heap"} <= wrong, (done.returncode, wrong)


def words_that_make_no_sense_are_refused():
    for words in (("--for", "soon"), ("--for", "1ms"), ("more",)):
        assert run([BIN / "hearth", "verify", *words]).returncode == 2, words
    env = dict(os.environ, HEARTH_SERVER="http://127.0.0.1:1")
    assert run([BIN / "hearth", "verify"], env=env).returncode == 2


def of_its_own_it_leaves_nothing():
    before = set(pathlib.Path("/tmp").glob("hearth-verify.*"))
    env = {k: v for k, v in os.environ.items() if k not in ("HEARTH_SERVER", "XDG_RUNTIME_DIR")}
    if any(pathlib.Path(p).exists() for p in ("/run/hearth/http.sock", f"/tmp/hearth-{os.geteuid()}/http.sock")):
        return "an agent runs here"
    answer = check(run([BIN / "hearth", "verify", "--for", "1s", "--json"], env=env))
    assert answer["agent"] == "private", answer
    assert set(pathlib.Path("/tmp").glob("hearth-verify.*")) <= before
    return None


main(with_an_agent_that_runs, a_profiler_that_shows_nothing_is_called_wrong,
     words_that_make_no_sense_are_refused, of_its_own_it_leaves_nothing)
