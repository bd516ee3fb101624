# SPDX-License-Identifier: Apache-2.0
"""The commands, as a person runs them."""
import os
import pathlib
import shutil
import tempfile
import xml.etree.ElementTree

from support import Agent, BIN, PROGRAMS, main, run

HEARTH = BIN / "hearth"


def a_profile_from_run_to_svg():
    with Agent() as agent:
        env = dict(os.environ, HEARTH_SERVER=f"unix:{agent.run}")
        done = run([HEARTH, "run", "--service", "cli", "--", PROGRAMS / "shares", 2, 3], env=env)
        assert done.returncode == 0 and b"total" in done.stdout and b"profiling" in done.stderr, done
        agent.settled()
        done = run([HEARTH, "top", "-S", "cli", "-n", 3], env=env)
        lines = done.stdout.decode().splitlines()
        assert done.returncode == 0 and "burn_sixty" in lines[3] and "shares.c:" in lines[3], done
        done = run([HEARTH, "services"], env=env)
        assert done.returncode == 0 and b"cli" in done.stdout, done
        svg = agent.directory / "x.svg"
        done = run([HEARTH, "flame", "-S", "cli", "-o", svg], env=env)
        assert done.returncode == 0, done
        text = svg.read_text()
        xml.etree.ElementTree.fromstring(text)
        assert "burn_thirty" in text
        folded = run([HEARTH, "export", "-S", "cli"], env=env).stdout.decode()
        assert any(line.split(" ")[0].endswith("burn_ten") for line in folded.splitlines()), folded
        done = run([HEARTH, "status"], env=env)
        assert done.returncode == 0 and b"1 ended" in done.stdout, done


def exit_codes_are_those_of_the_contract():
    with Agent() as agent:
        env = dict(os.environ, HEARTH_SERVER=f"unix:{agent.run}")
        for command, code in ((["top"], 3), (["export"], 3), (["services"], 3), (["bogus"], 2),
                              (["top", "--bogus"], 2), (["flame"], 2), (["version"], 0),
                              (["status", "-q"], 0), (["top", "--from", "bogus"], 1),
                              (["run", "-q", "--", "false"], 1), (["run", "-q", "--", "/no/such"], 127),
                              (["run", "-q", "--", "/etc/passwd"], 126), (["run"], 2)):
            done = run([HEARTH, *command], env=env)
            assert done.returncode == code, (command, done)
        agent.kill()
        assert run([HEARTH, "top"], env=env).returncode == 4


def settings_pass_through_run():
    with Agent() as agent:
        env = dict(os.environ, HEARTH_SERVER=f"unix:{agent.run}", DD_PROFILING_CPU_ENABLED="0",
                   HEARTH_TAGS="team:core")
        env.pop("HEARTH_BUILD", None)
        done = run([HEARTH, "run", "-q", "--service", "through", "--", "sh", "-c",
                    "env | sort | grep -E '^(HEARTH|DD)_'"], env=env)
        assert done.stdout.decode().split() == [
            "DD_PROFILING_CPU_ENABLED=0", f"HEARTH_AGENT=unix:{agent.run}/agent.sock", "HEARTH_ENABLED=1",
            f"HEARTH_SERVER=unix:{agent.run}", "HEARTH_SERVICE=through", "HEARTH_TAGS=team:core"], done


def programs_that_cannot_be_preloaded_run_without():
    with Agent() as agent:
        env = dict(os.environ, HEARTH_SERVER=f"unix:{agent.run}")
        folder = pathlib.Path(tempfile.mkdtemp())
        try:
            # Says 5 when it has no preload and 6 when it has one, and mentions what a sanitizer has.
            (folder / "x.c").write_text("""#include <stdlib.h>
#include <string.h>
const char *volatile word = "__asan_init";
int main(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "hearth") ? 6 : 5;
}
""")
            for compiler, flags, words, status in (
                    ("gcc", ["-static"], b"statically", 5), ("gcc", ["-fsanitize=address"], b"sanitizer", 5),
                    ("gcc", ["-fsanitize=thread"], b"sanitizer", 5),
                    ("gcc", ["-fsanitize=address", "-static-libasan"], b"sanitizer", 5),
                    ("clang", ["-fsanitize=address"], b"sanitizer", 5), ("gcc", [], b"profiling", 6)):
                built = run([compiler, *flags, folder / "x.c", "-o", folder / "x"])
                assert built.returncode == 0, built
                done = run([HEARTH, "run", "--", folder / "x"], env=env)
                assert done.returncode == status and words in done.stderr, (compiler, flags, done)
            (folder / "x").chmod(0o4755)
            done = run([HEARTH, "run", "--", folder / "x"], env=env)
            assert done.returncode == 5 and b"setuid" in done.stderr, done
            run(["gcc", "-static", folder / "x.c", "-o", folder / "interpreter"])
            (folder / "script").write_text(f"#!{folder}/interpreter -x\n")
            (folder / "script").chmod(0o755)
            done = run([HEARTH, "run", "--", folder / "script"], env=env)
            assert done.returncode == 5 and b"statically" in done.stderr, done
        finally:
            shutil.rmtree(folder)


PROGRAM = """
static volatile unsigned sink;
__attribute__((noinline)) static void secret_loop(void)
{
	for (unsigned i = 0; i < 1000000000; i++)
		sink = sink * 3 + 1;
}
int main(void) { secret_loop(); return 0; }
"""


def a_frame_without_a_name_is_named_later():
    with Agent() as agent:
        env = dict(os.environ, HEARTH_SERVER=f"unix:{agent.run}")
        program, debug = agent.directory / "secret", agent.directory / "secret.debug"
        (agent.directory / "x.c").write_text(PROGRAM)
        for command in (["gcc", "-O1", "-g", agent.directory / "x.c", "-o", program],
                        ["objcopy", "--only-keep-debug", program, debug],
                        ["strip", program]):
            done = run(command)
            assert done.returncode == 0, done
        assert run([HEARTH, "run", "-q", "--", program], env=env).returncode == 0
        agent.settled()
        top = run([HEARTH, "top", "-n", 5], env=env).stdout.decode()
        assert "secret+0x" in top and "secret_loop" not in top, top
        done = run([HEARTH, "symbols", "add", debug], env=env)
        assert done.returncode == 0, done
        first = run([HEARTH, "top", "-n", 5], env=env).stdout.decode().splitlines()[3]
        assert "secret_loop" in first and "x.c:" in first, first
        assert run([HEARTH, "symbols", "add", agent.directory / "x.c"], env=env).returncode == 1


main(a_profile_from_run_to_svg, a_frame_without_a_name_is_named_later, exit_codes_are_those_of_the_contract,
     programs_that_cannot_be_preloaded_run_without, settings_pass_through_run)
