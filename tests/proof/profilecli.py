# SPDX-License-Identifier: Apache-2.0
"""profilecli against a real agent; where its module cannot be had, its calls with the library that it uses."""
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from clients import install, prepared, url  # noqa: E402
from support import Agent, main  # noqa: E402
from wire import pprof  # noqa: E402

WANTED = "main;wait=20 main;work=60"
PROFILE = pprof([("cpu", "nanoseconds")], {"main;work": (30,), "main;wait": (10,)}, period_type=("cpu", "nanoseconds"))


def profilecli_itself():
    folder = prepared("go-profilecli-itself")
    (folder / "go.mod").write_text("module known\n\ngo 1.24\n")
    program = folder / "bin/profilecli"
    if not shutil.which("go"):
        return "Go is not here"
    if not program.exists() and not (install("go", "get", "github.com/grafana/pyroscope/cmd/profilecli@latest", cwd=folder) and
                                     install("go", "build", "-o", "bin/profilecli", "github.com/grafana/pyroscope/cmd/profilecli", cwd=folder)):
        return "the module of profilecli cannot be had from the Go module proxy; its calls are made below"
    with Agent() as agent:
        env = {**os.environ, "PROFILECLI_URL": url(agent), "PROFILECLI_USERNAME": "user", "PROFILECLI_PASSWORD": agent.token}
        (folder / "p.pb").write_bytes(PROFILE)
        for words in (["ready"], ["upload", "--override-timestamp", "p.pb"], ["query", "profile"], ["query", "series"], ["query", "top"]):
            done = subprocess.run([program, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=60)
            print(f"# profilecli {' '.join(words)}: {done.returncode}\n# " + (done.stdout + done.stderr).strip().replace("\n", "\n# "))
            assert done.returncode == 0, words
    return None


def its_calls_with_connect_go():
    if not shutil.which("go") or not shutil.which("protoc"):
        return "Go or protoc is not here"
    folder = prepared("go-profilecli", "profilecli.go", "querier.proto", "push.proto")
    built = folder / "known"
    env = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "GOBIN": f"{folder}/bin"}
    (folder / "go.mod").write_text("module known\n\ngo 1.24\n")
    for tool in ("google.golang.org/protobuf/cmd/protoc-gen-go@latest", "connectrpc.com/connect/cmd/protoc-gen-connect-go@latest"):
        if not (folder / "bin" / tool.split("/")[-1].split("@")[0]).exists() and \
                not install("env", f"GOBIN={folder}/bin", "go", "install", tool, cwd=folder):
            return f"{tool} cannot be had"
    subprocess.run(["protoc", "--go_out=.", "--go_opt=module=known", "--connect-go_out=.", "--connect-go_opt=module=known",
                    "querier.proto", "push.proto"], cwd=folder, env=env, check=True)
    if not (install("go", "get", "connectrpc.com/connect@latest", cwd=folder) and install("go", "mod", "tidy", cwd=folder) and
            install("go", "build", "-o", "known", ".", cwd=folder)):
        return "connect-go cannot be had"
    (folder / "p.pb").write_bytes(PROFILE)
    with Agent() as agent:
        done = subprocess.run([built, url(agent), agent.token, "p.pb"], cwd=folder, capture_output=True, text=True, timeout=120)
        print("# " + (done.stdout + done.stderr).strip().replace("\n", "\n# "))
        assert done.returncode == 0
        for line in (f"query profile: {WANTED}", f"query profile, as older releases do: {WANTED}", "query top: profilecli-upload 80",
                     "a wrong type: invalid_argument", "a later release's method: unimplemented"):
            assert done.stdout.count(line) == 3, line
        assert "ready: 200 ready" in done.stdout and done.stdout.count("upload: ok") == 2
    return None


main(profilecli_itself, its_calls_with_connect_go)
