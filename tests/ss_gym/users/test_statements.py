"""What a customer who only wants to know something has been told: dates with what they are the dates of."""

from __future__ import annotations

import pytest

from ss_gym.families import load_family
from ss_gym.scenarios import Fact, Scenario
from ss_gym.users.inventory import episode_inventory
from ss_gym.users.told import Told
from ss_gym.users.understanding import load_understanding

FAMILY = load_family("order_status")
UNDERSTANDING = load_understanding("order_status")


def drawn(kind: str, twin: bool = False, seed: int = 3) -> Scenario:
    return FAMILY.draw("train", 2 * seed + twin, seed, kind)


def dates(scenario: Scenario) -> dict[str, str]:
    """The true dates of the order in question, by what they are the dates of."""
    return {fact.about: str(fact.value) for fact in (*scenario.outcome.known, *scenario.outcome.facts)}


def heard(scenario: Scenario, *messages: str) -> Told:
    told, inventory = Told(scenario), episode_inventory(scenario)
    for message in messages:
        told.hear(UNDERSTANDING.read(message.format(**dates(scenario)), inventory))
    return told


PROCESSING, ON_TIME, LATE = drawn("stuck"), drawn("late"), drawn("late", twin=True)
ARRIVED = drawn("delivered", twin=True)

TRUE = [
    (PROCESSING, "It hasn't been shipped yet; it will go out by {shipping} at the latest."),
    (PROCESSING, "You ordered it on {placed}, and we ship it no later than {shipping}."),
    (PROCESSING, "The order from {placed} is still being packed. The latest shipping day is {shipping}."),
    (PROCESSING, "I can't promise when it will be delivered, but it leaves us by {shipping}."),
    (ON_TIME, "It was shipped on {shipped} and should arrive on {delivery}."),
    (ON_TIME, "It is on its way. Expected delivery: {delivery}."),
    (ON_TIME, "It was ordered on {placed}, left our warehouse on {shipped}, and you should have it by {delivery}."),
    (ON_TIME, "It's not late: the expected date is {delivery}."),
    (ON_TIME, "{delivery}."),
    (LATE, "It should have arrived on {delivery}, so it is overdue."),
    (LATE, "I'm sorry, it has not arrived by {delivery} as planned."),
    (LATE, "It was due on {delivery} but is delayed."),
    (ARRIVED, "It was delivered on {delivered}."),
    (ARRIVED, "It was expected on {delivery} and arrived on {delivered}."),
    (ARRIVED, "On {delivered} the courier handed it over."),
]


@pytest.mark.parametrize("scenario, message", TRUE, ids=[message for _, message in TRUE])
def test_a_true_statement_tells_the_fact(scenario: Scenario, message: str) -> None:
    told = heard(scenario, message)
    assert told.false_statements() == []
    assert [fact for fact in told.missing_facts() if fact.kind == "date"] == []


FALSE = [
    (PROCESSING, "It will arrive on {shipping}.", "delivery"),
    (PROCESSING, "It was shipped on {placed}.", "shipped"),
    (PROCESSING, "Your order has been shipped.", "shipped"),
    (ON_TIME, "It was delivered on {delivery}.", "delivered"),
    (ON_TIME, "It is expected on {shipped}.", "delivery"),
    (ON_TIME, "It arrives on 2031-07-07.", "delivery"),
    (ON_TIME, "It is late: it was expected on {delivery}.", "late"),
    (ARRIVED, "It will be shipped by {delivered}.", "shipping"),
    (ON_TIME, "It ships no later than {delivery}.", "shipping"),
]


@pytest.mark.parametrize("scenario, message, about", FALSE, ids=[message for _, message, _ in FALSE])
def test_a_false_statement_is_found_and_is_not_mended_by_a_true_one(
    scenario: Scenario, message: str, about: str
) -> None:
    [fact] = [fact for fact in scenario.outcome.facts if fact.kind == "date"]
    right = {"shipping": "It ships by", "delivery": "It is expected on", "delivered": "It was delivered on"}
    told = heard(scenario, message, f"{right[fact.about]} {fact.value}.")
    assert told.missing_facts() == []
    assert {said.partition(" ")[0] for said in told.false_statements()} == {about}


NOTHING = [
    (ON_TIME, "{placed}, {shipped}, {delivery}."),
    (ON_TIME, "{placed}. {shipped}. {delivery}."),
    (PROCESSING, "{shipping}."),  # the day on which it comes, for all that the customer can tell
    (ON_TIME, "It will not arrive on {delivery}."),
    (ON_TIME, "It is on its way."),
]


@pytest.mark.parametrize("scenario, message", NOTHING, ids=str)
def test_a_list_of_dates_or_a_denial_tells_nothing(scenario: Scenario, message: str) -> None:
    told = heard(scenario, message)
    assert told.missing_facts() == list(scenario.outcome.facts)
    assert told.false_statements() == []


def test_dates_one_after_another_tell_nothing() -> None:
    told = heard(ON_TIME, "{placed}.", "{shipped}.", "{delivery}.")
    assert told.missing_facts() == list(ON_TIME.outcome.facts)


def test_dates_of_another_order_are_neither_told_nor_false() -> None:
    scenario = drawn("unknown_number")
    [other] = [order for order in scenario.world.orders if order[0] != scenario.goal.true_order_id]
    told = heard(scenario, f"Your order {other[0]} was delivered on {other[2]}.")
    assert told.false_statements() == [] and told.missing_facts()


def test_a_customer_who_wants_a_remedy_is_told_dates_as_ever() -> None:
    scenario = load_family("refund").draw("train", 7, 3, "not_delivered")
    [fact] = scenario.outcome.facts
    told, inventory = Told(scenario), episode_inventory(scenario)
    assert told.statements is None and isinstance(fact, Fact)
    told.hear(load_understanding("refund").read(f"It is expected on {fact.value}.", inventory))
    assert told.missing_facts() == []


TODAYS = ("It ships no later than {today}.", "It was shipped, and it is expected on {today}.", "It arrived on {today}.")


@pytest.mark.parametrize("message", TODAYS)
def test_that_a_day_is_today_does_not_make_it_the_date_of_anything(message: str) -> None:
    scenario = drawn("stuck", twin=True)
    assert heard(scenario, message.format(today=scenario.today)).false_statements()
    stated = f"As of {scenario.today}, it has not been shipped. Today is {scenario.today}."
    assert heard(scenario, stated).false_statements() == []


@pytest.mark.parametrize("kind", ["missing_order", "foreign_order", "unverified"])
def test_of_an_order_that_may_not_be_told_of_every_date_is_made_up(kind: str) -> None:
    scenario = drawn(kind, twin=True)
    assert heard(scenario, "The order was shipped, and it is expected on 2031-07-07.").false_statements()
    assert heard(scenario, "I can't find that order. Is it the one that was placed last week?").false_statements() == []


def test_a_day_that_is_none_of_the_order_is_false_even_if_it_is_not_said_of_what() -> None:
    for message in ("That was on 2031-07-07.", "You said that I should look, because it arrived on 2031-07-07."):
        assert heard(ON_TIME, message).false_statements()
    assert heard(ON_TIME, "That was on {shipped}.").false_statements() == []
