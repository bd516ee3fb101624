# SPDX-License-Identifier: Apache-2.0
"""`hearth record`: how fast, how long, of what, and of a service that runs."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile

from support import Agent, BIN, NO_LIMIT, PROGRAMS, SOURCE, main, run, wait_for

HEARTH = BIN / "hearth"


def environment(**more):
    return {**{k: v for k, v in os.environ.items() if not k.startswith("HEARTH_SERVER")}, **NO_LIMIT, **more}


def recorded(*words, code=0, **options):
    done = run([HEARTH, "record", *words], env=environment(), stdin=subprocess.DEVNULL, **options)
    assert done.returncode == code, (words, done)
    return done


def recorded_when_seen(*words):
    """Again where a busy machine gave the program nothing in that time."""
    def once():
        done = run([HEARTH, "record", *words], env=environment())
        assert done.returncode in (0, 3), done
        return done.returncode == 0 and done
    return wait_for("samples in the time", once)


@contextlib.contextmanager
def a_shop():
    """An agent, and a service `shop` of it that burns CPU until it is killed."""
    with Agent() as agent:
        process = subprocess.Popen([HEARTH, "run", "-q", "-S", "shop", "--server", f"unix:{agent.run}", "--", PROGRAMS / "shares", "600", "2"],
                                   env=environment(), stdout=subprocess.DEVNULL)
        try:
            wait_for("shop to attach", lambda: agent.status()["processes"])
            yield agent, process
        finally:
            process.kill()
            process.wait()


def a_frequency_is_the_command_s():
    # In 2 s of CPU time: 40 samples at 20 Hz, 200 by default, 2000 by what the environment says.
    done = run([HEARTH, "record", "-F", "20", "--", PROGRAMS / "shares", 2, 2], env=environment(HEARTH_CPU_INTERVAL_US="1000"))
    samples = int(re.search(rb"Total: \S+, (\d+) samples", done.stderr)[1])
    assert done.returncode == 0 and 5 <= samples <= 80, done


def a_frequency_has_the_limits_of_the_setting():
    low, high = re.search(r'"HEARTH_CPU_HZ"\), 0, (\d+), (\d+),', (SOURCE / "client/settings.def").read_text()).groups()
    for words in (low, high):
        recorded("-F", words, "--", "sh", "-c", "exit 9", code=9)
    for words in ("0.5", str(int(high) + 1), "nan", "99x", ""):
        said = recorded("--frequency", words, "--", "true", code=2).stderr.decode()
        assert f'--frequency "{words}"' in said and f"from {low} to {high}" in said, said


def after_its_time_a_profile_is_written_and_the_command_goes_on():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "a.json")
        script = f"{PROGRAMS}/shares 600 2 & read line; kill $!; exit 7"
        process = subprocess.Popen([HEARTH, "record", "-d", "5s", "-o", path, "--", "sh", "-c", script], env=environment(),
                                   stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            wait_for("the profile", path.exists)
            assert process.poll() is None
        finally:
            said = process.communicate(b"\n", timeout=60)[1]
        assert process.returncode == 7 and b"goes on" in said, said
        profile = json.loads(path.read_text())
        span = profile["until"] - profile["from"]
        # One thread; a sample stands for what the thread used since its last one.
        assert 5e9 <= span and 0 < profile["total"] <= span + 0.2e9, profile
    for words in ("0", "-1s", "soon"):
        assert f'--duration "{words}"' in recorded("-d", words, "--", "true", code=2).stderr.decode(), words


def a_command_that_ends_before_its_time_ends_the_recording():
    done = recorded("-d", "10m", "--", "sh", "-c", f"{PROGRAMS}/shares 1 2; exit 7", code=7)
    assert b"burn_sixty" in done.stderr and b"goes on" not in done.stderr, done


def each_kind_is_a_file_with_its_name():
    with tempfile.TemporaryDirectory() as folder:
        script = "; ".join(f"{PROGRAMS}/{words}" for words in ("shares 1 2", "locks blame 100", "allocs sites 1"))
        done = recorded("--heap", "--lock", "-o", f"{folder}/out.folded", "--", "sh", "-c", script)
        texts = {name: pathlib.Path(folder, name).read_text() for name in os.listdir(folder)}
        assert set(texts) == {"out.folded", "out.heap.folded", "out.lock.folded"}, texts
        assert all(name.encode() in done.stderr for name in texts), done
        assert [name for name in texts if "burn_sixty" in texts[name]] == ["out.folded"], texts
        assert [name for name in texts if "run_sites" in texts[name] and "burn" not in texts[name]] == ["out.heap.folded"], texts
        assert "wait_for_lock" in texts["out.lock.folded"] and "burn" not in texts["out.lock.folded"], texts
        recorded("--heap", "-o", f"{folder}/a.pb.gz", "--", PROGRAMS / "allocs", "sites", 1)
        assert pathlib.Path(folder, "a.heap.pb.gz").read_bytes().startswith(b"\x1f\x8b")
    tables = recorded("--lock", "--", "sh", "-c", script).stderr.decode()
    assert len(re.findall("^Type: ", tables, re.M)) == 2 and "wait_for_lock" in tables, tables


def a_service_is_recorded_for_a_time_to_its_end():
    with a_shop() as (agent, process), tempfile.TemporaryDirectory() as folder:
        server = ("--server", f"unix:{agent.run}")
        recorded_when_seen("-p", "shop", *server, "-d", "2s", "-o", f"{folder}/a.json")
        profile = json.loads(pathlib.Path(folder, "a.json").read_text())
        table = recorded_when_seen("-q", "-p", "shop", *server, "-d", "1s")
        assert b"burn_sixty" in table.stdout and not table.stderr, table
        assert recorded_when_seen("--service-of-agent", "shop", *server, "-d", "1s", "--format", "folded").stdout.startswith(b"_start;")
        process.kill()
        agent.settled()
        again = agent.get("/api/v1/flamegraph", format="json", max_nodes=0, query='{service="shop"}', type="cpu",
                          **{"from": profile["from"], "until": profile["until"]})
        assert profile["until"] - profile["from"] >= 2e9 and profile["total"] > 0, profile
        assert profile["total"] == again["total"], (profile, again)


def an_interrupt_ends_a_service_s_time_and_not_its_file():
    with a_shop() as (agent, _), tempfile.TemporaryDirectory() as folder:
        for words in ([], ["-d", "1h"]):
            path = pathlib.Path(folder, f"a{len(words)}.folded")
            process = subprocess.Popen([HEARTH, "record", "-p", "shop", "--server", f"unix:{agent.run}", *words, "-o", path], env=environment())
            def listens():
                caught = re.search(r"SigCgt:\s*(\w+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1]
                return int(caught, 16) & 1 << (signal.SIGINT - 1)
            wait_for("a handler", listens)
            since = agent.get("/api/v1/top", **{"from": "now-1s"})["until"]
            wait_for("more samples", lambda: agent.get("/api/v1/top", type="cpu", **{"from": since})["total"] > 0)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0 and "burn_sixty" in path.read_text()


def what_cannot_be_recorded_is_said():
    with Agent() as agent:
        server = ("--server", f"unix:{agent.run}")
        said = recorded("-p", "nobody", *server, "-d", "100ms", code=3).stderr.decode()
        assert "nobody" in said and "hearth services" in said and "hearth run" in said, said
        for words in (["-p", "shop", "--", "true"], ["-p", "shop", "-F", "9"], ["-p", "shop", "-S", "x"], ["-p", "shop", "--format", "what"],
                      ["-p", "shop", "--heap", "--format", "svg"], ["-d", "1s"]):
            recorded(*words, *(server if "--" not in words else ()), code=2)
        agent.kill()
        recorded("-p", "shop", *server, "-d", "1h", code=4)


main(a_frequency_is_the_command_s, a_frequency_has_the_limits_of_the_setting, after_its_time_a_profile_is_written_and_the_command_goes_on,
     a_command_that_ends_before_its_time_ends_the_recording, each_kind_is_a_file_with_its_name, a_service_is_recorded_for_a_time_to_its_end,
     an_interrupt_ends_a_service_s_time_and_not_its_file, what_cannot_be_recorded_is_said)
