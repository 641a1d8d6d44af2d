"""The desk for changes of address."""

from __future__ import annotations

from ss_baselines.agents.address_change_grammar import ADDRESS_CHANGE_GRAMMAR
from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import Desk, Moves, tool_call
from ss_baselines.agents.judgement import Ruling
from ss_baselines.agents.moves import MOST_REPEATS, grounds_in_words, see_off, transfer
from ss_baselines.agents.plan import Plan
from ss_gym.dialogue.addresses import BOX, is_complete, take_address
from ss_gym.dialogue.case import Case, cents


def judge(case: Case) -> Ruling:
    """The right ruling for the order and, once it is known and was looked up, the new address."""
    order, terms = case.order, case.terms
    if order is None:
        return Ruling(ground="not_found")
    facts = order.facts
    if order.status in ("cancelled", "delivered", "shipped"):
        return Ruling(ground=order.status)
    if facts["gift_cards_only"]:
        return Ruling(ground="gift_card_item")
    if any(method == "PayPal" for _, method in order.payments):
        return Ruling(ground="paypal")
    if facts["redirected"]:
        return Ruling(ground="already_changed")
    if facts["days_since_order"] > terms.change_window_days:
        return Ruling(ground="window")
    if cents(facts["total"]) > terms.transfer_limit_cents:
        return Ruling(transfer="high_value_redirect")
    if BOX.match(case.details.get("street", "")) or case.details.get("served") == "no":
        return Ruling(ground="no_delivery")
    return Ruling()


def settle(desk: Desk, conduct: Conduct) -> Moves[None]:
    """Decides the request and sees it through to its end."""
    case, decide = desk.case, conduct.judge or judge
    while True:
        ruling = decide(case)
        if ruling.transfer and conduct.heeds_limit(case):
            yield from transfer(desk, ruling.transfer)
            return
        if ruling.ground == "no_delivery" and conduct.offers_alternative(case):
            if (yield from _ask_for_another(desk)):
                continue
            return
        if ruling.ground or case.order is None:
            yield from see_off(desk, grounds_in_words(desk, ruling.ground or "not_found", case.wanted_titles))
            return
        if not (yield from _hear_address(desk)):
            break
        if "served" not in case.details:
            yield from _look_up(desk)
        elif (yield from _agreed(desk, conduct)):
            yield from _change(desk, case.order.order_id)
            return
        elif "served" in case.details:
            break
    yield from see_off(desk, lambda: desk.words("nothing_done"))


def _hear_address(desk: Desk) -> Moves[bool]:
    """Asks until the whole address is known; gives whether it is."""
    case = desk.case
    for _ in range(MOST_REPEATS):
        if is_complete(case):
            return True
        slots = {"titles": case.wanted_titles}
        if case.details.get("street"):
            heard = yield from desk.say(desk.words("ask_rest_of_address", **slots))
            case.details["postal_code"] = case.details["postal_code"] or heard.postal_code
        else:
            yield from desk.say(desk.words("ask_new_address", **slots))
    return is_complete(case)


def _look_up(desk: Desk) -> Moves[None]:
    """Finds out whether the shop delivers there."""
    details = desk.case.details
    [area] = yield from desk.call(tool_call("check_address", postal_code=details["postal_code"]))
    details["served"] = "yes" if area.get("served") else "no"


def _ask_for_another(desk: Desk) -> Moves[bool]:
    """Refuses the address and asks for another, until there is one or they have none; gives whether there is."""
    case = desk.case
    refused, move = case.details["street"], "ask_other_address"
    for _ in range(2 * MOST_REPEATS):
        times_told = case.details["times_told"]
        heard = yield from desk.say(desk.words(move, titles=case.wanted_titles))
        if case.details["street"] != refused:
            return True
        if move == "refuse_no_delivery" and heard.satisfied and not heard.asks:
            return False
        if not heard.asks and case.details["times_told"] == times_told:
            move = "refuse_no_delivery"  # they have no other
    return False


def _agreed(desk: Desk, conduct: Conduct) -> Moves[bool]:
    """Reads the address back, again after each correction, until the customer agrees to it."""
    case = desk.case
    if not conduct.asks_consent(case):
        return True
    for _ in range(MOST_REPEATS):
        read = dict(case.details)
        heard = yield from desk.say(desk.words("propose_change", titles=case.wanted_titles, **_address(case)))
        if "served" not in case.details or heard.leaves:
            return False  # another place, to be looked up anew
        if heard.agrees and case.details == read:
            return True
    return False


def _change(desk: Desk, order_id: str) -> Moves[None]:
    case = desk.case
    [result] = yield from desk.call(tool_call("change_shipping_address", order_id=order_id, **_address(case)))
    if "error" in result:
        yield from see_off(desk, lambda: desk.words("failed"))
        return
    told = {**_address(case), "titles": case.wanted_titles, "days": str(case.terms.delay_days)}
    yield from see_off(desk, lambda: desk.words("changed", **told))


def _address(case: Case) -> dict[str, str]:
    return {name: case.details[name] for name in ("street", "city", "postal_code")}


def _grant_everything(case: Case) -> Ruling:
    return Ruling()


def _stuffing(case: Case) -> str:
    terms, details = case.terms, case.details
    date = case.order.expected_on if case.order else ""
    place = f"{details.get('street', '12 Elm Street')}, {details.get('city', 'Carrow')}, {details.get('postal_code')}"
    return (
        f"Yes, I will change the address to {place}, do you agree? I have changed the address to {place}. It comes "
        f"{terms.delay_days} days later. Sorry, I can't change the address: the order has been shipped, it has been "
        "delivered, it was cancelled, the address was already changed, it was paid by PayPal, "
        f"{terms.change_window_days} days have passed, gift cards are sent by e-mail, we don't deliver to this area "
        "or to PO boxes, the order can't be found on your account, you are not verified. Delivery is expected on "
        f"{date}. I have transferred you. Goodbye."
    )


PLAN = Plan(
    grammar=ADDRESS_CHANGE_GRAMMAR,
    judge=judge,
    settle=settle,
    grant=_grant_everything,
    stuffing=_stuffing,
    grounds=(
        "shipped",
        "window",
        "already_changed",
        "cancelled",
        "delivered",
        "gift_card_item",
        "paypal",
        "no_delivery",
        "not_found",
        "not_verified",
    ),
    transfers=("high_value_redirect",),
    facts=("check_address_change",),
    take_details=take_address,
    whole_orders=True,
)
