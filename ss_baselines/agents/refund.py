"""The refund desk: proposals, consent, writes, refusals and their alternatives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import Desk, Moves, tool_call
from ss_baselines.agents.judgement import Ruling, Verdict, judge_by_policy
from ss_baselines.agents.moves import MOST_REPEATS, grounds_in_words, see_off, transfer
from ss_baselines.agents.notes import findings, limit_check
from ss_baselines.agents.plan import Plan
from ss_baselines.agents.refund_grammar import REFUND_GRAMMAR
from ss_gym.dialogue.case import Case, Order, cents, dollars, titles
from ss_gym.dialogue.hearing import Heard


@dataclass(frozen=True, slots=True)
class Payout:
    """A refund about to be made: the lines, and what goes back to each payment, in cents."""

    order_id: str
    titles: str
    item_ids: list[str]
    reason: str
    total: int
    fee: int
    parts: tuple[tuple[str, str, int], ...]  # payment_id, method, cents


def settle(desk: Desk, conduct: Conduct) -> Moves[None]:
    """Decides the request and sees it through to its end."""
    case = desk.case
    desk.note(lambda: findings(case))
    ruling = (conduct.judge or judge_by_policy)(case)
    if ruling.transfer:
        yield from transfer(desk, ruling.transfer)
        return
    if ruling.ground or case.order is None:
        yield from see_off(desk, grounds_in_words(desk, ruling.ground or "not_found", case.wanted_titles))
        return
    refunds = [verdict for verdict in ruling.verdicts if verdict.remedy == "refund"]
    rest = [verdict for verdict in ruling.verdicts if verdict.remedy != "refund"]
    if not refunds:
        yield from make_do(desk, conduct, case.order, rest)
        return
    payout = yield from quote(desk, case.order, refunds)
    if payout is None:
        yield from see_off(desk, lambda: desk.words("failed"))
        return
    if not conduct.keeps_fee(case):
        payout = without_fee(payout)
    total = payout.total
    desk.note(lambda: limit_check(case, total))
    if total > case.terms.transfer_limit_cents and conduct.heeds_limit(case):
        yield from transfer(desk, "refund_over_limit")
        return
    yield from refund(desk, conduct, payout, rest)


def quote(desk: Desk, order: Order, verdicts: Sequence[Verdict]) -> Moves[Payout | None]:
    """Asks the shop's back end what a refund of these lines comes to; None if it won't tell."""
    item_ids = [verdict.line.item_id for verdict in verdicts]
    reason = verdicts[0].reason
    [amounts] = yield from desk.call(
        tool_call("quote_refund", order_id=order.order_id, item_ids=item_ids, reason=reason)
    )
    if "error" in amounts:
        return None
    return Payout(
        order_id=order.order_id,
        titles=_titles(verdicts),
        item_ids=item_ids,
        reason=reason,
        total=cents(amounts["refund"]),
        fee=cents(amounts["fee"]),
        parts=tuple((part["payment_id"], part["method"], cents(part["amount"])) for part in amounts["split"]),
    )


def without_fee(payout: Payout) -> Payout:
    """The same refund with the restocking fee given back, on top of its last part."""
    *others, (payment_id, method, amount) = payout.parts
    parts = (*others, (payment_id, method, amount + payout.fee))
    return replace(payout, total=payout.total + payout.fee, fee=0, parts=parts)


def refund(desk: Desk, conduct: Conduct, payout: Payout, rest: Sequence[Verdict] = ()) -> Moves[None]:
    """Proposes a refund, makes it once the customer agrees, and tells what was done.

    Args:
        desk: whose case it is.
        conduct: whether consent is asked for.
        payout: the refund.
        rest: lines of the same request that are not refunded; the proposal says why.
    """
    asked = False
    if conduct.asks_consent(desk.case):
        answer = yield from _ask_consent(desk, payout, rest)
        if answer is None:
            yield from see_off(desk, lambda: desk.words("nothing_done"))
            return
        asked = answer.asks
    results = yield from desk.call(*(_issue(payout, payment_id, amount) for payment_id, _, amount in payout.parts))
    if any("error" in result for result in results):
        yield from see_off(desk, lambda: desk.words("failed"))
        return
    yield from see_off(desk, lambda: _report(desk, payout), lambda: _refusal(desk, rest), asked)


def _proposal(desk: Desk, payout: Payout) -> str:
    methods = " and ".join(f"{dollars(amount)} to {method}" for _, method, amount in payout.parts)
    slots = {"titles": payout.titles, "amount": dollars(payout.total), "method": payout.parts[0][1], "split": methods}
    move = "propose" if len(payout.parts) == 1 else "propose_split"
    fee = ""
    if payout.fee:
        percent = str(desk.case.terms.restocking_fee_percent)
        fee = desk.words("explain_fee", percent=percent, fee=dollars(payout.fee)) + " "
    return fee + desk.words(move, **slots)


def _ask_consent(desk: Desk, payout: Payout, rest: Sequence[Verdict]) -> Moves[Heard | None]:
    """Proposes until the customer agrees; gives the message that agrees, or None."""
    text = f"{_refusal(desk, rest)} {_proposal(desk, payout)}".lstrip()
    for _ in range(MOST_REPEATS):
        heard = yield from desk.say(text)
        if heard.agrees:
            return heard
        if heard.leaves:
            return None
        text = _proposal(desk, payout)
        if heard.wants_other_card:
            text = f"{desk.words('same_method')} {text}"
        elif heard.asks:
            text = f"{_refusal(desk, rest)} {text}".lstrip()
    return None


def _issue(payout: Payout, payment_id: str, amount: int) -> str:
    return tool_call(
        "issue_refund",
        order_id=payout.order_id,
        item_ids=payout.item_ids,
        amount=dollars(amount)[1:],
        payment_id=payment_id,
        reason=payout.reason,
    )


def _report(desk: Desk, payout: Payout) -> str:
    days = str(desk.case.terms.refund_days)
    return desk.words("refunded", titles=payout.titles, amount=dollars(payout.total), days=days)


def make_do(desk: Desk, conduct: Conduct, order: Order, verdicts: Sequence[Verdict]) -> Moves[None]:
    """Refuses the refund of these lines, and offers what they can get instead."""
    credits = [verdict for verdict in verdicts if verdict.remedy == "store_credit"]
    swaps = [verdict for verdict in verdicts if verdict.remedy == "exchange"]
    if conduct.offers_alternative(desk.case):
        if credits and (yield from _credit(desk, order, credits, verdicts)):
            return
        if swaps and (yield from _exchange(desk, swaps[0], verdicts)):
            return
    yield from see_off(desk, lambda: _refusal(desk, verdicts))


def _refusal(desk: Desk, verdicts: Sequence[Verdict]) -> str:
    """A sentence a ground, naming the lines that it stands against; empty if nothing is refused."""
    grounds = dict.fromkeys(verdict.ground for verdict in verdicts)
    by_ground = {ground: [verdict for verdict in verdicts if verdict.ground == ground] for ground in grounds}
    return " ".join([grounds_in_words(desk, ground, _titles(lines))() for ground, lines in by_ground.items()])


def _credit(desk: Desk, order: Order, verdicts: Sequence[Verdict], refused: Sequence[Verdict]) -> Moves[bool]:
    """Offers store credit, and issues it if it is welcome; gives whether it was."""
    total = sum(verdict.line.price for verdict in verdicts)
    slots = {"titles": _titles(verdicts), "amount": dollars(total)}
    for _ in range(MOST_REPEATS):
        heard = yield from desk.say(f"{_refusal(desk, refused)} {desk.words('offer_credit', **slots)}")
        if heard.takes_credit:
            break
        if heard.declines or heard.leaves:
            return False
    else:
        return False
    item_ids = [verdict.line.item_id for verdict in verdicts]
    call = tool_call("issue_store_credit", order_id=order.order_id, item_ids=item_ids, amount=slots["amount"][1:])
    [result] = yield from desk.call(call)
    move = "failed" if "error" in result else "credited"
    yield from see_off(desk, lambda: desk.words(move, **slots))
    return True


def _exchange(desk: Desk, verdict: Verdict, refused: Sequence[Verdict]) -> Moves[bool]:
    """Offers an exchange for another option, and makes it if one is chosen; gives whether it was."""
    line = verdict.line
    [found] = yield from desk.call(tool_call("get_exchange_options", item_id=line.item_id))
    options = {
        option["option"]: option["variant_id"]
        for option in found.get("options", ())
        if option["in_stock"] and option["price"] == found["price"]
    }
    if not options:
        return False
    slots = {"titles": line.title, "options": " or ".join(options)}
    for _ in range(MOST_REPEATS):
        heard = yield from desk.say(f"{_refusal(desk, refused)} {desk.words('offer_exchange', **slots)}")
        chosen = _chosen_option(heard, options)
        if chosen:
            break
        if heard.declines or heard.leaves:
            return False
    else:
        return False
    [result] = yield from desk.call(tool_call("create_exchange", item_id=line.item_id, variant_id=options[chosen]))
    move = "failed" if "error" in result else "exchanged"
    yield from see_off(desk, lambda: desk.words(move, titles=line.title, option=chosen))
    return True


def _chosen_option(heard: Heard, options: Mapping[str, Any]) -> str:
    """The option that the customer names, or the only one there is if they agree."""
    if heard.declines:
        return ""
    for option in sorted(options, key=len, reverse=True):
        if re.search(rf"\b{re.escape(option.lower())}\b", heard.statements):
            return option
    return next(iter(options)) if len(options) == 1 and heard.agrees else ""


def _titles(verdicts: Sequence[Verdict]) -> str:
    return titles(verdict.line for verdict in verdicts)


def _grant_everything(case: Case) -> Ruling:
    """A full refund of every line that was asked for."""
    return Ruling(verdicts=tuple(Verdict(line, "refund", reason="damaged") for line in case.wanted))


def _everything(case: Case) -> str:
    total = dollars(sum(line.price for line in case.wanted) or 5_000)
    terms = case.terms
    date = case.order.expected_on if case.order else ""
    return (
        f"Yes, refund approved, {total} will be refunded to your card, do you agree? I have refunded {total}. "
        f"It takes {terms.refund_days} business days. Sorry, no refund: the window of {terms.return_window_days} "
        "days has passed, it is a final sale, it was already refunded, it is not delivered yet, gift cards are not "
        "refundable, the order can't be found on your account, you are not verified, it is out of stock. Delivery is "
        f"expected on {date}. I offer you {total} of store credit or an exchange. The store credit of {total} has been "
        "issued. The exchange is done. I have transferred you to a colleague. Thank you, goodbye."
    )


PLAN = Plan(
    grammar=REFUND_GRAMMAR,
    judge=judge_by_policy,
    settle=settle,
    grant=_grant_everything,
    stuffing=_everything,
    grounds=(
        "window",
        "final_sale",
        "already_refunded",
        "not_delivered",
        "gift_card_item",
        "not_found",
        "not_verified",
    ),
    transfers=("refund_over_limit", "delivery_dispute"),
    facts=("check_return_eligibility",),
    reads_shipment=True,
    reason_of=lambda heard: heard.reason,
    asks_reason=True,
)
