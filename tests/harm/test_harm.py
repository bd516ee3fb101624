# SPDX-License-Identifier: Apache-2.0
"""Every hazard prints the same and ends alike without the client, with it and an agent, and with it
and no agent, or a bad one.  HAZARDS=name,name runs some."""
import os
import pathlib
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import Agent, PRELOAD, PROGRAMS, main, wait_for  # noqa: E402

HAZARDS = PROGRAMS / "hazards"
PATIENCE = 120  # a hang, not slowness
LIMITS = {"nofile_tight": (resource.RLIMIT_NOFILE, 64, 64), "sigpending_tight": (resource.RLIMIT_SIGPENDING, 16, 16),
          "files_counted": (resource.RLIMIT_NOFILE, 256, 1024), "as_tight": (resource.RLIMIT_AS, 400 << 20, 400 << 20)}
NOBODY = 65534


def outcome(command, env, limit=None):
    """What a program shows to the world: its output, its end.  Its own process group ends with it."""
    def prepare():
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if limit:
            resource.setrlimit(limit[0], limit[1:])
    child = subprocess.Popen([str(c) for c in command], env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=prepare)
    try:
        out, err = child.communicate(timeout=PATIENCE)
        return child.returncode, out.decode(), err.decode()
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
        return "hangs", out.decode(), err.decode()


def without():
    env = {k: v for k, v in os.environ.items() if not k.startswith("HEARTH_") and k != "LD_PRELOAD"}
    return env


def under(socket_path):
    # The address sanitizer's own library comes first where the build has it: not here.
    return dict(without(), HEARTH_AGENT=f"unix:{socket_path}", HEARTH_ENABLED="1", LD_PRELOAD=str(PRELOAD))


def names():
    wanted = os.environ.get("HAZARDS")
    return wanted.split(",") if wanted else subprocess.run(
        [HAZARDS], capture_output=True, text=True, check=True).stdout.split()


def compare(name, env, what):
    limit = LIMITS.get(name)
    plain, watched = (outcome([HAZARDS, name], e, limit) for e in (without(), env))
    assert plain[0] not in ("hangs", 98, 99), (name, plain)
    assert watched == plain, f"{name} {what}: {watched} instead of {plain}"


def hazard_with_an_agent(name, agent):
    def test():
        compare(name, under(agent.run / "agent.sock"), "with an agent")
        assert agent.process.poll() is None, agent.logged()
    test.__name__ = f"{name}_with_an_agent"
    return test


def hazard_with_perf(name, agent):
    def test():
        env = dict(under(agent.run / "agent.sock"), HEARTH_CPU_ENGINE="perf", HEARTH_CPU_HZ="500")
        compare(name, env, "with perf's events")
        assert agent.process.poll() is None, agent.logged()
    test.__name__ = f"{name}_with_perf"
    return test


def hazard_without_an_agent(name):
    def test():
        compare(name, under("/nonexistent/agent.sock"), "without an agent")
    test.__name__ = f"{name}_without_an_agent"
    return test


# ---- agents that behave badly: each yields the path of a socket ----

class Place:
    def __enter__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="hearth-harm."))
        self.directory.chmod(0o755)
        self.path = self.directory / "agent.sock"
        self.over = threading.Event()
        self.thread = None
        return self

    def __exit__(self, *_):
        self.over.set()
        if self.thread:
            self.thread.join()
        shutil.rmtree(self.directory, ignore_errors=True)

    def listen(self, backlog, serve=None):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(self.path))
        listener.listen(backlog)
        listener.settimeout(0.1)
        self.listener = listener

        def loop():
            kept = []
            while not self.over.is_set():
                try:
                    kept.append(listener.accept()[0])
                except TimeoutError:
                    continue
                if serve:
                    serve(kept)
            for c in kept:
                c.close()
            listener.close()
        self.thread = threading.Thread(target=loop)
        self.thread.start()


def says_nothing(place):
    place.listen(64)


def never_accepts(place):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(place.path))
    listener.listen(1)
    place.listener = listener


def hangs_up(place):
    place.listen(64, lambda kept: kept.pop().close())


def answers_garbage(place):
    def serve(kept):
        try:
            kept[-1].send(os.urandom(4096))
        except OSError:
            pass
    place.listen(64, serve)


def scribbles_into_the_page(place):
    """An agent that takes the memory and writes nonsense wherever it may."""
    def serve(kept):
        try:
            _, fds, _, _ = socket.recv_fds(kept[-1], 8192, 250)
        except OSError:
            return
        for _ in range(50):
            os.pwrite(fds[0], os.urandom(4096), 4096)
        for fd in fds:
            os.close(fd)
    place.listen(64, serve)


def is_a_folder(place):
    place.path.mkdir()


def is_a_fifo(place):
    os.mkfifo(place.path)


def is_a_dangling_link(place):
    place.path.symlink_to("/nonexistent/socket")


def is_a_plain_file(place):
    place.path.write_bytes(b"x" * 100)


BAD = [says_nothing, never_accepts, hangs_up, answers_garbage, scribbles_into_the_page, is_a_folder,
       is_a_fifo, is_a_dangling_link, is_a_plain_file]


def bad_agent(kind):
    def test():
        with Place() as place:
            kind(place)
            compare("mixed", under(place.path), "when the agent " + kind.__name__)
    test.__name__ = "an_agent_that_" + kind.__name__
    return test


def an_agent_that_is_stopped():
    with Agent() as agent:
        agent.process.send_signal(signal.SIGSTOP)
        try:
            compare("mixed", under(agent.run / "agent.sock"), "when the agent is stopped")
        finally:
            agent.process.send_signal(signal.SIGCONT)


def an_agent_that_is_killed_again_and_again():
    with Agent() as agent:
        plain = outcome([HAZARDS, "mixed"], without())
        results = []
        program = threading.Thread(target=lambda: results.append(
            outcome([HAZARDS, "mixed"], under(agent.run / "agent.sock"))))
        program.start()
        kills = 0
        while program.is_alive():
            agent.kill()
            agent.start()
            kills += 1
        program.join()
        print(f"# {kills} kills")
        assert results == [plain], (results, plain)


def gperftools_profiles_at_the_same_time():
    """It takes SIGPROF for itself; ours gives way and says so, whichever comes first."""
    found = sorted(pathlib.Path("/usr/lib").glob("*/libprofiler.so.0"))
    if not found:
        return "libprofiler is not installed"
    with Agent() as agent, Place() as place:
        sizes = []
        for order in (None, (PRELOAD, found[0]), (found[0], PRELOAD)):
            env = under(agent.run / "agent.sock") if order else without()
            profile = place.directory / f"profile-{len(sizes)}"
            env.update(LD_PRELOAD=" ".join(map(str, order or found[:1])), CPUPROFILE=str(profile))
            assert outcome([HAZARDS, "errno_kept"], env)[:2] == (0, "changed 0\n")
            sizes.append(profile.stat().st_size)
        print(f"# its profiles: {sizes} bytes")
        assert min(sizes) > 200, sizes


def a_static_program_is_left_alone():
    program = PROGRAMS / "hazards_static"
    assert outcome([program], under("/nonexistent")) == outcome([program], without())


def a_set_uid_program_is_left_alone():
    if os.getuid() != 0:
        return "needs root"
    with Place() as place:
        copy = place.directory / "still"
        shutil.copy(PROGRAMS / "hazards_static", copy)
        os.chown(copy, NOBODY, NOBODY)
        copy.chmod(0o755 | stat.S_ISUID)
        plain, watched = outcome([copy], without()), outcome([copy], under(place.path))
        assert plain == watched and "as another" in plain[1], (plain, watched)


def standard_descriptors_may_be_closed():
    command = ["/bin/sh", "-c", f"{HAZARDS} own_sigprof <&- >&- 2>&-; echo $?"]
    assert outcome(command, under("/nonexistent")) == outcome(command, without())


def no_file_is_written_and_no_line_is_said():
    with Agent() as agent, Place() as place:
        trace = place.directory / "trace"
        done = outcome(["strace", "-f", "-o", trace, "-e", "trace=openat,open,creat,write", HAZARDS, "mixed"],
                       under(agent.run / "agent.sock"))
        if done[0] != 0 and "strace" in done[2]:
            return "no strace here"
        plain = outcome([HAZARDS, "mixed"], without())
        assert done[1:] == plain[1:], done
        for line in trace.read_text().splitlines():
            assert "O_CREAT" not in line and "O_WRONLY" not in line, line


# Where the absence of an agent makes the client do other things than its presence.
ALONE = {"own_sigprof", "closes_everything", "closefrom_and_reuse", "seccomp_errno", "seccomp_kill", "chroot_empty",
         "forks", "fork_threads", "daemonise", "exec_itself", "wait_any", "exit_plain", "exit_quick",
         "exit_with_threads"}


# Where a descriptor a thread could do harm, or a signal that comes from one.
WITH_PERF = {"closes_everything", "closefrom_and_reuse", "nofile_tight", "sigpending_tight", "forks", "fork_threads",
             "fork_in_handler", "vfork_exec", "spawns", "daemonise", "exec_itself", "threads_churn", "eintr", "cancel",
             "errno_kept", "altstack", "segv_longjmp", "own_sigprof", "seccomp_errno", "seccomp_kill", "mixed",
             "exit_with_threads"}


if __name__ == "__main__":
    agent = Agent()
    tests = [hazard_with_an_agent(n, agent) for n in names()]
    tests += [hazard_with_perf(n, agent) for n in names() if n in WITH_PERF or os.environ.get("HAZARDS")]
    tests += [hazard_without_an_agent(n) for n in names() if n in ALONE or os.environ.get("HAZARDS")]
    if not os.environ.get("HAZARDS"):
        tests += [bad_agent(kind) for kind in BAD]
        tests += [an_agent_that_is_stopped, an_agent_that_is_killed_again_and_again,
                  gperftools_profiles_at_the_same_time, a_static_program_is_left_alone, a_set_uid_program_is_left_alone,
                  standard_descriptors_may_be_closed, no_file_is_written_and_no_line_is_said]
    try:
        main(*tests)
    finally:
        agent.close()
