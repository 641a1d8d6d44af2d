"""Our own baselines, played by one command, on a small protocol."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from ss_baselines.commands.baselines import Baseline, baselines, build, missing, page_tables, play, prepared, set_aside
from ss_baselines.leaderboard import Protocol
from ss_baselines.leaderboard.baselines import SCRIPTED, SHOWN
from ss_baselines.leaderboard.fingerprints import task_hash, user_hash
from ss_baselines.sb3 import SETTINGS
from ss_baselines.trained import ALGORITHMS, ENGINE, train
from tests.ss_baselines.leaderboard.played import CANCEL, REFUND

RESULTS = Path(__file__).parents[3] / "ss_baselines" / "results"
EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
# Most success and most pairs, by agent.
GATES = {
    **dict.fromkeys(("silent", "instant_closer", "keyword_stuffer", "data_dumper"), (0.0, 0.0)),
    "random_tools": (0.01, 0.0),
    "always_grant": (0.5, 0.0),
    "always_refuse": (0.05, 0.0),
    "always_transfer": (0.05, 0.0),
}

SMALL = {name: Baseline(name, Protocol((REFUND,), 1, 1)) for name in (*SHOWN, "rule_bot")}


def test_what_is_missing_is_played_and_all_is_built(tmp_path: Path) -> None:
    folder, site, results = (tmp_path / name for name in ("submissions", "site", "results"))
    assert missing(folder, SMALL) == [*SMALL]
    play(["silent"], folder, SMALL)
    assert missing(folder, SMALL) == [name for name in SMALL if name != "silent"]
    play(missing(folder, SMALL), folder, SMALL)
    assert missing(folder, SMALL) == []
    build(folder, site, 1, results)
    rows = json.loads((results / "leaderboard.json").read_text(encoding="utf-8"))["rows"]
    assert {row["agent"]["name"] for row in rows} == {*SMALL}
    assert (results / "leaderboard.md").read_bytes() == (site / "leaderboard.md").read_bytes()
    wider = {"silent": Baseline("silent", Protocol((REFUND,), 2, 1))}
    assert missing(folder, wider) == ["silent"]
    play(["silent"], folder, wider)
    assert missing(folder, wider) == [] and (folder / "before" / "silent" / "submission.json").is_file()
    set_aside(folder / "silent")
    assert missing(folder, wider) == ["silent"]
    build(folder, site, 1)  # what was set aside is no row
    assert not list((site / "agents").glob("silent*"))


def test_every_scripted_agent_is_a_baseline_and_only_one_takes_hours() -> None:
    known = baselines()
    assert {*SCRIPTED, "tiny", "tiny_gspo", "tiny_offline_bcq", "sb3_ppo"} <= {*known} and {*SHOWN} <= {*SCRIPTED}
    assert {name for name, baseline in known.items() if not baseline.protocol.standard} == {"smollm2"}
    assert {name for name, baseline in known.items() if baseline.on_request} == {"smollm2"}


def test_commands_of_what_is_trained_leave_it_where_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import offline_text_study

    trained = {name: baseline for name, baseline in baselines().items() if baseline.made_by}
    for name, baseline in trained.items():
        python, *words = shlex.split(baseline.made_by)
        assert python == "python" and baseline.folder in baseline.agent, name
        if words[0] == "-m":
            made = {"ss_baselines.trained": ALGORITHMS, "ss_baselines.sb3": SETTINGS}[words[1]]
            algorithm = words[words.index("--algorithm") + 1]
            assert algorithm in made and Path(baseline.folder).name == algorithm, name
        else:
            assert EXAMPLES.joinpath(Path(words[0]).name).is_file() and words[1] == "--agent", name
            family, arm, seed = words[2].split("/")
            assert words[2] in offline_text_study.CELLS and baseline.folder.endswith(f"{family}/{seed}/agents/{arm}")


def test_what_was_stopped_before_its_end_is_no_baseline_yet(tmp_path: Path) -> None:
    known = baselines()
    run, menus = known["tiny_gspo"], replace(known["sb3_ppo"], folder=str(tmp_path / "ppo"))
    folder, small = tmp_path / "gspo", replace(ENGINE, iterations=1, groups_per_iteration=2, group_size=2)
    run = replace(run, folder=str(folder))
    folder.mkdir()
    assert not run.is_there
    train("gspo", folder, replace(small, max_new_tokens=8))
    assert run.iterations == 60 and not run.is_there and replace(run, iterations=1).is_there
    Path(menus.folder).mkdir()
    for name in menus.files:
        assert not menus.is_there and name.endswith(".zip")
        Path(menus.folder, name).touch()
    assert menus.is_there and len(menus.files) == 8


def test_what_can_not_play_yet_is_told_and_trained_if_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "trained"
    made_by = f"python -c \"import os; os.mkdir('{folder}')\""
    known = {
        "silent": SMALL["silent"],
        "later": replace(SMALL["silent"], folder=str(folder), made_by=made_by),
        "foreign": replace(SMALL["silent"], library="no_such_library"),
    }
    assert prepared([*known], known, train=False) == ["silent"]
    told = capsys.readouterr().err
    assert f"later is trained first: {made_by}" in told and "foreign needs no_such_library" in told
    assert prepared([*known], known, train=True) == ["silent", "later"] and folder.is_dir()
    asked = {"silent": replace(SMALL["silent"], on_request=True)}
    assert missing(tmp_path, asked) == []


def test_the_page_tells_what_was_kept_and_it_is_of_this_suite() -> None:
    """Scores, and so rows, change with the suite: then they are to be made anew (``make leaderboard``)."""
    rows = json.loads((RESULTS / "leaderboard.json").read_text(encoding="utf-8"))["rows"]
    page = (RESULTS.parents[1] / "docs" / "pages" / "benchmark.md").read_text(encoding="utf-8")
    assert page_tables(RESULTS) in page
    assert {*SHOWN} <= {row["agent"]["name"] for row in rows}
    for row in rows:
        for env_id in (REFUND, CANCEL):
            if env_id in row["tasks"]:
                assert (row["tasks"][env_id], row["users"][env_id]) == (task_hash(env_id), user_hash(env_id))
    # The gates of every family (ENVIRONMENTS): what does not do the job gets nothing.
    for row in rows:
        for standing in row["standings"].values():
            most_success, most_pairs = GATES.get(row["agent"]["name"], (1.0, 1.0))
            assert standing["passes"][0]["value"] <= most_success and standing["pair_score"]["value"] <= most_pairs
        if row["agent"]["name"] == "reference":
            assert all(standing["passes"][3]["value"] == 1.0 for standing in row["standings"].values())
