"""The benchmark of the environment's server compares what it says it does."""

import pytest

from tests.benchmarks.environment_server import Row, checked, measured, table


def test_every_episode_of_every_session_is_compared_with_a_local_one():
    rows = measured(7, [3])
    assert [row.name for row in rows] == ["local", "3 sessions at once", "1 session, plain HTTP"]
    assert [(row.equal, row.episodes) for row in rows] == [(7, 7), (7, 7), (2, 2)]
    assert all(row.steps > row.episodes and row.seconds > 0 and row.here > 0 for row in rows)
    assert table(rows, "").row_count == 3
    with pytest.raises(RuntimeError, match="only 6 of 7 episodes were equal"):
        checked(Row("a", 1, 1.0, 1.0, 1.0, 6, 7))
