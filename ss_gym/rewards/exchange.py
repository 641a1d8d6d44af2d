"""A reply with what it answers and what the agent could know, and whether it is an answer at all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ss_gym.rewards import lexicon
from ss_gym.rewards.facts import Fact, facts
from ss_gym.rewards.function import Context, Turns
from ss_gym.rewards.prose import QUOTABLE_WORDS, Prose, before, prose, stem
from ss_gym.types import ConversationTurn

_COMMON = frozenset(map(stem, lexicon.COMMON))
_DURATIONS = frozenset(["days", "hours", "minutes", "seconds", "months", "years"])
_MOMENTS = frozenset(["time", "date", "weekday"])
_YES_OR_NO = re.compile(
    r"^(?:yes|no|yep|nope|sure|of course|unfortunately|not yet|it depends|sorry|i'm (?:sorry|afraid))\b"
    r"|\b(?:you|we|i|it|they|that|there|[a-z]+s)"
    r" (?:can|can't|cannot|do|don't|does|doesn't|is|isn't|are|aren't|will|won't|may|has|have)\b"
    r"|\b(?:is|are|isn't|aren't|not) (?:\w+ )?(?:fine|okay|ok|possible|allowed|welcome|included|available|free|"
    r"required|necessary|needed)\b",
    re.IGNORECASE,
)
_POLAR = re.compile(
    r"(?:^|[,;] |\b(?:and|so|or) )(?:can|could|do|does|did|is|are|was|were|will|would|may|should|have|has|am)"
    r" (?:i|you|we|it|they|there|the|my|your|this|that|an?)\b",
    re.IGNORECASE,
)


def _has(pattern: re.Pattern[str]) -> Callable[[Exchange], bool]:
    return lambda exchange: pattern.search(exchange.reply.text) is not None


def _tells(*kinds: str) -> Callable[[Exchange], bool]:
    return lambda exchange: any(fact.kind.startswith(kinds) for fact in exchange.told)


# What a question asks for, and how a reply shows that it has it.
_QUESTIONS: tuple[tuple[re.Pattern[str], Callable[[Exchange], bool]], ...] = (
    (re.compile(r"\b(?:how long|when|what (?:time|day|date)|how soon)\b", re.I), _tells(*_DURATIONS, *_MOMENTS)),
    (re.compile(r"\bhow much\b|\bwhat\b.*\bcosts?\b|\bprice\b", re.I), _tells("money", "percent", "number")),
    (re.compile(r"\bhow many\b", re.I), _tells("number", *_DURATIONS)),
    (re.compile(r"\bwhere\b", re.I), _has(lexicon.PLACE)),
    (re.compile(r"\bwhy\b", re.I), _has(lexicon.REASON)),
    (re.compile(r"\bhow (?:do|can|could|should|to)\b|\bwhat (?:should|can|do) i\b", re.I), _has(lexicon.STEP)),
    (_POLAR, _has(_YES_OR_NO)),
)


@dataclass(frozen=True)
class Exchange:
    """One reply of the agent.

    Attributes:
        reply: what it said.
        request: what the user said last before it.
        heard: all that the user has said.
        sources: what else the agent had: its instructions and what tools gave.
        prompt: its instructions alone.
        deeds: what its tools did, in lower case: calls and results without an error.
        known_success: whether the context says that the task is done.
    """

    reply: Prose
    request: Prose
    heard: tuple[Prose, ...]
    sources: tuple[Prose, ...]
    prompt: tuple[Prose, ...]
    deeds: str
    known_success: bool

    @cached_property
    def told(self) -> frozenset[Fact]:
        """The facts in the reply."""
        return facts(self.reply.text)

    @cached_property
    def given(self) -> frozenset[Fact]:
        """The facts that the agent's sources have."""
        return frozenset().union(*(facts(source.text) for source in self.sources))

    @cached_property
    def on_topic(self) -> frozenset[str]:
        """Stems of the reply that the request or the sources have too, the commonest left out."""
        known = self.request.stems.union(*(source.stems for source in self.sources))
        return (self.reply.stems & known) - _COMMON

    @cached_property
    def new(self) -> frozenset[str]:
        """Stems on topic that are not the user's own words."""
        return self.on_topic - self.request.stems

    @cached_property
    def quality(self) -> float:
        """Whether the reply is an answer at all, 0 to 1: the product of the parts below.

        A weak one can't be made up for by another: manners or length do not help who says nothing.
        """
        parts = (self.soundness, self.substance, self.originality, self.economy, self.truthfulness, self.sincerity)
        product = 1.0
        for part in parts:
            product *= part
        return product

    @property
    def soundness(self) -> float:
        """Sentences, said once."""
        return self.reply.shape * self.reply.novelty**2

    @cached_property
    def substance(self) -> float:
        """Whether it is about the matter and gives what was asked for."""
        if not self.reply.words:
            return 0.0
        content = self.reply.stems - _COMMON
        share = len(self.on_topic) / max(1, len(content))
        # Without sources nobody can tell which new words are on topic; a value at least says something.
        topical = min(1.0, share / 0.4) if self.sources else min(1.0, 0.5 + share + 0.25 * bool(self.told))
        return topical * (0.1 + 0.9 * self.answer)

    @cached_property
    def answer(self) -> float:
        """How much of what was asked for is there, 0 to 1; nothing in a bare refusal or an echo."""
        refuses = lexicon.REFUSAL.search(self.reply.text) is not None
        leads_on = _has(lexicon.STEP)(self)
        if refuses and len(self.new) < 2 and not leads_on:
            return 0.0
        done = len(self._claimed) > len(self.unbacked)
        news = self.new or self.told - facts(self.request.text) or done
        if not news and not self._answers_by_a_word():
            return 0.0
        kept = [has(self) for asks, has in _QUESTIONS if asks.search(self.request.text)]
        if kept:
            typed = 0.4 + 0.6 * sum(kept) / len(kept)
        else:
            typed = 1.0 if news or leads_on else 0.5
        return typed if not refuses else typed * (0.8 + 0.2 * leads_on)

    @cached_property
    def originality(self) -> float:
        """1 unless most of it is copied, from the instructions or the user, beyond what one may quote."""
        count = len(self.reply.words)
        if not count:
            return 1.0
        copied = sum(self.reply.copied_words(source.runs) for source in (*self.prompt, self.request))
        return max(0.0, 1.0 - max(0, copied - QUOTABLE_WORDS) / count) ** 2

    @cached_property
    def economy(self) -> float:
        """1 up to the words that its matter needs, then their share of it."""
        needed = 25 + 12 * max(1, self.request.text.count("?")) + 3 * len(self.on_topic)
        return min(1.0, needed / max(1, len(self.reply.words)))

    @cached_property
    def truthfulness(self) -> float:
        """Less for deeds that no tool did, and for values that are not those of the sources."""
        return 0.2 ** min(2, len(self.unbacked)) * (1.0 - 0.6 * self._ungrounded())

    @cached_property
    def unbacked(self) -> tuple[str, ...]:
        """What it says was done, where no tool did it."""
        if self.known_success:
            return ()
        empty = [deed for deed in self._claimed if not re.search(lexicon.DEEDS[deed], self.deeds)]
        if not self._claimed and not self.deeds and (match := lexicon.ALL_DONE.search(self.reply.text)):
            empty.append(match[0].lower())
        return tuple(empty)

    @cached_property
    def _claimed(self) -> tuple[str, ...]:
        """What it says was done, without what stands under a condition."""
        text = self.reply.text
        return tuple(
            dict.fromkeys(
                match["deed"].lower()
                for match in lexicon.CLAIM.finditer(text)
                if not lexicon.CONDITION.search(before(text, match.start(), ".!?;,"))
            )
        )

    @cached_property
    def sincerity(self) -> float:
        """Less for sentences that only praise the user."""
        sentences = re.split(r"(?<=[.!?])\s+", self.reply.text)
        praise = [sentence for sentence in sentences if lexicon.FLATTERY.search(sentence)]
        return 1.0 - 0.8 * len(praise) / len(sentences) if praise else 1.0

    def _answers_by_a_word(self) -> bool:
        """Whether it says yes or no to a question that asks for it."""
        first = self.reply.words[0] if self.reply.words else ""
        return first in ("yes", "no") and _POLAR.search(self.request.text) is not None

    def _ungrounded(self) -> float:
        """Share of the kinds of its values in which it has none of the sources', though they have some.

        Dates are left out, since the right one is often worked out, and so are numbers without a unit. What the user
        said is no source, but may be denied.
        """
        asked = frozenset().union(*(facts(said.text) for said in self.heard))
        denied = asked if lexicon.NEGATIONS.intersection(self.reply.words) else frozenset()
        kinds = {fact.kind for fact in self.told - denied} & {fact.kind for fact in self.given} - {"number", "date"}
        loose = [kind for kind in kinds if not any(fact.kind == kind for fact in self.told & self.given)]
        return len(loose) / len(kinds) if kinds else 0.0


def exchanges(turns: Turns, context: Context) -> list[Exchange]:
    """Every reply of the agent that the user hears, in order; none for a reply that is a tool call."""
    return list(_exchanges(turns, context or {}))


def _exchanges(turns: Sequence[ConversationTurn], context: Mapping[str, Any]) -> Iterator[Exchange]:
    prompt = tuple(map(prose, _instructions(context)))
    heard: list[Prose] = []
    results: list[Prose] = []
    deeds: list[str] = []
    calls: dict[str, str] = {}
    success = context.get("success") is True
    for turn in turns:
        if turn.role == "user":
            heard.append(prose(turn.content))
        elif turn.role == "tool":
            results.append(prose(turn.content))
            if '"error"' not in turn.content:
                deeds.append(f"{calls.get(turn.tool_call_id, '')} {turn.content}".lower())
        elif turn.tool_calls:
            calls.update({str(call.get("id", "")): _called(call) for call in turn.tool_calls})
        elif turn.role == "assistant":
            request = heard[-1] if heard else prose("")
            sources = (*prompt, *results)
            yield Exchange(prose(turn.content), request, tuple(heard), sources, prompt, "\n".join(deeds), success)


def _instructions(context: Mapping[str, Any]) -> list[str]:
    """The texts of a context that tell the agent what it should know."""
    scenario = context.get("scenario")
    nested = scenario if isinstance(scenario, Mapping) else {}
    texts = [context.get(name) for name in ("system_prompt", "context", "policy")]
    return list(dict.fromkeys(text for text in (*texts, nested.get("context")) if isinstance(text, str) and text))


def _called(call: Mapping[str, Any]) -> str:
    function = call.get("function", call)
    return f"{function.get('name', '')} {json.dumps(function.get('arguments', ''), default=str)}"


def coverage(wanted: Set[str], found: Set[str]) -> float:
    """Weighted share of stems that are found; common ones and very short ones weigh a third. 1 if none is wanted."""
    weights = {word: 1 / 3 if word in _COMMON or len(word) < 3 else 1.0 for word in wanted}
    total = sum(weights.values())
    return sum(weight for word, weight in weights.items() if word in found) / total if total else 1.0
