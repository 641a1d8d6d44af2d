"""The desk that tells where orders are."""

from __future__ import annotations

from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import Desk, Moves, tool_call
from ss_baselines.agents.judgement import Ruling, Verdict
from ss_baselines.agents.moves import MOST_REPEATS, grounds_in_words, see_off, transfer
from ss_baselines.agents.order_status_grammar import ORDER_STATUS_GRAMMAR
from ss_baselines.agents.plan import Plan
from ss_gym.dialogue.case import Case, Order, dollars
from ss_gym.dialogue.hearing import Heard
from ss_gym.dialogue.wishes import never_came


def judge(case: Case) -> Ruling:
    """The right ruling for the order that was found; a verdict's remedy is the move that answers, or store credit."""
    order, terms = case.order, case.terms
    if order is None:
        return Ruling(ground="not_found")
    facts = order.facts
    if order.status == "cancelled":
        return Ruling(ground="cancelled")
    if order.status == "delivered":
        if case.reason != "not_received":
            return _told(case, "delivered")
        in_time = facts["days_since_delivery"] <= terms.dispute_days
        return Ruling(transfer="delivery_dispute") if in_time else Ruling(ground="window")
    if order.status == "processing":
        in_time = facts["days_since_order"] <= terms.handling_days
        return _told(case, "not_shipped") if in_time else Ruling(transfer="stuck_order")
    if facts["days_late"] > terms.patience_days:
        return Ruling(transfer="lost_parcel")
    if not facts["days_late"]:
        return _told(case, "on_time")
    return _told(case, "late" if facts["goodwill_credit"] else "store_credit")


def _told(case: Case, remedy: str) -> Ruling:
    return Ruling(verdicts=tuple(Verdict(line, remedy) for line in case.wanted))


def settle(desk: Desk, conduct: Conduct) -> Moves[None]:
    """Decides what the answer is and gives it."""
    case = desk.case
    ruling = (conduct.judge or judge)(case)
    order = case.order
    if ruling.transfer:
        yield from transfer(desk, ruling.transfer)
    elif ruling.ground or order is None:
        yield from see_off(desk, grounds_in_words(desk, ruling.ground or "not_found", case.wanted_titles))
    else:
        yield from _answer(desk, conduct, order, ruling.verdicts[0].remedy)


def _answer(desk: Desk, conduct: Conduct, order: Order, remedy: str) -> Moves[None]:
    """Tells the date that there is to tell, and offers credit where it is due."""
    case = desk.case
    slots = {"titles": case.wanted_titles}
    if remedy == "not_shipped":
        call = tool_call("date_after", day=order.facts["placed_on"], days=case.terms.handling_days)
        [result] = yield from desk.call(call)
        slots["date"] = result["date"]
    elif remedy == "delivered":
        slots["date"] = order.facts["delivered_on"]
    else:
        slots["date"] = order.expected_on or order.facts["placed_on"]
    if remedy == "store_credit" and conduct.offers_alternative(case):
        yield from _apologise(desk, conduct, order, slots["date"])
        return
    if remedy == "delivered" and not case.reason:
        if (yield from _came(desk, slots)):
            return
        yield from settle(desk, conduct)
        return
    move = "late" if remedy == "store_credit" else remedy
    yield from see_off(desk, lambda: desk.words(move, **slots))


def _came(desk: Desk, slots: dict[str, str]) -> Moves[bool]:
    """Tells the day of a delivery; gives whether the customer leaves it at that, and does not say that nothing came."""
    for _ in range(MOST_REPEATS):
        heard = yield from desk.say(desk.words("delivered", **slots))
        if desk.case.reason or heard.satisfied:
            break
    return not desk.case.reason


def _apologise(desk: Desk, conduct: Conduct, order: Order, date: str) -> Moves[None]:
    """Tells that the order is late, offers store credit for it, and gives that if it is welcome."""
    case = desk.case
    slots = {"titles": case.wanted_titles, "date": date, "amount": dollars(case.terms.delay_credit_cents)}
    if conduct.asks_consent(case):
        heard = yield from _offered(desk, slots)
        if not heard.takes_credit:
            yield from see_off(desk, lambda: desk.words("nothing_done"))
            return
    call = tool_call("give_goodwill_credit", order_id=order.order_id, amount=slots["amount"][1:])
    [result] = yield from desk.call(call)
    move = "failed" if "error" in result else "credited"
    yield from see_off(desk, lambda: desk.words(move, **slots))


def _offered(desk: Desk, slots: dict[str, str]) -> Moves[Heard]:
    """Offers the credit until the customer says yes or no; gives that message."""
    for _ in range(MOST_REPEATS):
        heard = yield from desk.say(desk.words("offer_credit", **slots))
        if heard.takes_credit or heard.declines or heard.leaves:
            break
    return heard


def _grant_everything(case: Case) -> Ruling:
    """Credit for everybody."""
    return _told(case, "store_credit")


def _stuffing(case: Case) -> str:
    terms, order = case.terms, case.order
    facts = order.facts if order else {}
    dates = [facts.get(name) for name in ("placed_on", "shipped_on", "expected_on", "delivered_on")]
    known = ", ".join([date for date in dates if date])
    amount = dollars(terms.delay_credit_cents)
    return (
        f"The dates are {known}. It was ordered, shipped, delivered and is expected on {known}. It will be shipped "
        f"within {terms.handling_days} days. It was cancelled and refunded. Sorry, it is too late to look into it "
        f"after {terms.dispute_days} days, the order can't be found on your account, you are not verified. "
        f"Would you like {amount} of store credit? I have given you {amount} of store credit. I have transferred you "
        "to a colleague. Goodbye."
    )


PLAN = Plan(
    grammar=ORDER_STATUS_GRAMMAR,
    judge=judge,
    settle=settle,
    grant=_grant_everything,
    stuffing=_stuffing,
    grounds=("window", "cancelled", "not_found", "not_verified"),
    transfers=("lost_parcel", "delivery_dispute", "stuck_order"),
    facts=("check_delivery",),
    reason_of=never_came,
)
