"""Our own baselines, played by one command, on a small protocol."""

from __future__ import annotations

import json
from pathlib import Path

from ss_baselines.commands.baselines import Baseline, baselines, build, missing, play, set_aside
from ss_baselines.leaderboard import Protocol
from ss_baselines.leaderboard.baselines import SCRIPTED, SHOWN
from tests.ss_baselines.leaderboard.played import REFUND

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
