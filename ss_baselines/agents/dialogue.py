"""Agents whose conversations follow a dialogue over a desk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from zlib import crc32

from ss_baselines.agents.case import Case, Terms
from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import Desk, DialogueScript, Moves
from ss_baselines.agents.identification import ask_reason, identify, locate
from ss_baselines.agents.phrasing import Grammar, Phrasing
from ss_baselines.agents.scripted import Script, ScriptedAgent
from ss_baselines.agents.settlement import grounds_in_words, see_off, settle
from ss_gym.types import Message

Dialogue = Callable[[Desk], Moves[None]]

read_terms = lru_cache(maxsize=1_024)(Terms.from_prompt)


class DialogueAgent(ScriptedAgent):
    """Holds the same dialogue with every customer.

    The words depend on the customer's first message, never on which conversations were held
    before, so that an episode is the same in every order of episodes.

    Args:
        dialogue: the moves, given a desk that has read the first message.
        grammar: the words.
        seed: varies the words.
        phrasing: one walk through the words for all conversations instead, so that no message
            repeats an earlier one.
        takes_notes: whether it writes down what it found before it acts on it.
    """

    def __init__(
        self,
        dialogue: Dialogue,
        grammar: Grammar,
        seed: int = 0,
        phrasing: Phrasing | None = None,
        takes_notes: bool = False,
    ) -> None:
        super().__init__(self._script)
        self._dialogue = dialogue
        self._grammar = grammar
        self._seed = seed
        self._phrasing = phrasing
        self._takes_notes = takes_notes

    def _script(self, system_prompt: str) -> Script:
        terms = read_terms(system_prompt)

        def begin(messages: Sequence[Message]) -> Moves[None]:
            key = opening_key(messages) + self._seed
            desk = Desk(Case(terms), self._phrasing or Phrasing(self._grammar, key), key, self._takes_notes)
            desk.take_in(messages)
            return self._dialogue(desk)

        return DialogueScript(begin)


def serve(desk: Desk, conduct: Conduct) -> Moves[None]:
    """The whole conversation: who, which order, why, and then what they get."""
    case = desk.case
    if not (yield from identify(desk, conduct)) and conduct.insists_on_identity(case):
        yield from see_off(desk, grounds_in_words(desk, "not_verified", ""))
        return
    yield from locate(desk, conduct)
    if case.order is not None:
        yield from ask_reason(desk)
    yield from settle(desk, conduct)


def opening_key(messages: Sequence[Message]) -> int:
    """A number that depends on the customer's first message alone, the same in every process."""
    return crc32("\n".join([message["content"] for message in messages]).encode("utf-8", "replace"))
