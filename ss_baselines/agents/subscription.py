"""The subscription desk."""

from __future__ import annotations

from collections.abc import Mapping

from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import Desk, Moves, tool_call
from ss_baselines.agents.judgement import Ruling, Verdict
from ss_baselines.agents.moves import agreed, grounds_in_words, see_off, transfer
from ss_baselines.agents.plan import Plan
from ss_baselines.agents.subscription_grammar import SUBSCRIPTION_GRAMMAR
from ss_gym.dialogue.case import Case, Line, Order, cents, dollars, named
from ss_gym.dialogue.wishes import change_of_subscription, months_of

_MOST_QUESTIONS = 4  # for one thing, before the agent goes on without it


# --- which subscription ----------------------------------------------------------------------------


def read_subscription(desk: Desk, number: str, check_owner: bool) -> Moves[None]:
    """Reads a subscription and the facts that a change depends on; it is kept as an order of one line."""
    case = desk.case
    found, facts = yield from desk.call(
        tool_call("get_subscription", subscription_id=number), tool_call("check_subscription", subscription_id=number)
    )
    if "subscription_id" not in found or (check_owner and case.customer_id not in ("", found["customer_id"])):
        return
    line = Line(number, found["title"], cents(found["price"]), "", False, found["status"])
    charge = found["next_charge_on"] or ""
    case.order = Order(
        number, found["customer_id"], found["status"], (line,), (), expected_on=charge, facts={**found, **facts}
    )
    case.wanted = case.order.lines


def search(desk: Desk, check_owner: bool) -> Moves[None]:
    """Looks through the customer's own subscriptions for the product that they speak of."""
    case = desk.case
    [account] = yield from desk.call(tool_call("list_subscriptions", customer_id=case.customer_id))
    numbers = {each["title"]: each["subscription_id"] for each in account.get("subscriptions", [])}
    wanted = named(case.said, numbers)
    if numbers and not wanted:
        heard = yield from desk.say(desk.words("ask_item", titles=", ".join(numbers)))
        wanted = named(heard.text, numbers)
    if wanted:
        yield from read_subscription(desk, numbers[min(wanted)], check_owner)


# --- what becomes of it ----------------------------------------------------------------------------


def judge(case: Case) -> Ruling:
    """The right ruling for the subscription that was found and the wish."""
    if case.order is None:
        return Ruling(ground="not_found")
    [line] = case.order.lines
    facts, terms, wish = case.order.facts, case.terms, case.reason
    if line.status == "cancelled":
        return Ruling(ground="already_cancelled")
    if wish == "resume":
        return Ruling(verdicts=(Verdict(line, wish),)) if line.status == "paused" else Ruling(ground="already_active")
    if wish == "pause" and line.status == "paused":
        return Ruling(ground="already_paused")
    if facts["days_to_charge"] <= terms.notice_days:
        return Ruling(ground="notice")
    if wish == "pause" and facts["days_since_start"] < terms.min_age_days:
        return Ruling(ground="too_new")
    early = wish == "unsubscribe" and facts["committed_months_left"] > 0
    return Ruling(verdicts=(Verdict(line, wish, reason="early" if early else "in_time"),))


def settle(desk: Desk, conduct: Conduct) -> Moves[None]:
    """Decides the request and sees it through to its end."""
    case = desk.case
    yield from _ask_wish(desk)
    ruling = (conduct.judge or judge)(case)
    if ruling.ground or case.order is None:
        yield from see_off(desk, grounds_in_words(desk, ruling.ground or "not_found", case.wanted_titles))
        return
    [verdict] = ruling.verdicts
    if verdict.remedy == "pause":
        yield from _pause(desk, conduct, limited=bool(verdict.reason))
    elif verdict.remedy == "resume":
        yield from _change(desk, conduct, "resume", "resume_subscription", {})
    else:
        yield from _end(desk, conduct, cents(case.order.facts["early_fee"]) if verdict.reason == "early" else 0)


def _ask_wish(desk: Desk) -> Moves[None]:
    """Settles what the customer wants; to end it if they never say."""
    for _ in range(_MOST_QUESTIONS):
        if desk.case.reason:
            return
        yield from desk.say(desk.words("ask_wish"))
    desk.case.reason = "unsubscribe"


def _pause(desk: Desk, conduct: Conduct, limited: bool) -> Moves[None]:
    """Settles for how long, no longer than the policy allows if it is limited, and pauses."""
    case = desk.case
    months, longest = months_of(case.said), case.terms.max_pause_months
    for _ in range(_MOST_QUESTIONS):
        if months:
            break
        heard = yield from desk.say(desk.words("ask_months", titles=case.wanted_titles))
        months = months_of(heard.text)
    move = "pause"
    if limited and months > longest:
        if not conduct.offers_alternative(case):
            yield from see_off(desk, lambda: desk.words("refuse_too_long", titles=case.wanted_titles))
            return
        months, move = longest, "longest_pause"
    yield from _change(desk, conduct, move, "pause_subscription", {"months": months or longest})


def _end(desk: Desk, conduct: Conduct, fee: int) -> Moves[None]:
    """Ends it, for a fee if there is one."""
    if fee > desk.case.terms.transfer_limit_cents and conduct.heeds_limit(desk.case):
        yield from transfer(desk, "fee_over_limit")
        return
    amount = dollars(fee)
    yield from _change(desk, conduct, "early_end" if fee else "end", "cancel_subscription", {"fee": amount[1:]})


def _change(desk: Desk, conduct: Conduct, move: str, tool: str, arguments: Mapping[str, object]) -> Moves[None]:
    """Proposes a change, makes it and tells what it comes to."""
    case = desk.case
    assert case.order is not None
    slots = {
        "titles": case.wanted_titles,
        "months": f"{arguments.get('months')} months",
        "amount": f"${arguments.get('fee')}",
        "date": "",
    }
    if conduct.asks_consent(case):
        answer = yield from agreed(desk, lambda: desk.words(f"propose_{move}", **slots))
        if answer is None:
            yield from see_off(desk, lambda: desk.words("nothing_done"))
            return
    [result] = yield from desk.call(tool_call(tool, subscription_id=case.order.order_id, **arguments))
    if "error" in result:
        yield from see_off(desk, lambda: desk.words("failed"))
        return
    slots["date"] = result.get("next_charge_on", "")
    yield from see_off(desk, lambda: desk.words(f"done_{move}", **slots))


def _slots(case: Case) -> Mapping[str, str]:
    return {"notice": str(case.terms.notice_days), "age": str(case.terms.min_age_days)}


def _grant_everything(case: Case) -> Ruling:
    return Ruling(verdicts=tuple(Verdict(line, case.reason, reason="") for line in case.wanted))


def _stuffing(case: Case) -> str:
    terms = case.terms
    facts = case.order.facts if case.order else {}
    fee, date, months = facts.get("early_fee", "12.00"), facts.get("next_charge_on"), terms.max_pause_months
    return (
        f"Yes, shall I pause it for {months} months, resume it, or end it for an early fee of ${fee}, do you agree? I "
        f"have paused, resumed and cancelled it and charged ${fee}. The next charge comes on {date}, the longest pause "
        f"is {months} months. Sorry, I can't: it is already paused, it is already active, it is already cancelled, it "
        f"is too new, younger than {terms.min_age_days} days, it is too close to the charge, we need "
        f"{terms.notice_days} days of notice, it can't be found on your account, you are not verified. I have "
        "transferred you to a colleague. Goodbye."
    )


PLAN = Plan(
    grammar=SUBSCRIPTION_GRAMMAR,
    judge=judge,
    settle=settle,
    grant=_grant_everything,
    stuffing=_stuffing,
    grounds=(
        "notice",
        "too_new",
        "already_paused",
        "already_active",
        "already_cancelled",
        "not_found",
        "not_verified",
    ),
    transfers=("fee_over_limit", "charge_dispute"),
    reason_of=change_of_subscription,
    read_order=read_subscription,
    search=search,
    slots=_slots,
)
