"""What the customers of a family are worded and read with, loaded once for all its conversations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ss_gym.families import Family, load_family
from ss_gym.scenarios import Scenario
from ss_gym.streams import Stream
from ss_gym.users.persona import Persona
from ss_gym.users.several_wishes import SeveralWishes
from ss_gym.users.understanding import load_understanding
from ss_gym.users.wish import Wish
from ss_gym.users.wording import Wording

Customer = Wish | SeveralWishes
# The customer of a scenario.
Speech = Callable[[Scenario, Persona, Stream], Customer]


def load_speech(family: Family) -> Speech:
    """What makes the customers of a family.

    Raises:
        ValueError: if a file of phrases or a lexicon is broken; names it.
    """
    parts: Mapping[str, object] = getattr(family.rules, "PARTS", {})
    if parts:
        return _speech_of_several(family.name, [load_family(part) for part in parts])
    wording, understanding = Wording.load(family.name), load_understanding(family.policy)

    def one(scenario: Scenario, persona: Persona, stream: Stream) -> Customer:
        return Wish(scenario, wording, understanding, family.inventory, persona, stream)

    return one


def _speech_of_several(name: str, families: list[Family]) -> Speech:
    """What makes customers whose wishes are those of other families."""
    of_family = {
        family.name: (Wording.load(name, over=family.name), load_understanding(family.policy), family.inventory)
        for family in families
    }

    def several(scenario: Scenario, persona: Persona, stream: Stream) -> Customer:
        last = len(scenario.parts) - 1
        wishes = [
            Wish(part, *of_family[part.family], persona, stream, goes_on=place < last)
            for place, part in enumerate(scenario.parts)
        ]
        return SeveralWishes(scenario, wishes)

    return several
