# SPDX-License-Identifier: Apache-2.0
"""Filters and granularities against `go tool pprof -top` on the same file, row by row.

Every file of the corpus that the tool reads, its last sample type, and questions drawn from the file's own
names and labels: focus, ignore, hide, show, show_from, tagfocus, tagignore, alone and together, by function, line and
file.  Rows are what both print: the name with flat and cumulative value.
"""
import collections
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import Agent, main  # noqa: E402
from test_upload import CORPUS, MAPPED, expected, types_of, upload  # noqa: E402

SPAN = {"from": "now-24h", "until": "now+1h"}
QUESTIONS = 16  # of each file
FILTERS = ("focus", "ignore", "hide", "show", "show_from")


def pprof(path, *options):
    with tempfile.TemporaryDirectory(prefix="hearth-proof.") as folder:
        # The tool cuts paths at the name of the folder that it runs in.
        return subprocess.run(["go", "tool", "pprof", *options, path], capture_output=True, text=True, errors="replace",
                              cwd=folder, env={**os.environ, "PPROF_BINARY_PATH": "/nonexistent", "PPROF_TMPDIR": folder})


def unnamed(name):
    # What has no name is called by its file, its mapping or its address; names that are no UTF-8 cannot be printed alike.
    return not name.isprintable() or not name or re.match(r"<unknown>|\[|(0x)?[0-9a-f]{8,}( |$)|\S+\+0x[0-9a-f]+$", name)


def is_cut_by_pprof(filters, before, after):
    """show_from cuts a location with inlined calls behind its own match even where a frame above matched before
    (profile/filter.go, filterShowFromLocation), so the tool leaves frames out that stand below the highest match."""
    return "show_from" in filters and before is None and after[0] == 0


def theirs(path, kind, granularity, filters):
    index, unit = kind.split("/")
    options = [f"-{key}={value}" for key, value in filters.items()]
    done = pprof(path, "-top", "-symbolize=none", "-nodecount=0", "-nodefraction=0", "-edgefraction=0", f"-unit={unit}",
                 f"-sample_index={index}", f"-{granularity}s", *options)
    assert done.returncode == 0, done.stderr
    rows, printed = collections.defaultdict(lambda: [0, 0]), collections.Counter()
    for line in done.stdout.splitlines():
        match = re.match(r"\s*(-?[\d.]+)\S*\s+\S+%\s+\S+%\s+(-?[\d.]+)\S*\s+\S+%\s+(.*)", line)
        if not match:
            continue
        name = re.sub(r" \((partial-)?inline\)$", "", match[3])
        if not unnamed(name):
            rows[name][0] += float(match[1])
            rows[name][1] += float(match[2])
            printed[name] += 1
    # By file the tool prints one row for each first line of a function: their cumulative values do not add up.
    return {name: (flat, cum if printed[name] == 1 else None) for name, (flat, cum) in rows.items() if flat or cum}


def same(before, after):
    return before and after and before[0] == after[0] and before[1] in (None, after[1])


def name_of(row, granularity):
    if granularity == "line" and row["file"]:
        return f'{row["name"]} {row["file"]}' + (f':{row["line"]}' if row["line"] else "")
    if granularity == "line" and row["line"]:
        return f'{row["name"]} :{row["line"]}'
    return row["name"]


def ours(agent, service, type_id, granularity, filters):
    answer = agent.get("/api/v1/top", type=type_id, by="name" if granularity == "function" else granularity, limit=0, query='{service="%s"}' % service, **filters,
                       **SPAN)
    rows = collections.defaultdict(lambda: [0, 0])
    for row in answer["rows"]:
        name = name_of(row, granularity)
        if not unnamed(name) and not (granularity == "file" and not row["file"]):
            rows[name][0] += row["self"]
            rows[name][1] += row["total"]
    return {name: tuple(values) for name, values in rows.items() if any(values)}, answer


def words(rows):
    """Pieces of names that both regular expression engines read alike."""
    found = sorted({word for name in rows for word in re.findall(r"[A-Za-z_][A-Za-z0-9_]{2,}", name)})
    return found or ["nothing"]


def labels_of(path):
    """[(key, value or None)] of the profile's labels; a number has no value."""
    found = set()
    for line in pprof(path, "-tags", "-symbolize=none").stdout.splitlines():
        match = re.match(r"\s*(.*?): Total ", line)
        if match:
            key, numbers = match[1], False
        match = re.match(r"\s*\S+ \([\s\d.e-]+%\): (.*)", line)
        if match and found is not None:
            found.add((key, match[1]))
    return sorted(found)


def pattern(draw, names):
    one, other = draw.choice(names), draw.choice(names)
    return draw.choice([one, f"{one}|{other}", f"^{one[:1]}", f"{one[-2:]}$", f"(?i){one.upper()}", f"{one[:2]}[a-z]",
                        f"{one[0]}.*{other[-1]}"])


def questions(draw, names, files, labels):
    """Filters, one after the other, then combined."""
    for number in range(QUESTIONS):
        chosen = [FILTERS[number % len(FILTERS)]] if number < 8 else draw.sample(FILTERS, draw.randint(2, 3))
        filters = {key: pattern(draw, files if files and draw.random() < 0.25 else names) for key in chosen}
        if labels and number % 2:
            key, value = draw.choice(labels)
            word = re.escape(value) if re.fullmatch(r"[A-Za-z_ ]+", value) else r"[a-z]"
            filters[draw.choice(["tagfocus", "tagignore"])] = draw.choice([f"{key}={word}", f"^{key}:.*{word}"])
        yield draw.choice(["function", "function", "line", "file"]), filters


def filters_agree_with_pprof():
    if not shutil.which("go") or not os.path.isdir(f"{CORPUS}/pprof"):
        return "Go or the corpus is not here"
    asked = rows = empty = known = 0
    wrong = collections.Counter()
    differing = []
    used = collections.Counter()
    with Agent() as agent:
        for name, totals in expected():
            if not totals:
                continue
            path = f"{CORPUS}/pprof/{name}"
            with open(path, "rb") as file:
                assert upload(agent, file.read(), service=name)[0] == 200
            types = types_of(agent, name)
            kind = list(totals)[-1]
            type_id = types[kind if kind in types else MAPPED.get(kind, kind)]
            draw = random.Random(name)
            names = words(theirs(path, kind, "function", {}))
            files = words(theirs(path, kind, "file", {}))
            for granularity, filters in questions(draw, names, files, labels_of(path)):
                before = theirs(path, kind, granularity, filters)
                after, answer = ours(agent, name, type_id, granularity, filters)
                asked += 1
                rows += len(before)
                empty += not before
                used.update([granularity, *filters])
                assert answer["total"] + answer["removed"]["value"] == totals[kind], (name, filters, answer)
                bad = [key for key in before.keys() | after.keys() if not same(before.get(key), after.get(key))]
                known += sum(is_cut_by_pprof(filters, before.get(key), after.get(key)) for key in bad)
                bad = [key for key in bad if not is_cut_by_pprof(filters, before.get(key), after.get(key))]
                if bad:
                    wrong[name] += len(bad)
                    differing.append((name, granularity, filters, bad[0], before.get(bad[0]), after.get(bad[0]), len(bad)))
    for line in differing[:20]:
        print("#", *line)
    print(f"# {asked} questions ({empty} with an empty answer), {rows} rows compared, {sum(wrong.values())} differ "
          f"in {len(differing)} questions, {known} that the tool cuts with an inlined call; " + ", ".join(f"{count} {key}" for key, count in sorted(used.items())))
    assert asked >= 200 and rows > 1000 and not differing and known <= rows / 1000
    return None


main(filters_agree_with_pprof)
