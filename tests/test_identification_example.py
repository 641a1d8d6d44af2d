"""The study of what a fit finds, on a small scale."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def test_cells_are_run_once_and_told_in_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import identification_study as study

    monkeypatch.setattr(study, "RESULTS", tmp_path / "identification.json")
    monkeypatch.setattr(study, "CONFIG", replace(study.CONFIG, draws=100, dialogues=3, accepted=0.5))
    monkeypatch.setattr(study, "SIZES", (10, 12))
    monkeypatch.setattr(study, "HIDDEN", 2)
    study.main(["--only", "1"])
    first = (tmp_path / "identification.json").read_text(encoding="utf-8")
    study.main([])
    cells = json.loads((tmp_path / "identification.json").read_text(encoding="utf-8"))
    assert list(cells) == ["00", "01"] and cells["01"] == json.loads(first)["01"]
    # A cell that is run again is the same, whatever ran before it.
    study.main(["--only", "1"])
    assert json.loads((tmp_path / "identification.json").read_text(encoding="utf-8")) == cells
    for cell in cells.values():
        for fit in cell["fits"].values():
            assert all(low <= high for low, high in zip(fit["low"], fit["high"], strict=True))
    capsys.readouterr()
    study.main(["--markdown"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 16 + 1 and lines[-1].startswith("| mean | ")
    assert lines[0].count("|") == lines[-1].count("|")


def test_the_table_of_the_page_is_that_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import identification_study as study

    cells, page = study.read(), (EXAMPLES.parent / "pages" / "sim-to-real.md").read_text(encoding="utf-8")
    assert len(cells) == study.HIDDEN
    assert study.markdown_table(study.headings(), study.rows_of(cells)) in page
