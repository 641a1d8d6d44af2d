"""The benchmarks measure what they say they do; how fast it is they do not test."""

import subprocess
import sys

from tests.benchmarks import asynchronous, environments


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
    assert min(shares) > 0


def test_a_run_of_rollouts_and_updates_is_timed_and_evaluated():
    run = asynchronous.measured(0, "truncate", seed=0, iterations=3, episodes=4, groups=1)
    assert 0 < run.waited < run.seconds and 0 < run.update < run.seconds and run.cpu > 0
    assert 0.9 < run.weight < 1.1 and len(run.successes) == 4
    assert asynchronous.table({(0, "truncate"): [run, run]}, "").row_count == 1
