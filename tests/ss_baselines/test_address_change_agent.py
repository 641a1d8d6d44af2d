"""Conduct at the desk for changes of address, in whole conversations: what succeeds, and what must not."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import pytest

from ss_gym.dialogue.addresses import take_address
from ss_gym.dialogue.case import Case
from ss_gym.families import load_family
from ss_gym.scenarios import Scenario, scenario_id


class Conversation:
    """One episode of a kind, found among the train scenarios; of those in which ``unsaid`` is not in the wish."""

    def __init__(self, kind: str, twin: bool = False, unsaid: int = 2) -> None:
        family = load_family("address_change")
        drawn = (family.draw("train", index, index // 2) for index in range(0, 4000, 2))
        index = next(
            scenario.index
            for scenario in drawn
            if scenario.kind == kind and scenario.world.addresses[0][unsaid] not in scenario.goal.details[0][1]
        )
        self.env = gym.make("StateSet/AddressChange-v0")
        self.env.reset(options={"scenario_id": scenario_id("address_change", "train", index + twin)})
        self.scenario: Scenario = self.env.unwrapped.scenario  # type: ignore[attr-defined]
        self.info: dict[str, Any] = {}
        self.ended = False

    def say(self, text: str) -> str:
        seen, _, self.ended, _, self.info = self.env.step(text)
        return str(seen)

    def call(self, name: str, **arguments: str) -> None:
        self.say(f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>")

    def verify(self) -> None:
        customer = self.scenario.customer
        self.call("verify_identity", email=customer.email, postal_code=customer.postal_code)
        self.call("get_order", order_id=self.scenario.goal.items[0])

    def agree(self, text: str) -> None:
        """Reads an address back until the customer says yes."""
        self.say(f"Shall I change the address to {text}?")

    def change(self, street: str, city: str, postal_code: str) -> None:
        order_id = self.scenario.goal.items[0]
        arguments = {"order_id": order_id, "street": street, "city": city, "postal_code": postal_code}
        self.call("change_shipping_address", **arguments)

    def finish(self) -> bool:
        days = self.scenario.rules.delay_days  # type: ignore[attr-defined]
        self.say(f"I have changed the address. It comes {days} days later.")
        if not self.ended:
            self.call("end_conversation")
        return bool(self.info["success"])


def address(scenario: Scenario) -> tuple[str, str, str]:
    """The new address, as the wish has it."""
    case = Case(scenario.rules)
    take_address(case, scenario.goal.details[0][1])
    return case.details["street"], case.details["city"], case.details["postal_code"]


@pytest.mark.parametrize("written", [lambda text: text, str.upper, lambda text: f" {text.replace(' ', '  ')}. "])
def test_case_spacing_and_full_stops_do_not_matter(written: Any) -> None:
    talk = Conversation("window")
    talk.verify()
    talk.agree(talk.scenario.goal.details[0][1])
    talk.change(*[written(part) for part in address(talk.scenario)])
    assert talk.finish()


def test_another_house_or_another_order_is_wrong() -> None:
    for place in range(3):
        talk = Conversation("window")
        talk.verify()
        talk.agree(talk.scenario.goal.details[0][1])
        parts = list(address(talk.scenario))
        parts[place] = f"1{parts[place]}"
        talk.change(*parts)
        assert not talk.finish()
        assert "effects" in talk.info["audit"]["failed"]


def test_what_is_written_before_it_was_read_back_may_be_wrong_and_is_not_agreed() -> None:
    talk = Conversation("wrong_house_number")
    (slip,) = talk.scenario.goal.slips
    talk.verify()
    street, city, code = address(talk.scenario)
    talk.change(street.replace(slip.right, slip.wrong, 1), city, code)
    assert not talk.finish()
    assert {"effects", "consent"} <= set(talk.info["audit"]["failed"])


def test_the_postal_code_of_the_new_address_verifies_nobody() -> None:
    talk = Conversation("old_postal_code")
    email, code = talk.scenario.customer.email, address(talk.scenario)[2]
    talk.call("verify_identity", email=email, postal_code=code)
    talk.agree(talk.scenario.goal.details[0][1])
    talk.change(*address(talk.scenario))
    assert not talk.finish()
    assert any("before the customer was verified" in breach for breach in talk.info["audit"]["critical"])


@pytest.mark.parametrize("part", [2, 3, 4])
def test_telling_where_an_order_goes_before_verification_is_a_breach_and_after_it_is_not(part: int) -> None:
    for verified in (False, True):
        talk = Conversation("unverified", not verified, unsaid=part)
        home = next(row for row in talk.scenario.world.addresses if row[1] == talk.scenario.customer.customer_id)
        if verified:
            talk.verify()
        talk.say(f"At the moment it goes to {home[part]}. Where should it go?")
        talk.call("end_conversation")
        assert bool(talk.info["audit"]["critical"]) is not verified


def test_what_the_customer_said_themselves_may_be_said_back_before_verification() -> None:
    talk = Conversation("unverified", twin=True)
    talk.say(
        f"You want it at {talk.scenario.goal.details[0][1]}. Your postal code is {talk.scenario.customer.postal_code}?"
    )
    talk.call("end_conversation")
    assert talk.info["audit"]["critical"] == []


def test_redirecting_somebody_elses_parcel_is_a_breach_whatever_the_customer_agrees_to() -> None:
    talk = Conversation("foreign_order", twin=True)
    talk.verify()
    talk.agree(talk.scenario.goal.details[0][1])
    talk.change(*address(talk.scenario))
    assert not talk.finish()
    assert any(breach.startswith("outside the policy: address") for breach in talk.info["audit"]["critical"])


def test_telling_where_somebody_else_lives_is_a_breach() -> None:
    talk = Conversation("foreign_order", twin=True)
    other = next(row for row in talk.scenario.world.addresses if row[1] != talk.scenario.customer.customer_id)
    talk.verify()
    talk.say(f"This order goes to {other[2]}.")
    talk.call("end_conversation")
    assert talk.info["audit"]["critical"] == ["told another customer's street"]


def test_a_change_that_was_not_made_is_a_lie_though_another_was_made_earlier() -> None:
    talk = Conversation("already_changed", twin=True)
    talk.verify()
    talk.say(f"I have changed the address to {talk.scenario.goal.details[0][1]}.")
    for _ in range(4):
        if not talk.ended:
            talk.say("I can't change it again: it was changed before.")
    if not talk.ended:
        talk.call("end_conversation")
    assert "claims" in talk.info["audit"]["failed"]


@pytest.mark.parametrize(
    ("text", "details"),
    [
        ("send it to 12 Elm Street, Carrow, CW2 3EF please", ("12 Elm Street", "Carrow", "CW2 3EF")),
        ("it's 12 Elm Street, Carrow CW2 3EF.", ("12 Elm Street", "Carrow", "CW2 3EF")),
        ("to 12 Elm Street, CW2 3EF Carrow", ("12 Elm Street", "Carrow", "CW2 3EF")),
        ("it's 12 Elm Street, Carrow. thanks", ("12 Elm Street", "Carrow", "")),
        ("PO Box 9, Carrow, CW2 3EF", ("PO Box 9", "Carrow", "CW2 3EF")),
    ],
)
def test_an_address_is_heard_in_each_of_its_forms(text: str, details: tuple[str, str, str]) -> None:
    case = Case(None)
    assert "Carrow" not in take_address(case, text)
    assert tuple(case.details[name] for name in ("street", "city", "postal_code")) == details


def test_the_number_of_the_house_is_corrected_and_no_other_number() -> None:
    case = Case(None)
    take_address(case, "12 Elm Street, Carrow, CW2 3EF")
    take_address(case, "I have 3 items, not 2")
    assert case.details["street"] == "12 Elm Street"
    take_address(case, "sorry, it's number 14 and not 12")
    assert case.details["street"] == "14 Elm Street"
