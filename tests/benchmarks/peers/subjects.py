"""What is set side by side: which class measures it, in whose environment, and what its steps do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_HERE = "tests.benchmarks.peers"


class Entry(NamedTuple):
    """One row.

    Attributes:
        name: how the tables call it.
        target: the class that measures it, as ``module:class``.
        arguments: what that class takes.
        package: whose environment it runs in, by the name of its list in ``versions/``; ours if empty.
        step: what one step does, read from the installed source.
    """

    name: str
    target: str
    package: str
    step: str
    arguments: tuple[str, ...] = ()


_FAMILY_STEP = (
    "reads the reply; runs its tool calls on an SQLite database, or understands the words and lets a customer "
    "with a goal answer in words of their own; at the end compares the database and what was said with the policy. "
    "A reset draws a customer, a shop and a wish."
)

OTHERS = (
    Entry(
        "StateSet/Conversation-v0",
        f"{_HERE}.ours:Conversation",
        "",
        "appends the reply and gives the next line of a list. No database, no tools, no goal; no reward function here.",
    ),
    Entry(
        "textarena SimpleNegotiation-v0",
        f"{_HERE}.text_arena:Negotiation",
        "textarena",
        "one action of either of two scripted players: reads the observation (all that the game has said so far, "
        "as one text), parses an offer, moves goods between two inventories. Nobody is simulated.",
    ),
    Entry(
        "gem-llm GuessTheNumber-v0-hard",
        f"{_HERE}.gem_llm:Guessing",
        "gem-llm",
        "finds a number in the reply and compares it with one that was drawn. Nobody is simulated.",
    ),
    Entry(
        "skyrl-gym text2sql",
        f"{_HERE}.skyrl:Database",
        "skyrl-gym",
        "starts a thread that opens an SQLite file, runs one query and rolls it back; lays the rows out as a table "
        "(pandas). At the end both queries run and their rows are compared. Nobody is simulated.",
    ),
    Entry(
        "stateset-agents ConversationEnvironment",
        f"{_HERE}.stateset:Conversation",
        "stateset-agents",
        "appends the reply and gives the next line of a list; a reward by the reply's length. "
        "No database, no tools, no goal; no reward function here.",
    ),
    Entry(
        "stateset-agents RefundEnvironment",
        f"{_HERE}.stateset:Refund",
        "stateset-agents",
        "parses one JSON action (look up, refund, deny, finish), checks it against one order in a mapping, "
        "answers in JSON. Nobody is simulated and nothing is said.",
    ),
)


def entries(env_ids: Sequence[str]) -> list[Entry]:
    """Rows of ours for these ids, then all others."""
    ours = [Entry(env_id, f"{_HERE}.ours:Family", "", _FAMILY_STEP, (env_id,)) for env_id in env_ids]
    return [*ours, *OTHERS]
