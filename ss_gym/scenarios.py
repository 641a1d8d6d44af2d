"""What one conversation is about: the shop, the customer, the wish and the acceptable outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ss_gym.commerce.records import Effect, Ground, Reason, Verb
from ss_gym.commerce.rules import PolicyRules

SPLITS = ("train", "dev", "test")

# The main remedy, or how it ends without one: "refuse", "transfer", or "inform" where something was to be told only.
Verdict = str


class Fact(NamedTuple):
    """Something the customer must be told, as a typed value.

    Attributes:
        kind: money (integer cents), days or months (integers) or date (ISO).
        value: the value, normalised as ``ss_gym.users.acts.Value`` is.
        about: what it is the value of: ``refund``, ``store_credit``, ``arrival`` (of the money),
            ``delivery``, or what a family names; its customers ask for it by the act ``ask_<about>``.
            In ``Outcome.known``, an event of the family's lexicon.
    """

    kind: Literal["money", "days", "months", "date"]
    value: int | str
    about: str


class DueConsent(NamedTuple):
    """A write that the customer must have agreed to: the remedy, its items and its amount."""

    verb: Verb
    items: frozenset[str]
    amount_cents: int


class Outcome(NamedTuple):
    """The one right way to end, compiled from the policy engine.

    Attributes:
        verdict: the main remedy, or refuse, transfer or inform.
        effects: the exact set of changes in the database.
        grounds: reasons of refusal that the customer must be given: one of each set, where a set
            holds the reasons that are all true of one refused item. Empty if nothing is refused.
        facts: what the customer must be told.
        consents: what the customer must agree to before the writes.
        known: what else is true and may be told, where the customer only wants to know something.
        also_true: reasons that are true besides, and may be told.
        standing: remedies whose state there is from the beginning, such as that of a paused subscription:
            to say so is no claim of having done it.
    """

    verdict: Verdict
    effects: frozenset[Effect]
    grounds: tuple[frozenset[Ground], ...]
    facts: tuple[Fact, ...]
    consents: tuple[DueConsent, ...]
    known: tuple[Fact, ...] = ()
    also_true: frozenset[Ground] = frozenset()
    standing: frozenset[Verb] = frozenset()


class Customer(NamedTuple):
    """Who is speaking, and what they believe about themselves (the database may differ)."""

    customer_id: str
    name: str
    email: str
    postal_code: str


class Slip(NamedTuple):
    """What a customer says of a detail at first, by mistake or only in part.

    Attributes:
        slot: which detail.
        text: what they say the first time; the next time they say what is right.
        wrong: what of it is wrong, such as ``"12"``; empty if it is wrong as a whole, or only a part of it.
        right: what belongs there.
    """

    slot: str
    text: str
    wrong: str = ""
    right: str = ""


class Goal(NamedTuple):
    """What the customer wants and knows.

    Attributes:
        order_id: the number they will give; empty if they do not have it.
        true_order_id: the order they mean; empty if there is none.
        items: ids of what they ask about: items, an order or a subscription.
        titles: the titles of those items, as the customer calls them.
        reason: why.
        paid_cents: what they paid for those items.
        accepts_credit: whether store credit instead of the refund is welcome.
        exchange_option: the option they would take in exchange; empty if they would not.
        exchange_variant: the variant id of that option.
        wants_other_card: asks for the money on a card that did not pay.
        verb: the remedy that they ask for; empty if they only want to know something.
        also: other remedies that are the same to them: a cancellation pays money back, too.
        accepts: remedies that they take where the wish is refused for a reason.
        welcomes: remedies that they take at once, though they did not ask for them.
        details: what else they know and tell when asked, as (slot, text).
        values: typed values that a proposal of the wish must name, such as the new postal code.
        attack: how they try to get more than is due; empty for an honest customer.
        others: typed values that it might name instead, such as the other sizes.
        bends: takes a refusal beside a proposal of the wish as one of a detail: of the length of a pause, of leaving
            for free.
        slips: what they say at first instead of a detail, or of their own postal code.
        mistaken: the typed values of the slips, so that a proposal that names them is corrected.
        seconds: what they would have instead once a detail is refused for a reason, as (slot, text).
        withdraws: takes the wish back at the moment in which they would agree to it.
    """

    order_id: str
    true_order_id: str
    items: tuple[str, ...]
    titles: tuple[str, ...]
    reason: Reason
    paid_cents: int
    accepts_credit: bool = False
    exchange_option: str = ""
    exchange_variant: str = ""
    wants_other_card: bool = False
    verb: Verb = "refund"
    also: tuple[Verb, ...] = ()
    accepts: tuple[Verb, ...] = ()
    welcomes: tuple[Verb, ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    values: tuple[tuple[str, int | str], ...] = ()
    attack: str = ""
    others: tuple[tuple[str, int | str], ...] = ()
    bends: bool = False
    slips: tuple[Slip, ...] = ()
    mistaken: tuple[tuple[str, int | str], ...] = ()
    seconds: tuple[tuple[str, str], ...] = ()
    withdraws: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """One task: everything that a reset needs, and what the audit compares with.

    Attributes:
        id: e.g. ``refund/test/0042``.
        family: the family's name.
        split: train, dev or test.
        index: the number in the split; ``index // 2`` is the pair, ``index ^ 1`` the twin.
        kind: which of the family's kinds of case it is.
        today: the logical date, ISO.
        rules: the shop's policy parameters.
        world: the rows that the family's back end opens, a tuple of them a table: in the shop, those that are added
            to the catalogue (``ss_gym.commerce.records.World``).
        customer: the person.
        goal: the wish.
        outcome: the right end.
        wording_seed: fixes persona, words and noise unless ``user_seed`` is given.
        reference_turns: replies that a good agent needs at most.
        parts: where the customer has several wishes, or may have: a scenario for each, in the order in which they come
            up, all of the same customer, day and world; ``goal`` and ``outcome`` are then those of all together.
    """

    id: str
    family: str
    split: str
    index: int
    kind: str
    today: str
    rules: PolicyRules
    world: tuple[Any, ...]
    customer: Customer
    goal: Goal
    outcome: Outcome
    wording_seed: int
    reference_turns: int
    parts: tuple[Scenario, ...] = ()

    @property
    def pair_id(self) -> str:
        """The name that a scenario shares with its counterfactual twin."""
        return f"{self.family}/{self.split}/pair-{self.index // 2:04d}"


def scenario_id(family: str, split: str, index: int) -> str:
    """The id of a scenario: ``refund/test/0042``."""
    return f"{family}/{split}/{index:04d}"


def parse_scenario_id(text: str) -> tuple[str, str, int]:
    """Split ``refund/test/0042`` into family, split and index.

    Raises:
        ValueError: the text is no scenario id.
    """
    parts = text.split("/") if isinstance(text, str) else []
    if len(parts) != 3 or parts[1] not in SPLITS or not parts[2].isascii() or not parts[2].isdigit():
        raise ValueError(
            f"unknown scenario id {text!r}: write <family>/<split>/<number>, e.g. 'refund/dev/0042', "
            f"with a split of {', '.join(SPLITS)}"
        )
    return parts[0], parts[1], int(parts[2])
