"""The family of the library: draws its scenarios, each with a twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import cast

from acme_library.cases import KINDS, MOST_OVER, NUMBER_GIVEN, Case, Flips, Kind, draw_loan
from acme_library.database import LibraryBackEnd
from acme_library.decisions import compile_outcome
from acme_library.records import LibraryRules, Member, World, day, plain
from acme_library.tools import LibraryTools
from ss_gym.commerce.remedies import Remedy, add_remedy
from ss_gym.commerce.rules import PolicyRules, typed_values
from ss_gym.families import Family
from ss_gym.families.parameters import FILE, read_parameters
from ss_gym.scenario_files import field_error, read_yaml
from ss_gym.scenarios import Customer, Goal, Outcome, Scenario, scenario_id
from ss_gym.spelling import nearest
from ss_gym.streams import Stream
from ss_gym.tools import Tool, with_options
from ss_gym.users.values import Inventory, Key

_BOUNDS = {
    "renewal_days": (10, 60),
    "short_loan_days": (1, 9),
    "renewal_count": (1, 20),
    "overdue_limit_days": (1, 60),
    "fine_limit_cents": (100, 10_000),
}
_STOCK = "stock.yaml"
_STOCK_LISTS = ("first_names", "last_names", "domains", "areas", "titles")
_LETTERS = "ABDEFGHJLNPQRSTUWXYZ"
_TURNS = {"renew": 6, "pay_fine": 8, "refuse": 7, "transfer": 6}


class Library:
    """Draws the scenarios of the library.

    Attributes:
        name: what the family is called.
        policy: whose policy and lexicon it has.
        rules: the class of its rules.
        tools: the tools that the agent has, by name.

    Raises:
        ValueError: a file is broken; names the file, the line and the field.
    """

    def __init__(self) -> None:
        self.name = self.policy = "library"
        self.rules: type[PolicyRules] = LibraryRules
        parameters = read_parameters(self.name, _BOUNDS, [kind.name for kind in KINDS])
        self.tools = _offered(parameters.tools, parameters.transfers)
        self._parameters = parameters
        self._kinds = {kind.name: kind for kind in KINDS}
        self._cumulative = tuple(accumulate(parameters.kinds[kind.name] for kind in KINDS))
        self._stock = _read_stock()

    def open(self, split: str) -> LibraryBackEnd:
        """A new database, with the tools of this family."""
        return LibraryBackEnd(self.tools)

    def inventory(self, scenario: Scenario) -> Inventory:
        """The typed values that an agent may meet in a scenario, by whose they are."""
        return _inventory(scenario)

    def draw(self, split: str, index: int, seed: int, kind: str | None = None) -> Scenario:
        """The scenario ``index`` of a split, drawn from the seed of its pair; odd ones are twins.

        Raises:
            RuntimeError: the case does not end as its kind says: a fault of the kind.
        """
        stream = Stream("acme", self.name, split, seed)
        chosen = self._kinds[kind] if kind else stream.weighted(KINDS, self._cumulative)
        case = self._case(stream, split, chosen)
        chosen.make(case)
        goal = _goal(case)
        if index % 2:
            chosen.flip(case)
        outcome = _settle(case)
        if outcome.verdict != chosen.ends[index % 2]:
            raise RuntimeError(f"{self.name}/{split} seed {seed}: {chosen.name} ends with {outcome.verdict}")
        return Scenario(
            id=scenario_id(self.name, split, index),
            family=self.name,
            split=split,
            index=index,
            kind=chosen.name,
            today=day(case.today),
            rules=case.rules,
            world=case.world(),
            customer=Customer(case.member.member_id, case.member.name, case.member.email, case.said_postal_code),
            goal=goal,
            outcome=outcome,
            wording_seed=seed,
            reference_turns=_TURNS[outcome.verdict],
        )

    def _case(self, stream: Stream, split: str, kind: Kind) -> Case:
        """A case in which nothing stands against the renewal."""
        parameters, stock = self._parameters, self._stock[split]
        rules = LibraryRules(**{name: stream.choice(values) for name, values in parameters.rules[split].items()})
        today = stream.between(*parameters.today[split])
        member, stranger = _members(stream, stock)
        numbers = stream.sample(range(10, 90), 4)
        # The first two digits tell the loans of a case apart.
        ids = [f"{number}{stream.between(100, 999)}" for number in numbers]
        titles = stream.sample(stock["titles"], 4)
        owners = [member, *([member] * stream.between(1, 2)), stranger]
        loans = [
            draw_loan(stream, loan_id, owner, title, rules, stream.choice(parameters.notes))
            for loan_id, owner, title in zip(ids, owners, titles, strict=False)
        ]
        over = stream.between(1, MOST_OVER)
        flips = Flips(rules.overdue_limit_days + over, rules.fine_limit_cents + 10 * stream.between(1, 90))
        case = Case(stream, rules, today, member, stranger, loans[0], flips, loans[1:])
        if kind.name in NUMBER_GIVEN or stream.chance(0.8):
            case.said_loan_id = ids[0]
        return case


def make() -> Family:
    """The family; its remedies are known from then on."""
    add_remedy("renew", Remedy("loan", ""))
    add_remedy("pay_fine", Remedy("fine", "paid", paid_as="payment", told=True))
    return Library()


def _offered(names: Sequence[str], transfers: tuple[str, ...]) -> Mapping[str, Tool]:
    found = {}
    for place, name in enumerate(names):
        if name not in LibraryTools.tools:
            problem = f"there is no tool {name!r}; {nearest(name, LibraryTools.tools)}"
            raise field_error("library", FILE, ("tools", place), problem)
        found[name] = LibraryTools.tools[name]
    if "transfer_to_human" in found:
        found["transfer_to_human"] = with_options(found["transfer_to_human"], "reason", transfers)
    return found


def _read_stock() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Names and titles by split, checked."""
    data = read_yaml("library", _STOCK)
    for split in ("train", "dev", "test"):
        for name in _STOCK_LISTS:
            values = data.get(split, {}).get(name) if isinstance(data, dict) else None
            if not isinstance(values, list) or not values or not all(isinstance(each, str) for each in values):
                problem = f"expected a list of texts, got {values!r:.80}"
                raise field_error("library", _STOCK, (split, name), problem)
    return cast(Mapping[str, Mapping[str, Sequence[str]]], data)


def _members(stream: Stream, stock: Mapping[str, Sequence[str]]) -> list[Member]:
    """Two members with nothing in common."""
    first, last = stream.sample(stock["first_names"], 2), stream.sample(stock["last_names"], 2)
    areas, numbers = stream.sample(stock["areas"], 2), stream.sample(range(1000, 9999), 2)
    found = []
    for place in (0, 1):
        letters = "".join([stream.choice(_LETTERS) for _ in range(2)])
        email = f"{first[place]}.{last[place]}@{stream.choice(stock['domains'])}".lower()
        postal_code = f"{areas[place]} {stream.below(10)}{letters}"
        found.append(Member(f"M{numbers[place]}", f"{first[place]} {last[place]}", email, postal_code))
    return found


def _goal(case: Case) -> Goal:
    """The member's wish, told before anything is flipped."""
    assert case.loan is not None
    return Goal(
        order_id=case.said_loan_id,
        true_order_id=case.loan.loan_id,
        items=(case.loan.loan_id,),
        titles=(case.loan.title,),
        reason="",
        paid_cents=0,
        verb="renew",
        accepts=("pay_fine",),
    )


def _settle(case: Case) -> Outcome:
    facts = case.loan.facts(case.today) if case.loan else None
    known = case.said_postal_code == case.member.postal_code
    return compile_outcome(facts, case.member.member_id if known else None, case.rules, day(case.today))


def _inventory(scenario: Scenario) -> Inventory:
    world, customer, goal = cast(World, scenario.world), scenario.customer, scenario.goal
    own: set[Key] = {("postal_code", plain(customer.postal_code))}
    other: set[Key] = set()
    for member in world.members:
        keys = own if member.member_id == customer.customer_id else other
        keys.update((("customer_id", member.member_id.lower()), ("name", member.name.lower())))
        keys.update((("email", member.email), ("postal_code", plain(member.postal_code))))
    titles = {book_id: title for book_id, title, _ in world.books}
    owners = {}
    for loan_id, member_id, book_id, lent_on, due_on, _, _ in world.loans:
        keys = owners[loan_id] = own if member_id == customer.customer_id else other
        keys.update((("order_id", loan_id), ("title", titles[book_id]), ("date", lent_on), ("date", due_on)))
    for loan_id, amount, _ in world.fines:
        owners[loan_id].add(("money", amount))
    own.update([("title", title) for title in goal.titles])
    own.update([(fact.kind, fact.value) for fact in scenario.outcome.facts])
    return Inventory(own, other, {*typed_values(scenario.rules), ("date", scenario.today)})
