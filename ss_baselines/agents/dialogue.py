"""Agents whose conversations follow a dialogue over a desk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any
from zlib import crc32

from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import Desk, DialogueScript, Moves
from ss_baselines.agents.identification import ask_reason, identify, locate
from ss_baselines.agents.moves import grounds_in_words, see_off
from ss_baselines.agents.phrasing import Grammar, Phrasing
from ss_baselines.agents.plan import Plan, plan_of
from ss_baselines.agents.scripted import Script, ScriptedAgent
from ss_gym.commerce.prompt import family_of, read_rules
from ss_gym.dialogue.case import Case
from ss_gym.families import load_family
from ss_gym.types import Message

Dialogue = Callable[[Desk], Moves[None]]


class DialogueAgent(ScriptedAgent):
    """Holds the same dialogue with every customer, at the desk that the system prompt is for.

    The words depend on the customer's first message, never on which conversations were held
    before, so that an episode is the same in every order of episodes.

    Args:
        dialogue: the moves, given a desk that has read the first message.
        grammar: the words; those of the desk's plan if None.
        seed: varies the words.
        never_repeats: one walk through the words for all conversations instead, so that no message
            repeats an earlier one.
        takes_notes: whether it writes down what it found before it acts on it.
    """

    def __init__(
        self,
        dialogue: Dialogue,
        grammar: Grammar | None = None,
        seed: int = 0,
        never_repeats: bool = False,
        takes_notes: bool = False,
    ) -> None:
        super().__init__(self._script)
        self._dialogue = dialogue
        self._grammar = grammar
        self._seed = seed
        self._walks: dict[str, Phrasing] | None = {} if never_repeats else None
        self._takes_notes = takes_notes

    def _script(self, system_prompt: str) -> Script:
        family, plan, terms = _read(system_prompt)

        def begin(messages: Sequence[Message]) -> Moves[None]:
            key = opening_key(messages) + self._seed
            desk = Desk(Case(terms, family), plan, self._words(family, plan, key), key, self._takes_notes)
            desk.take_in(messages)
            return self._dialogue(desk)

        return DialogueScript(begin)

    def _words(self, family: str, plan: Plan, key: int) -> Phrasing:
        grammar = self._grammar or plan.grammar
        if self._walks is None:
            return Phrasing(grammar, key)
        if family not in self._walks:
            self._walks[family] = Phrasing(grammar, self._seed)
        return self._walks[family]


@lru_cache(maxsize=1_024)
def _read(system_prompt: str) -> tuple[str, Plan, Any]:
    """Whose policy a prompt holds, how that desk works, and the policy's parameters."""
    family = family_of(system_prompt)
    plan = plan_of(family)
    return family, plan, read_rules(system_prompt, load_family(family).rules)


def serve(desk: Desk, conduct: Conduct) -> Moves[None]:
    """The whole conversation: who, which order, why, and then what they get."""
    case, plan = desk.case, desk.plan
    if conduct.judge is None:
        conduct = replace(conduct, judge=plan.judge)
    if not (yield from identify(desk, conduct)) and conduct.insists_on_identity(case):
        yield from see_off(desk, grounds_in_words(desk, "not_verified", ""))
        return
    yield from locate(desk, conduct)
    if case.order is not None and plan.asks_reason:
        yield from ask_reason(desk)
    yield from plan.settle(desk, conduct)


def opening_key(messages: Sequence[Message]) -> int:
    """A number that depends on the customer's first message alone, the same in every process."""
    return crc32("\n".join([message["content"] for message in messages]).encode("utf-8", "replace"))
