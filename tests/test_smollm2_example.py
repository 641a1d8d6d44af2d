"""The example with a published model, played through with the tiny one; and the page that tells of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ss_gym.agents.checkpoint import read_manifest
from tests.short_refunds import shorten

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "pages" / "smollm2.md"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    shorten(monkeypatch)
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "examples"))
    import smollm2_refund

    return smollm2_refund


def few(out: Path) -> list[str]:
    amounts = {"conversations": 4, "iterations": 2, "groups": 2, "attempts": 2, "episodes": 4, "workers": 1}
    given = [word for name, value in amounts.items() for word in (f"--{name}", str(value))]
    return [*given, "--model", "tiny", "--out", str(out), "--results", f"{out}/all.json", "--plot", f"{out}/plot.png"]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was interrupted after GRPO's first iteration."""
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patched:
        shorten(patched)
        patched.syspath_prepend(str(ROOT / "docs" / "examples"))
        import smollm2_refund

        tick = smollm2_refund.Run.tick

        def interrupting(run: Any, *_: object) -> None:
            tick(run)
            if run.seconds("grpo"):
                raise KeyboardInterrupt

        patched.setattr(smollm2_refund.Run, "tick", interrupting)
        with pytest.raises(KeyboardInterrupt):
            smollm2_refund.main(few(out))
    return out


def test_a_run_that_is_interrupted_goes_on_and_ends_with_everything_measured(
    example: Any, interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, begun = Path(shutil.copytree(interrupted, tmp_path / "run")), []
    before = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert list(before["stages"]) == ["prepare", "cloning", "cloned"]
    assert not (out / "all.json").exists()

    resume = example.GRPOTrainer.resume
    monkeypatch.setattr(example.Trainer, "resume", lambda *given, **more: begun.append(1) or resume(*given, **more))
    example.main(few(out))
    record = json.loads((out / "all.json").read_text(encoding="utf-8"))
    assert len(begun) == 2  # GRPO went on from its first iteration; the last measurement takes the checkpoint, too
    assert list(record["stages"]) == list(example.STAGES)
    assert record["stages"]["cloned"] == before["stages"]["cloned"]
    assert len(record["stages"]["grpo"]["curve"]) == record["stages"]["grpo"]["iterations"] == 2
    assert record["seconds"]["grpo"]["wall"] >= before["seconds"]["grpo"]["wall"] > 0
    customers = {name: [pair for pair, _ in record["stages"][name]["outcomes"]] for name in example.MEASURED}
    assert customers == {"before": [0, 0], "cloned": [0, 0, 1, 1], "after": [0, 0, 1, 1]}
    assert read_manifest(out / "grpo" / "checkpoint")
    assert (out / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit, match="other settings"):
        example.main([*few(out), "--groups", "3"])


def test_grpo_ends_where_the_time_is_up(example: Any, interrupted: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(interrupted, tmp_path / "run"))
    run = example.Run(example.arguments([*few(out), "--minutes", "0.001"]))
    with run.timed("grpo"):
        assert example.grpo(run)["iterations"] == 1


def test_the_tools_are_not_listed_in_the_prompt_of_the_prepared_model(example: Any, tmp_path: Path) -> None:
    run = example.Run(example.arguments(few(tmp_path)))
    assert example.prepare(run)["layers"] == 4
    assert example.NO_LIST in (tmp_path / "model" / "chat_template.jinja").read_text(encoding="utf-8")


def test_the_table_of_the_page_is_that_of_the_results(example: Any) -> None:
    if not example.RESULTS.exists():
        pytest.skip("the run is not done: python docs/examples/smollm2_refund.py")
    record = json.loads(example.RESULTS.read_text(encoding="utf-8"))
    assert example.markdown(record) in PAGE.read_text(encoding="utf-8")
    for name in example.MEASURED:
        outcomes = [ok for _, ok in record["stages"][name]["outcomes"]]
        assert len(outcomes) >= (20 if name == "before" else 100)
        assert sum(outcomes) / len(outcomes) == pytest.approx(record["stages"][name]["success"]["value"])
