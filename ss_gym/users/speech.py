"""What the customers of a family are worded and read with, loaded once for all its conversations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ss_gym.commerce.joint_rules import parts_of
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
    if parts_of(family.rules):
        return partial(_of_several, family.name)
    wording, understanding = Wording.load(family.name), load_understanding(family.policy)

    def of_one(scenario: Scenario, persona: Persona, stream: Stream) -> Customer:
        return Wish(scenario, wording, understanding, family.inventory, persona, stream)

    return of_one


def _of_several(name: str, scenario: Scenario, persona: Persona, stream: Stream) -> Customer:
    """The customer of a family whose wishes are those of other families; they may have one, or several.

    What a family needs is loaded with its first wish: all of them would take seconds.
    """
    last = len(scenario.parts) - 1
    wishes: list[Wish] = []
    for place, part in enumerate(scenario.parts):
        family = load_family(part.family)
        wording, understanding = Wording.load(name, over=part.family), load_understanding(family.policy)
        wishes.append(Wish(part, wording, understanding, family.inventory, persona, stream, goes_on=place < last))
    return SeveralWishes(scenario, wishes) if last else wishes[0]
