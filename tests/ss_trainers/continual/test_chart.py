"""The matrix as a picture."""

import pytest

from ss_trainers.continual.chart import write_chart
from ss_trainers.continual.tasks import Accuracies

pytest.importorskip("matplotlib")
MATRIX = Accuracies(("refund", "cancel"), (0.25, 0.125), ((0.75, 0.0), (0.5, 0.875)))


def test_every_figure_of_the_matrix_is_drawn(tmp_path) -> None:
    write_chart(MATRIX, tmp_path / "chart.svg", "replay")
    drawn = (tmp_path / "chart.svg").read_text(encoding="utf-8")
    for text in ("untrained", "after refund", "after cancel", "0.25", "0.12", "0.75", "0.88", "replay"):
        assert f"<!-- {text} -->" in drawn
    write_chart(MATRIX, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes()[:4] == b"\x89PNG"


def test_a_run_that_is_under_way_has_the_rows_so_far(tmp_path) -> None:
    write_chart(Accuracies(MATRIX.tasks, None, MATRIX.rows[:1]), tmp_path / "chart.svg")
    drawn = (tmp_path / "chart.svg").read_text(encoding="utf-8")
    assert "<!-- after refund -->" in drawn and "<!-- after cancel -->" not in drawn


def test_what_can_not_be_drawn_leaves_no_file(tmp_path) -> None:
    with pytest.raises(ValueError, match="no task was measured yet"):
        write_chart(Accuracies(("a", "b")), tmp_path / "chart.png")
    with pytest.raises(ValueError, match="Format 'txt' is not supported"):
        write_chart(MATRIX, tmp_path / "chart.txt")
    assert list(tmp_path.iterdir()) == []
