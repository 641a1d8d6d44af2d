"""The subscription desk: what its agent hears, finds and decides."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from ss_baselines.agents.phrasing import count_sentences
from ss_baselines.agents.subscription import judge
from ss_baselines.agents.subscription_grammar import SUBSCRIPTION_GRAMMAR
from ss_baselines.evaluate import evaluate
from ss_gym.dialogue.case import Case, Line, Order
from ss_gym.dialogue.hearing import hear
from ss_gym.dialogue.wishes import change_of_subscription, months_of

ENV = "StateSet/Subscription-v0"
TERMS = SimpleNamespace(
    notice_days=5, min_age_days=60, max_pause_months=4, early_fee_percent=25, transfer_limit_cents=5_000
)
FACTS = {"days_to_charge": 6, "days_since_start": 60, "committed_months_left": 0, "early_fee": "0.00"}


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("Please pause my subscription for two months", "pause"),
        ("can you put it on hold?", "pause"),
        ("I don't want to end it, just a pause", "pause"),
        ("I paused my coffee and want to resume it", "resume"),
        ("could you get it going again?", "resume"),
        ("please end the pause", "resume"),
        ("I want to cancel my subscription", "unsubscribe"),
        ("please unsubscribe me", "unsubscribe"),
        ("stop it, please", "unsubscribe"),
        ("it's about my subscription", ""),
        ("I'd recommend it to a friend", ""),
    ],
)
def test_the_wish_is_heard(text: str, wish: str) -> None:
    assert change_of_subscription(hear(text)) == wish


def test_the_months_are_heard_in_digits_and_in_words() -> None:
    assert [months_of(said) for said in ("for 2 months", "let's say eleven months", "soon")] == [2, 11, 0]


def case(wish: str, status: str = "active", **facts: object) -> Case:
    line = Line("70001", "herbal tea", 1150, "", False, status)
    order = Order("70001", "C1", status, (line,), (), facts={**FACTS, **facts})
    return Case(TERMS, "subscription", reason=wish, order=order, wanted=(line,))


@pytest.mark.parametrize(
    ("of", "ground"),
    [
        (case("pause", "cancelled"), "already_cancelled"),
        (case("pause", "paused"), "already_paused"),
        (case("resume"), "already_active"),
        (case("pause", days_to_charge=5), "notice"),
        (case("unsubscribe", days_to_charge=1), "notice"),
        (case("pause", days_since_start=59), "too_new"),
        (replace(case("pause"), order=None), "not_found"),
    ],
)
def test_what_stands_against_a_wish(of: Case, ground: str) -> None:
    assert judge(of).ground == ground


@pytest.mark.parametrize(
    ("of", "remedy", "reason"),
    [
        (case("pause"), "pause", "in_time"),
        (case("resume", "paused", days_to_charge=1), "resume", "changed_mind"),
        (case("unsubscribe"), "unsubscribe", "in_time"),
        (case("unsubscribe", committed_months_left=1), "unsubscribe", "early"),
    ],
)
def test_what_is_granted(of: Case, remedy: str, reason: str) -> None:
    [verdict] = judge(of).verdicts
    assert (verdict.remedy, verdict.reason) == (remedy, reason)


def test_the_moves_of_the_desk_have_many_sentences() -> None:
    own = [move for move in SUBSCRIPTION_GRAMMAR if move.startswith(("propose_", "done_", "refuse_"))]
    assert min(count_sentences(SUBSCRIPTION_GRAMMAR, move) for move in own) >= 128


def test_the_reference_agent_solves_them_from_the_compact_prompt_too() -> None:
    assert evaluate("reference", ENV, "dev", pairs=20, env_kwargs={"prompt": "compact"}).success.value == 1
