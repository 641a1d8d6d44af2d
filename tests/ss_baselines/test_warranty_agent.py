"""The reference agent of the warranty desk hears why an item failed, and the answer to an offer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ss_baselines.agents.phrasing import count_sentences
from ss_baselines.agents.warranty import takes_repair
from ss_baselines.agents.warranty_grammar import WARRANTY_GRAMMAR
from ss_gym.dialogue.hearing import hear
from ss_gym.dialogue.wishes import why_it_failed
from ss_gym.streams import Stream
from ss_gym.users.acts import CustomerAct
from ss_gym.users.persona import draw_persona
from ss_gym.users.wording import Wording

MEANT = {
    "defective": "defect",
    "stopped_working": "defect",
    "unusable": "defect",
    "accident": "accident",
    "worn": "worn",
}


def said(act: CustomerAct, count: int = 400) -> Iterator[str]:
    """An act in the words of many customers, half of them in those of the test split, without typing errors."""
    wording = Wording.load("warranty")
    for number in range(count):
        split = ("train", "test")[number % 2]
        stream = Stream("words", act.kind, number)
        yield wording.say([act], stream, draw_persona(Stream("who", number), split).without_noise(), split)


@pytest.mark.parametrize("reason", MEANT)
def test_a_reason_is_heard_or_asked_for_again_but_never_mistaken(reason: str) -> None:
    act = CustomerAct("give_reason", {"reason": reason})
    heard = [why_it_failed(hear(text)) for text in said(act)]
    assert set(heard) <= {MEANT[reason], ""}
    assert heard.count("") <= 0.1 * len(heard)


@pytest.mark.parametrize("reason", MEANT)
def test_a_reason_that_is_asked_for_again_is_always_heard(reason: str) -> None:
    act = CustomerAct("plain_reason", {"reason": reason, "item": "table lamp"})
    assert {why_it_failed(hear(text)) for text in said(act)} == {MEANT[reason]}


@pytest.mark.parametrize("title", ["felt slippers", "jump rope", "rain coat", "tennis racket", "coffee grinder"])
def test_the_name_of_an_item_is_no_reason(title: str) -> None:
    assert why_it_failed(hear(f"I'd like a replacement for the {title}, please")) == ""


@pytest.mark.parametrize(("kind", "answer"), [("accept", True), ("decline", False), ("push_back", None)])
def test_the_answer_to_an_offered_repair_is_heard(kind: str, answer: bool | None) -> None:
    heard = [takes_repair(hear(text)) for text in said(CustomerAct(kind, {"remedy": "repair"}))]
    assert set(heard) <= {answer, None}
    assert heard.count(answer) >= 0.95 * len(heard)


def test_the_agent_has_hundreds_of_ways_to_say_what_it_says() -> None:
    for move in WARRANTY_GRAMMAR:
        if move.startswith(("propose", "offer", "refuse", "repl", "repai")):
            assert count_sentences(WARRANTY_GRAMMAR, move) >= 150, move
