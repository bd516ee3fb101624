# SPDX-License-Identifier: Apache-2.0
"""Locks and exceptions with known answers: what a program waited, held and threw is what is shown."""
import math

from support import NO_LIMIT, Agent, PROGRAMS, main, run

ERRORS = 5


def truths(done):
    assert done.returncode == 0, done
    return {line.split()[0]: int(line.split()[1]) for line in done.stdout.decode().splitlines()}


def rows(agent, kind, by="function"):
    answer = agent.get("/api/v1/top", type=kind, by=by, limit=0)
    return {row["name"]: row["total"] for row in answer["rows"]}


def total(agent, kind):
    return sum(agent.folded(type=kind).values())


def waits_are_exact_and_charged_to_who_held():
    with Agent() as agent:
        truth = truths(run([PROGRAMS / "locks", "blame", 500], env=agent.environment(**NO_LIMIT)))
        agent.settled()
        delay, count = total(agent, "lock_delay"), total(agent, "lock_contentions")
        print(f"# waited {delay / 1e6:.3f} ms, in truth {truth['wait'] / 1e6:.3f}; {count} times")
        assert count == truth["count"], (count, truth)
        assert abs(delay - truth["wait"]) <= 0.01 * truth["wait"] + 8e6, (delay, truth)
        assert total(agent, "lock_blame") == delay
        blamed = rows(agent, "lock_blame")
        for name in ("long", "short"):
            value, true, se = blamed.get("hold_" + name, 0), truth[name], truth[name + "_se"]
            print(f"# {name}: {value / 1e6:.2f} ms, in truth {true / 1e6:.2f} +- {se / 1e6:.2f}")
        # What is not seen by a sample, or happened while the lock was free, is charged to nobody.
        nobody = blamed.get("[holder not seen]", 0)
        se = ERRORS * math.hypot(truth["long_se"], truth["short_se"])
        assert nobody <= 0.15 * delay + se, (nobody, blamed)
        assert abs(blamed["hold_long"] - truth["long"]) <= se + nobody, blamed
        assert abs(blamed["hold_short"] - truth["short"]) <= se + nobody, blamed
        waiters = rows(agent, "lock_delay")
        assert waiters["wait_for_lock"] >= 0.8 * delay, waiters
        assert set(rows(agent, "lock_delay", by="lock name")) >= {"g_pool_lock"}
        # Waiting for a lock is a blocked call, too.
        assert any("wait_for_lock;pthread_mutex_lock" in k for k in agent.folded(type="block_delay"))
        first = run([agent_cli(), "locks", "--server", f"unix:{agent.run}/http.sock"])
        print("# " + first.stdout.decode().replace("\n", "\n# "))
        assert first.returncode == 0 and b"g_pool_lock" in first.stdout, first
        assert b"hold_" in first.stdout and b"wait_for_lock" in first.stdout, first


def agent_cli():
    from support import BIN
    return BIN / "hearth"


def holds_have_their_length():
    rounds, percent = 2000, 4 # few enough for no pace to be kept
    with Agent() as agent:
        truth = truths(run([PROGRAMS / "locks", "hold", rounds],
                           env=agent.environment(HEARTH_LOCK_CAPTURE_PCT=str(percent), **NO_LIMIT)))
        agent.settled()
        held = rows(agent, "lock_hold")["hold_known"]
        answer = agent.get("/api/v1/top", type="lock_hold", by="function")
        n = answer["samples"]
        # One of m is taken and stands for m: a variance of its square times m - 1.
        se = truth["root_of_squares"] * math.sqrt(100 / percent - 1)
        print(f"# held {held / 1e6:.2f} ms, in truth {truth['hold'] / 1e6:.2f} +- {se / 1e6:.2f}, n {n}")
        assert n > 20 and abs(held - truth["hold"]) <= ERRORS * se, (held, truth, n)


def locks_have_names_and_kinds():
    with Agent() as agent:
        truth = truths(run([PROGRAMS / "locks", "names", 12], env=agent.environment()))
        agent.settled()
        assert total(agent, "lock_contentions") == truth["count"]
        names = rows(agent, "lock_delay", by="lock name")
        print(f"# {sorted(names)}")
        for name in ("orders.queue", "created in make_lock", "pool+0x28", "g_table_lock", "g_spin_lock",
                     "g_slots", "g_c11_lock"):
            assert names.get(name, 0) > 12 * 0.1 * 3e6, (name, names)
        kinds = rows(agent, "lock_delay", by="lock kind")
        assert set(kinds) >= {"mutex", "rwlock, write", "spinlock", "semaphore"}, kinds
        blamed = rows(agent, "lock_blame")
        assert max((k for k in blamed if k.startswith(("hold", "wait", "["))), key=blamed.get) in (
            "hold_long", "hold_while_waited_for"), blamed


def exceptions_are_counted_and_typed():
    count = 30000
    with Agent() as agent:
        env = agent.environment()
        plain = truths(run([PROGRAMS / "exceptions", count]))
        truth = truths(run([PROGRAMS / "exceptions", count], env=env))
        assert truth == plain, (truth, plain)
        agent.settled()
        assert total(agent, "exceptions") == truth["caught"], truth
        types = rows(agent, "exceptions", by="exception type")
        often = types["std::runtime_error"]
        seldom = types["shop::Missing<std::vector<shop::Order, std::allocator<shop::Order> > >"]
        # 1 in 100, and in 200 and 400 when there were more than a hundred in a second: the square root
        # of so many times as many.
        for value, true in ((often, count), (seldom, truth["rethrown"])):
            se = math.sqrt(400 * true)
            print(f"# {value} of {true} +- {se:.0f}")
            assert abs(value - true) <= ERRORS * se, types
        throwers = rows(agent, "exceptions")
        assert throwers["throw_often"] == often and throwers["main"] == often + seldom, throwers


if __name__ == "__main__":
    main(waits_are_exact_and_charged_to_who_held, holds_have_their_length,
         locks_have_names_and_kinds, exceptions_are_counted_and_typed)
