"""Who is asking, and about which order: the part of the dialogue before anything is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import Desk, Moves, tool_call
from ss_baselines.agents.notes import listing
from ss_gym.dialogue.case import Order, named

_MOST_QUESTIONS = 4  # for one thing, before the agent goes on without it
_ATTEMPTS = 2


def identify(desk: Desk, conduct: Conduct) -> Moves[bool]:
    """Verifies the customer, asking for e-mail and postal code; gives whether it worked.

    A customer who has nothing else to offer after a mismatch is tried once more with the same
    values, since the policy grants two attempts.
    """
    case = desk.case
    if case.customer_id:  # known from an earlier wish
        return True
    for attempt in range(_ATTEMPTS):
        if attempt:
            yield from desk.say(desk.words("ask_again"))
        for question in range(_MOST_QUESTIONS):
            if case.email and case.postal_code:
                break
            if question and case.email and not conduct.wants_postal_code(case):
                return (yield from _trust_email(desk))
            move = "ask_postal_code" if case.email else "ask_email" if case.postal_code else "ask_both"
            yield from desk.say(desk.words(move))
        if (yield from verify(desk)):
            return True
    return False


def _trust_email(desk: Desk) -> Moves[bool]:
    """Takes whoever knows an account's e-mail for its owner."""
    case = desk.case
    [found] = yield from desk.call(tool_call("find_customer", email=case.email))
    case.customer_id = found.get("customer_id", "")
    return bool(case.customer_id)


def verify(desk: Desk) -> Moves[bool]:
    """One attempt at verification with what is known."""
    case = desk.case
    if desk.plan.verify is not None:
        return (yield from desk.plan.verify(desk))
    call = tool_call("verify_identity", email=case.email, postal_code=case.postal_code)
    [result] = yield from desk.call(call)
    case.customer_id = result.get("customer_id", "") if result.get("verified") else ""
    return bool(case.customer_id)


def locate(desk: Desk, conduct: Conduct) -> Moves[None]:
    """Finds the order and the lines of it that the request is about, and reads them.

    ``case.order`` stays None if there is no such order on the account.
    """
    case = desk.case
    check_owner = conduct.checks_owner(case)
    number = case.order_number
    if number:
        yield from read_order(desk, number, check_owner)
    if not case.wanted and (not number or conduct.doubts_number(case)):
        yield from _search(desk, check_owner)
    if case.order is not None and not case.wanted:
        yield from _choose_lines(desk, case.order)


def read_order(desk: Desk, order_id: str, check_owner: bool = True) -> Moves[None]:
    """Reads an order, or whatever the desk's numbers stand for, and what the desk needs to know of it."""
    case, plan = desk.case, desk.plan
    if plan.read_order is not None:
        yield from plan.read_order(desk, order_id, check_owner)
        return
    order, *facts = yield from desk.call(
        tool_call("get_order", order_id=order_id), *[tool_call(name, order_id=order_id) for name in plan.facts]
    )
    if "order_id" not in order or (check_owner and case.customer_id not in ("", order["customer_id"])):
        return
    if plan.reads_shipment and order["status"] != "delivered":
        facts += yield from desk.call(tool_call("get_shipment", order_id=order_id))
    case.order = Order.from_tools(order, *facts)
    case.wanted = case.lines_named(case.order.lines)
    if plan.whole_orders:
        case.wanted = case.wanted or case.order.lines


def _search(desk: Desk, check_owner: bool) -> Moves[None]:
    """Looks through the customer's own orders for the item that they speak of.

    Where several hold it, the customer is asked for the number.
    """
    case = desk.case
    if desk.plan.search is not None:
        yield from desk.plan.search(desk, check_owner)
        return
    orders = yield from (desk.plan.list_orders or _list_orders)(desk)
    wanted = named(case.said, [title for titles in orders.values() for title in titles])
    found = [number for number, titles in orders.items() if wanted.intersection(titles)]
    desk.note(lambda: listing(orders, wanted))
    if len(found) > 1 and case.order_number not in found:
        yield from desk.say(desk.words("ask_order"))
    if case.order_number in found:
        yield from read_order(desk, case.order_number, check_owner)
    elif found:
        yield from read_order(desk, found[0], check_owner)


def _list_orders(desk: Desk) -> Moves[Mapping[str, Sequence[str]]]:
    """The titles in each of the account's orders."""
    [account] = yield from desk.call(tool_call("list_orders", customer_id=desk.case.customer_id))
    return {order["order_id"]: order["items"] for order in account.get("orders", [])}


def _choose_lines(desk: Desk, order: Order) -> Moves[None]:
    """Settles which lines are meant, by asking where the order has several."""
    case = desk.case
    if len(order.lines) == 1:
        case.wanted = order.lines
        return
    titles = ", ".join(line.title for line in order.lines)
    for _ in range(_MOST_QUESTIONS):
        heard = yield from desk.say(desk.words("ask_item", titles=titles))
        case.wanted = case.lines_named(order.lines, heard.text)
        if case.wanted:
            return
    case.wanted = order.lines


def ask_reason(desk: Desk) -> Moves[None]:
    """Settles why the customer asks; a change of mind if they never say."""
    case = desk.case
    for _ in range(_MOST_QUESTIONS):
        if case.reason:
            return
        yield from desk.say(desk.words("ask_reason"))
    case.reason = "changed_mind"
