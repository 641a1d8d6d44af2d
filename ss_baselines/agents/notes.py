"""What a scripted agent writes down for itself before it acts: facts it has read, side by side.

A small model can't weigh the days since delivery, which it read in a tool's result, against a
window that stands at the beginning of its prompt. It can once it has copied both into one line,
and so can the model that imitates the agent. What the agent then does may still be wrong.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from ss_baselines.agents.judgement import FAULTS
from ss_gym.commerce.records import Rules
from ss_gym.dialogue.case import Case, Line, dollars

NO_ORDER = "no order"


def listing(orders: Mapping[str, Sequence[str]], wanted: Container[str]) -> str:
    """The titles that orders hold, read aloud up to the first that is wanted.

    Whoever reads one title after another only has to notice the right one; the number of its order
    is then the last that was read. Titles stand between the same marks as in the tool's result, so that
    a model copies the same tokens. Later titles are left out, even wanted ones.

    >>> listing({"11111": ["yoga mat"], "22222": ["desk lamp", "wool scarf"], "33333": ["tea pot"]}, {"desk lamp"})
    '11111["yoga mat"],22222["desk lamp'
    """
    read = []
    for order_id, titles in orders.items():
        place = next((n for n, title in enumerate(titles, 1) if title in wanted), len(titles) + 1)
        read.append(f'{order_id}["' + '","'.join(titles[:place]))
        if place <= len(titles):
            return '"],'.join(read)
    return '"],'.join([*read, ""]).removesuffix(",")


def findings(case: Case) -> str:
    """The lines that the request is about, and how long ago they came.

    Each line is its title, its number in the order, its price and, if it is not an ordinary one,
    what it is.
    """
    order = case.order
    if order is None:
        return NO_ORDER
    lines = [
        f"{line.title} {line.item_id.rpartition('-')[2]} {_amount(line.price)}{_remark(line)}" for line in case.wanted
    ]
    age = "not delivered" if order.days is None else windows(case.terms, order.days, case.reason)
    return ", ".join([*lines, age])


def windows(terms: Rules, days: int, reason: str) -> str:
    """The days since delivery against the policy's windows.

    The return window always, the credit window once that is over, the damage window where there is
    a fault.
    """
    compared = [("return", terms.return_window_days)]
    if days > terms.return_window_days:
        compared.append(("credit", terms.credit_window_days))
    if reason in FAULTS:
        compared.append(("damage", terms.damage_window_days))
    return ", ".join([f"{name} {days} of {limit}: {_in_or_over(days, limit)}" for name, limit in compared])


def limit_check(case: Case, total: int) -> str:
    """The refund that the agent means to make, ``total`` in cents, against the limit; both in dollars."""
    limit: int = case.terms.transfer_limit_cents
    return f"limit {_amount(total)} of {_amount(limit)}: {_in_or_over(total, limit)}"


def _amount(cents: int) -> str:
    return dollars(cents).removeprefix("$")


def _in_or_over(value: int, limit: int) -> str:
    return "in" if value <= limit else "over"


def _remark(line: Line) -> str:
    if line.status != "ordered":
        return f" {line.status}"
    if line.category == "gift_card":
        return " gift card"
    return " final sale" if line.final_sale else ""
