"""The desk that a scripted agent works at: it speaks, calls tools, and keeps the case up to date.

A dialogue is a generator: it yields an action and is sent the messages that came back, so it
reads from top to bottom as the conversation goes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from ss_baselines.agents.phrasing import Phrasing
from ss_baselines.agents.plan import Plan
from ss_gym.dialogue.case import Case
from ss_gym.dialogue.hearing import Heard, hear
from ss_gym.json_text import encode
from ss_gym.types import Message
from ss_gym.unreliable_tools import NO_ANSWER, OUTAGE

T = TypeVar("T")
Moves = Generator[str, Sequence[Message], T]  # actions out, new messages in, T in the end
# So often a call is made again that an outage kept from an answer: an episode has room for no more.
_MOST_ATTEMPTS = 20


def tool_call(name: str, **arguments: Any) -> str:
    """A call in the action grammar.

    >>> tool_call("get_order", order_id="48213")
    '<tool_call>{"name":"get_order","arguments":{"order_id":"48213"}}</tool_call>'
    """
    return f"<tool_call>{encode({'name': name, 'arguments': arguments})}</tool_call>"


END_CONVERSATION = tool_call("end_conversation")


def thought(*notes: str) -> str:
    """Notes to oneself in the action grammar.

    >>> thought("1 of 2", "2 of 2")
    '<think>1 of 2; 2 of 2</think>'
    """
    return f"<think>{'; '.join(notes)}</think>"


def said(messages: Sequence[Message]) -> str:
    """What the customer says in some messages."""
    return " ".join([message["content"] for message in messages if message["role"] == "user"])


class AnotherWish(Exception):
    """The customer comes up with another wish, which ends the dialogue about the one before.

    Args:
        text: what they say of it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Desk:
    """What the moves of a dialogue share.

    Args:
        case: what is known.
        plan: how the desk works.
        words: puts moves in words.
        key: a number that stands for the conversation, for agents that draw lots.
        takes_notes: whether what is noted is written, before the next action.
        another: finds in a message what opens another wish, at a desk for several.
    """

    __slots__ = ("_another", "_notes", "_takes_notes", "case", "key", "plan", "words")

    def __init__(
        self,
        case: Case,
        plan: Plan,
        words: Phrasing,
        key: int = 0,
        takes_notes: bool = False,
        another: Callable[[str], str] | None = None,
    ) -> None:
        self.case = case
        self.plan = plan
        self.words = words
        self.key = key
        self._takes_notes = takes_notes
        self._another = another
        self._notes: list[str] = []

    def note(self, write: Callable[[], str]) -> None:
        """Keeps what ``write`` gives as a thought that stands before the next action; nobody else sees it."""
        if self._takes_notes and (text := write()):
            self._notes.append(text)

    def say(self, text: str) -> Moves[Heard]:
        """Speaks to the customer; gives what they answer.

        Raises:
            AnotherWish: they have come up with another wish.
        """
        messages = yield self._with_notes(text)
        if self._another is not None and (wish := self._another(said(messages))):
            raise AnotherWish(wish)
        return self.take_in(messages)

    def call(self, *calls: str) -> Moves[list[dict[str, Any]]]:
        """Calls tools in one action; gives their results, an error as ``{"error": ...}``.

        What an outage kept from an answer is called again until it has one: tools do nothing twice.
        """
        messages = yield self._with_notes("".join(calls))
        results = _results(messages)
        for _ in range(_MOST_ATTEMPTS):
            left = [place for place, result in enumerate(results) if result.get("error") in (OUTAGE, NO_ANSWER)]
            if not left:
                break
            messages = yield "".join(calls[place] for place in left)
            for place, result in zip(left, _results(messages), strict=False):
                results[place] = result
        return results

    def _with_notes(self, action: str) -> str:
        notes, self._notes = self._notes, []
        return thought(*notes) + action if notes else action

    def take_in(self, messages: Sequence[Message]) -> Heard:
        """Reads what the customer wrote, and notes the facts in it that were not known."""
        case = self.case
        text = said(messages)
        heard = hear(self.plan.take_details(case, text))
        case.email = heard.email or case.email
        case.postal_code = heard.postal_code or case.postal_code
        case.order_number = heard.order_number or case.order_number
        case.reason = case.reason or self.plan.reason_of(heard)
        case.said += f" {heard.text}"
        case.hurried = case.hurried or heard.hurries
        return heard


def _results(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [json.loads(message["content"]) for message in messages if message["role"] == "tool"]


class DialogueScript:
    """A conversation that follows a dialogue.

    Args:
        dialogue: called with the first messages; gives the moves.
    """

    __slots__ = ("_dialogue", "_moves")

    def __init__(self, dialogue: Callable[[Sequence[Message]], Moves[None]]) -> None:
        self._dialogue = dialogue
        self._moves: Moves[None] | None = None

    def step(self, messages: Sequence[Message]) -> str:
        """The next action; once the dialogue is over, every action ends the conversation."""
        try:
            if self._moves is None:
                self._moves = self._dialogue(messages)
                return next(self._moves)
            return self._moves.send(messages)
        except StopIteration:
            return END_CONVERSATION
