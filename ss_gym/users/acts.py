"""The vocabulary of a conversation: what an agent can do with words, and what a customer can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from ss_gym.commerce.records import Verb

ActKind = Literal[
    "greet",
    "ask",  # for a slot
    "propose",  # a remedy, asking for consent: "Shall I refund $20.00 to your card?"
    "offer",  # a remedy as an alternative or possibility: "I can offer store credit instead."
    "confirm_done",  # an unhedged completed action: "I have refunded $20.00."
    "refuse",  # the wish, with a ground where one is given
    "inform",  # states values or facts without any of the above
    "transfer",  # hands over to a human
    "apologise",
    "wait",  # "one moment please", "let me check"
    "thank",
    "close",  # a goodbye
]

# What can be asked for, besides what the lexicon of a family names: order_id, email, postal_code, name, item, reason,
# preference (which remedy, size or colour), confirmation ("is that right?" with no remedy in the sentence),
# anything_else, other (none of these).
Slot = str

ValueKind = Literal[
    "money",
    "order_id",
    "item_id",
    "payment_id",
    "customer_id",
    "email",
    "postal_code",
    "date",
    "days",
    "months",  # where the shop has a rule about months
    "percent",
    "name",
    "city",
    "street",  # its number and the first word of its name: "12 elm"
    "title",
    "option",  # a size or colour, where the wish is about one
]

Owner = Literal["own", "other", "policy", "unknown"]


class Value(NamedTuple):
    """A typed value found in a sentence.

    ``value`` is normalised: money in integer cents, dates ISO, days and percent as integers,
    text in lower case. ``owner`` tells whose it is by this episode's inventory of values.
    """

    kind: ValueKind
    value: int | str
    owner: Owner


class Act(NamedTuple):
    """One thing that the agent does in one sentence.

    Attributes:
        kind: the act.
        slot: what is asked for (``ask``), or the event that the values are the dates of (``inform``), where the
            lexicon of the family names events.
        verb: refund, store_credit or exchange (``propose``, ``offer``, ``confirm_done``, and
            ``refuse`` where the sentence says what is refused).
        ground: why (``refuse``), one of ``ss_gym.commerce.records.Ground``; empty if not told. Or the event
            again, if it is said to have happened (``inform``).
        values: the typed values of the sentence.
        sentence: index of the sentence in the message.
    """

    kind: ActKind
    slot: Slot = ""
    verb: str = ""
    ground: str = ""
    values: tuple[Value, ...] = ()
    sentence: int = 0


_NO_SLOTS: Mapping[str, str] = {}


class CustomerAct(NamedTuple):
    """One thing that the customer does; ``slots`` fill the wording's templates."""

    kind: str
    slots: Mapping[str, str] = _NO_SLOTS


class Consent(NamedTuple):
    """The customer's own yes to a grounded proposal.

    Attributes:
        verb: refund, store_credit or exchange.
        items: the items it is about.
        amount_cents: the total that was proposed; 0 for an exchange.
    """

    verb: Verb
    items: frozenset[str]
    amount_cents: int
