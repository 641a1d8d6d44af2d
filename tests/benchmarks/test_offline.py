"""The comparison of offline learning with d3rlpy runs, on small logs; d3rlpy's part where ``make d3rlpy`` was run."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from rich.console import Console

from ss_trainers.offline.registry import OFFLINE_ALGORITHMS, make_config
from ss_trainers.offline.transitions import Transitions
from tests.benchmarks.offline import archive, logs, processes, speed, study
from tests.benchmarks.offline.episodes import returns
from tests.benchmarks.offline.ours import OurLearning
from tests.benchmarks.offline.recipes import ours, theirs
from tests.benchmarks.offline.setting import Setting, measured


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of a random player for each task."""
    place = tmp_path_factory.mktemp("logs")
    for task, env_id in (("cartpole", "CartPole-v1"), ("pendulum", "Pendulum-v1")):
        (place / task).mkdir()
        space = gym.make(env_id).action_space
        space.seed(0)
        logs.played(lambda seen, space=space: space.sample(), env_id, 400, seed=0).save(place / task / "replay.npz")
    return place


@pytest.fixture(scope="module")
def peer() -> Path:
    if not (processes.PEER.parents[1] / ".installed").exists():
        pytest.skip("needs d3rlpy in an environment of its own: make d3rlpy")
    return processes.PEER


def small(cell: str, folder: Path, **changes: Any) -> Setting:
    fast = {"width": 8, "batch": 16, "updates": 3, "warm_up": 1, "episodes": 2}
    return replace(study.setting_of(cell, folder), **{**fast, **changes})


def test_a_log_has_whole_episodes_with_what_came_next(folder: Path) -> None:
    cartpole = Transitions.from_npz(folder / "cartpole" / "replay.npz")
    assert len(cartpole) >= 400 and cartpole.terminals[-1] and not cartpole.timeouts.any()
    going_on = ~cartpole.terminals[:-1]
    assert (cartpole.next_observations[:-1][going_on] == cartpole.observations[1:][going_on]).all()
    # The pole has fallen by 12 degrees, or the cart is 2.4 from the middle.
    last = np.abs(cartpole.next_observations[cartpole.terminals])
    assert ((last[:, 0] > 2.4) | (last[:, 2] > np.radians(12))).all()
    pendulum = Transitions.from_npz(folder / "pendulum" / "replay.npz")
    assert np.flatnonzero(pendulum.timeouts).tolist() == [199, 399] and not pendulum.terminals.any()
    assert (pendulum.next_observations[199] != pendulum.observations[200]).any()
    assert pendulum.action_low == -2 and pendulum.action_high == 2


def test_an_episode_that_was_not_ended_is_not_in_the_log() -> None:
    env = logs.Recorder(gym.make("CartPole-v1"))
    env.reset(seed=0)
    env.step(1)
    begun, _ = env.reset(seed=1)
    ended, steps = False, 0
    while not ended:
        _, _, ended, _, _ = env.step(int(steps == 2))
        steps += 1
    env.reset()
    env.step(1)
    log = env.transitions()
    assert len(log) == len(env) == steps and (log.observations[0] == begun).all()
    assert np.flatnonzero(log.actions).tolist() == [2]


def test_an_agent_is_taken_when_it_was_best_and_when_it_was_half_as_good() -> None:
    earned = [20.0, 90.0, 240.0, 500.0, 270.0]
    assert logs.stage(earned, "expert") == 3
    assert logs.stage(earned, "medium") == 4  # (20 + 500) / 2 = 260


def test_returns_are_those_of_the_environment_with_the_seeds_that_follow() -> None:
    def played(seed: int) -> float:
        env, total, ended = gym.make("CartPole-v1"), 0.0, False
        seen, _ = env.reset(seed=seed)
        while not ended:
            seen, reward, ended, _, _ = env.step(int(seen[2] > 0))
            total += float(reward)
        return total

    told: list[float] = []
    found = returns(
        lambda seen: (seen[:, 2] > 0).astype(int), "CartPole-v1", 3, 7, lambda some: told.append(some.sum())
    )
    assert found == [played(7), played(8), played(9)] and len(set(found)) > 1
    assert sum(told) == sum(found)


def test_every_algorithm_has_cells_and_the_same_settings_in_both_libraries() -> None:
    assert set(study.UPDATES) == set(speed.ALGORITHMS) == set(OFFLINE_ALGORITHMS) - {"ilql"}
    assert len(set(study.CELLS)) == len(study.CELLS) == len(study.SEEDS) * 3 * (5 + 4 + 6 + 6)
    setting = Setting("cql", "", learning_rate=0.002, width=32)
    assert make_config("cql", ours(setting, discrete=False)).learning_rate == 0.002
    assert "temp_learning_rate" in theirs(setting, discrete=False).rates
    with pytest.raises(ValueError, match="d3rlpy has no iql where actions are counted"):
        theirs(replace(setting, algorithm="iql"), discrete=True)


@pytest.mark.parametrize("cell", [cell for cell in study.CELLS if cell.endswith("ours/0") and "/replay/" in cell])
def test_our_cells_run(cell: str, folder: Path) -> None:
    setting = small(cell, folder)
    found = measured(OurLearning(setting), setting)
    low, high = (1, 500) if "cartpole" in cell else (-3500, 0)
    assert low <= found["return"] <= high and found["updates"] == 3


def test_our_pace_is_measured(folder: Path) -> None:
    setting = small("pendulum/replay/iql/ours/0", folder, episodes=0, seconds=0.05)
    found = measured(OurLearning(setting), setting)
    assert found["updates"] >= 20 and found["learning_per_s"] > found["per_s"] > 0


def test_d3rlpy_learns_from_the_same_steps_and_plays_the_same_episodes(folder: Path, peer: Path) -> None:
    cells = [cell for cell in study.CELLS if cell.endswith("d3rlpy/0") and "/replay/" in cell]
    for cell, found in zip(
        cells, processes.found("d3rlpy", [small(cell, folder) for cell in cells], peer), strict=True
    ):
        low, high = (1, 500) if "cartpole" in cell else (-3500, 0)
        assert low <= found["return"] <= high and found["version"] == "2.8.1", cell


def test_the_archive_gives_back_the_logs_that_it_was_given(folder: Path, tmp_path: Path) -> None:
    packed = {f"{task}/replay": Transitions.from_npz(folder / task / "replay.npz") for task in ("cartpole", "pendulum")}
    archive.pack(packed, tmp_path / "logs.npz")
    study.provide(tmp_path / "logs.npz", tmp_path / "logs", "unused")
    for name, log in packed.items():
        assert_same(Transitions.from_npz(tmp_path / "logs" / f"{name}.npz"), log)
    between = replace(packed["pendulum/replay"], next_observations=packed["pendulum/replay"].observations)
    with pytest.raises(ValueError, match="'odd' has next observations that are not those that follow"):
        archive.pack({"odd": between}, tmp_path / "odd.npz")
    assert not (tmp_path / "odd.npz").exists()


def assert_same(one: Transitions, other: Transitions) -> None:
    for entry in fields(Transitions):
        np.testing.assert_array_equal(getattr(one, entry.name), getattr(other, entry.name), entry.name)


def test_the_logs_of_the_committed_results_are_those_of_the_archive(tmp_path: Path) -> None:
    study.provide(study.ARCHIVE, tmp_path, "unused")
    told = study.read(study.RESULTS)["logs"]
    assert told and all(study.described(tmp_path / f"{name}.npz") == log for name, log in told.items())


def test_a_cell_is_added_to_what_is_there(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, cell = tmp_path / "study.json", "cartpole/replay/bc/ours/0"
    results.write_text(json.dumps({"logs": {}, "cells": {"cartpole/replay/bc/ours/1": {"return": 9.0}}}))
    monkeypatch.setattr(study, "UPDATES", {**study.UPDATES, "bc": (2, 0)})
    monkeypatch.setattr(study, "EPISODES", 2)
    study.run(cell, folder, results, "unused")
    kept = study.read(results)
    assert set(kept["cells"]) == {cell, "cartpole/replay/bc/ours/1"} and kept["cells"][cell]["updates"] == 2
    assert kept["logs"]["cartpole/replay"]["terminals"] == kept["logs"]["cartpole/replay"]["episodes"]
    kept["logs"]["cartpole/replay"]["digest"] = "another"
    results.write_text(json.dumps(kept))
    with pytest.raises(ValueError, match=r"replay.npz' is not the log that the cells in .* have learnt from"):
        study.run(cell, folder, results, "unused")


def test_the_table_tells_means_deviations_and_whether_ours_is_no_worse() -> None:
    returned = {"bc/ours": (90, 100, 110), "bc/d3rlpy": (100, 110, 120), "cql/ours": (89, 89, 89), "iql/ours": (5,)}
    returned |= {"cql/d3rlpy": (90, 100, 110)}
    cells = {
        f"cartpole/expert/{name}/{seed}": {"return": value}
        for name, values in returned.items()
        for seed, value in enumerate(values)
    }
    results = {"logs": {"cartpole/expert": {"return": 480.25}}, "cells": cells}
    log = "cartpole, expert"
    assert study.rows_of(results) == [
        (log, "bc", "480.2", "100.0 ± 10.0", "110.0 ± 10.0", "yes"),
        (log, "cql", "480.2", "89.0 ± 0.0", "100.0 ± 10.0", "no"),
        (log, "iql", "480.2", "5.0", "–", ""),
    ]
    assert "| cartpole, expert | iql | 480.2 | 5.0 | – |  |" in study.markdown(results)
    with (console := Console(width=120)).capture() as captured:
        console.print(study.table(results, study.SEEDS, study.CELLS))
    assert captured.get().count("cartpole, expert") == 1 and f"13 of {len(study.CELLS)} cells" in captured.get()
    # What looked worse is looked at again with other seeds, and with these alone.
    again = study.to_look_at_again(results)
    expected = {f"cartpole/expert/cql/{name}/{seed}" for name in ("ours", "d3rlpy") for seed in range(3, 9)}
    assert set(again) == expected and len(again) == 12
    cells |= {cell: {"return": 100 + cell.endswith("ours/3")} for cell in again}
    assert study.rows_of(results, study.FRESH_SEEDS) == [(log, "cql", "480.2", "100.2 ± 0.4", "100.0 ± 0.0", "yes")]
    assert study.rows_of(results)[1][-1] == "no" and study.to_look_at_again(results) == again


def test_the_table_of_paces_has_both_and_their_ratio() -> None:
    case = {"d3rlpy": {"per_s": 6.0, "learning_per_s": 1500.0}, "ours": {"per_s": 15.0, "learning_per_s": 3000.0}}
    rows = speed.rows_of({"iql, width 64": case})
    assert rows == [("iql, width 64", "6.0", "15", "2.5 ×", "1,500", "3,000", "2.0 ×")]


def test_both_paces_are_compared(tmp_path: Path, peer: Path) -> None:
    case = speed.compared("bc, discrete, width 64", 1, peer, tmp_path, seconds=0.1)
    assert case["ours"]["per_s"] > 0 and case["d3rlpy"]["learning_per_s"] > case["d3rlpy"]["per_s"] > 0


def test_agents_play_the_logs(tmp_path: Path, peer: Path) -> None:
    for run in ("once", "again"):
        processes.ran(peer, "tests.benchmarks.offline.logs", str(tmp_path / run), "cartpole", "--steps", "200")
    for name in logs.LOGS:
        once, again = (Transitions.from_npz(tmp_path / run / "cartpole" / f"{name}.npz") for run in ("once", "again"))
        assert once.terminals[-1] and len(once.starts) > 1
        assert (once.observations == again.observations).all() and (once.actions == again.actions).all()


def test_an_environment_that_is_missing_and_a_process_that_fails_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not there: make d3rlpy sets it up"):
        processes.ran(tmp_path / "python", "anything")
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho $2 is missing >&2\nexit 3\n")
    python.chmod(0o700)
    with pytest.raises(RuntimeError, match="some_module failed: some_module is missing"):
        processes.ran(python, "some_module")
