"""The benchmarks measure what they say they do; how fast it is they do not test."""

import subprocess
import sys

from ss_trainers import RewardModelConfig
from tests.benchmarks import asynchronous, environments, reward_model
from tests.short_refunds import shorten


def test_recorded_actions_are_all_different_and_replay_to_the_same_ends():
    scripts, seconds = environments.record(30)
    assert environments.distinct(scripts) == 1.0
    assert all(script.success for script in scripts)
    assert seconds > 0
    assert environments.single(scripts) > 0  # raises if an episode ends otherwise
    assert environments.batched(scripts, 4) > 0


def test_the_shares_of_the_profile_add_up():
    code = (
        "from tests.benchmarks import environments, hotspots\n"
        "for row in hotspots.rows(environments.record(8).scripts): print(*row, sep='|')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    *parts, total = [line.split("|") for line in run.stdout.splitlines()]
    assert total[:2] == ["all", "100.0%"]
    shares = [float(share.rstrip("%")) for _, share, _, _ in parts]
    assert abs(sum(shares) - 100) < 0.05 * len(parts)
    # The least of them may be rounded away.
    assert min(shares) >= 0 and sum(share > 0 for share in shares) >= len(shares) - 2


def test_a_run_of_rollouts_and_updates_is_timed_and_evaluated(monkeypatch):
    shorten(monkeypatch)
    run = asynchronous.measured(0, "truncate", seed=0, iterations=3, episodes=4, groups=1)
    assert 0 < run.waited < run.seconds and 0 < run.update < run.seconds and run.cpu > 0
    assert 0.9 < run.weight < 1.1 and len(run.successes) == 4
    assert asynchronous.table({(0, "truncate"): [run, run]}, "").row_count == 1


def test_what_reward_models_tell_apart_is_measured_on_attempts_with_both_ends(monkeypatch):
    monkeypatch.setattr(reward_model, "ATTEMPTS", 3)
    attempts = reward_model.played(3, 0)
    assert {each.success for each in attempts} == {True, False}  # else nothing could be told apart
    rows = reward_model.measured(attempts, attempts, RewardModelConfig(learning_rate=1e-3, epochs=1, holdout=0.0))
    assert [row.lesson for row in rows] == ["preferences", "preferences, a tenth wrong", "returns"]
    assert all(0 <= row.within.low <= row.within.value <= row.within.high <= 1 for row in rows)
    assert all(0 < row.among_all < 1 and row.cpu_seconds >= 0 for row in rows)
    assert reward_model.markdown(rows).count("\n") == 4
