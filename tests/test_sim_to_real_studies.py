"""The studies of the way to real customers, on a small scale."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ss_gym.sim2real import ConversationSimulator
from ss_gym.users.parameters import PARAMETERS

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def test_the_gap_is_told_before_a_fit_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import gap_study as study

    log = tmp_path / "log.jsonl"
    noisy = ConversationSimulator().simulate(24, seed=3, params={"noise": 0.3, "verbosity": 1.0})
    log.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in noisy), encoding="utf-8")
    monkeypatch.setattr(study, "RESULTS", tmp_path / "gap.json")
    monkeypatch.setattr(study, "LOGS", {"sgd": 24, "tau_bench": 24})
    small = {"env_id": "StateSet/Refund-v0", "draws": 100, "accepted": 0.5, "cem_iterations": 0}
    monkeypatch.setattr(study, "CONFIG", replace(study.CONFIG, **small))
    study.main(["--sgd", str(log), "--only", "sgd/1"])
    cell = json.loads((tmp_path / "gap.json").read_text(encoding="utf-8"))["sgd/1"]
    assert (cell["fitted"], cell["kept"]) == (12, 12) and set(cell["gaps"]) == {"before", "after"}
    capsys.readouterr()
    study.main(["--markdown"])
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 2 + len(cell["gaps"]["after"]) and all(line.count("|") == 7 for line in lines)
    with pytest.raises(SystemExit):
        study.main(["--only", "tau_bench/0"])
    assert "say where the transcripts of tau_bench are: --tau-bench FILE" in capsys.readouterr().err


def test_arms_meet_their_customers_and_are_told_in_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import transfer_study as study

    sizes = {"iterations": 2, "groups_per_iteration": 2, "group_size": 2, "eval_every": 1, "eval_episodes": 2}
    monkeypatch.setattr(study, "RESULTS", tmp_path / "transfer.json")
    monkeypatch.setattr(study, "OUTPUTS", tmp_path / "fits")
    monkeypatch.setattr(study, "TRAINING", {**study.TRAINING, **sizes, "max_new_tokens": 8})
    monkeypatch.setattr(study, "CUSTOMERS", 2)
    monkeypatch.setattr(study, "TRANSCRIPTS", 10)
    shifted = {"careless": {"noise": (0.2, 0.25)}, "careful": {"noise": (0.0, 0.0)}}
    monkeypatch.setattr(study, "POPULATIONS", {"usual": {}, **shifted})
    monkeypatch.setattr(study, "SHIFTED", tuple(shifted))
    monkeypatch.setattr(study, "FIT", replace(study.FIT, draws=100, accepted=0.5))
    for cached in (study.fitted, study._fitting):
        cached.cache_clear()
    study.main(["--only", "before/0", "nominal/0", "automatic/0", "transfer/0"])
    cells = json.loads((tmp_path / "transfer.json").read_text(encoding="utf-8"))
    assert [len(digits) for digits in cells["nominal/0"]["success"].values()] == [2, 2, 2]
    # Each population has a fit of its own, which is kept.
    careless, careful = (study.fitted(name) for name in shifted)
    noise = [
        dict(zip(PARAMETERS, each.calibration.posterior.mean, strict=True))["noise"] for each in (careless, careful)
    ]
    assert noise[0] > noise[1] + 0.03
    study.fitted.cache_clear()
    assert (study.fitted("careless").calibration.best == careless.calibration.best).all()
    assert study.fitted_customer(np.random.default_rng(0))["user_params"].keys() == PARAMETERS.keys()
    assert "population/width" in cells["automatic/0"]["curve"][0]
    assert [each["population/sim_ratio"] for each in cells["transfer/0"]["curve"]] == [1.0, 1.0]
    # A population is the same for all who meet it, and differs from the usual customers in what it is called after.
    first, second = (study.episodes_of("careless") for _ in range(2))
    assert first == second and all(0.2 <= each.options["user_params"]["noise"] <= 0.25 for each in first)
    capsys.readouterr()
    study.main(["--markdown"])
    lines = capsys.readouterr().out.strip().splitlines()
    assert [line.split(" ")[1] for line in lines[2:]] == ["before", "nominal", "automatic", "transfer"]


def test_the_table_of_the_page_is_that_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import gap_study as study

    page = (EXAMPLES.parent / "pages" / "sim-to-real.md").read_text(encoding="utf-8")
    for log in study.LOGS:
        assert study.markdown_table(study.HEADINGS, study.rows_of(study.read(), log)) in page


def test_the_table_of_transfer_is_that_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import transfer_study as study
    from study_cells import markdown_table

    page = (EXAMPLES.parent / "pages" / "sim-to-real.md").read_text(encoding="utf-8")
    assert markdown_table(study.headings(), study.rows_of(study.read())) in page
