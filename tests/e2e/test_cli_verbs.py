# SPDX-License-Identifier: Apache-2.0
"""Verbs of the command line that ask, on profiles whose every number is known."""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

from support import Agent, BIN, PROGRAMS, main, run, wait_for
from wire import pprof

HEARTH = BIN / "hearth"
STACKS = {"main;work;spin": 60, "main;work;work;spin": 10, "main;wait": 30}


def environment(agent):
    return dict(os.environ, HEARTH_SERVER=f"unix:{agent.run}")


def fill(agent, stacks=None, kind=("cpu", "nanoseconds"), period=("cpu", "nanoseconds"), at_ns=None, unit=10_000_000, **labels):
    now = at_ns or time.time_ns()
    body = pprof([kind], {k: (v * unit,) for k, v in (stacks or STACKS).items()}, period_type=period, time_ns=now - 2 * 10**9)
    labels = {"service": "shop", **labels}
    status, answer, _ = agent.request("POST", "/api/v1/profiles", body=body, **labels)
    assert status == 200, answer


def asked(agent, *words, code=0):
    done = run([HEARTH, *words], env=environment(agent))
    assert done.returncode == code, (words, done)
    return done.stdout.decode()


def in_json(agent, *words, code=0):
    return json.loads(asked(agent, *words, "--json", code=code))


def a_tree_is_indented_and_adds_up():
    with Agent() as agent:
        fill(agent)
        lines = [line.split() for line in asked(agent, "tree", "-S", "shop").splitlines()[2:]]
        assert [(line[0], line[1], line[3]) for line in lines] == [
            ("1s", "100.00%", "total"), ("1s", "100.00%", "main"), ("700ms", "70.00%", "work"), ("600ms", "60.00%", "spin"),
            ("100ms", "10.00%", "work"), ("100ms", "10.00%", "spin"), ("300ms", "30.00%", "wait")], lines
        assert "wait" not in asked(agent, "tree", "-n", "50")
        assert in_json(agent, "tree")["schema"] == "hearth.flamegraph/1"
        asked(agent, "tree", "-S", "nobody", code=3)
        asked(agent, "tree", "-n", "x", code=2)


def on_a_terminal(agent, *words, code=0, **more):
    mine, theirs = os.openpty()
    env = {key: value for key, value in environment(agent).items() if key != "NO_COLOR"}
    done = subprocess.Popen([HEARTH, *words], env={**env, "TERM": "xterm", "PAGER": "cat", **more}, stdout=theirs)
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(mine, 65536):
            said += chunk
    except OSError:  # EIO: the other end is closed
        pass
    os.close(mine)
    assert done.wait() == code, said
    return said.decode()


def a_pager_shows_what_goes_to_a_terminal():
    with Agent() as agent:
        fill(agent)
        mark, plain = "sed s/^/paged:/", asked(agent, "top")
        shown = on_a_terminal(agent, "top", HEARTH_PAGER=mark)
        assert "\033[1;31m" in shown and shown.count("paged:") == len(plain.splitlines()), shown
        for words, pagers, paged in (
                (("top",), {"PAGER": mark}, True), (("tree",), {"PAGER": mark, "HEARTH_PAGER": "cat"}, False),
                (("top",), {"HEARTH_PAGER": ""}, False), (("top",), {"HEARTH_PAGER": "no-such-pager -x"}, False),
                (("top", "--no-pager"), {"PAGER": mark}, False), (("top", "--json"), {"PAGER": mark}, False),
                (("version",), {"PAGER": mark}, False), (("services",), {"PAGER": mark}, True)):
            shown = on_a_terminal(agent, *words, **pagers)
            assert ("paged:" in shown) == paged and len(shown) > 5, (words, pagers, shown)
        # less gets its options, and what is already there stays.
        assert "[FRX]" in on_a_terminal(agent, "top", HEARTH_PAGER="cat; echo [$LESS]")
        assert "[Q]" in on_a_terminal(agent, "top", HEARTH_PAGER="cat; echo [$LESS]", LESS="Q")
        # The status is the verb's, whatever the pager's; all that it says is out when the verb ends.
        assert "paged" in on_a_terminal(agent, "services", HEARTH_PAGER="cat; echo paged; exit 9")
        on_a_terminal(agent, "tree", "-S", "nobody", HEARTH_PAGER=mark, code=3)
        assert "paged" not in subprocess.run([HEARTH, "top"], env=dict(environment(agent), PAGER=mark), stdout=subprocess.PIPE, text=True).stdout


def colours_are_for_terminals():
    with Agent() as agent:
        fill(agent)
        for words in (("tree",), ("top",)):
            plain = asked(agent, *words)
            shown = on_a_terminal(agent, *words)
            assert "\033" not in plain and "\033[1;31m" in shown, (words, plain, shown)
            assert re.sub(r"\033\[[0-9;]*m", "", shown).replace("\r", "") == plain, (shown, plain)
            assert "\033" not in on_a_terminal(agent, *words, NO_COLOR="1")
            assert "\033" not in on_a_terminal(agent, *words, TERM="dumb")


def peek_counts_recursion_once():
    with Agent() as agent:
        fill(agent)
        said = in_json(agent, "peek", "^work$")
        assert said["schema"] == "hearth.peek/1"
        work, = said["functions"]
        assert (work["self"], work["total"]) == (0, 7e8), work
        assert {e["name"]: e["value"] for e in work["callers"]} == {"main": 7e8, "work": 1e8}, work
        assert {e["name"]: e["value"] for e in work["callees"]} == {"spin": 7e8, "work": 1e8}, work
        text = asked(agent, "peek", "spin|wait")
        assert len(re.findall(r"^ +\S+ +[\d.]+% +\S+ +[\d.]+% +\| (?:spin|wait)$", text, re.M)) == 2, text
        asked(agent, "peek", "nothing", code=3)
        asked(agent, "peek", "(", code=2)
        asked(agent, "peek", code=2)


def a_listing_has_the_source_and_its_lines():
    with Agent() as agent, tempfile.TemporaryDirectory() as folder:
        env = environment(agent)
        source = pathlib.Path(folder, "lines.c")
        source.write_text("#include <stdio.h>\nstatic volatile unsigned sink;\n\n__attribute__((noinline)) void spins(void)\n{\n"
                          "\tfor (unsigned i = 0; i < 900000000; i++)\n\t\tsink = sink * 3 + i; /* here */\n}\n\nint main(void)\n{\n\tspins();\n"
                          "\treturn 0;\n}\n")
        assert run(["gcc", "-g", "-O1", source, "-o", f"{folder}/lines"]).returncode == 0
        assert run([HEARTH, "run", "-q", "-S", "lines", "--", f"{folder}/lines"], env=env).returncode == 0
        agent.settled()
        text = asked(agent, "list", "^spins$")
        assert f"spins in {source}" in text and "/* here */" in text, text
        function, = in_json(agent, "list", "^spins$")["functions"]
        total = in_json(agent, "list", "^spins$")["total"]
        assert function["file"] == str(source) and {line["line"] for line in function["lines"]} <= {4, 5, 6, 7, 8}, function
        assert sum(line["self"] for line in function["lines"]) >= total * 0.9, (function, total)


def labels_and_their_values():
    with Agent() as agent:
        fill(agent, env="prod")
        fill(agent, env="dev", **{"a b": "c d"})
        assert set(asked(agent, "labels").split()) >= {"service", "env"}
        assert asked(agent, "labels", "env").split() == ["dev", "prod"]
        assert asked(agent, "labels", "env", "-s", '{env!="dev"}').split() == ["prod"]
        assert asked(agent, "labels", "a b").splitlines() == ["c d"]
        assert in_json(agent, "labels", "env")["values"] == ["dev", "prod"]
        asked(agent, "labels", "none", code=3)


def files_are_imported():
    with Agent() as agent, tempfile.TemporaryDirectory() as folder:
        folded = pathlib.Path(folder, "a.folded")
        folded.write_text("main;work 7\nmain;wait 3\n")
        profile = pathlib.Path(folder, "b.pb")
        profile.write_bytes(pprof([("cpu", "nanoseconds")], {"main;work": (5,)}, period_type=("cpu", "nanoseconds")))
        asked(agent, "import", "-S", "files", "--label", "env=test", "--label", "team=a=b", folded, profile)
        assert asked(agent, "labels", "team").splitlines() == ["a=b"]
        said = [json.loads(line) for line in asked(agent, "import", folded, "-S", "again", "--id", "1", "--json").splitlines()]
        assert said[0]["samples"] == 2 and not said[0]["duplicate"], said
        assert json.loads(asked(agent, "import", folded, "-S", "again", "--id", "1", "--json"))["duplicate"]
        done = run([HEARTH, "import", "-S", "stdin", "-"], env=environment(agent), input=b"main;x 1\n")
        assert done.returncode == 0 and "stdin" in asked(agent, "labels", "service")
        for words, code in ((["import", folded], 2), (["import", "-S", "a"], 2), (["import", "-S", "a", "/nothing"], 1),
                            (["import", "-S", "a", "--label", "x", folded], 2), (["import", "-S", "a", "/dev/null"], 3)):
            asked(agent, *words, code=code)


def filters_go_into_the_question():
    with Agent() as agent:
        fill(agent)
        fill(agent, {"main;x": 5}, env="other")
        def names(*words):
            return {row["name"]: row["total"] for row in in_json(agent, "top", "-n", 0, *words)["rows"]}
        assert names("--focus", "work") == {"main": 7e8, "work": 7e8, "spin": 7e8}
        assert "wait" not in names("--ignore", "wait") and "work" in names("--ignore", "wait")
        assert "main" not in names("--hide", "main") and set(names("--show", "spin|wait")) == {"spin", "wait"}
        assert "main" not in names("--show-from", "work")
        assert set(names("--tagfocus", "env=other")) == {"main", "x"} and "x" not in names("--tagignore", "env=other")
        assert asked(agent, "export", "--focus", "^x$", "--format", "folded") == "main;x 50000000\n"


def by_cum_sorts_by_what_is_called():
    with Agent() as agent:
        fill(agent)
        rows = in_json(agent, "top", "--cum", "-n", 2)["rows"]
        assert [row["name"] for row in rows] in (["main", "work"], ["main", "spin"]), rows
        assert in_json(agent, "top", "-n", 1)["rows"][0]["name"] == "spin"


def a_diff_says_what_grew():
    with Agent() as agent:
        unit = 1_000_000
        fill(agent, {"main;a": 600, "main;b": 400}, version="1", unit=unit)
        fill(agent, {"main;a": 300, "main;b": 400, "main;new": 300}, version="2", unit=unit)
        said = in_json(agent, "diff", "version=1", "version=2")
        assert said["schema"] == "hearth.diff_top/1" and said["normalize"] == "share"
        rows = {row["name"]: row for row in said["rows"]}
        assert rows["a"]["self_delta"] == -30 and rows["new"]["self_delta"] == 30 and rows["b"]["self_delta"] == 0, rows
        text = asked(agent, "diff", "@version=1", '{version="2"}', "-n", 2)
        assert "+30.00 +-" in text and "-30.00 +-" in text and "Base: 1s" in text, text
        asked(agent, "diff", "now-2h..now-1h", "now-1h..now")
        asked(agent, "diff", "version=1", "-s", '{version="2"}')
        asked(agent, "diff", "version=1", "version=1", "--fail-above", "1%")
        for words, code in ((["diff"], 2), (["diff", "x"], 2), (["diff", "a=1", "--fail-above", "x"], 2), (["diff", "version=3", "version=4"], 3),
                            (["diff", "version=1", "version=2", "--fail-above", "40%"], 0)):
            asked(agent, *words, code=code)
        with tempfile.TemporaryDirectory() as folder:
            asked(agent, "diff", "version=1", "version=2", "-o", f"{folder}/d.svg")
            asked(agent, "diff", "version=1", "version=2", "-o", f"{folder}/d.html")
            assert (pathlib.Path(folder) / "d.html").read_text().startswith("<!doctype html>")
            assert "new" in pathlib.Path(folder, "d.svg").read_text()


def a_threshold_ends_with_5_when_the_growth_is_no_chance():
    with Agent() as agent:
        # Many samples: thirty points are far outside chance. Two samples are not.
        for version, stacks in (("1", {f"main;a": 1, "main;b": 1}), ("2", {"main;a": 4, "main;b": 1})):
            fill(agent, stacks, version=version)
        asked(agent, "diff", "version=1", "version=2", "--fail-above", "5%")
        folded = {"3": "main;a 5000\nmain;b 5000\n", "4": "main;a 8000\nmain;b 2000\n"}
        for version, text in folded.items():
            assert agent.request("POST", "/api/v1/profiles", body=text.encode(), service="shop", version=version)[0] == 200
        kind = in_json(agent, "services")["services"][0]["types"]
        kind = next(k for k in kind if "samples" in k or "count" in k) if len(kind) > 1 else kind[0]
        done = run([HEARTH, "diff", "version=3", "version=4", "-t", kind, "--fail-above", "5%"], env=environment(agent))
        assert done.returncode == 5 and b"a grew by 30.00 points" in done.stderr, done


def a_tail_prints_again_and_again():
    with Agent() as agent:
        fill(agent)
        lines = asked(agent, "tail", "--interval", "100ms", "--for", "450ms", "--json").splitlines()
        assert len(lines) >= 2 and all(json.loads(line)["schema"] == "hearth.top/1" for line in lines), lines
        text = asked(agent, "tail", "--interval", "100ms", "--for", "150ms", "-n", "1")
        assert "spin" in text and "\033" not in text, text
        process = subprocess.Popen([HEARTH, "tail", "--interval", "50ms"], env=environment(agent), stdout=subprocess.PIPE)
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(timeout=30) == 0


def what_grows_leaks():
    with Agent() as agent:
        now = time.time_ns()
        heap = dict(kind=("inuse_space", "bytes"), period=("space", "bytes"), unit=1)
        fill(agent, {"main;cache": 1000, "main;leak;operator new": 100}, at_ns=now - 1800 * 10**9, **heap)
        fill(agent, {"main;cache": 1000, "main;leak;operator new": 900}, at_ns=now, **heap)
        said = in_json(agent, "leaks", "--since", "20m")
        assert said["schema"] == "hearth.leaks/1"
        rows = {row["name"]: row for row in said["rows"]}
        assert rows["leak"]["now"] - rows["leak"]["before"] == rows["leak"]["grew"] >= 800, rows
        assert said["rows"][0]["name"] == "leak" and "leak" in asked(agent, "leaks", "--since", "20m").splitlines()[1]
        asked(agent, "leaks", "-S", "nobody", code=3)


def a_command_is_recorded_without_an_agent():
    with tempfile.TemporaryDirectory() as folder:
        env = {k: v for k, v in os.environ.items() if not k.startswith("HEARTH_SERVER")}
        for name, first in (("a.pb.gz", b"\x1f\x8b"), ("a.svg", b"<?xml"), ("a.folded", b""), ("a.speedscope.json", b"{"), ("a.txt", b"Type: ")):
            done = run([HEARTH, "record", "-o", f"{folder}/{name}", "--", PROGRAMS / "shares", 1, 2], env=env)
            assert done.returncode == 0 and b"burn_sixty" in done.stdout, done
            assert pathlib.Path(folder, name).read_bytes().startswith(first), name
        stacks = dict(line.rsplit(" ", 1) for line in pathlib.Path(folder, "a.folded").read_text().splitlines())
        assert any(stack.endswith("burn_sixty") for stack in stacks), stacks
        done = run([HEARTH, "record", "--", PROGRAMS / "shares", 1, 2], env=env)
        assert done.returncode == 0 and b"flat%" in done.stderr and b"burn_sixty" in done.stderr, done
        for words, code in ((["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -TERM $$"], 128 + 15), (["/no/such"], 127)):
            assert run([HEARTH, "record", "--", *words], env=env).returncode == code, words
        for words in (["record"], ["record", "-o", "x.what", "--", "true"], ["record", "--format", "svg", "--", "true"]):
            assert run([HEARTH, *words], env=env).returncode == 2, words
        assert not [name for name in os.listdir("/tmp") if name.startswith("hearth-record.")]


def an_interrupt_ends_the_command_and_not_the_file():
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen([HEARTH, "record", "-o", f"{folder}/a.folded", "--", PROGRAMS / "shares", "600", "2"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        def children():
            found = run(["pgrep", "-P", process.pid, "shares"]).stdout.split()
            return found and float(pathlib.Path(f"/proc/{int(found[0])}/stat").read_text().rsplit(")")[1].split()[11]) > 100
        wait_for("a second of the command's time", children)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 128 + 2
        assert "burn_sixty" in pathlib.Path(folder, "a.folded").read_text()


def the_demo_opens_and_closes():
    process = subprocess.Popen([HEARTH, "demo", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        said = json.loads(process.stdout.readline())
        assert said["schema"] == "hearth.demo/1" and said["url"].startswith("http://127.0.0.1:"), said
        def seen():
            done = run([HEARTH, "top", "-S", "shop", "--server", said["server"], "--json"])
            return done.returncode == 0 and any("checksum_orders" in row["name"] for row in json.loads(done.stdout)["rows"])
        wait_for("the hot function of the shop", seen)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert not os.path.exists(said["server"][5:])


def a_doctor_looks():
    with Agent() as agent:
        checks = {check["name"]: check for check in in_json(agent, "doctor")["checks"]}
        assert checks["agent"]["state"] == checks["socket"]["state"] == checks["preload"]["state"] == "ok", checks
        (agent.run / "disable").touch()
        assert "paused" in asked(agent, "doctor")
        agent.run.chmod(0o777)
        assert "chmod go-w" in asked(agent, "doctor", code=1)
        agent.run.chmod(0o755)
        agent.kill()
        done = run([HEARTH, "doctor", "--json"], env=environment(agent))
        assert done.returncode == 4 and json.loads(done.stdout)["schema"] == "hearth.doctor/1", done


def settings_are_checked_and_shown():
    with Agent() as agent, tempfile.TemporaryDirectory() as folder:
        good, bad = pathlib.Path(folder, "good.yaml"), pathlib.Path(folder, "bad.yaml")
        good.write_text("listen: [127.0.0.1:0]\n")
        bad.write_text("no_such_setting: 1\n")
        assert run([HEARTH, "config", "check", good]).returncode == 0
        done = run([HEARTH, "config", "check", bad])
        assert done.returncode == 2 and b"no_such_setting" in done.stderr, done
        assert run([HEARTH, "config", "check", folder + "/none"]).returncode == 1
        said = in_json(agent, "config", "show")
        assert said["schema"] == "hearth.config/1" and said["listen"] == agent.bound["http"], said
        assert "listen:" in asked(agent, "config", "show")
        asked(agent, "config", code=2)


def completions_are_scripts_that_complete():
    with Agent() as agent:
        fill(agent, service="shop one")
        verbs = re.findall(r"^  (\w+) ", run([HEARTH, "--help"]).stdout.decode(), re.M)
        for shell in ("bash", "zsh", "fish"):
            script = asked(agent, "completion", shell)
            assert all(verb in script for verb in verbs), shell
        bash = asked(agent, "completion", "bash")
        def completed(*words):
            asks = (f'{bash}\nCOMP_WORDS=({" ".join(words)} "")\nCOMP_CWORD={len(words)}\n_hearth\nprintf "%s\\n" "${{COMPREPLY[@]}}"')
            env = dict(environment(agent), PATH=f"{BIN}:{os.environ['PATH']}")
            done = run(["bash", "-c", asks], env=env)
            assert done.returncode == 0, done
            return done.stdout.decode().split()
        assert set(completed("hearth")) >= set(verbs) and "speedscope" in completed("hearth", "export", "--format")
        assert "--focus" in completed("hearth", "top") and "--focus" not in completed("hearth", "status")
        assert set(completed("hearth", "record")) >= {"--frequency", "--duration", "--heap", "--lock", "--service-of-agent"}
        assert "shop" in completed("hearth", "record", "-p") and "shop" in completed("hearth", "top", "-S") and "bash" in completed("hearth", "completion")
        env = dict(environment(agent), PATH=f"{BIN}:{os.environ['PATH']}", HOME="/nonexistent")
        def fish(line):
            asks = f"source (echo $script | psub); complete -C '{line}'"
            done = run(["fish", "--no-config", "-c", asks], env=dict(env, script=asked(agent, "completion", "fish")))
            assert done.returncode == 0, done
            return [offer.split("\t")[0] for offer in done.stdout.decode().splitlines()]
        assert set(fish("hearth ")) >= set(verbs) and "--focus" in fish("hearth top --fo") and not fish("hearth status --fo")
        assert "shop one" in [offer.replace("\\", "") for offer in fish("hearth top --service ")], fish("hearth top --service ")
        def zsh(*words):
            # What the script says to zsh's own functions, which need a terminal.
            told = '_arguments() { print -rl -- "$@" }\n_describe() { print -rl -- "${verbs[@]}" }\n'
            done = run(["zsh", "-f", "-c", f'{told}words=({" ".join(words)} "")\nCURRENT={len(words) + 1}\n{asked(agent, "completion", "zsh")}'], env=env)
            assert done.returncode == 0 and not done.stderr, done
            return done.stdout.decode()
        assert {offer.split(":")[0] for offer in zsh("hearth").split("\n")} >= set(verbs)
        assert "--focus=" in zsh("hearth", "top") and "--focus" not in zsh("hearth", "status")
        asked(agent, "completion", "tcsh", code=2)


def a_verb_takes_the_options_that_its_help_names_and_no_others():
    with Agent() as agent:
        fill(agent, service="shop")
        for words in (["services", "--focus", "x"], ["top", "--heap"], ["status", "-S", "x"], ["labels", "--show-from=x"]):
            refused = run([HEARTH, *words], env=environment(agent))
            assert refused.returncode == 2 and not refused.stdout, refused
            assert f"{words[0]} takes no --".encode() in refused.stderr and b"--help" in refused.stderr, refused
        asked(agent, "tree", "-S", "shop", "--collapse", "--invert", "--granularity", "file")
        assert json.loads(asked(agent, "ui", "--json"))["url"].startswith("http://127.0.0.1:")


main(a_tree_is_indented_and_adds_up, a_pager_shows_what_goes_to_a_terminal, colours_are_for_terminals, peek_counts_recursion_once, a_listing_has_the_source_and_its_lines, labels_and_their_values,
     files_are_imported, filters_go_into_the_question, by_cum_sorts_by_what_is_called, a_diff_says_what_grew,
     a_threshold_ends_with_5_when_the_growth_is_no_chance, a_tail_prints_again_and_again, what_grows_leaks,
     a_command_is_recorded_without_an_agent, an_interrupt_ends_the_command_and_not_the_file, the_demo_opens_and_closes, a_doctor_looks,
     settings_are_checked_and_shown, completions_are_scripts_that_complete,
     a_verb_takes_the_options_that_its_help_names_and_no_others)
