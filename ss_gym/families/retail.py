"""The Retail family: a desk for whatever customers want, with one wish or several, and changes of mind.

Each wish is a scenario of another family, with the kinds, the policy and the right end that it has there; all of them
are of the same customer, on the same day, in one world. The twin of a scenario has one fact of one wish otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, combinations
from typing import cast

from ss_gym.commerce.back_end import CommerceBackEnd
from ss_gym.commerce.catalogue import load_catalogue
from ss_gym.commerce.draft import people
from ss_gym.commerce.joint_rules import join_rules, joined_rules
from ss_gym.commerce.records import World
from ss_gym.commerce.toolkit import offered
from ss_gym.families import load_family
from ss_gym.families.cases import Kind, UnsuitableCase, lives_elsewhere
from ss_gym.families.generator import Generator, Setting
from ss_gym.families.joint_scenarios import joined_goal, joined_outcome, together, withdrawn
from ss_gym.families.parameters import read_parameters
from ss_gym.scenarios import Scenario, scenario_id
from ss_gym.streams import Stream
from ss_gym.users.inventory import episode_inventory
from ss_gym.users.values import Inventory

NAME = "retail"
FAMILIES = ("refund", "exchange", "cancel", "order_status", "address_change", "warranty", "subscription")
# Two of these can be wished for in one conversation; a second new address might lie where the first is not served.
_TWICE = ("refund", "exchange", "cancel", "order_status", "warranty", "subscription")
# A question is not taken back.
_TAKEN_BACK = tuple(name for name in FAMILIES if name != "order_status")
_NOTHING_DUE = frozenset(("refuse", "transfer", "inform"))
_TURNS_TO_IDENTIFY = 2
_MOST_DRAWS = 60

RetailRules = join_rules("RetailRules", __name__, {name: load_family(name).rules for name in FAMILIES})

Choice = tuple[str, Kind]  # a family and one of its kinds of case


@dataclass(frozen=True, slots=True)
class Plan:
    """The wishes of a scenario before they are drawn.

    Attributes:
        wishes: the family and the kind of each.
        flipped: the place of that which the twin has otherwise.
        withdrawn: the place of that which is taken back; -1 if none is.
    """

    wishes: tuple[Choice, ...]
    flipped: int = 0
    withdrawn: int = -1


class Retail:
    """Draws the scenarios of the family.

    Attributes:
        name, policy: what it is called.
        rules: the class of its rules, which holds those of all families.
        tools: the tools that the agent has, by name.
        max_turns, max_steps: how long its conversations may be.
    """

    name = policy = NAME
    rules = RetailRules
    max_turns = 24
    max_steps = 80

    def __init__(self) -> None:
        self._desks = {name: cast(Generator, load_family(name)) for name in FAMILIES}
        self._plans: dict[str, Callable[[Stream], Plan]] = {f"one_{name}": self._one(name) for name in FAMILIES}
        self._plans |= {"two": self._several(2), "three": self._several(3)}
        self._plans |= {"same_again": self._same_again, "second_thoughts": self._second_thoughts}
        parameters = read_parameters(NAME, {}, list(self._plans))
        self.tools = offered(parameters.tools, parameters.transfers)
        self._today = parameters.today
        self._names = tuple(self._plans)
        self._cumulative = tuple(accumulate(parameters.kinds[name] for name in self._names))

    def open(self, split: str) -> CommerceBackEnd:
        """A new database of a split's shop, with the tools of all families."""
        return CommerceBackEnd(split, NAME, self.tools)

    def inventory(self, scenario: Scenario) -> Inventory:
        """The typed values that an agent may meet in a scenario, by whose they are."""
        return episode_inventory(scenario)

    def draw(self, split: str, index: int, seed: int, kind: str | None = None) -> Scenario:
        """The scenario ``index`` of a split, drawn from the pair's seed; see ``Generator.draw``.

        Raises:
            RuntimeError: no draw gave a suitable pair: a fault in the family's data.
        """
        reasons = []
        for attempt in range(_MOST_DRAWS):
            stream = Stream(NAME, split, seed, attempt)
            chosen = kind or stream.weighted(self._names, self._cumulative)
            try:
                return self._draw(split, index, seed, attempt, chosen, self._plans[chosen](stream))
            except UnsuitableCase as reason:
                reasons.append(f"{chosen}: {reason}")
        tried = "; ".join(reasons)
        raise RuntimeError(f"{NAME}/{split} seed {seed}: no suitable case in {_MOST_DRAWS} draws ({tried})")

    def _draw(self, split: str, index: int, seed: int, attempt: int, kind: str, plan: Plan) -> Scenario:
        _check_credit(plan)
        stream = Stream(NAME, split, seed, attempt, "world")
        rules = {name: desk.draw_rules(split, stream) for name, desk in self._desks.items()}
        today, customer = stream.between(*self._today[split]), stream.choice(people(split))
        number = scenario_id(NAME, split, index)

        def part(place: int, member: int) -> Scenario:
            """One wish, as it is in the first of the pair or in the twin."""
            family, own = plan.wishes[place]
            setting = Setting((attempt, place), today, customer, rules[family], number)
            return self._desks[family].draw_part(split, index - index % 2 + member, seed, own, setting)

        if len(plan.wishes) == 1:
            parts = [part(0, index % 2)]
        else:
            parts = [part(place, 0) for place in range(len(plan.wishes))]
            _check_apart(parts)
        _check_quotes(split, plan.wishes, parts)
        if plan.withdrawn >= 0:
            if parts[plan.withdrawn].outcome.grounds:
                raise UnsuitableCase("what is taken back is refused in part")
            parts[plan.withdrawn] = withdrawn(parts[plan.withdrawn])
        if index % 2 and len(parts) > 1:
            parts[plan.flipped] = part(plan.flipped, 1)
        parts = together(index, parts)
        return Scenario(
            id=number,
            family=NAME,
            split=split,
            index=index,
            kind=kind,
            today=parts[0].today,
            rules=joined_rules(RetailRules, rules),
            world=parts[0].world,
            customer=parts[0].customer,
            goal=joined_goal(parts),
            outcome=joined_outcome(parts),
            wording_seed=seed,
            # Who the customer is needs no asking after the first.
            reference_turns=sum([each.reference_turns for each in parts]) - _TURNS_TO_IDENTIFY * (len(parts) - 1),
            parts=tuple(parts),
        )

    # --- the wishes ---------------------------------------------------------------------------------

    def _one(self, family: str) -> Callable[[Stream], Plan]:
        """One wish, of any kind."""
        return lambda stream: Plan((self._kind(family, stream, _any),))

    def _several(self, count: int) -> Callable[[Stream], Plan]:
        """Wishes of different families."""

        def plan(stream: Stream) -> Plan:
            *before, last = stream.sample(FAMILIES, count)
            wishes = [self._kind(family, stream, _not_last) for family in before]
            return Plan((*wishes, self._kind(last, stream, _last)), stream.below(count))

        return plan

    def _same_again(self, stream: Stream) -> Plan:
        """Two wishes of one family."""
        family = stream.choice(_TWICE)
        return Plan((self._kind(family, stream, _not_last), self._kind(family, stream, _last)), stream.below(2))

    def _second_thoughts(self, stream: Stream) -> Plan:
        """A wish that is taken back, and another one instead."""
        first = stream.choice(_TAKEN_BACK)
        second = stream.choice([name for name in FAMILIES if name != first])
        return Plan((self._kind(first, stream, _granted), self._kind(second, stream, _last)), 1, 0)

    def _kind(self, family: str, stream: Stream, suits: Callable[[Kind], bool]) -> Choice:
        kinds, cumulative = _choices(self._desks[family], suits)
        return family, stream.weighted(kinds, cumulative)


def _any(kind: Kind) -> bool:
    return True


def _last(kind: Kind) -> bool:
    """Whether others may go before it: whether they can be verified is known when they do."""
    return kind.flip is not lives_elsewhere


def _not_last(kind: Kind) -> bool:
    """Whether others may follow it: a transfer ends the conversation."""
    return _last(kind) and "transfer" not in kind.ends


def _granted(kind: Kind) -> bool:
    """Whether there is something to be proposed."""
    return _last(kind) and kind.ends[0] not in _NOTHING_DUE


@cache
def _choices(desk: Generator, suits: Callable[[Kind], bool]) -> tuple[tuple[Kind, ...], tuple[float, ...]]:
    """The suitable kinds of a family, and the running sums of their weights."""
    found = [(kind, weight) for kind, weight in desk.kinds if suits(kind)]
    return tuple([kind for kind, _ in found]), tuple(accumulate([weight for _, weight in found]))


# --- what makes several wishes one scenario ----------------------------------------------------------


def _check_credit(plan: Plan) -> None:
    """Raises where two wishes may bring store credit, which is counted by customer."""
    credited = [place for place, (_, kind) in enumerate(plan.wishes) if "store_credit" in kind.ends]
    if len(credited) > 1 and plan.withdrawn not in credited:
        raise UnsuitableCase("two wishes bring store credit")


def _check_apart(parts: Sequence[Scenario]) -> None:
    """Raises unless what is said of one wish can't be about another, nor a change of one a change of another."""
    for first, second in combinations(parts, 2):
        numbers = [_numbers(part) for part in (first, second)]
        if not numbers[0].isdisjoint(numbers[1]):
            raise UnsuitableCase("two wishes share a number")
        nouns = [_nouns(cast(World, part.world)) for part in (first, second)]
        if not nouns[0].isdisjoint(nouns[1]):
            raise UnsuitableCase("two wishes are about things of one name")


def _numbers(part: Scenario) -> set[str]:
    """The numbers of orders and subscriptions that there are and that are spoken of."""
    world = cast(World, part.world)
    numbers = [*[order[0] for order in world.orders], *[subscription[0] for subscription in world.subscriptions]]
    return {*numbers, part.goal.order_id} - {""}


def _nouns(world: World) -> set[str]:
    """What people may call the items for short."""
    titles = [*[line[3] for line in world.order_items], *[subscription[3] for subscription in world.subscriptions]]
    return {title.rpartition(" ")[2] for title in titles}


def _check_quotes(split: str, wishes: Sequence[Choice], parts: Sequence[Scenario]) -> None:
    """Raises where the shop would quote the fee of a return for what the exchange desk pays back without one."""
    for (family, kind), part in zip(wishes, parts, strict=True):
        if family == "exchange" and "refund" in kind.ends:
            electronics = {product.title for product in load_catalogue(split).by_category["electronics"]}
            if not electronics.isdisjoint(part.goal.titles):
                raise UnsuitableCase("a quote would keep a fee")


def make() -> Retail:
    """The family."""
    return Retail()
