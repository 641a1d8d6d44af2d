"""What an agent means counts, not how it writes: the reference agent's messages, reworded, in every family."""

from __future__ import annotations

from functools import cache

import pytest

from ss_baselines.agents import load_agent
from ss_baselines.evaluate import evaluate
from ss_gym.families import FAMILIES
from ss_gym.families.splits import load_scenario
from ss_gym.scenarios import Outcome, parse_scenario_id
from ss_gym.streams import Stream
from ss_gym.users.understanding import load_understanding
from ss_gym.users.values import Inventory
from tests.adversary import rewording
from tests.adversary.rewording import Reworded, Rewording

FEW, MANY = 24, 60  # episodes
SIZES = [FEW, pytest.param(MANY, marks=pytest.mark.slow)]
SAME = ("bold_amounts", "bullets", "headings", "lower_case", "upper_case", "typographic", "grave")
NEARLY = ("reordered", "small_talk", "other_values")


@cache
def solved(family: str, name: str, episodes: int) -> dict[str, bool]:
    """Scenario -> whether it was solved."""
    if name == "denied":
        change = rewording.denied(family, [load_scenario(family, "train", index) for index in range(episodes)])
    else:
        change = getattr(rewording, name)
    env_id = f"StateSet/{family.title().replace('_', '')}-v0"
    agent = Reworded(load_agent("reference"), change)
    played = evaluate(agent, env_id, split="train", episodes=episodes, name=name).episodes
    return {episode.scenario_id: bool(episode.success) for episode in played}


def outcome(scenario_id: str) -> Outcome:
    return load_scenario(*parse_scenario_id(scenario_id)).outcome


@pytest.mark.parametrize("episodes", SIZES)
@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("family", FAMILIES)
def test_markdown_case_and_typography_change_nothing(family: str, name: str, episodes: int) -> None:
    assert [scenario for scenario, success in solved(family, name, episodes).items() if not success] == []


@pytest.mark.parametrize("episodes", SIZES)
@pytest.mark.parametrize("name", NEARLY)
@pytest.mark.parametrize("family", FAMILIES)
def test_order_and_distraction_change_next_to_nothing(family: str, name: str, episodes: int) -> None:
    found = solved(family, name, episodes)
    assert sum(found.values()) >= 0.97 * len(found), [scenario for scenario, success in found.items() if not success]


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_earned_by_saying_that_it_will_not_and_has_not_been_done(family: str) -> None:
    due = {
        scenario: success
        for scenario, success in solved(family, "denied", MANY).items()
        if any(effect[0] != "ticket" for effect in outcome(scenario).effects)
    }
    if not due:
        pytest.skip("nothing is ever due in this family")
    assert len(due) >= 10
    assert [scenario for scenario, success in due.items() if success] == []


TEXT = 'It\'s $24.00 for the rug. Your bag was a "final" sale. That is final. Shall I refund it by e-mail - yes?'


@pytest.mark.parametrize("name", [*SAME, *NEARLY, "negated"])
def test_a_rewording_rewords(name: str) -> None:
    change: Rewording = getattr(rewording, name)
    assert any(change(TEXT, Stream("test", number)) != TEXT for number in range(10))


def test_what_leans_on_a_sentence_stays_behind_it() -> None:
    orders = {rewording.reordered(TEXT, Stream("test", number)) for number in range(20)}
    assert orders == {
        TEXT,
        'Your bag was a "final" sale. That is final. It\'s $24.00 for the rug. Shall I refund it by e-mail - yes?',
    }


def test_tool_calls_are_left_alone() -> None:
    class Caller:
        def act(self, conversations):
            from ss_gym.types import Completion

            return [Completion("<tool_call>{}</tool_call>") for _ in conversations]

    assert Reworded(Caller(), rewording.upper_case).act([[]])[0].text == "<tool_call>{}</tool_call>"


NEGATED = (
    "I will not refund $24.00. Shall I go ahead?",
    "I would not refund $24.00 for it to PayPal. Do you agree?",
    "I can not pay back $24.00. Is that all right with you?",
    "You would not get a refund of $24.00 to PayPal. May I go ahead?",
    "I can't give you store credit of $24.00. Would you like that?",
)


@pytest.mark.parametrize("text", NEGATED)
def test_what_is_refused_is_not_proposed_by_the_question_after_it(text: str) -> None:
    acts = load_understanding("refund").read(text, Inventory({("money", 2400)}, (), ()))
    assert not [act for act in acts if act.kind in ("propose", "offer")]
    assert [act for act in acts if act.kind == "refuse"]


def test_another_amount_than_the_refused_one_is_proposed() -> None:
    text = "I can't refund the fee of $3.00. It would be $21.00. Shall I go ahead?"
    acts = load_understanding("refund").read(text, Inventory({("money", 2100), ("money", 300)}, (), ()))
    (proposal,) = [act for act in acts if act.kind == "propose"]
    assert [value.value for value in proposal.values] == [2100]
