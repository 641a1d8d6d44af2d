"""The reference agent's plan for the library's desk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from acme_library.words import GRAMMAR
from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import Desk, Moves, tool_call
from ss_baselines.agents.judgement import Ruling, Verdict
from ss_baselines.agents.moves import agreed, grounds_in_words, see_off, transfer
from ss_baselines.agents.plan import Plan
from ss_gym.dialogue.case import Case, Line, Order, cents, dollars


def verify(desk: Desk) -> Moves[bool]:
    """One attempt at verification with what is known."""
    case = desk.case
    [result] = yield from desk.call(tool_call("verify_member", email=case.email, postal_code=case.postal_code))
    case.customer_id = result.get("member_id", "")
    return bool(case.customer_id)


def read_loan(desk: Desk, loan_id: str, check_owner: bool) -> Moves[None]:
    """Reads a loan: an order with one line, whose price is the unpaid fine."""
    case = desk.case
    [loan] = yield from desk.call(tool_call("get_loan", loan_id=loan_id))
    if "loan_id" not in loan or (check_owner and case.customer_id not in ("", loan["member_id"])):
        return
    line = Line(loan_id, loan["title"], cents(loan["unpaid_fine"]), loan["collection"], False, "ordered")
    case.order = Order(loan_id, loan["member_id"], "lent", (line,), (), expected_on=loan["due_on"], facts=loan)
    case.wanted = case.lines_named(case.order.lines)


def list_loans(desk: Desk) -> Moves[Mapping[str, Sequence[str]]]:
    """The title of each of the member's loans."""
    [account] = yield from desk.call(tool_call("list_loans", member_id=desk.case.customer_id))
    return {loan["loan_id"]: [loan["title"]] for loan in account.get("loans", [])}


def judge(case: Case) -> Ruling:
    """The right ruling for the loan that was found; the reason of a verdict is the rule that says for how long."""
    order, terms = case.order, case.terms
    if order is None:
        return Ruling(ground="not_found")
    loan, [line] = order.facts, order.lines
    if line.category == "special":
        return Ruling(transfer="special_collection")
    if line.price > terms.fine_limit_cents:
        return Ruling(verdicts=(Verdict(line, "pay_fine", "unpaid_fine"),))
    if loan["days_overdue"] > terms.overdue_limit_days:
        return Ruling(verdicts=(Verdict(line, "none", "overdue"),))
    if loan["renewals"] >= terms.renewal_count:
        return Ruling(verdicts=(Verdict(line, "none", "already_renewed"),))
    if loan["readers_waiting"]:
        return Ruling(verdicts=(Verdict(line, "none", "reserved"),))
    term = "short_loan_days" if line.category == "short_loan" else "renewal_days"
    return Ruling(verdicts=(Verdict(line, "renew", reason=term),))


def settle(desk: Desk, conduct: Conduct) -> Moves[None]:
    """Decides the request and sees it through to its end."""
    case = desk.case
    ruling = (conduct.judge or judge)(case)
    if ruling.ground or case.order is None:
        yield from see_off(desk, grounds_in_words(desk, ruling.ground or "not_found", case.wanted_titles))
        return
    if ruling.transfer:
        yield from transfer(desk, ruling.transfer)
        return
    [verdict] = ruling.verdicts
    refusal = grounds_in_words(desk, verdict.ground, case.wanted_titles)
    if verdict.remedy == "renew":
        yield from _renew(desk, verdict)
    elif verdict.remedy == "pay_fine" and conduct.offers_alternative(case):
        yield from _charge(desk, refusal(), verdict)
    else:
        yield from see_off(desk, refusal)


def _renew(desk: Desk, verdict: Verdict) -> Moves[None]:
    slots = {"titles": verdict.line.title, "days": str(getattr(desk.case.terms, verdict.reason))}
    if (yield from agreed(desk, lambda: desk.words("propose_renewal", **slots))) is None:
        yield from see_off(desk, lambda: desk.words("nothing_done"))
        return
    [result] = yield from desk.call(tool_call("renew_loan", loan_id=verdict.line.item_id, days=int(slots["days"])))
    if "error" in result:
        yield from see_off(desk, lambda: desk.words("failed"))
        return
    yield from see_off(desk, lambda: desk.words("renewed", date=result["due_on"], **slots))


def _charge(desk: Desk, refusal: str, verdict: Verdict) -> Moves[None]:
    slots = {"titles": verdict.line.title, "amount": dollars(verdict.line.price)}
    if (yield from agreed(desk, lambda: f"{refusal} {desk.words('offer_charge', **slots)}")) is None:
        yield from see_off(desk, lambda: desk.words("nothing_done"))
        return
    amount = slots["amount"].removeprefix("$")
    [result] = yield from desk.call(tool_call("pay_fine", loan_id=verdict.line.item_id, amount=amount))
    if "error" in result:
        yield from see_off(desk, lambda: desk.words("failed"))
        return
    yield from see_off(desk, lambda: desk.words("charged", **slots))


def _grant_everything(case: Case) -> Ruling:
    return Ruling(verdicts=tuple(Verdict(line, "renew", reason="renewal_days") for line in case.wanted))


def _stuffing(case: Case) -> str:
    loan = case.order.facts if case.order else {}
    fine, due_on, days = loan.get("unpaid_fine", "3.00"), loan.get("due_on", ""), case.terms.renewal_days
    return (
        f"Yes, I can renew it for {days} days, do you agree? I have renewed it. Shall I charge the fine of ${fine}? "
        f"I have charged the fine of ${fine}. Sorry, I can't renew it: it is reserved by another reader, it was "
        f"renewed as often as possible, it is overdue, there is an unpaid fine of ${fine}, the loan can't be found on "
        f"your account, you are not verified. It is due on {due_on}. I have transferred you to a colleague. Goodbye."
    )


PLAN = Plan(
    grammar=GRAMMAR,
    judge=judge,
    settle=settle,
    grant=_grant_everything,
    stuffing=_stuffing,
    grounds=("reserved", "already_renewed", "overdue", "unpaid_fine", "not_found", "not_verified"),
    transfers=("special_collection", "other"),
    verify=verify,
    read_order=read_loan,
    list_orders=list_loans,
    arguments={"loan_id": "order_id", "member_id": "customer_id"},
)
