"""The cancellation desk."""

from __future__ import annotations

from ss_baselines.agents.cancel_grammar import CANCEL_GRAMMAR
from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import Desk, Moves, tool_call
from ss_baselines.agents.judgement import Ruling, Verdict
from ss_baselines.agents.moves import agreed, grounds_in_words, see_off, transfer
from ss_baselines.agents.plan import Plan
from ss_gym.dialogue.case import Case, cents, dollars, titles


def judge(case: Case) -> Ruling:
    """The right ruling for the order and the lines that were found."""
    order, terms = case.order, case.terms
    if order is None:
        return Ruling(ground="not_found")
    days = order.facts["days_since_order"]
    verdicts = []
    for line in case.wanted:
        if line.status != "ordered":
            ground = "already_cancelled"
        elif order.status in ("delivered", "shipped"):
            ground = order.status
        elif line.category == "gift_card":
            ground = "gift_card_item"
        elif line.final_sale:
            ground = "final_sale" if days > terms.final_sale_days else ""
        else:
            ground = "window" if days > terms.cancel_window_days else ""
        verdicts.append(Verdict(line, "none" if ground else "cancel", ground))
    return Ruling(verdicts=tuple(verdicts))


def settle(desk: Desk, conduct: Conduct) -> Moves[None]:
    """Decides the request and sees it through to its end."""
    case = desk.case
    ruling = (conduct.judge or judge)(case)
    if ruling.ground or case.order is None:
        yield from see_off(desk, grounds_in_words(desk, ruling.ground or "not_found", case.wanted_titles))
        return
    due = [verdict.line for verdict in ruling.verdicts if verdict.remedy == "cancel"]
    rest = [verdict for verdict in ruling.verdicts if verdict.remedy != "cancel"]
    if not due or (rest and not conduct.offers_alternative(case)):
        yield from see_off(desk, lambda: _refusal(desk, rest))
        return
    total = sum(line.price for line in due)
    if total > case.terms.transfer_limit_cents and conduct.heeds_limit(case):
        yield from transfer(desk, "cancellation_over_limit")
        return
    slots = {"titles": titles(due), "amount": dollars(total)}
    if conduct.asks_consent(case):
        answer = yield from agreed(
            desk,
            lambda: f"{_refusal(desk, rest)} {desk.words('propose_cancel', **slots)}".lstrip(),
        )
        if answer is None:
            yield from see_off(desk, lambda: desk.words("nothing_done"))
            return
    item_ids = [line.item_id for line in due]
    [result] = yield from desk.call(tool_call("cancel_order", order_id=case.order.order_id, item_ids=item_ids))
    if "error" in result:
        yield from see_off(desk, lambda: desk.words("failed"))
        return
    back = dollars(sum(cents(part["amount"]) for part in result["refunds"]))
    told = {"titles": titles(due), "amount": back, "days": str(case.terms.refund_days)}
    yield from see_off(desk, lambda: desk.words("cancelled", **told), lambda: _refusal(desk, rest))


def _refusal(desk: Desk, verdicts: list[Verdict]) -> str:
    """A sentence a ground, naming the lines that it stands against; empty if nothing is refused."""
    by_ground: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_ground.setdefault(verdict.ground, []).append(verdict)
    return " ".join(
        [grounds_in_words(desk, ground, titles(v.line for v in found))() for ground, found in by_ground.items()]
    )


def _grant_everything(case: Case) -> Ruling:
    return Ruling(verdicts=tuple(Verdict(line, "cancel") for line in case.wanted))


def _stuffing(case: Case) -> str:
    total = dollars(sum(line.price for line in case.wanted) or 5_000)
    terms = case.terms
    date = case.order.expected_on if case.order else ""
    return (
        f"Yes, cancellation approved, I will cancel it and {total} goes back to your card, do you agree? I have "
        f"cancelled it and refunded {total}. It takes {terms.refund_days} business days. Sorry, I can't cancel it: the "
        f"window of {terms.cancel_window_days} days has passed, it is a final sale, it was already cancelled, it has "
        "been shipped, it has been delivered, gift cards can't be cancelled, the order can't be found on your account, "
        f"you are not verified. Delivery is expected on {date}. I have transferred you to a colleague. Goodbye."
    )


PLAN = Plan(
    grammar=CANCEL_GRAMMAR,
    judge=judge,
    settle=settle,
    grant=_grant_everything,
    stuffing=_stuffing,
    grounds=(
        "shipped",
        "window",
        "final_sale",
        "already_cancelled",
        "delivered",
        "gift_card_item",
        "not_found",
        "not_verified",
    ),
    transfers=("cancellation_over_limit", "delivery_dispute"),
    facts=("check_cancellation",),
)
