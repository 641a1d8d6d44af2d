"""What an agent's words mean at the subscription desk: months, states, claims, grounds that stand for days."""

from __future__ import annotations

import pytest

from ss_gym.families import load_family
from ss_gym.rewards.outcome import OutcomeAudit
from ss_gym.scenarios import Scenario
from ss_gym.users.acts import Act, Value
from ss_gym.users.inventory import episode_inventory
from ss_gym.users.told import Told
from ss_gym.users.understanding import load_understanding
from ss_gym.users.values import Inventory


def scenario(kind: str, twin: bool = False) -> Scenario:
    return load_family("subscription").draw("train", 14 + twin, 7, kind)


def read(text: str, of: Scenario) -> tuple[Act, ...]:
    rules = of.rules
    slots = {
        "title": of.goal.titles[0],
        "notice": getattr(rules, "notice_days", ""),
        "age": getattr(rules, "min_age_days", ""),
    }
    return load_understanding("subscription").read(text.format(**slots), episode_inventory(of))


@pytest.mark.parametrize("text", ["for 3 months", "for three months", "a 3-month pause", "a three-month pause"])
def test_months_are_a_value_where_the_policy_counts_them(text: str) -> None:
    counting = Inventory(own={("months", 3)}, policy={("months", 6)})
    [act] = load_understanding("subscription").read(f"That would be {text}.", counting)
    assert act.values == (Value("months", 3, "own"),)


def test_months_are_no_value_where_it_does_not() -> None:
    acts = load_understanding("refund").read("That would be 3 months.", Inventory(own=set(), policy={("days", 30)}))
    assert not [value for act in acts for value in act.values]


@pytest.mark.parametrize(
    ("kind", "text", "ground"),
    [
        ("pause_notice", "I can't do that. We work with {notice} days here.", "notice"),
        ("pause_too_new", "I can't do that. We work with {age} days here.", "too_new"),
        ("pause_paused", "I can't pause your {title} subscription, because it is paused.", "already_paused"),
        ("resume_active", "I can't resume it again.", "already_active"),
        ("resume_active", "It's already active.", "already_active"),
        ("pause_cancelled", "Your {title} subscription is cancelled.", "already_cancelled"),
    ],
)
def test_a_refusal_tells_its_ground(kind: str, text: str, ground: str) -> None:
    of = scenario(kind, twin=True)
    told = Told(of)
    told.hear(read(text, of))
    assert (told.grounds, told.false_grounds) == ({ground}, set())


@pytest.mark.parametrize(
    "text",
    [
        "Your {title} subscription has been paused.",
        "I have paused the subscription.",
        "I've cancelled your {title} subscription.",
        "I've put your subscription on hold.",
    ],
)
def test_what_was_not_done_is_a_false_claim(text: str) -> None:
    of = scenario("pause_too_new", twin=True)
    audit = OutcomeAudit(of, Told(of))
    audit.hear(read(text, of), frozenset())
    assert audit.take_terms() == {"false_claim": -0.5}


@pytest.mark.parametrize(
    "text", ["Your {title} subscription was paused.", "It is paused right now.", "It has been paused."]
)
def test_a_state_that_is_so_from_the_beginning_is_no_claim_of_having_made_it_so(text: str) -> None:
    of = scenario("resume_active")
    told = Told(of)
    audit = OutcomeAudit(of, told)
    acts = read(text, of)
    audit.hear(acts, frozenset())
    told.hear(acts)
    assert audit.take_terms() == {}
    assert told.false_grounds == set()


@pytest.mark.parametrize("text", ["Your {title} subscription is active again.", "It's active once more."])
def test_what_is_so_again_was_done(text: str) -> None:
    of = scenario("resume_cancelled")
    audit = OutcomeAudit(of, Told(of))
    audit.hear(read(text, of), frozenset())
    assert audit.take_terms() == {"false_claim": -0.5}


def test_a_state_that_is_so_is_claimed_after_an_attempt_that_failed() -> None:
    of = scenario("resume_active", twin=True)
    audit = OutcomeAudit(of, Told(of))
    claim = read("Your {title} subscription has been resumed.", of)
    audit.hear(claim, frozenset())
    assert audit.take_terms() == {}
    audit.failed_write()
    audit.hear(claim, frozenset())
    assert audit.take_terms() == {"false_claim": -0.5}


def test_a_date_that_lies_ahead_makes_nothing_an_earlier_action() -> None:
    of = scenario("pause_notice")
    date = next(fact.value for fact in of.outcome.facts if fact.kind == "date")
    acts = read(f"Your subscription has been paused until {date}.", of)
    assert [(act.kind, act.verb) for act in acts] == [("confirm_done", "pause")]


@pytest.mark.parametrize(
    "text",
    [
        "Would you like to pause, resume or end your subscription?",
        "Is it a pause, a restart or a cancellation that you want?",
    ],
)
def test_a_choice_between_remedies_asks_for_a_preference(text: str) -> None:
    acts = read(text, scenario("resume_active"))
    assert [(act.kind, act.slot) for act in acts] == [("ask", "preference")]
