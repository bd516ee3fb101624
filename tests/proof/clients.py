# SPDX-License-Identifier: Apache-2.0
"""Real clients of other profilers, unmodified and told by their own settings alone where to send.

Each is installed by its own package manager into build/proof/clients; one that cannot be had is named and
left out.  Right: the function that computes is there, with CPU time, and nothing was refused.
"""
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import zipfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/e2e"))
from support import Agent, main  # noqa: E402

HERE = SOURCE / "tests/proof/clients"
WORK = SOURCE / "build/proof/clients"
SPAN = {"from": "now-1h", "until": "now+1m"}


def install(*words, cwd):
    done = subprocess.run(words, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=580)
    if done.returncode:
        print("# " + (done.stderr or done.stdout)[-300:].replace("\n", " "))
    return done.returncode == 0


def prepared(name, *sources):
    folder = WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        shutil.copy(HERE / source, folder)
    return folder


def python_with(package):
    """A python that has the package, or None."""
    folder = prepared(f"python-{package}", "app.py", "pyroscope_app.py")
    python = folder / "venv/bin/python"
    if not python.exists() and not install(sys.executable, "-m", "venv", "venv", cwd=folder):
        return None
    have = subprocess.run([python, "-m", "pip", "show", "-q", package], capture_output=True).returncode == 0
    if not have and not install(python, "-m", "pip", "install", "-q", package, cwd=folder):
        return None
    return python


def node_with(package):
    folder = prepared("node", "app.js", "pyroscope.js")
    (folder / "package.json").write_text('{"private":true}') if not (folder / "package.json").exists() else None
    if not (folder / "node_modules" / package).exists() and \
            not install("npm", "install", "--no-audit", "--no-fund", package, cwd=folder):
        return None
    return folder


def jar_of(artifact):
    """A jar from Maven's own repository, by group:name:version; or None."""
    folder = prepared("java")
    name = folder / (artifact.split(":")[1] + ".jar")
    if not name.exists() and not (shutil.which("mvn") and install(
            "mvn", "-q", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}",
            "-Dmdep.stripVersion=true", cwd=folder)):
        return None
    return name if name.exists() else None


def async_profiler_library():
    jar = jar_of("tools.profiler:async-profiler:4.0")
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine())
    if not jar or not machine:
        return None
    with zipfile.ZipFile(jar) as archive:
        return archive.extract(f"linux-{machine}/libasyncProfiler.so", jar.parent)


def java_with(artifact):
    """The folder of the compiled program, and the jar."""
    jar = jar_of(artifact) if shutil.which("javac") else None
    if not jar:
        return None, None
    folder = prepared("java", "Known.java")
    subprocess.run(["javac", "Known.java"], cwd=folder, check=True)
    return folder, jar


def send(words, cwd, **env):
    done = subprocess.run(words, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (words, done.stderr[-2000:])
    errors = [line for line in done.stderr.splitlines() if "rror" in line]
    print("\n".join(f"# it says: {line[:200]}" for line in errors[:5]) or "# it says nothing of errors")


def shown(agent, service, protocol, function):
    query = f'{{service="{service}"}}'
    for kind in agent.get("/api/v1/types", query=query, **SPAN)["types"]:
        top = agent.get("/api/v1/top", type=kind["id"], query=query, limit=4, **SPAN)
        if top["total"]:
            rows = ", ".join(f'{row["name"]} {row["self"]}' for row in top["rows"])
            print(f'# {kind["id"]} {top["total"]}: {rows}', flush=True)
    names = {row["name"]: row["total"] for row in agent.get("/api/v1/top", type="cpu", query=query, limit=0, **SPAN)["rows"]}
    assert any(function in name and value for name, value in names.items()), names
    uploads = agent.status()["uploads"][protocol]
    print(f"# {uploads}")
    assert uploads["requests"] and not uploads["failed"] and not uploads["rejected"], uploads


def url(agent):
    host, port = agent.tcp
    return f"http://{host}:{port}"


def datadog_s_python_tracer():
    python = python_with("ddtrace")
    if not python:
        return "ddtrace cannot be had"
    with Agent() as agent:
        send([python.parent / "ddtrace-run", python, "app.py", "12"], python.parents[2], DD_TRACE_AGENT_URL=url(agent),
             DD_SERVICE="py-datadog", DD_PROFILING_ENABLED="true", DD_PROFILING_UPLOAD_INTERVAL="4")
        shown(agent, "py-datadog", "datadog", "hot_python")
    return None


def pyroscope_s_python_client():
    python = python_with("pyroscope-io")
    if not python:
        return "pyroscope-io cannot be had"
    with Agent() as agent:
        send([python, "pyroscope_app.py", url(agent)], python.parents[2])
        shown(agent, "py-pyroscope", "push", "hot_python")
    return None


def pyroscope_s_go_client():
    if not shutil.which("go"):
        return "Go is not here"
    folder = prepared("go", "main.go")
    (folder / "go.mod").write_text("module known\n\ngo 1.22\n") if not (folder / "go.mod").exists() else None
    if not (folder / "known").exists() and not (
            install("go", "get", "github.com/grafana/pyroscope-go@latest", cwd=folder) and
            install("go", "build", "-o", "known", ".", cwd=folder)):
        return "pyroscope-go cannot be had"
    with Agent() as agent:
        send([folder / "known", url(agent)], folder)
        shown(agent, "go-pyroscope", "pyroscope", "hotGo")
    return None


def pyroscope_s_node_client():
    folder = node_with("@pyroscope/nodejs")
    if not folder:
        return "@pyroscope/nodejs cannot be had"
    with Agent() as agent:
        send(["node", "pyroscope.js"], folder, SERVER=url(agent))
        shown(agent, "node-pyroscope", "pyroscope", "hotNode")
    return None


def datadog_s_node_tracer():
    folder = node_with("dd-trace")
    if not folder:
        return "dd-trace cannot be had"
    with Agent() as agent:
        send(["node", "-r", "dd-trace/init", "app.js"], folder, DD_TRACE_AGENT_URL=url(agent), DD_SERVICE="node-datadog",
             DD_PROFILING_ENABLED="true", DD_PROFILING_UPLOAD_PERIOD="4")
        shown(agent, "node-datadog", "datadog", "hotNode")
    return None


def datadog_s_java_tracer():
    folder, jar = java_with("com.datadoghq:dd-java-agent:1.68.1")
    if not jar:
        return "dd-java-agent cannot be had"
    with Agent() as agent:
        send(["java", f"-javaagent:{jar}", "Known", "12"], folder, DD_TRACE_AGENT_URL=url(agent), DD_SERVICE="java-datadog",
             DD_PROFILING_ENABLED="true", DD_PROFILING_START_FORCE_FIRST="true", DD_PROFILING_UPLOAD_PERIOD="4")
        shown(agent, "java-datadog", "datadog", "Known.hotJava")
        kinds_with(agent, "java-datadog", alloc_space="Known.allocates", lock_delay="Known.holds", exceptions="Known.throwsOne")
    return None


def pyroscope_s_java_agent():
    folder, jar = java_with("io.pyroscope:agent:2.9.2")
    if not jar:
        return "io.pyroscope:agent cannot be had"
    with Agent() as agent:
        send(["java", f"-javaagent:{jar}", "Known", "12"], folder, PYROSCOPE_SERVER_ADDRESS=url(agent),
             PYROSCOPE_APPLICATION_NAME="java-pyroscope", PYROSCOPE_FORMAT="jfr", PYROSCOPE_UPLOAD_INTERVAL="4s",
             PYROSCOPE_PROFILER_ALLOC="128k", PYROSCOPE_PROFILER_LOCK="1ms", PYROSCOPE_LABELS="env=proof")
        shown(agent, "java-pyroscope", "pyroscope", "Known.hotJava")
        kinds_with(agent, "java-pyroscope", alloc_space="Known.allocates", lock_delay="Known.holds")
    return None


def kinds_with(agent, service, **functions):
    for kind, function in functions.items():
        top = agent.get("/api/v1/top", type=kind, query=f'{{service="{service}"}}', limit=0, **SPAN)
        assert {row["name"]: row["total"] for row in top["rows"]}.get(function), (kind, function)


if __name__ == "__main__":
    main(datadog_s_python_tracer, pyroscope_s_python_client, pyroscope_s_go_client, pyroscope_s_node_client,
         datadog_s_node_tracer, datadog_s_java_tracer, pyroscope_s_java_agent)
