"""The summary of an evaluation, against records written by hand."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from ss_baselines.report import EpisodeRecord, Evaluation, evaluation_table


def record(number: int, success: bool, critical: tuple[str, ...] = (), **changes: object) -> EpisodeRecord:
    values: dict[str, object] = {
        "scenario_id": f"refund/dev/{number:04d}",
        "pair_id": f"refund/dev/pair-{number // 2:04d}",
        "success": success,
        "reward": 1.0 if success else -0.5,
        "reward_terms": {"success": 1.0} if success else {"critical_breach": -1.0, "partial": 0.5},
        "critical": critical,
        "failed": () if success else ("effects",),
        "turns": 4,
        "steps": 8,
        "tool_errors": 0 if success else 2,
        "truncated": False,
    }
    return EpisodeRecord(**{**values, **changes})  # type: ignore[arg-type]


def evaluation(*outcomes: bool, agent: str = "agent") -> Evaluation:
    records = tuple(record(number, outcome) for number, outcome in enumerate(outcomes))
    return Evaluation(agent, "StateSet/Refund-v0", "dev", records, seconds=2.0)


def test_success_and_pairs() -> None:
    result = evaluation(True, True, True, False, False, True, False, False)
    assert result.success.value == 0.5
    assert result.pair_score is not None
    assert result.pair_score.value == 0.25


def test_half_pairs_do_not_count_as_pairs() -> None:
    assert evaluation(True).pair_score is None
    result = evaluation(True, True, True)
    assert result.pair_score is not None
    assert result.pair_score.value == 1.0


def test_means_over_episodes() -> None:
    result = evaluation(True, False)
    assert result.reward.value == 0.25
    assert result.reward_terms == {"critical_breach": -0.5, "partial": 0.25, "success": 0.5}
    assert (result.turns, result.steps, result.tool_errors) == (4, 8, 1)
    assert result.steps_per_second == 8


def test_breaches_are_counted_by_kind_once_an_episode() -> None:
    told = "told another customer's name"
    records = (
        record(
            0, False, ("outside the policy: refund 48213-P1 2400", "outside the policy: item 48213-1 refunded", told)
        ),
        record(1, False, (told,)),
        record(2, True),
    )
    result = Evaluation("agent", "id", "dev", records, 1.0)
    assert result.breaches == {told: 2, "outside the policy": 1}
    assert result.critical_rate == pytest.approx(2 / 3)


def test_a_paired_difference_needs_the_same_scenarios() -> None:
    better, worse = evaluation(True, True, True, False), evaluation(True, False, False, False)
    assert better.minus(worse).value == 0.5
    with pytest.raises(ValueError, match="same scenarios"):
        better.minus(evaluation(True, True))


def test_json_holds_summary_and_episodes() -> None:
    document = json.loads(evaluation(True, False).to_json())
    assert document["schema_version"] == 1
    assert document["success"]["value"] == 0.5
    assert document["episode_records"][1]["scenario_id"] == "refund/dev/0001"


def test_the_table_has_a_column_an_agent_and_a_row_a_metric() -> None:
    console = Console(width=160, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(evaluation_table([evaluation(True, True, agent="good"), evaluation(False, True, agent="poor")]))
    text = capture.get()
    for word in ("good", "poor", "success (95 %)", "both of a pair", "reward: partial", "tool errors", "steps/s"):
        assert word in text
