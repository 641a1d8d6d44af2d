"""Rewards of what was told, compared with what is known to be right, and of the task done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ss_gym.rewards import lexicon
from ss_gym.rewards.exchange import Exchange, coverage, exchanges
from ss_gym.rewards.facts import Fact, facts
from ss_gym.rewards.function import Context, MissingReward, RewardFunction, RewardResult, Turns
from ss_gym.rewards.prose import Prose, prose

# Numbers without a unit count many things, so two of them need not contradict each other.
_LOOSE_KINDS = frozenset(["number", "code", "email", "weekday"])
# What is negated on one side of these need not be on the other.
_CLAUSES = re.compile(r"[.!?](?:\s+|$)|[,;:\n]|\b(?:which|because|but|although|though|so|if|unless)\b", re.IGNORECASE)
_SENTENCES = re.compile(r"[.!?]\s+|\n")
# What stands under a condition is not told.
_CONDITIONS = re.compile(r"\b(?:if|unless|whether)\b[^,.;:!?]*", re.IGNORECASE)


class CorrectnessReward(RewardFunction):
    """How many of the facts of a reference the agent told, in all its replies.

    A reference is a text, or several, each worth the same: ``context["reference"]`` or ``["answer"]``, also
    in ``context["task"]`` or ``["scenario"]``. Its values (amounts, percentages, times, dates,
    durations, numbers, codes, addresses) must all be told, as whole values: 4 is not in 42, and 2 pm is 14:00.
    Another value of the same kind, from nowhere, voids it; one that the instructions have makes it count
    less where it stands in the same sentence, since who names all values tells nothing. Of its
    other words half must be there, and the clause that has most of them must be negated where the
    reference is, and only there. Salad and repetition count less, and so do deeds that no tool did.

    It compares values and words, not meaning: a paraphrase without common words gets too little.

    >>> from ss_gym.types import ConversationTurn
    >>> def score(text):
    ...     turns = [ConversationTurn("user", "Until when?"), ConversationTurn("assistant", text)]
    ...     return round(CorrectnessReward().compute(turns, {"reference": "12 June"}).score, 2)
    >>> score("Until June 12th."), score("Until 21 June."), score("Until 12 June or 21 June.")
    (1.0, 0.0, 0.0)

    Args:
        weight: see ``RewardFunction``.
        name: see ``RewardFunction``.

    Raises:
        MissingReward: when it is computed, if the context has no reference.
    """

    def __init__(self, weight: float = 1.0, name: str = "correctness") -> None:
        super().__init__(self._score, name, weight)

    def _score(self, turns: Turns, context: Context = None) -> float:
        references = references_of(context)
        if not references:
            raise MissingReward("the context has no reference to compare with")
        return told_share(exchanges(turns, context), references)


class TaskCompletionReward(RewardFunction):
    """Whether what the user came for was done.

    Where the environment knows (``context["success"]``), that is the reward, 0 or 1. Else, where the context has a
    reference or an answer, it is what ``CorrectnessReward`` gives, times the quality of the last reply. Else it is a
    guess: the quality of the last reply, halved where the user's last words ask again or complain.

    Args:
        weight: see ``RewardFunction``.
        name: see ``RewardFunction``.
    """

    def __init__(self, weight: float = 1.0, name: str = "task_completion") -> None:
        super().__init__(self._score, name, weight)

    def _score(self, turns: Turns, context: Context = None) -> RewardResult:
        known = (context or {}).get("success")
        if isinstance(known, bool):
            return RewardResult(float(known), {self.name: float(known)})
        replies = exchanges(turns, context)
        quality = replies[-1].quality if replies else 0.0
        references = references_of(context)
        if references:
            quality = min(1.0, 0.5 + quality / 2) * told_share(replies, references) if quality else 0.0
        elif turns and turns[-1].role == "user" and _is_unhappy(turns[-1].content):
            quality *= 0.5
        return RewardResult(quality, {self.name: quality})


def references_of(context: Context) -> tuple[str, ...]:
    """The texts that a right answer holds, from a context; none if it has no reference."""
    places: list[Mapping[str, Any]] = [context or {}]
    places += [nested for name in ("task", "scenario") if isinstance(nested := places[0].get(name), Mapping)]
    for place in places:
        for name in ("reference", "answer"):
            value = place.get(name)
            texts = [value] if isinstance(value, str | int | float) and not isinstance(value, bool) else value or ()
            found = tuple(str(text) for text in texts if str(text).strip()) if isinstance(texts, Iterable) else ()
            if found:
                return found
    return ()


def told_share(replies: Sequence[Exchange], references: Sequence[str]) -> float:
    """Mean over the references of how well the replies tell them, 0 to 1."""
    if not replies:
        return 0.0
    whole = prose("\n".join(reply.reply.text for reply in replies))
    last = replies[-1]
    known = frozenset().union(*map(facts, references))
    honest = 1.0 if not any(reply.unbacked for reply in replies) else 0.2
    sound = whole.novelty * min(reply.reply.shape for reply in replies if reply.reply.words or reply is replies[-1])
    return sound * honest * sum(_told(whole, last, text, known) for text in references) / len(references)


def _told(whole: Prose, last: Exchange, reference: str, known: frozenset[Fact]) -> float:
    """How well a reference is told; ``known`` are the facts of all of them, which contradict none."""
    wanted, told = facts(reference), facts(whole.text)
    if not whole.words or not wanted <= told:
        return 0.0
    allowed = known.union(*(facts(said.text) for said in last.heard))
    allowed |= frozenset().union(*(facts(source.text) for source in last.sources if source not in last.prompt))
    kinds = {fact.kind for fact in wanted} - _LOOSE_KINDS
    others = {fact for fact in told - allowed if fact.kind in kinds}
    if others - last.given:
        return 0.0
    # A value of the instructions is an alternative only where it stands beside the right one.
    beside = [facts(sentence) for sentence in _SENTENCES.split(whole.text)]
    hedged = 1.0 / (1 + max((len(others & near) for near in beside if near & wanted), default=0) / 2)
    words = prose(reference)
    plain = frozenset(word for word in words.stems if not any(letter.isdigit() for letter in word))
    asserted = _CONDITIONS.sub(" ", whole.text)
    covered = min(1.0, 2 * coverage(plain, prose(asserted).stems))
    if plain and _is_negated(reference) != _is_negated(_nearest(asserted, plain)):
        return 0.0
    return hedged * (0.7 + 0.3 * covered) if wanted else covered


def _nearest(text: str, wanted: frozenset[str]) -> str:
    """The clause that has most of the wanted stems; the first of them where several do."""
    return max(_CLAUSES.split(text), key=lambda clause: coverage(wanted, prose(clause).stems))


def _is_negated(clause: str) -> bool:
    return not lexicon.NEGATIONS.isdisjoint(prose(clause).words)


def _is_unhappy(text: str) -> bool:
    return "?" in text or lexicon.UPSET.search(text) is not None
