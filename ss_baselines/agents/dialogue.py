"""Agents whose conversations follow a dialogue over a desk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any
from zlib import crc32

from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import AnotherWish, Desk, DialogueScript, Moves, said
from ss_baselines.agents.identification import ask_reason, identify, locate
from ss_baselines.agents.moves import MOST_REPEATS, grounds_in_words, see_off
from ss_baselines.agents.phrasing import Grammar, Phrasing
from ss_baselines.agents.plan import Plan, WishReader, plan_of
from ss_baselines.agents.scripted import Script, ScriptedAgent
from ss_gym.commerce.joint_rules import part_of
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
        grammar: the words, or a function that gives those for the desk of a family; those of its plan if None.
        seed: varies the words.
        never_repeats: one walk through the words for all conversations instead, so that no message
            repeats an earlier one.
        takes_notes: whether it writes down what it found before it acts on it.
    """

    def __init__(
        self,
        dialogue: Dialogue,
        grammar: Grammar | Callable[[str], Grammar] | None = None,
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
            if plan.wishes is not None:
                return self._serve_wishes(family, plan, plan.wishes, terms, key, messages)
            desk = Desk(Case(terms, family), plan, self._words(family, plan, key), key, self._takes_notes)
            desk.take_in(messages)
            return self._dialogue(desk)

        return DialogueScript(begin)

    def _serve_wishes(
        self, joint: str, plan: Plan, reader: WishReader, terms: Any, key: int, messages: Sequence[Message]
    ) -> Moves[None]:
        """Holds the dialogue about each wish at the desk of its family, and knows who the customer is from then on."""
        text, ask, known = said(messages), self._words(joint, plan, key), Case(terms)
        while True:
            family = reader.family(text.lower())
            if not family:
                answer = yield ask("ask_wish")
                text = f"{text} {said(answer)}"
                family = reader.family(text.lower()) or reader.usual
            own = plan_of(family)
            case = Case(part_of(terms, family), family, "", known.email, known.postal_code)
            case.customer_id = known.customer_id
            words = self._words(family, own, key)
            desk = Desk(case, own, words, key, self._takes_notes, reader.another)
            desk.take_in(({"role": "user", "content": text},))
            try:
                yield from self._dialogue(desk)
                for _ in range(MOST_REPEATS):  # whoever is still there may have more on their mind
                    yield from desk.say(ask("ask_more"))
                return
            except AnotherWish as wish:
                text, known = wish.text, case

    def _words(self, family: str, plan: Plan, key: int) -> Phrasing:
        own = self._grammar
        grammar = own(family) if callable(own) else own or plan.grammar
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
