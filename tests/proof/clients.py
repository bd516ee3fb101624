# SPDX-License-Identifier: Apache-2.0
"""Real clients of other profilers, unmodified and told by their own settings alone where to send.

Each is installed by its own package manager into build/proof/clients; one that cannot be had is named and
left out.  Right: the function that computes is there, with CPU time, and nothing was refused.
"""
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import zipfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/e2e"))
from otlp_wire import Request  # noqa: E402
from support import Agent, main, wait_for  # noqa: E402

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
    folder = prepared(f"python-{package}", "app.py", "pyroscope_app.py", "grpc_otlp.py")
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


def go_program(name, *modules):
    """Where clients/NAME.go was built, or None."""
    if not shutil.which("go"):
        return None
    folder = prepared(f"go-{name}", f"{name}.go")
    (folder / "go.mod").write_text("module known\n\ngo 1.24\n") if not (folder / "go.mod").exists() else None
    built = folder / "known"
    if not built.exists() and not (all(install("go", "get", m, cwd=folder) for m in modules) and
                                   install("go", "mod", "tidy", cwd=folder) and
                                   install("go", "build", "-o", "known", ".", cwd=folder)):
        return None
    return built


def grpc_s_python_library():
    python = python_with("grpcio")
    if not python:
        return "grpcio cannot be had"
    r = Request(service="py-grpc")
    r.profile([r.sample("main;hot_grpc", [3])])
    with Agent("--grpc", "127.0.0.1:0") as agent:
        done = subprocess.run([python, "grpc_otlp.py", agent.bound["grpc"][0]], cwd=python.parents[2], input=r.bytes(),
                              capture_output=True, timeout=300)
        print("# " + done.stdout.decode().strip().replace("\n", "\n# "))
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        stacks = agent.folded(type="cpu_samples", query='{service="py-grpc"}', **SPAN)
        print(f"# {agent.status()['grpc']}")
        assert stacks == {"main;hot_grpc": 3 * 102}, stacks
        assert agent.status()["grpc"]["cut"] == 0
    return None


def the_collector_s_otlp_exporter():
    program = go_program("collector", "go.opentelemetry.io/collector/exporter/otlpexporter@v0.165.0")
    if not program:
        return "the Collector's otlp exporter cannot be had"
    with Agent("--grpc", "127.0.0.1:0") as agent:
        for compression in ("none", "gzip"):
            send([program, agent.bound["grpc"][0], compression], program.parent)
        shown(agent, "go-collector", "otlp", "hotCollector")
        print(f"# {agent.status()['grpc']}")
        assert agent.status()["grpc"]["cut"] == 0
    return None


def the_opentelemetry_ebpf_profiler():
    folder = prepared("go-ebpf")
    (folder / "go.mod").write_text("module known\n\ngo 1.24\n")
    if not shutil.which("go") or not install("go", "get", "go.opentelemetry.io/ebpf-profiler@latest", cwd=folder):
        return "the eBPF profiler cannot be had from the Go module proxy; it sends through grpc-go, as the exporter above does"
    return "the eBPF profiler can be had here and is not built yet"


def go_s_pprof_over_http():
    program = go_program("scraped")
    if not program:
        return "Go is not here"
    target = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    settings = WORK / "scrape.yaml"
    settings.write_text(json.dumps({"scrape": [{"service": "go-scraped", "interval": 2,
                                                "url": "http://" + target.stdout.readline().strip()}]}))
    try:
        with Agent("--config", str(settings)) as agent:
            wait_for("each profile four times", lambda: all(s["scrapes"] > 3 for s in agent.status()["scrapes"]))
            shown(agent, "go-scraped", "pprof", "hotGo")
            states = agent.status()["scrapes"]
            assert len(states) == 5 and not any(s["failures"] or s["restarts"] for s in states), states
            for kind, function in (("alloc_space", "main.allocates"), ("lock_delay", "main.fights"), ("block_delay", "main.fights")):
                rows = agent.get("/api/v1/top", type=kind, query='{service="go-scraped"}', limit=0, **SPAN)["rows"]
                assert any(function in row["name"] and row["total"] for row in rows), (kind, rows)
    finally:
        target.stdin.close()
        target.wait()
    return None


if __name__ == "__main__":
    main(datadog_s_python_tracer, pyroscope_s_python_client, pyroscope_s_go_client, pyroscope_s_node_client,
         datadog_s_node_tracer, datadog_s_java_tracer, pyroscope_s_java_agent, grpc_s_python_library,
         the_collector_s_otlp_exporter, the_opentelemetry_ebpf_profiler, go_s_pprof_over_http)
