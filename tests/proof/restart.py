# SPDX-License-Identifier: Apache-2.0
"""Twenty times the agent is killed under a running program and started again: nothing acknowledged is
lost, nothing is there twice, and what lay in the ring arrives."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support import main  # noqa: E402
from test_restart import samples_are_kept_once_through_kills_of_the_agent  # noqa: E402


def twenty_kills_of_the_agent():
    samples_are_kept_once_through_kills_of_the_agent(kills=20)


main(twenty_kills_of_the_agent)
