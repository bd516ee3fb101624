# SPDX-License-Identifier: Apache-2.0
"""C stands as .clang-format has it, and no line goes beyond 100 columns, its comment included.

`clang-format-14 -i FILE` mends the first; comments are nobody's but the author's, for clang-format breaks their tables.
"""
import pathlib
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
COLUMNS = 100

# "tried": programs whose lines are what the tests of symbols look up.
ELSEWHERE = {"build", "node_modules", "tried"}
files = sorted(path for suffix in ("c", "h", "cc") for path in SOURCE.rglob(f"*.{suffix}")
               if not ELSEWHERE & set(path.relative_to(SOURCE).parts))
failed = 0


def check(name, wrong):
    global failed
    for line in wrong[:40]:
        print(f"# {line}")
    print(f"{'not ok' if wrong else 'ok'} {name}")
    failed += bool(wrong)


def long_lines():
    return [f"{path.relative_to(SOURCE)}:{number}: {len(line.expandtabs(8))} columns" for path in files
            for number, line in enumerate(path.read_text().splitlines(), 1) if len(line.expandtabs(8)) > COLUMNS]


def unformatted():
    said = subprocess.run(["clang-format-14", "--dry-run", *files], capture_output=True, text=True, cwd=SOURCE)
    return [line for line in said.stderr.splitlines() if "-Wclang-format-violations" in line] or \
        (["clang-format-14: " + said.stderr] if said.returncode else [])


assert files
check("no_line_is_longer_than_100_columns", long_lines())
check("c_stands_as_clang_format_has_it", unformatted())
sys.exit(1 if failed else 0)
