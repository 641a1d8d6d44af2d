"""The files that the command line writes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ss_baselines.commands.folders import write_whole
from tests.ss_baselines.invocation import assert_one_line_error, invoke


def test_evaluate_prints_a_table_and_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "new" / "result.json"
    result = invoke("evaluate", "--agent", "reference", "--episodes", "6", "--split", "dev", "--json", str(file))
    assert result.exit_code == 0, result.output
    for word in ("success", "pair", "reward", "turns", "tool errors", "steps/s"):
        assert word in result.stdout
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written["episodes"] == 6
    assert written["success"]["value"] == 1.0


def test_a_file_that_cannot_be_written_is_told_before_anything_is_played(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place, reason in (
        (tmp_path, "is a folder"),
        (tmp_path / "file" / "result.json", "is a file, not a folder"),
        (Path("/proc/x/result.json"), "cannot be written to"),
    ):
        result = invoke("evaluate", "--agent", "reference", "--episodes", "1", "--json", str(place))
        assert_one_line_error(result, str(place), reason)
        assert result.stdout == ""


def test_a_run_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    kept, new = tmp_path / "kept.json", tmp_path / "new" / "result.json"
    kept.write_text("{}", encoding="utf-8")
    for file in (kept, new):
        invoke("evaluate", "--agent", "reference", "--split", "devv", "--json", str(file))
    assert kept.read_text(encoding="utf-8") == "{}"
    assert not new.parent.exists()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "new" / "result.json"
    write_whole(file, "first")
    with pytest.raises(UnicodeEncodeError):
        write_whole(file, "second \ud800")
    assert file.read_text(encoding="utf-8") == "first"
    assert list(file.parent.iterdir()) == [file]


def test_links_stay_links_and_devices_stay_devices(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text(encoding="utf-8") == "text"
    result = invoke("evaluate", "--agent", "reference", "--episodes", "1", "--json", os.devnull)
    assert result.exit_code == 0, result.output
    assert Path(os.devnull).is_char_device()
