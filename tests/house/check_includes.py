# SPDX-License-Identifier: Apache-2.0
"""The house's arrows: the table of docs/ARCHITECTURE.md, the #includes and CMake's link lists agree."""
import pathlib
import re
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
ROOMS = ["base", "profile", "client", "wire", "ingest", "symbol", "storage", "query", "forward",
         "server", "cli"]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z_]+)/([^"]+)"', re.M)

failed = 0


def check(name, wrong):
    global failed
    for line in wrong:
        print(f"# {line}")
    print(f"{'not ok' if wrong else 'ok'} {name}")
    failed += bool(wrong)


def table():
    """{room: (rooms it may include, headers it may include)} of the table's second column."""
    allowed = {}
    for line in (SOURCE / "docs/ARCHITECTURE.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 4 and re.fullmatch(r"`[a-z]+/`", cells[1]):
            room = cells[1].strip("`/")
            rooms = {word for word in re.findall(r"[a-z_]+(?![/a-z_.])", cells[3]) if word in ROOMS}
            headers = set(re.findall(r"`([a-z_]+/[a-z_]+\.(?:h|def))`", cells[3]))
            if "all above" in cells[3]:
                rooms = set(allowed) - {"client"}
            allowed[room] = (rooms, headers)
    return allowed


def files(room):
    return sorted(path for path in (SOURCE / room).rglob("*") if path.suffix in (".c", ".h"))


def wrong_includes(allowed):
    for room, (rooms, headers) in allowed.items():
        for path in files(room):
            for other, name in INCLUDE.findall(path.read_text()):
                if other in ROOMS and other != room and other not in rooms and \
                        f"{other}/{name}" not in headers:
                    yield f"{path.relative_to(SOURCE)} includes {other}/{name}"


def wrong_links(allowed):
    for room, (rooms, _) in allowed.items():
        text = (SOURCE / room / "CMakeLists.txt")
        if not text.exists():
            continue
        found = re.search(r"hearth_room\(\w+\s+ROOMS([^)]*?)(?:LINK|SOURCES|\))", text.read_text(), re.S)
        linked = {word for word in (found.group(1).split() if found else [])}
        for extra in linked - rooms:
            yield f"{room}/CMakeLists.txt links {extra}"


# "Only place for": a library's header stands in one room.
LIBRARIES = {
    "sqlite3.h": {"storage"}, "microhttpd.h": {"server"}, "event2/": {"server"}, "nghttp2/": {"server"},
    "elfutils/": {"symbol"}, "gelf.h": {"symbol"}, "libelf.h": {"symbol"}, "dwarf.h": {"symbol"},
    "demangle.h": {"symbol"}, "libdeflate.h": {"wire"}, "zstd.h": {"wire", "storage"},
    "curl/": {"forward", "cli", "server"}, "cyaml/": {"server"}, "pcre2.h": {"query"}, "seccomp.h": {"symbol"},
    "xxhash.h": {"base"}, "jansson.h": {"cli", "wire"}, "lz4frame.h": {"wire"},
}


def wrong_libraries():
    for room in ROOMS:
        for path in files(room):
            for header in re.findall(r"^\s*#\s*include\s+<([^>]+)>", path.read_text(), re.M):
                for library, rooms in LIBRARIES.items():
                    if header.startswith(library) and room not in rooms:
                        yield f"{path.relative_to(SOURCE)} includes <{header}>"


def wrong_heads():
    for room in ROOMS:
        for path in files(room):
            text = path.read_text()
            if not text.startswith("/* SPDX-License-Identifier: Apache-2.0 */"):
                yield f"{path.relative_to(SOURCE)} has no SPDX line"
            if path.suffix == ".h" and "\n * " not in text[:400]:
                yield f"{path.relative_to(SOURCE)} does not say what it is"


ALLOWED = table()
check("the_table_names_every_room", [room for room in ROOMS if room not in ALLOWED])
check("every_include_is_an_arrow", list(wrong_includes(ALLOWED)))
check("every_link_is_an_arrow", list(wrong_links(ALLOWED)))
check("libraries_stand_where_they_belong", list(wrong_libraries()))
check("every_file_says_what_it_is", list(wrong_heads()))
sys.exit(1 if failed else 0)
