"""Our own baselines, played by one command, on a small protocol."""

from __future__ import annotations

import json
from pathlib import Path

from ss_baselines.commands.baselines import Baseline, baselines, build, missing, page_tables, play, set_aside
from ss_baselines.leaderboard import Protocol
from ss_baselines.leaderboard.baselines import SCRIPTED, SHOWN
from ss_baselines.leaderboard.fingerprints import task_hash, user_hash
from tests.ss_baselines.leaderboard.played import CANCEL, REFUND

RESULTS = Path(__file__).parents[3] / "ss_baselines" / "results"
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


def test_every_scripted_agent_is_a_baseline() -> None:
    known = baselines()
    assert {*SCRIPTED, "tiny"} == {*known} and {*SHOWN} <= {*SCRIPTED}
    assert all(baseline.protocol.standard for baseline in known.values())


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
