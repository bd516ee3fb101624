# SPDX-License-Identifier: Apache-2.0
"""Allocations and live heap: what was asked for, what is still held, and that nothing else changes."""
import glob
import math
import os
import subprocess

from support import NO_LIMIT, Agent, PRELOAD, PROGRAMS, main, run, wait_for

ERRORS = 5  # standard errors: a right program fails that once in a million runs
ALLOCS = PROGRAMS / "allocs"
MEAN = 512 << 10
JEMALLOC = sorted(glob.glob("/usr/lib/*/libjemalloc.so.2"))
TCMALLOC = sorted(glob.glob("/usr/lib/*/libtcmalloc_minimal.so.4"))


def of_site(stacks, site):
    return sum(v for stack, v in stacks.items() if site in stack.split(";"))


def site_error(size, total, mean=MEAN):
    """The standard error of a sum of `total` bytes out of blocks of `size`."""
    p = -math.expm1(-size / mean)
    return math.sqrt(total / size * size * size * (1 - p) / p)


def snapshot(agent):
    """Live heap as it is now: a few batches on, there is a snapshot that is not older than the call."""
    enough = agent.status()["native"]["batches"] + 3
    wait_for("batches", lambda: agent.status()["native"]["batches"] >= enough)
    return agent.folded(type="inuse_space")


class Talk:
    """A program that writes a line and waits for one."""

    def __init__(self, agent, *command, **more):
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True,
                                        env=agent.environment(**more))

    def hear(self):
        return self.process.stdout.readline().split()

    def answer(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        self.answer()
        rest, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, (self.process.returncode, rest)

    def status(self, agent):
        mine = [p for p in agent.status()["processes"] if p["pid"] == self.process.pid]
        return mine[0] if mine else None


def check_sites(program, preload):
    with Agent() as agent:
        done = run([program, "sites", 4, os.getpid()], env=agent.environment(LD_PRELOAD=preload, **NO_LIMIT))
        assert done.returncode == 0, done
        agent.settled()
        truth = {w[0]: tuple(map(int, w[1:])) for w in map(str.split, done.stdout.decode().splitlines())}
        space, objects = agent.folded(type="alloc_space"), agent.folded(type="alloc_objects")
        # The total is the program's own tally, to the byte.
        assert sum(space.values()) == truth["total"][0], (sum(space.values()), truth["total"])
        variance = 0
        for site, (total, calls, size) in truth.items():
            if site == "total":
                continue
            se = site_error(size, total)
            variance += se * se
            shown = of_site(space, site)
            print(f"# {site}: {shown / 1e6:.2f} MB, in truth {total / 1e6:.2f} +- {se / 1e6:.2f}; "
                  f"{of_site(objects, site)} objects of {calls}")
            # What the others leave over or took too much, which is spread, has an error as well.
            assert abs(shown - total) <= ERRORS * se + MEAN, (site, shown, total, se)
            assert abs(of_site(objects, site) - calls) <= ERRORS * se / size + 2, (site, calls)
        # What the samples fell short by, and no later one came to carry.
        assert space.get("[not sampled]", 0) <= ERRORS * math.sqrt(variance) + MEAN, space
        top = agent.get("/api/v1/top", type="alloc_space")["rows"][0]
        assert top["name"].startswith("site_") and top["file"].endswith("allocs.c"), top


def sites_are_what_they_were():
    check_sites(ALLOCS, str(PRELOAD))


def sites_of_a_program_that_is_linked_with_the_hooks():
    check_sites(PROGRAMS / "allocs_wrap", "")


def a_leak_is_ranked_first_and_goes_when_it_is_freed():
    with Agent() as agent:
        talk = Talk(agent, ALLOCS, "leak", 512)
        leaked, tidy = (int(w) for w in talk.hear()[1::2])
        stacks = snapshot(agent)
        status = talk.status(agent)
        mean = max(status["alloc_mean_bytes"], status["heap"]["mean_bytes"], MEAN)
        shown, se = of_site(stacks, "leaky"), site_error(40 << 10, leaked, mean)
        print(f"# leaky {shown / 1e6:.1f} MB, in truth {leaked / 1e6:.1f} +- {se / 1e6:.1f}; tidy "
              f"{of_site(stacks, 'tidy') / 1e6:.1f} of {tidy / 1e6:.1f}; {status['heap']}")
        assert abs(shown - leaked) <= ERRORS * se, (shown, leaked, se)
        assert abs(of_site(stacks, "tidy") - tidy) <= ERRORS * site_error(20000, tidy, mean), stacks
        rows = agent.get("/api/v1/top", type="inuse_space")["rows"]
        assert rows[0]["name"] == "leaky", rows[:3]
        ages = agent.get("/api/v1/top", type="inuse_space", by="age")["rows"]
        assert ages and all(row["name"] in ("< 10 s", "< 1 min") for row in ages), ages
        talk.answer()
        assert talk.hear() == ["freed"]
        wait_for("the heap to be empty", lambda: not agent.folded(type="inuse_space"))
        assert talk.status(agent)["heap"]["missed_frees"] == 0
        talk.end()


def a_process_that_ended_holds_nothing():
    with Agent() as agent:
        talk = Talk(agent, ALLOCS, "leak", 64)
        talk.hear()
        wait_for("the snapshot", lambda: agent.folded(type="inuse_space"))
        talk.process.kill()
        talk.process.wait()
        agent.settled()
        assert not agent.folded(type="inuse_space")


def storm(agent, preload):
    talk = Talk(agent, ALLOCS, "storm", 16, LD_PRELOAD=preload)
    assert talk.hear() == ["wrong", "0"]
    wait_for("its first batch", lambda: talk.status(agent) and talk.status(agent)["modules"])
    return talk


def what_exec_replaced_holds_nothing():
    with Agent() as agent:
        talk = Talk(agent, ALLOCS, "exec", 64)
        assert talk.hear() == ["leaked"]
        wait_for("the snapshot", lambda: of_site(agent.folded(type="inuse_space"), "run_exec"))
        talk.answer()
        assert talk.hear()[0] == "leaked"
        wait_for("the new program's session", lambda: agent.status()["native"]["attached"] == 2)
        wait_for("the old one's end", lambda: not of_site(agent.folded(type="inuse_space"), "run_exec"))
        talk.answer()
        assert talk.hear() == ["freed"]
        talk.end()


def what_a_stop_leaves_out_is_not_counted():
    with Agent() as agent:
        talk = Talk(agent, PROGRAMS / "allocs_wrap", "stops", LD_PRELOAD="")
        said = [int(w) for w in talk.hear()[1:]]

        def shown():
            status = talk.status(agent)
            return status and [status["alloc_bytes"], status["alloc_calls"]]
        # The status is as of the last drain, which may have been in the middle of it.
        wait_for("the counts that the program says", lambda: shown() == said)
        talk.end()
        agent.settled()
        assert sum(agent.folded(type="alloc_space").values()) == said[0]


def each_dimension_has_a_switch_of_its_own():
    with Agent() as agent:
        for off, shown, hidden in (("HEARTH_HEAP_ENABLED", "alloc_space", "inuse_space"),
                                   ("HEARTH_MEMORY_ENABLED", "inuse_space", "alloc_space")):
            talk = Talk(agent, ALLOCS, "leak", 32, HEARTH_SERVICE=off, **{off: "0"})
            talk.hear()
            query = '{service="%s"}' % off
            wait_for(shown, lambda: of_site(agent.folded(type=shown, query=query), "leaky"))
            assert not agent.folded(type=hidden, query=query)
            assert sorted(talk.status(agent)["dimensions"].values())[-1] == "switched off"
            talk.answer()
            talk.end()


def counted(talk, agent):
    status = talk.status(agent)
    return status if status["alloc_calls"] >= 16 * 30000 else None


def sixteen_threads_that_free_each_other_s_blocks():
    with Agent() as agent:
        talk = storm(agent, str(PRELOAD))
        # Everything but libc's own blocks is freed: nothing of the program's is in the table.
        wait_for("the heap to be empty",
                 lambda: not of_site(agent.folded(type="inuse_space"), "stormer"))
        status = wait_for("all calls", lambda: counted(talk, agent))
        assert status["heap"]["missed_frees"] == 0 and status["heap"]["full"] == 0, status["heap"]
        talk.end()


def other_allocators_as_libraries():
    missing = [name for name, found in (("libjemalloc2", JEMALLOC), ("libtcmalloc-minimal4", TCMALLOC))
               if not found]
    with Agent() as agent:
        for library in JEMALLOC + TCMALLOC:
            talk = storm(agent, f"{PRELOAD}:{library}")
            assert talk.status(agent)["dimensions"]["alloc"] == "on"
            wait_for("all calls", lambda: counted(talk, agent))
            talk.end()
            # Before ours it gets the program's calls, and the status says so.
            talk = storm(agent, f"{library}:{PRELOAD}")
            assert "shadowed" in talk.status(agent)["dimensions"]["alloc"]
            talk.end()
            for order in (f"{PRELOAD}:{library}", f"{library}:{PRELOAD}"):
                alone = run([ALLOCS, "edges"], env=agent.environment(LD_PRELOAD=library))
                with_us = run([ALLOCS, "edges"], env=agent.environment(LD_PRELOAD=order))
                assert (alone.returncode, alone.stdout) == (with_us.returncode, with_us.stdout), order
    return missing and "not installed: " + " ".join(missing)


def odd_arguments_give_what_libc_gives():
    with Agent() as agent:
        env = agent.environment()
        watched = run([ALLOCS, "edges"], env=env)
        sampled = run([ALLOCS, "edges"], env=dict(env, HEARTH_HEAP_SAMPLE_SIZE="65536"))
        del env["LD_PRELOAD"]
        plain = run([ALLOCS, "edges"], env=env)
        assert plain.returncode == 0 and plain.stdout.count(b"\n") > 20, plain
        for other in (watched, sampled):
            assert (other.returncode, other.stdout) == (plain.returncode, plain.stdout), other


def a_handler_that_allocates_while_we_count():
    with Agent() as agent:
        talk = Talk(agent, ALLOCS, "signals", LD_PRELOAD=f"{PRELOAD}:{PROGRAMS / 'bump.so'}")
        said = [int(w) for w in talk.hear()[1:]]
        talk.end()
        agent.settled()
        assert sum(agent.folded(type="alloc_space").values()) == said[0], said


def children_and_their_parent_s_blocks():
    with Agent() as agent:
        talk = Talk(agent, ALLOCS, "forks")
        assert talk.hear() == ["failed", "0"]
        stacks = snapshot(agent)
        # The children freed copies; the parent still has all of its own.
        se = site_error(100000, 40e6)
        assert abs(sum(stacks.values()) - 40e6) <= ERRORS * se, (stacks, se)
        talk.end()


def an_allocator_in_the_program_shadows_ours_and_is_said_to():
    with Agent() as agent:
        talk = Talk(agent, PROGRAMS / "bump")
        assert talk.hear() == ["ready"]
        status = wait_for("the status", lambda: talk.status(agent))
        for dimension in ("alloc", "heap"):
            assert status["dimensions"][dimension] == "shadowed by the program's own allocator", status
        assert status["alloc_calls"] == 0
        talk.end()


if __name__ == "__main__":
    main(sites_are_what_they_were, sites_of_a_program_that_is_linked_with_the_hooks,
         a_leak_is_ranked_first_and_goes_when_it_is_freed, a_process_that_ended_holds_nothing,
         what_exec_replaced_holds_nothing, what_a_stop_leaves_out_is_not_counted,
         each_dimension_has_a_switch_of_its_own, sixteen_threads_that_free_each_other_s_blocks,
         other_allocators_as_libraries, odd_arguments_give_what_libc_gives,
         a_handler_that_allocates_while_we_count, children_and_their_parent_s_blocks,
         an_allocator_in_the_program_shadows_ours_and_is_said_to)
