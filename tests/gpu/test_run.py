"""The script for GPUs runs, here on the processor with small sizes; what it checks it checks there too."""

import json

import pytest
import torch

from ss_trainers.algorithms.registry import ALGORITHMS
from tests.gpu import run
from tests.gpu.measurements import SECTIONS
from tests.gpu.rows import Row

# What takes longest, and is tested without this script too.
LONG = {
    "an iteration of GRPO in bfloat16": 2,
    "checkpoint, resume": 2,
    "offline learning from conversations": 2,
    "a model of a usual size": 0,
}
CHECKS = 19 + len(ALGORITHMS)


def sections_of(folder):
    return json.loads((folder / "gpu.json").read_text())["sections"]


@pytest.mark.parametrize("left_out", [LONG, pytest.param({}, marks=pytest.mark.slow)], ids=["short", "whole"])
def test_all_checks_pass_on_the_processor_and_are_written_down(tmp_path, capsys, left_out):
    assert left_out.keys() <= SECTIONS.keys()
    chosen = {name: section for name, section in SECTIONS.items() if name not in left_out}
    checks = CHECKS - sum(left_out.values())
    assert run.main(["--device", "cpu", "--out", str(tmp_path)], chosen) == 0
    sections = sections_of(tmp_path)
    assert list(sections) == [*chosen, "peak memory"]
    verdicts = [row["passed"] for rows in sections.values() for row in rows]
    assert verdicts.count(True) == checks and False not in verdicts
    shown, written = capsys.readouterr().out, (tmp_path / "gpu.md").read_text()
    for rows in sections.values():
        for row in rows:
            assert row["figure"] in shown and f"| {row['name']} | {row['figure']} |" in written
    assert written.count("| passed |") == checks


def test_a_section_that_raises_is_a_failed_row_and_the_others_go_on(tmp_path, capsys):
    def breaks(setting):
        yield Row("before", "1", True)
        raise RuntimeError("out of memory\nand more")

    def wrong(setting):
        yield Row("wrong", "2", False)

    def goes_on(setting):
        yield Row("after", setting.device)

    sections = {"breaks": breaks, "goes on": goes_on}
    assert run.main(["--device", "cpu", "--out", str(tmp_path)], sections) == 1
    before, broken = sections_of(tmp_path)["breaks"]
    assert (before["passed"], broken["passed"], broken["figure"]) == (True, False, "RuntimeError: out of memory")
    assert "in breaks" in broken["error"] and sections_of(tmp_path)["goes on"][0]["figure"] == "cpu"
    captured = capsys.readouterr()
    assert "FAILED" in captured.out and "and more" in captured.err
    assert run.main(["--device", "cpu"], {"wrong": wrong}) == 1
    assert run.main(["--device", "cpu"], {"goes on": goes_on}) == 0


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_one_line_and_exit_code_2(device, capsys):
    assert run.main(["--device", device]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1 and device in captured.err


@pytest.mark.gpu
def test_all_checks_pass_on_a_gpu(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    assert run.main(["--device", "cuda", "--out", str(tmp_path)]) == 0, (tmp_path / "gpu.md").read_text()
