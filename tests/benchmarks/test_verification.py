"""The benchmark of verifying measures what it says; how fast it is it does not test."""

from __future__ import annotations

from pathlib import Path

from ss_baselines.leaderboard import Protocol
from tests.benchmarks import verification


def test_what_is_measured_is_a_verification(tmp_path: Path) -> None:
    verification.make(tmp_path / "sub", "silent", Protocol(("StateSet/Refund-v0",), 1, 1))
    row = verification.measured("refund", tmp_path / "sub", 1)
    assert row.steps > 0 and 0 < row.cpu_seconds and 0 < row.wall_seconds
    assert verification.table([row]).row_count == 1
