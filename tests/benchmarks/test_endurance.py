"""Memory stays flat over many episodes; the million is run by hand (``python -m tests.benchmarks.endurance``)."""

from __future__ import annotations

import gc
import json
import subprocess
import sys

import pytest

from ss_gym.families import FAMILIES
from tests.benchmarks.endurance import READINGS, Reading, drift, endure

# In a process of its own: what other tests have left must not hide in the figure.
_RUN = """
import json, sys
from tests.benchmarks.endurance import endure
print(json.dumps(list(endure(sys.argv[1], int(sys.argv[2])))))
"""


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_memory_is_flat_over_many_episodes(family: str) -> None:
    # With the tools of seven desks it takes longer until each database has prepared its statements.
    episodes = 160_000 if family == "retail" else 20_000
    run = subprocess.run(
        [sys.executable, "-c", _RUN, family, str(episodes)], capture_output=True, text=True, check=False, timeout=1_200
    )
    assert run.returncode == 0, run.stderr
    readings = [Reading(*reading) for reading in json.loads(run.stdout)]
    assert readings[-1].episodes >= episodes
    # The caches are still filling in the first half.
    assert abs(drift(readings, warm_up=0.5)) <= 2.0, readings


@pytest.mark.parametrize("family", ["refund", "retail"])
def test_rows_play_on_through_all_splits(family: str) -> None:
    gc.freeze()  # each reading collects garbage, and need not look for it in what other tests have left
    readings = list(endure(family, 100, width=4))
    assert len(readings) == READINGS
    assert [reading.episodes for reading in readings] == sorted(reading.episodes for reading in readings)
    assert 100 <= readings[-1].episodes < 110
    assert readings[-1].steps > 2 * readings[-1].episodes
    assert all(reading.resident > 0 for reading in readings)


def test_the_drift_is_what_is_added_after_the_warm_up() -> None:
    readings = [
        Reading(episodes, 0, 0, megabytes * 2**20, 0.0) for episodes, megabytes in ((5, 90), (50, 100), (100, 103))
    ]
    assert drift(readings) == 3.0
    assert drift(readings, warm_up=0.01) == 13.0
