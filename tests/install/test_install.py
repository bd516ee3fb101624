# SPDX-License-Identifier: Apache-2.0
"""Install into a folder of its own and build against that: test_install.py BUILD.

Prints "ok NAME" and "not ok NAME".
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

BUILD = pathlib.Path(sys.argv[1]).resolve()
SOURCE = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = SOURCE / "examples"
HEADER = (SOURCE / "client/hearth.h").read_text()
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
OUTPUT = {"simple": "most steps: 556; samples: ", "simple_cc": "1278.329 1278.329",
          "spans": "request 9 trace_id="}

work = pathlib.Path(tempfile.mkdtemp(prefix="hearth-install."))
first, prefix = work / "first", work / "moved"


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=250,
                          **options)
    assert done.returncode == 0, (command, done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout + done.stderr


def install():
    for line in run("cmake", "--install", BUILD, "--prefix", first).splitlines():
        path = line.partition("nstalling: ")[2]
        assert not path or path.startswith(f"{first}/"), line
    # An installed tree says nothing of where it was first, or of where it was built.
    os.rename(first, prefix)
    for path in prefix.rglob("*"):
        if path.suffix in (".pc", ".cmake", ".h"):
            text = path.read_text()
            assert str(first) not in text and str(BUILD) not in text, path


def library():
    return next(prefix.rglob("libhearth.so")).parent


def environment(**more):
    return dict(os.environ, LD_LIBRARY_PATH=str(library()), HEARTH_AGENT="unix:/nonexistent/a", **more)


def pkg_config(*words):
    env = dict(os.environ, PKG_CONFIG_PATH=str(library() / "pkgconfig"))
    return run("pkg-config", *words, "hearth", env=env).split()


def test_files_are_where_they_belong():
    found = {str(p.relative_to(prefix)) for p in prefix.rglob("*") if not p.is_dir()}
    lib = str(library().relative_to(prefix))
    for name in ("include/hearth.h", lib + "/libhearth.a", lib + "/libhearth.so", lib + "/libhearth.so.0",
                 lib + "/hearth/libhearth-preload.so", lib + "/pkgconfig/hearth.pc",
                 lib + "/cmake/hearth/hearthConfig.cmake", "share/man/man3/libhearth.3",
                 "share/man/man1/hearth.1", "share/man/man1/hearth-record.1", "share/man/man8/hearthd.8",
                 "share/bash-completion/completions/hearth", "share/zsh/site-functions/_hearth",
                 "share/fish/vendor_completions.d/hearth.fish", lib + "/hearth/hearth-demo",
                 lib + "/hearth/hearth-known",
                 "bin/hearth", "bin/hearthd", "bin/hearth-symbolizer"):
        assert name in found, (name, sorted(found))
    dynamic = run("readelf", "-dW", library() / "libhearth.so")
    assert "Library soname: [libhearth.so.0]" in dynamic and "RUNPATH" not in dynamic, dynamic


def test_plain_library_shows_the_api_alone():
    table = run("nm", "-D", "--defined-only", library() / "libhearth.so")
    shown = {line.split()[-1] for line in table.splitlines()}
    wanted = {n + "@@HEARTH_1" for n in public_functions()} | {"HEARTH_1",
                                                                "otel_thread_ctx_v1@@HEARTH_1"}
    assert {s for s in shown if s != "HEARTH_1@@HEARTH_1"} | {"HEARTH_1"} == wanted, shown ^ wanted


def test_examples_by_pkg_config():
    shared, static = pkg_config("--cflags", "--libs"), pkg_config("--cflags", "--libs", "--static")
    static = ["-l:libhearth.a" if word == "-lhearth" else word for word in static]
    for words, kind in ((shared, "shared"), (static, "static")):
        for compiler, source, more in (("cc", "simple.c", ["-std=c11"]), ("cc", "spans.c", ["-std=c11"]),
                                       ("c++", "simple.cc", ["-std=c++17", "-pthread"])):
            name = source.replace(".cc", "_cc").replace(".c", "")
            program = work / f"{name}_{kind}"
            run(compiler, *STRICT, *more, EXAMPLES / source, *words, "-o", program)
            linked = "libhearth.so" in run("readelf", "-dW", program)
            assert linked == (kind == "shared"), (name, kind)
            assert OUTPUT[name] in run(program, env=environment()), name


def test_examples_by_find_package():
    tree = work / "package"
    # Ninja is what the build asks for; make need not be there.
    run("cmake", "-G", "Ninja", "-S", SOURCE / "tests/install/package", "-B", tree, f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DEXAMPLES={EXAMPLES}", "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "--build", tree)
    for name, out in OUTPUT.items():
        for kind in ("hearth", "static"):
            assert out in run(tree / f"{name}_{kind}", env=environment()), (name, kind)


def test_installed_programs_work_together():
    out = run(prefix / "bin/hearth", "run", "--", work / "simple_static",
              env=environment(HEARTH_SERVICE="installed"))
    assert OUTPUT["simple"] in out and "without" not in out, out


# ---- the header ----

def halves():
    enabled, disabled = re.search(r"#ifndef HEARTH_DISABLE\n(.*?)\n#else /\* HEARTH_DISABLE \*/\n(.*?)"
                                  r"\n#endif\n", HEADER, re.S).groups()
    strip = lambda text: re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    declared = re.findall(r"^[a-z][^;{}#]*\bhearth_\w+\([^;{}]*\);", strip(enabled), re.M)
    defined = re.findall(r"^static inline ([^;{}#]*\bhearth_\w+\([^;{}]*\))\n\{", strip(disabled), re.M)
    plain = lambda text: re.sub(r"\s+", " ", text.rstrip(";").strip())
    return sorted(map(plain, declared)), sorted(map(plain, defined))


def public_functions():
    return {re.search(r"\b(hearth_\w+)\(", d).group(1) for d in halves()[0]}


def test_both_halves_of_the_header_declare_the_same():
    declared, defined = halves()
    assert len(declared) >= 14 and declared == defined, set(declared) ^ set(defined)


def test_header_compiles_strictly():
    calls = "".join(f"\t(void)&{name};\n" for name in sorted(public_functions()))
    source = f"#include <hearth.h>\nint main(void)\n{{\n{calls}\treturn HEARTH_OK;\n}}\n"
    for suffix, compilers in ((".c", [["cc", "-std=c11"], ["clang", "-std=c11"]]),
                              (".cc", [["c++", "-std=c++17"], ["c++", "-std=c++20"],
                                       ["clang++", "-std=c++17"]])):
        path = work / ("header" + suffix)
        path.write_text(source)
        for compiler in compilers:
            if not shutil.which(compiler[0]):
                continue
            include = ["-I", prefix / "include"]
            strict = [*STRICT, "-Wshadow", "-Wno-unused-value"]
            run(*compiler, *strict, *include, "-c", path, "-o", work / "header.o")
            # Compiled out: no library, and every function is there.
            run(*compiler, *strict, *include, "-DHEARTH_DISABLE", path, "-o", work / "header")
            run(work / "header")
            names = run("nm", work / "header")
            assert " U hearth_" not in names, names


def test_disabled_functions_say_so():
    path = work / "off.c"
    path.write_text("""#include <assert.h>
#include <string.h>
#include <hearth.h>
int main(void)
{
	char text[8] = "x";
	struct hearth_stats stats = { .size = sizeof(stats) };

	assert(!hearth_profiler_new(NULL) && hearth_profiler_start(NULL, NULL) == HEARTH_E_DISABLED);
	assert(hearth_profiler_stop(NULL, true) == HEARTH_E_DISABLED && *hearth_strerror(0));
	assert(!hearth_span_begin("a", "b", NULL, 0) && hearth_span_end(NULL) == HEARTH_E_DISABLED);
	assert(hearth_span_endpoint(NULL, "x") == HEARTH_E_DISABLED);
	assert(hearth_log_context(text, sizeof(text)) == 0 && !*text);
	assert(hearth_thread_name("x") == HEARTH_E_DISABLED && hearth_task_name("x") == HEARTH_E_DISABLED);
	assert(hearth_label_set("k", "v") == HEARTH_E_DISABLED);
	assert(hearth_lock_name(text, "x") == HEARTH_E_DISABLED);
	assert(hearth_stats(&stats) == HEARTH_E_DISABLED);
	hearth_profiler_free(NULL);
	return 0;
}
""")
    run("cc", *STRICT, "-UNDEBUG", "-I", prefix / "include", "-DHEARTH_DISABLE", path, "-o", work / "off")
    run(work / "off")


# ---- the manual ----

def manual():
    return (SOURCE / "docs/man/libhearth.3").read_text()


def settings():
    """(field, names, default, least, most) of settings.def; the last three None for texts."""
    text = re.sub(r"/\*.*?\*/", "", (SOURCE / "client/settings.def").read_text(), flags=re.S)
    for kind, body in re.findall(r"^(SETTING|TEXT)\((.*?\")\)$", text, re.M | re.S):
        names = re.findall(r'"(\w+)"', re.search(r"NAMES\((.*?)\)", body, re.S).group(1))
        cells = [c.strip() for c in re.sub(r"NAMES\(.*?\)", "", body, flags=re.S).split(",")]
        cells = [c for c in cells if c]
        if kind == "TEXT":
            yield cells[0], names, None
        else:
            yield cells[2], names, (cells[0], *cells[3:6])


def test_manual_has_every_setting():
    table = manual().split(".SH SETTINGS")[1].split(".SS Datadog")[0]
    parts = [p.split("\n", 1) for p in table.split(".TP\n")[1:]]
    shown = {tuple(re.findall(r"[A-Z_]{4,}", head)): " ".join(body.split()) for head, body in parts}
    expected = list(settings())
    assert len(expected) == len(parts) > 25, (len(expected), len(parts))
    options = re.search(r"struct hearth_options \{(.*?)\n\};", HEADER, re.S).group(1)
    for field, names, values in expected:
        body = shown[tuple(names)]
        assert f"Field .BR {field} ." in body, (names, body)
        assert re.search(r"\b%s\b[;,]" % field, options), field
        if values and values[0] in ("COUNT", "PERCENT"):
            assert "Default {1}, from {2} to {3}.".format(*values) in body, (values, body)
        elif values and values[0] == "SWITCH":
            assert "Default %s." % ("on" if values[1] == "1" else "off") in body, (names, body)


def test_manual_has_every_function_and_code():
    for name in sorted(public_functions()):
        assert name + "(" in manual().split(".SH DESCRIPTION")[0], name
    codes = set(re.findall(r"\b(HEARTH_E_\w+) =", HEADER))
    listed = set(re.findall(r"^\.B (HEARTH_E_\w+)$", manual().split(".SH RETURN")[1], re.M))
    assert codes == listed, codes ^ listed


def test_manuals_have_no_mistakes():
    for page in sorted((SOURCE / "docs/man").iterdir()):
        out = run("groff", "-man", "-t", "-ww", "-z", "-Tutf8", "-K", "utf8", page)
        assert not out, (page, out)
        assert max(map(len, page.read_text().splitlines())) < 400, page


failed = 0
try:
    install()
    for name, test in list(globals().items()):
        if not name.startswith("test_"):
            continue
        try:
            test()
            print("ok", name, flush=True)
        except Exception:
            failed = 1
            print("not ok", name, flush=True)
            traceback.print_exc(file=sys.stdout)
finally:
    shutil.rmtree(work)
sys.exit(failed)
