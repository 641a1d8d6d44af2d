"""The desk for everything: what its agent takes a wish for, and when it hears another one."""

from __future__ import annotations

import pytest

from ss_baselines.agents import load_agent
from ss_baselines.agents.plan import plan_of
from ss_baselines.agents.retail import RETAIL_GRAMMAR
from ss_baselines.agents.wishes import another_wish, family_of_wish
from ss_baselines.evaluate import evaluate
from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.families.retail import FAMILIES
from ss_gym.families.splits import load_scenario
from ss_gym.scenarios import parse_scenario_id

ENV = "StateSet/Retail-v0"


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("i want my money back for the desk lamp", "refund"),
        ("can i return it? it came broken", "refund"),
        ("could i swap the shirt for a larger one", "exchange"),
        ("the black handle for the paint set, can i exchange it", "exchange"),
        ("please cancel my order", "cancel"),
        ("where is my parcel", "order_status"),
        ("it never came, refund me", "refund"),
        ("please send it to 12 mill lane instead", "address_change"),
        ("my toaster no longer works and i need a new one", "warranty"),
        ("my bowl has developed a fault", "warranty"),
        ("i want new oned", "warranty"),
        ("cancel my coffee subscription", "subscription"),
        ("i'd like to canecl my order", "cancel"),
        ("hello, it's me", ""),
    ],
)
def test_the_family_of_a_wish_is_told_by_its_words(text: str, family: str) -> None:
    assert family_of_wish(text) == family


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("Thanks. One more thing: where is my mug?", ": where is my mug?"),
        ("Great. I have anohter request. Cancel it.", ". Cancel it."),
        ("I have another request instead. Cancel it.", ". Cancel it."),
        ("I'd like another option.", ""),
        ("Yes, please.", ""),
    ],
)
def test_another_wish_is_what_stands_behind_the_words_that_announce_it(text: str, wish: str) -> None:
    assert another_wish(text) == wish


def test_the_agent_asks_whoever_says_nothing_of_what_they_want() -> None:
    env = CustomerServiceEnvironment("retail")
    _, info = env.reset(options={"opening": "Hello!"})
    conversation = [{"role": "system", "content": info["system_prompt"]}, {"role": "user", "content": "Hello!"}]
    said = load_agent("reference").act([conversation])[0].text
    questions = {start + ask for start in RETAIL_GRAMMAR["ask_wish"][0] for ask in RETAIL_GRAMMAR["ask_wish"][1]}
    assert said in questions


def test_only_the_desk_for_everything_tells_wishes_apart() -> None:
    assert plan_of("retail").wishes is not None
    assert all(plan_of(family).wishes is None for family in FAMILIES)


def test_the_reference_asks_for_the_account_once() -> None:
    found = evaluate("reference", ENV, split="train", episodes=60, keep_messages=True)
    for episode in found.episodes:
        scenario = load_scenario(*parse_scenario_id(episode.scenario_id))
        if len(scenario.parts) > 1:
            verified = [
                each
                for message in episode.messages
                for each in message.get("tool_calls", ())
                if each["function"]["name"] == "verify_identity"
            ]
            assert len(verified) <= 2  # a second time where the first was mistyped
