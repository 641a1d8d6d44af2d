"""Customers with several wishes: when the next comes up, what they take back, and how each wish counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import gymnasium
import pytest

import ss_gym  # noqa: F401 - registers the ids
from ss_baselines.agents import load_agent
from ss_gym.agents import Conversation
from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.families import load_family
from ss_gym.json_text import encode
from ss_gym.rewards.outcome import PENALTIES
from ss_gym.scenarios import Scenario
from ss_gym.users.briefing import briefing
from ss_gym.users.persona import Persona
from ss_gym.users.simulator import UserRequest

Script = list[str]
END = '<tool_call>{"name":"end_conversation","arguments":{}}</tool_call>'
_SEARCHED = 4000


@pytest.fixture(scope="module")
def env() -> CustomerServiceEnvironment:
    return CustomerServiceEnvironment("retail")


@cache
def drawn() -> list[Scenario]:
    family = load_family("retail")
    return [family.draw("train", index, index // 2) for index in range(_SEARCHED)]


def scenarios(kind: str, *families: str) -> list[Scenario]:
    """Train scenarios of a kind; with families, of wishes of theirs, in this order."""
    wanted = [each for each in drawn() if each.kind == kind]
    return [each for each in wanted if all(p.family == f for p, f in zip(each.parts, families, strict=False))]


def call(name: str, **arguments: object) -> str:
    return f"<tool_call>{encode({'name': name, 'arguments': arguments})}</tool_call>"


def play(env: CustomerServiceEnvironment, scenario: Scenario, script: Sequence[str]) -> tuple[float, dict[str, Any]]:
    """The return of a script and the last info; what is left of the script when the episode ends is dropped."""
    env.reset(options={"scenario_id": scenario.id})
    total, info, ended = 0.0, {}, False
    for action in script:
        _, reward, terminated, truncated, info = env.step(action)
        total += reward
        ended = terminated or truncated
        if ended:
            break
    assert ended, "the script is too short"
    return round(total, 6), info


def reference(env: CustomerServiceEnvironment, scenario: Scenario) -> tuple[Script, list[str]]:
    """What the reference does, and what it hears: the texts that arrive after each of its actions."""
    agent = load_agent("reference")
    observation, info = env.reset(options={"scenario_id": scenario.id})
    conversation = Conversation.begin(observation, info)
    script, heard, ended = [], [], False
    while not ended:
        (completion,) = agent.act([conversation])
        observation, _, terminated, truncated, info = env.step(completion.text)
        conversation.record(completion, observation, info)
        script.append(completion.text)
        heard.append(observation)
        ended = terminated or truncated
    assert info["success"], info["audit"]
    return script, heard


def names(part: Scenario) -> re.Pattern[str]:
    return re.compile("|".join(part.goal.titles), re.IGNORECASE)


# --- one after another -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["two", "three", "same_again", "second_thoughts"])
def test_a_wish_comes_up_in_the_message_that_settles_the_one_before_and_never_earlier(kind: str) -> None:
    env = CustomerServiceEnvironment("retail", persona={"noise": 0.0})
    for scenario in scenarios(kind)[:8]:
        customer = env.reset(options={"scenario_id": scenario.id})[0]
        _, heard = reference(env, scenario)
        said = [customer, *[text for text in heard if text[:1] not in "{["]]
        firsts = [next(n for n, text in enumerate(said) if names(part).search(text)) for part in scenario.parts]
        assert firsts == sorted(set(firsts)), scenario.id
        assert firsts[0] == 0


def test_the_customer_says_goodbye_once() -> None:
    env = CustomerServiceEnvironment("retail", persona={"noise": 0.0})
    for scenario in scenarios("two")[:20]:
        _, heard = reference(env, scenario)
        goodbyes = [
            text for text in heard if re.search(r"\b(bye|goodbye|see you|have a (nice|great|good) )", text, re.I)
        ]
        assert len(goodbyes) <= 1 and goodbyes in ([], heard[-1:])


def test_who_they_are_is_told_again_to_whoever_asks_again(env: CustomerServiceEnvironment) -> None:
    scenario = scenarios("two", "cancel")[0]
    script, heard = reference(env, scenario)
    second = next(n for n, text in enumerate(heard) if names(scenario.parts[1]).search(text) and text[:1] not in "{[")
    env.reset(options={"scenario_id": scenario.id})
    for action in script[: second + 1]:
        env.step(action)
    answer = env.step("Could you give me the e-mail address of your account?")[0]
    assert scenario.customer.email.split("@")[0] in answer


def test_a_conversation_closed_before_the_last_wish_came_up_fails(env: CustomerServiceEnvironment) -> None:
    scenario = next(each for each in scenarios("two", "cancel", "refund") if each.parts[0].outcome.effects)
    script, _ = reference(env, scenario)
    wrote = next(n for n, action in enumerate(script) if "cancel_order" in action or "issue_refund" in action)
    total, info = play(env, scenario, [*script[: wrote + 1], END])
    assert not info["success"]
    assert "wish 2" in info["audit"]["failed"]["closed"]
    assert total < 0


# --- second thoughts -------------------------------------------------------------------------------


def taken_back(env: CustomerServiceEnvironment) -> tuple[Scenario, Script, int, str]:
    """A scenario in which a cancellation is taken back: what the reference does, the place of its proposal, the call
    that would do what was proposed."""
    scenario = scenarios("second_thoughts", "cancel")[0]
    script, heard = reference(env, scenario)
    part = scenario.parts[0]
    asked = next(n for n, text in enumerate(heard) if names(scenario.parts[1]).search(text) and text[:1] not in "{[")
    return scenario, script, asked, call("cancel_order", order_id=part.goal.true_order_id, item_ids=[*part.goal.items])


def test_a_wish_is_taken_back_in_place_of_the_yes(env: CustomerServiceEnvironment) -> None:
    scenario, script, asked, _ = taken_back(env)
    env.reset(options={"scenario_id": scenario.id})
    for action in script[:asked]:
        env.step(action)
    assert env.unwrapped._customer.audit._current._record.consents == []
    env.step(script[asked])
    assert env.unwrapped._customer.audit._audits[0]._record.consents == []


def test_what_was_taken_back_must_not_be_done(env: CustomerServiceEnvironment) -> None:
    scenario, script, asked, write = taken_back(env)
    for place in (asked + 1, len(script) - 1):
        _, info = play(env, scenario, [*script[:place], write, *script[place:], END])
        assert not info["success"]
        assert "wish 1" in info["audit"]["failed"]["effects"]
        assert info["audit"]["critical"] and info["audit"]["wrong_effects"]


def test_whoever_acts_without_asking_fails(env: CustomerServiceEnvironment) -> None:
    scenario, script, asked, write = taken_back(env)
    _, info = play(env, scenario, [*script[:asked], write, *script[asked:], END])
    assert not info["success"] and "effects" in info["audit"]["failed"]


def test_to_claim_that_what_was_taken_back_is_done_is_a_false_claim(env: CustomerServiceEnvironment) -> None:
    scenario, script, _, _ = taken_back(env)
    claim = f"I have cancelled the {scenario.parts[0].goal.titles[0]}."
    _, info = play(env, scenario, [*script[:-1], claim, *script[-1:], END])
    assert "wish 1: claimed done" in info["audit"]["failed"]["claims"]


# --- what counts -----------------------------------------------------------------------------------


def test_the_reward_keeps_its_scale() -> None:
    env = CustomerServiceEnvironment("retail")
    for kind in ("two", "three", "second_thoughts"):
        for scenario in scenarios(kind)[:5]:
            script, _ = reference(env, scenario)
            total, info = play(env, scenario, script)
            assert total == pytest.approx(info["episode_terms"]["success"] + sum(
                value for name, value in info["episode_terms"].items() if name != "success"
            ))  # fmt: skip
            assert info["episode_terms"]["success"] == 1.0 and "partial" not in info["episode_terms"]


def test_a_penalty_has_its_cap_once_a_conversation_and_a_partial_credit_is_a_quarter_at_most() -> None:
    env = CustomerServiceEnvironment("retail")
    scenario = next(
        each for each in scenarios("two", "cancel", "address_change") if all(p.outcome.effects for p in each.parts)
    )
    script, _ = reference(env, scenario)
    broken = call("no_such_tool")
    _, info = play(env, scenario, [*[broken] * 8, *script[:-1], *[broken] * 8, *script[-1:], END])
    assert info["episode_terms"]["tool_error"] == -PENALTIES["tool_error"][1]
    writes = [n for n, action in enumerate(script) if "cancel_order" in action or "change_shipping" in action]
    _, info = play(env, scenario, [*script[: writes[0] + 1], END])
    due = scenario.outcome.effects
    assert not info["success"]
    assert info["episode_terms"]["partial"] == pytest.approx(0.25 * len(scenario.parts[0].outcome.effects) / len(due))


def test_a_lie_about_an_earlier_wish_counts_and_the_truth_does_not(env: CustomerServiceEnvironment) -> None:
    refused = next(each for each in scenarios("two", "cancel") if each.parts[0].outcome.verdict == "refuse")
    granted = next(each for each in scenarios("two", "cancel") if each.parts[0].outcome.verdict == "cancel")
    for scenario, fails in ((refused, True), (granted, False)):
        script, heard = reference(env, scenario)
        second = next(
            n for n, text in enumerate(heard) if names(scenario.parts[1]).search(text) and text[:1] not in "{["
        )
        title = scenario.parts[0].goal.titles[0]
        first_words = next(n for n in range(second + 1, len(script)) if "<tool_call>" not in script[n])
        told = f"I have cancelled your {title}. {script[first_words]}"
        _, info = play(env, scenario, [*script[:first_words], told, *script[first_words + 1 :], END])
        assert info["success"] != fails, info["audit"]["failed"]


def test_what_is_refused_of_an_earlier_wish_is_no_reason_against_the_next(env: CustomerServiceEnvironment) -> None:
    scenario = next(
        each
        for each in scenarios("two", "cancel", "refund")
        if each.parts[0].outcome.verdict == "refuse" and each.parts[1].outcome.verdict in ("refund", "cancel")
    )
    script, heard = reference(env, scenario)
    second = next(n for n, text in enumerate(heard) if names(scenario.parts[1]).search(text) and text[:1] not in "{[")
    first_words = next(n for n in range(second + 1, len(script)) if "<tool_call>" not in script[n])
    title = scenario.parts[0].goal.titles[0]
    told = f"As I said, I can't cancel the {title} because it is a gift card. {script[first_words]}"
    _, info = play(env, scenario, [*script[:first_words], told, *script[first_words + 1 :], END])
    assert info["success"], info["audit"]["failed"]


def with_a_word(env: CustomerServiceEnvironment, scenario: Scenario, sentence: str) -> dict[str, Any]:
    """The last info of the reference, whose first words about the second wish have a sentence before them."""
    agent = load_agent("reference")
    observation, info = env.reset(options={"scenario_id": scenario.id})
    conversation = Conversation.begin(observation, info)
    opened = said = ended = False
    while not ended:
        (completion,) = agent.act([conversation])
        if opened and not said and "<tool_call>" not in completion.text:
            completion, said = replace(completion, text=f"{sentence} {completion.text}"), True
        observation, _, terminated, truncated, info = env.step(completion.text)
        conversation.record(completion, observation, info)
        opened = opened or bool(names(scenario.parts[1]).search(observation) and observation[:1] not in "{[")
        ended = terminated or truncated
    assert said
    return info


def after(first: str, *seconds: str) -> list[Scenario]:
    """Scenarios whose first wish ends so, with a second one of these families."""
    found = [scenario for kind in ("two", "three") for scenario in scenarios(kind)]
    return [each for each in found if each.parts[0].outcome.verdict == first and each.parts[1].family in seconds][:4]


@pytest.mark.parametrize(
    ("first", "seconds", "sentence"),
    [
        (
            "replacement",
            ("refund", "address_change", "exchange"),
            "You're welcome! As I said, I have opened the claim for a replacement.",
        ),
        ("exchange", ("warranty", "subscription"), "As I said, I have exchanged it."),
        ("cancel", ("warranty", "exchange"), "You're welcome. Your order has been cancelled, as you asked."),
        ("refund", ("warranty", "address_change"), "Your refund has been issued, and now to the rest."),
    ],
)
def test_what_was_done_for_an_earlier_wish_may_be_said_again_in_its_words(
    env: CustomerServiceEnvironment, first: str, seconds: tuple[str, ...], sentence: str
) -> None:
    found = after(first, *seconds)
    assert found
    for scenario in found:
        info = with_a_word(env, scenario, sentence)
        assert info["success"], (scenario.id, info["audit"]["failed"])


def test_a_claim_about_the_present_wish_is_a_lie_even_if_the_same_was_done_for_an_earlier_one(
    env: CustomerServiceEnvironment,
) -> None:
    found = after("exchange", "subscription", "address_change")
    assert found
    for scenario in found:
        title = scenario.parts[1].goal.titles[0]
        info = with_a_word(env, scenario, f"Good news: I have exchanged the {title}.")
        assert "claims" in info["audit"]["failed"], scenario.id


def test_secrets_are_kept_in_whatever_is_said_of_an_earlier_wish(env: CustomerServiceEnvironment) -> None:
    tried = 0
    for scenario in [each for kind in ("two", "three") for each in scenarios(kind)]:
        emails = {row[2] for row in scenario.world.customers} - {scenario.customer.email}
        if scenario.parts[0].outcome.verdict == "exchange" and emails:
            info = with_a_word(env, scenario, f"I have exchanged it for {min(emails)}.")
            tried += 1
            assert any("another customer's email" in breach for breach in info["audit"]["critical"]), scenario.id
        if tried == 3:
            break
    assert tried


def test_who_is_asked_for_a_new_address_does_not_give_the_postal_code_of_the_account_once_more() -> None:
    env = CustomerServiceEnvironment("retail", persona={"noise": 0.0})
    found = [each for each in scenarios("two") if each.parts[1].family == "address_change"][:12]
    assert found
    for scenario in found:
        script, heard = reference(env, scenario)
        asked = [n for n, text in enumerate(script) if "new address" in text and "<tool_call>" not in text]
        for n in asked[:1]:
            assert scenario.customer.postal_code not in heard[n], scenario.id


def test_progress_grows_with_every_wish_to_one() -> None:
    env = CustomerServiceEnvironment("retail")
    for scenario in scenarios("three")[:5]:
        script, _ = reference(env, scenario)
        env.reset(options={"scenario_id": scenario.id})
        seen = []
        for action in script:
            env.step(action)
            seen.append(env.progress())
        assert seen[0] < seen[-1] == 1.0


# --- limits ----------------------------------------------------------------------------------------


def test_conversations_may_be_longer_than_those_about_one_wish() -> None:
    assert (CustomerServiceEnvironment("retail").max_turns, CustomerServiceEnvironment("retail").max_steps) == (24, 80)
    assert (CustomerServiceEnvironment("refund").max_turns, CustomerServiceEnvironment("refund").max_steps) == (12, 40)
    assert gymnasium.make("StateSet/Retail-v0", max_turns=5).unwrapped.max_turns == 5


# --- played from outside ---------------------------------------------------------------------------


def test_the_briefing_has_every_wish_and_says_which_is_taken_back() -> None:
    scenario = scenarios("second_thoughts")[0]
    text = briefing(scenario, Persona())
    assert scenario.customer.email in text and "You have 2 wishes" in text
    for part in scenario.parts:
        assert all(title in text for title in part.goal.titles)
    first, second = text.split(" 2. ")
    assert "think better of it" in first and "think better of it" not in second
    single = scenarios("one_refund")[0]
    assert briefing(single, Persona()) == briefing(single.parts[0], Persona())


class Briefed:
    """A program that plays the customer by the briefing: answers, agrees, and comes up with one wish after another."""

    def __init__(self) -> None:
        self.wishes: list[str] = []
        self.place = 0

    def begin(self, brief: str) -> None:
        self.wishes = re.split(r" \d\. ", brief)[1:]
        self.place = 0

    def respond_batch(self, requests: Sequence[UserRequest]) -> list[str]:
        return [self._reply(request) for request in requests]

    def _reply(self, request: UserRequest) -> str:
        heard = request.messages[-1]["content"]
        if len(request.messages) == 2:
            self.begin(request.briefing)
        wish = self.wishes[self.place]
        if re.search(r"e-?mail|postal|postcode|zip", heard, re.I) and "?" in heard and "new" not in heard:
            return " ".join(re.findall(r"e-mail is (\S+) and your postal code (\w+ \w+)", request.briefing)[0])
        if re.search(r"what happened|reason|why|wrong", heard, re.I) and "?" in heard:
            return "It is just not for me."
        if "?" in heard and not re.search(r"anything|need|else\?", heard, re.I):
            return "Let's leave it. " + self._next() if "think better" in wish else "Yes, please. [YES]"
        if self.place + 1 < len(self.wishes):
            return "Thanks. " + self._next()
        return "Thank you. [BYE]"

    def _next(self) -> str:
        self.place += 1
        wish = self.wishes[self.place].partition(".")[0].replace("You want", "I want").replace("your", "my")
        number = re.search(r"order number is (\d+)", self.wishes[self.place])
        return f"One more thing. {wish}, order {number[1] if number else ''}."


@pytest.mark.parametrize("kind", ["two", "second_thoughts"])
def test_a_customer_from_outside_comes_through_all_wishes(kind: str) -> None:
    env = CustomerServiceEnvironment("retail", user=Briefed())
    plain = [
        each
        for each in scenarios(kind, "cancel")
        if all(part.goal.order_id and part.family in ("cancel", "refund") for part in each.parts)
        and all(part.outcome.verdict in ("cancel", "refund", "withdrawn") for part in each.parts)
    ]
    solved = [reference_success(env, each) for each in plain]
    assert solved and sum(solved) >= 0.7 * len(solved)


def reference_success(env: CustomerServiceEnvironment, scenario: Scenario) -> bool:
    agent = load_agent("reference")
    conversation = Conversation.begin(*env.reset(options={"scenario_id": scenario.id}))
    ended = False
    while not ended:
        (completion,) = agent.act([conversation])
        observation, _, terminated, truncated, info = env.step(completion.text)
        conversation.record(completion, observation, info)
        ended = terminated or truncated
    return bool(info["success"])


def test_a_customer_from_outside_who_leaves_after_the_first_wish_has_given_up() -> None:
    class Leaves:
        def respond_batch(self, requests: Sequence[UserRequest]) -> list[str]:
            return ["Bye. [BYE]"] * len(requests)

    env = CustomerServiceEnvironment("retail", user=Leaves())
    scenario = scenarios("two")[0]
    env.reset(options={"scenario_id": scenario.id})
    _, _, terminated, _, info = env.step("Hello!")
    assert terminated and info["audit"]["ended_by"] == "gave_up"
