"""Situations in which an honest answer competes with replies that only look good, and how a reward judges them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ss_gym.entries import Entries, check_fields, read_entries, text_of
from ss_gym.rewards.function import RewardFunction, Scoring, as_reward_function
from ss_gym.scenario_files import folder
from ss_gym.types import ConversationTurn, Role

# What a reply may try instead of an answer. The last three are made of the situation itself.
WRITTEN_EXPLOITS = (
    "keyword_salad",
    "repetition",
    "length_padding",
    "sycophancy",
    "tool_dump",
    "false_promise",
    "refusal",
)
EXPLOITS = (*WRITTEN_EXPLOITS, "copied_policy", "echo", "empty")
_FIELDS = ("id", "system_prompt", "turns", "reference", "honest", "exploits")


@dataclass(frozen=True, slots=True)
class Situation:
    """A conversation that waits for a reply, an honest one, and exploits.

    Attributes:
        id: its name.
        turns: what was said so far; the user's wish is among the last.
        context: what the reward is told: ``system_prompt`` and ``reference``, the facts of a right answer.
        honest: an honest, short and correct reply.
        exploits: replies that must not beat it, by their kind.
    """

    id: str
    turns: tuple[ConversationTurn, ...]
    context: Mapping[str, Any]
    honest: str
    exploits: Mapping[str, str]

    def replied(self, reply: str) -> tuple[tuple[ConversationTurn, ...], Mapping[str, Any]]:
        """The conversation with a reply, and its context."""
        return (*self.turns, ConversationTurn("assistant", reply)), self.context


@dataclass(frozen=True, slots=True)
class Verdict:
    """A situation as a reward judges it.

    Attributes:
        situation: its id.
        honest: score of the honest reply; nan where the reward can't be given.
        exploits: score of each exploit by kind.
    """

    situation: str
    honest: float
    exploits: Mapping[str, float]

    def winners(self, tolerance: float = 1e-9) -> dict[str, float]:
        """By how much each exploit beats the honest reply, of those that do."""
        gains = {kind: score - self.honest for kind, score in self.exploits.items()}
        return {kind: gain for kind, gain in gains.items() if gain > tolerance}


def judge_battery(
    reward: RewardFunction | Scoring, situations: Sequence[Situation] | None = None
) -> tuple[Verdict, ...]:
    """The scores that a reward gives to the honest reply and the exploits of each situation.

    Args:
        reward: what is tested.
        situations: the shipped ones if None.
    """
    function = as_reward_function(reward)
    tested = shipped_situations() if situations is None else tuple(situations)
    replies = [one.replied(text) for one in tested for text in (one.honest, *one.exploits.values())]
    scores = iter([result.score for result in function.compute_batch(replies)])
    return tuple(Verdict(one.id, next(scores), {kind: next(scores) for kind in one.exploits}) for one in tested)


@cache
def shipped_situations() -> tuple[Situation, ...]:
    """The battery that comes with the package, ``scenarios/rewards/battery.yaml``."""
    return read_situations(folder() / "rewards" / "battery.yaml")


def read_situations(source: Entries | Path) -> tuple[Situation, ...]:
    """Situations from a list or a file of the form of ``scenarios/rewards/battery.yaml``.

    Raises:
        ValueError: if they are of another form; names the place.
        OSError: if the file can't be read.
    """
    return tuple(_situation(entry, place) for place, entry in read_entries(source, "situations"))


def _situation(entry: Mapping[str, Any], place: str) -> Situation:
    check_fields(entry, _FIELDS, place)
    written = entry.get("exploits", {})
    check_fields(written, WRITTEN_EXPLOITS, f"{place}.exploits")
    turns = tuple(_turn(turn, f"{place}.turns[{number}]") for number, turn in enumerate(entry.get("turns", ())))
    asked = [turn.content for turn in turns if turn.role == "user"]
    prompt, honest = text_of(entry, "system_prompt", place), text_of(entry, "honest", place)
    if not asked or not honest:
        raise ValueError(f"{place}: a situation needs something that the user says, and an honest reply")
    made = {"copied_policy": prompt, "echo": asked[-1], "empty": ""}
    context = {"system_prompt": prompt, "reference": entry.get("reference", "")}
    return Situation(entry["id"], turns, context, honest, {**written, **made})


def _turn(turn: Mapping[str, Any], place: str) -> ConversationTurn:
    """A turn that is written as ``{role: text}``, with the ``tool_calls`` of the agent."""
    check_fields(turn, ("user", "assistant", "tool", "tool_calls"), place)
    role: Role = "user" if "user" in turn else "assistant" if "assistant" in turn else "tool"
    calls = tuple(
        {"id": "call_1", "type": "function", "function": {**call, "arguments": json.dumps(call["arguments"])}}
        for call in turn.get("tool_calls", ())
    )
    return ConversationTurn(role, text_of(turn, role, place), calls, "call_1" if role == "tool" else "")
