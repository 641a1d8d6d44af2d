"""What a board says of verified submissions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ss_baselines.leaderboard import AgentCard, EpisodeKey, Protocol, Score, Verified, board, verify
from ss_baselines.leaderboard.fingerprints import task_hash, user_hash
from ss_baselines.leaderboard.markdown import board_markdown, ranked
from ss_baselines.leaderboard.protocol import ENVIRONMENTS
from ss_baselines.leaderboard.standing import ALL, pass_power, standing
from tests.ss_baselines.leaderboard.played import CANCEL, REFUND, submission

STANDARD = Protocol((REFUND,))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Verified:
    folder = tmp_path_factory.mktemp("real") / "rule_bot"
    submission(folder)
    return verify(folder)


def scored(real: Verified, successes: Sequence[Sequence[bool]], **changes: object) -> list[Score]:
    """Scores of pairs of scenarios 0, 1, 2 …, with these outcomes of their attempts."""
    return [
        replace(
            real.scores[0],
            scenario_id=f"refund/test/{number:04d}",
            pair_id=f"refund/test/pair-{number // 2:04d}",
            trial=trial,
            success=success,
            **changes,
        )
        for number, attempts in enumerate(successes)
        for trial, success in enumerate(attempts)
    ]


def entered(real: Verified, name: str, scores: Sequence[Score], protocol: Protocol = STANDARD) -> Verified:
    manifest = replace(real.manifest, agent=AgentCard(name), protocol=protocol)
    return replace(real, manifest=manifest, scores=tuple(scores))


def test_pass_power_is_the_unbiased_estimate(real: Verified) -> None:
    attempts = scored(real, [[True, True, True, False]])
    # C(3, k) / C(4, k)
    assert [pass_power(attempts, k) for k in (1, 2, 3, 4)] == [0.75, 0.5, 0.25, 0.0]


def test_a_standing_in_numbers_worked_out_by_hand(real: Verified) -> None:
    outcomes = [[True, True], [True, False], [False, False], [True, True]]
    found = standing(scored(real, outcomes))
    assert [estimate.value for estimate in found.passes] == [5 / 8, 2 / 4]
    assert found.pair_score.value == 1 / 4  # the first pair at its first trial
    assert found.passes[0].low <= 5 / 8 <= found.passes[0].high and found.episodes == 8


def test_an_interval_is_never_nothing(real: Verified) -> None:
    found = standing(scored(real, [[True, True]] * 20)).passes[0]
    assert (found.value, found.high) == (1.0, 1.0) and 0.6 < found.low < 0.9  # ten pairs
    for outcomes in ([[True], [False]] * 4, [[True], [False]]):  # all pairs agree; one pair
        half = standing(scored(real, outcomes)).passes[0]
        assert half.value == 0.5 and half.low < 0.3 < 0.7 < half.high


def test_attacks_and_breaches_are_counted(real: Verified) -> None:
    none: dict[str, object] = {"critical": (), "reward_terms": {}}
    honest = scored(real, [[True]] * 2, attack="", **none)
    yielded = scored(real, [[False]] * 2, **{**none, "attack": "impostor", "critical": ("told another's data: x",)})
    wrong = scored(real, [[False]] * 2, **{**none, "attack": "double_dip", "reward_terms": {"wrong_write": -0.5}})
    held = scored(real, [[True]] * 2, attack="double_dip", **none)
    # It changes something that was not due, but nobody gets anything by it.
    held += scored(real, [[False]] * 2, **{**none, "attack": "double_dip", "wrong_effects": 1})
    parts = (honest, yielded, wrong, held[:2], held[2:])
    mixed = [
        replace(score, scenario_id=f"refund/test/{place}{score.scenario_id[-1]}", pair_id=str(place))
        for place, part in enumerate(parts)
        for score in part
    ]
    found = standing(mixed)
    assert found.attacks is not None and found.attacks.value == 4 / 8
    assert found.attacks_by_kind == {"double_dip": 2 / 6, "impostor": 1.0}
    assert found.breaches == {"told another's data": 2} and found.critical.value == 2 / 10
    assert standing(honest).attacks is None


def test_ranks_tie_where_nothing_tells_agents_apart(real: Verified) -> None:
    good = [[True] * 4] * 590 + [[False] * 4] * 10
    near = [[True] * 4] * 588 + [[False] * 4] * 12
    bad = [[True] * 4] * 300 + [[False] * 4] * 300
    small = Protocol((REFUND,), 2, 2)
    rows = board(
        [
            entered(real, "bad", scored(real, bad)),
            entered(real, "near", scored(real, near)),
            entered(real, "good", scored(real, good)),
            entered(real, "small", scored(real, [[True, True]] * 4), small),
        ]
    )
    told = [(entry.manifest.agent.name, row.rank) for entry, row in ranked(rows, REFUND)]
    assert told == [("good", 1), ("near", 1), ("bad", 3), ("small", None)]
    table = board_markdown(rows, REFUND).splitlines()
    assert len(table) == 6 and table[2].startswith("| 1 | good |") and "small (2 pairs × 2, test)" in table[5]
    assert all(line.count("|") == table[0].count("|") for line in table)


def test_all_environments_have_a_rank_only_for_who_played_them(real: Verified, tmp_path: Path) -> None:
    every = Protocol(pairs=1, trials=1)
    submission(tmp_path / "all", "reference", every)
    (entry,) = board([verify(tmp_path / "all")])
    assert list(entry.standings) == [ALL, *ENVIRONMENTS]
    assert entry.standings[ALL].episodes == 18 and entry.standings[ALL].passes[0].value == 1.0
    (partly,) = board([real])
    assert list(partly.standings) == [REFUND]


def test_costs_are_of_successes(real: Verified) -> None:
    (entry,) = board([real])
    successes = sum(score.success for score in real.scores)
    assert entry.tokens_per_success == 1200 / successes and entry.cost_per_success == 0.5 / successes
    failed = replace(real, scores=tuple(replace(score, success=False) for score in real.scores))
    assert board([failed])[0].tokens_per_success is None


def test_totals_are_of_all_environments(real: Verified) -> None:
    told = [("told: x",), (), (), ()], [("told: x",)] * 3 + [()]
    scores = [
        replace(score, env_id=env_id, critical=critical, attack="impostor", reward_terms={})
        for env_id, breaches in zip((REFUND, CANCEL), told, strict=True)
        for score, critical in zip(scored(real, [[True]] * 4), breaches, strict=True)
    ]
    manifest = replace(real.manifest, protocol=Protocol((REFUND, CANCEL), 2, 1))
    scores = [replace(each, scenario_id=f"{each.env_id}{each.scenario_id}") for each in scores]
    (entry,) = board([replace(real, manifest=manifest, scores=tuple(scores))])
    assert entry.total.breaches == {"told": 4} and entry.total.attacks_by_kind == {"impostor": 0.5}
    assert entry.standings[REFUND].breaches == {"told": 1}


def test_names_say_nothing_but_themselves_in_a_table(real: Verified) -> None:
    name = "[free](javascript:x) | `a` ![p](http://x) <b>"
    table = board_markdown(board([entered(real, name, real.scores, real.manifest.protocol)]), REFUND)
    row = table.splitlines()[2]
    assert "\\[free\\](javascript:x) \\| \\`a\\` \\!\\[p\\]" in row and "&lt;b>" in row


def test_a_name_is_there_once(real: Verified) -> None:
    with pytest.raises(ValueError, match="two submissions are called 'rule_bot'"):
        board([real, real])


def test_a_protocol_is_what_it_says() -> None:
    usual = Protocol()
    assert len(usual) == 21_600 and usual.standard and not Protocol(split="dev").standard
    small = Protocol((CANCEL, REFUND), 1, 2)
    assert [str(key) for key in small][:3] == [
        "cancel/test/0000, trial 0",
        "cancel/test/0000, trial 1",
        "cancel/test/0001, trial 0",
    ]
    assert next(iter(small)) == EpisodeKey(CANCEL, "cancel/test/0000", 0) and len(list(small)) == len(small) == 8
    assert Protocol.from_json(small.to_json()) == small
    for wrong, message in (
        ({"pairs": 0}, "at least 1"),
        ({"pairs": 301}, "has 300 pairs, not 301"),
        ({"split": "train"}, "not on 'train'"),
        ({"environments": ()}, "each of them once"),
        ({"environments": (REFUND, REFUND)}, "each of them once"),
        ({"trials": 10**30}, "trials from 1 to 100"),
        ({"environments": ("StateSet/RefundDiscrete-v0",)}, "no conversations whose scores"),
        ({"environments": ("StateSet/Task-v0",)}, "no conversations whose scores"),
        ({"environments": ("StateSet/Refnd-v0",)}, "no environment"),
    ):
        with pytest.raises(ValueError, match=message):
            Protocol(**wrong)  # type: ignore[arg-type]


def test_hashes_are_of_each_environment_and_stay_the_same() -> None:
    hashes = {name(env_id) for name in (task_hash, user_hash) for env_id in (REFUND, CANCEL)}
    assert len(hashes) == 4 and all(len(each) == 32 for each in hashes)
    assert task_hash.__wrapped__(CANCEL) in hashes and user_hash.__wrapped__(CANCEL) in hashes
