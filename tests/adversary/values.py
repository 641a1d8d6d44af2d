"""The values of an episode by what they are: what an adversary fills its calls and sentences with.

It knows more than any agent: the whole world of a scenario, the rules, and the right end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, Protocol, TypeVar

from ss_gym.commerce.records import World, dollars
from ss_gym.commerce.store import Store
from ss_gym.scenarios import Scenario

T = TypeVar("T")
Values = Mapping[str, Sequence[str]]


class Draws(Protocol):
    """Where choices come from: a stream, or bytes that hypothesis has drawn."""

    def below(self, bound: int) -> int:
        """An integer in ``[0, bound)``."""
        ...

    def chance(self, probability: float) -> bool:
        """Whether something happens."""
        ...

    def choice(self, items: Sequence[T]) -> T:
        """One of the items."""
        ...


# Of nobody; some are malformed.
MADE_UP: Values = {
    "order_id": ("99999", "1", "#12345"),
    "item_id": ("99999-1",),
    "payment_id": ("99999-P1",),
    "customer_id": ("C0000",),
    "variant_id": ("V0",),
    "subscription_id": ("99999",),
    "email": ("nobody@example.org", "nobody"),
    "postal_code": ("ZZ9 9ZZ", "00000"),
    "amount": ("0.01", "999999999.99"),
    "date": ("2024-02-29", "2099-12-31"),
    "days": ("0", "45"),
    "months": ("0", "13"),
    "option": ("plaid",),
    "title": ("time machine",),
    "name": ("Alex Nobody",),
    "street": ("1 No Street",),
    "city": ("Nowhere",),
}
_ENDINGS = {
    "_cents": "amount",
    "_on": "date",
    "_until": "date",
    "_days": "days",
    "_months": "months",
    "_percent": "percent",
}
# What an argument or a slot is called where that is not the kind of its value.
KINDS: Mapping[str, str] = {"day": "date", "delivered": "date", "fee": "amount", "number": "order_id"}
_SUBJECTS = frozenset(("order_id", "item_id", "subscription_id"))


# A world's changes of the catalogue are no tables of their own.
_CHANGES = {"stock": ("variant_id", "quantity"), "prices": ("variant_id", "price_cents")}


@cache
def _columns(table: str) -> tuple[str, ...]:
    """What kind of value each column of a table holds; empty for what nobody would say."""
    if table in _CHANGES:
        return tuple(_kind(name) for name in _CHANGES[table])
    store = Store("train")
    names = [name for (name,) in store.rows("SELECT name FROM pragma_table_info(?)", table)]
    store.close()
    return tuple(_kind(name) for name in names)


def _kind(name: str) -> str:
    for ending, kind in _ENDINGS.items():
        if name.endswith(ending):
            return kind
    return name if name in MADE_UP else ""


def values_of(scenarios: Iterable[Scenario]) -> Values:
    """The values of some scenarios, by kind and in a fixed order, each once."""
    found: dict[str, dict[str, None]] = {kind: {} for kind in (*MADE_UP, "percent")}
    for scenario in scenarios:
        for kind, value in _all_of(scenario):
            found[kind][dollars(int(value)) if kind == "amount" else str(value)] = None
    return {kind: tuple(values) or MADE_UP.get(kind, ()) for kind, values in found.items()}


def _all_of(scenario: Scenario) -> Iterable[tuple[str, Any]]:
    """Kind and value; amounts in cents. Those of the wish come first."""
    for wish in scenario.parts or (scenario,):
        yield from _of_goal(wish)
    for fact in scenario.outcome.facts:
        yield {"money": "amount"}.get(fact.kind, fact.kind), fact.value
    for effect in sorted(scenario.outcome.effects, key=repr):
        if isinstance(effect[-1], int):
            yield "amount", effect[-1]
        elif effect[0] == "exchange":
            yield "variant_id", effect[2]
    for rule in fields(scenario.rules):
        if kind := _kind(f"_{rule.name}"):
            yield kind, getattr(scenario.rules, rule.name)
    yield "date", scenario.today
    yield from _of_world(scenario.world)


def _of_goal(scenario: Scenario) -> Iterable[tuple[str, Any]]:
    goal = scenario.goal
    yield "amount", goal.paid_cents
    for order_id in filter(None, (goal.true_order_id, goal.order_id)):
        yield "order_id", order_id
        yield "subscription_id", order_id
    yield from (("item_id", item) for item in goal.items)
    if goal.exchange_variant:
        yield "variant_id", goal.exchange_variant
    yield "email", scenario.customer.email
    yield "postal_code", scenario.customer.postal_code
    yield from (("title", title) for title in goal.titles)
    for slot, text in (*goal.details, *goal.seconds, *((slip.slot, slip.text) for slip in goal.slips)):
        if slot in MADE_UP:
            yield slot, text
    for kind, value in (*goal.values, *goal.mistaken, *goal.others):
        if kind in ("date", "days", "months", "option"):
            yield kind, value


def _of_world(world: World) -> Iterable[tuple[str, Any]]:
    for table, rows in zip(World._fields, world, strict=True):
        for row in rows:
            for kind, value in zip(_columns(table), row, strict=True):
                if kind and value is not None:
                    yield kind, value


def subjects(scenario: Scenario) -> frozenset[str]:
    """What a look at the case must name: the order, item, subscription or account that the wish is about."""
    found = {scenario.customer.customer_id}
    for wish in scenario.parts or (scenario,):
        found |= {wish.goal.order_id, wish.goal.true_order_id, *wish.goal.items}
    return frozenset(found - {""})


def argument(name: str, schema: Mapping[str, Any], values: Values, draws: Draws) -> Any:
    """A value for an argument of a tool, chosen by its name and schema."""
    if "enum" in schema:
        return draws.choice(schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        known = values.get(name.removesuffix("s")) or ("1",)
        first = draws.below(len(known))
        return [known[(first + place) % len(known)] for place in range(1 + draws.below(min(3, len(known))))]
    if kind == "integer":
        return draws.choice((1, 2, 3, 12, 0, 13, -1))
    if kind == "boolean":
        return draws.chance(0.5)
    if "pattern" in schema:  # money
        return draws.choice((*values["amount"], "0.00"))
    known = values.get(KINDS.get(name, name)) or (_subjects(values) if name in _SUBJECTS else ())
    return draws.choice(known or ("A few words.", "Refund everything.", ""))


def _subjects(values: Values) -> Sequence[str]:
    return [*values["order_id"], *values["item_id"]]
