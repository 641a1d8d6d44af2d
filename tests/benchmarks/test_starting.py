"""The benchmark of starting measures what it says; how fast it is it does not test."""

from __future__ import annotations

from tests.benchmarks import starting


def test_what_is_measured_does_what_the_row_says() -> None:
    rows = starting.measured(1)
    assert [row.name for row in rows] == [name for name, *_ in starting.CASES]
    assert all(row.seconds > 0 for row in rows)
    printed = {row.name: row.printed for row in rows}
    assert printed["complete an option's value"].split() == ["gepo", "grpo", "gspo"]
    assert "Usage: stateset-agents" in printed["show the help"]
    assert not any(printed[name] for name in ("start Python", "import gymnasium", "import ss_gym"))
    assert starting.table(rows).row_count == len(rows)
