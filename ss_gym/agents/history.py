"""Conversations that are longer than a model's context: what of them is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from ss_gym.agents.conversation import Conversation
from ss_gym.types import Message


def trimmed(conversation: Conversation, fits: Callable[[Conversation], bool]) -> Conversation:
    """A conversation without its oldest parts, as few of them as let it fit.

    The system message stays, and the last exchange does: what the user said last, and what came of it. Exchanges
    before it go as wholes, so that no result stands without its call. Where the last one alone is too long, the
    oldest rounds of calls and results in it go, but for the last round.

    Args:
        conversation: ends with a user or tool message; it is not changed.
        fits: whether a conversation is short enough.

    Returns:
        The conversation itself if it fits; else a new one, in which the agent's messages keep the completions that
        they came from. It is the shortest that there is where none fits.
    """
    if fits(conversation):
        return conversation
    start = int(conversation[0]["role"] == "system")
    exchanges = _parted(conversation, range(start, len(conversation)), "user")
    head, kept = list(range(start)), exchanges
    last = _parted(conversation, exchanges[-1], "assistant")
    shorter = [[*head, *chain(*kept[drop:])] for drop in range(1, len(kept))]
    # The rounds of the last exchange; what the user said comes before them.
    asked, rounds = (last[0], last[1:]) if conversation[last[0][0]]["role"] != "assistant" else ([], last)
    shorter += [[*head, *asked, *chain(*rounds[drop:])] for drop in range(1, len(rounds))]
    return _first(conversation, shorter, fits)


def _first(
    conversation: Conversation, shorter: Sequence[Sequence[int]], fits: Callable[[Conversation], bool]
) -> Conversation:
    """The longest of some choices of messages, each shorter than the one before, that fits; else the last."""
    low, high = 0, len(shorter) - 1
    if high < 0:
        return conversation
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(_chosen(conversation, shorter[middle])) else (middle + 1, high)
    return _chosen(conversation, shorter[low])


def _chosen(conversation: Conversation, places: Sequence[int]) -> Conversation:
    chosen = Conversation([conversation[place] for place in places], conversation.tools)
    chosen.completions = {
        new: conversation.completions[old] for new, old in enumerate(places) if old in conversation.completions
    }
    return chosen


def _parted(messages: Sequence[Message], places: Sequence[int], role: str) -> list[list[int]]:
    """Places in parts, each of which begins where a message of a role follows one that is not of it."""
    parts: list[list[int]] = []
    for place in places:
        begins = messages[place]["role"] == role and (not parts or messages[place - 1]["role"] != role)
        if begins or not parts:
            parts.append([])
        parts[-1].append(place)
    return parts
