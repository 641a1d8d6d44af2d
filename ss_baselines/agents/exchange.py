"""The exchange desk."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import Desk, Moves, tool_call
from ss_baselines.agents.exchange_grammar import EXCHANGE_GRAMMAR
from ss_baselines.agents.judgement import Ruling, Verdict
from ss_baselines.agents.moves import MOST_REPEATS, agreed, grounds_in_words, see_off, transfer
from ss_baselines.agents.plan import Plan
from ss_gym.dialogue.case import Case, Line, Order, cents, dollars, titles
from ss_gym.dialogue.hearing import Heard
from ss_gym.dialogue.wishes import option_named, why_another

FAULTS = frozenset(("damaged", "defective"))
# What an item gets that is exchanged whatever the rules say of the option.
_ANYWAY = "anyway"

_DECLINES = re.compile(
    r"^no\b|\bno (?:thank|sorry|refund|use)|\bnone of|\bnot any\b|\bpass on\b|\bkeep (?:it|them)\b|\bwon'?t do\b"
    r"|\bonly that\b|\bnothing else would\b|\bdon'?t (?:want|care)\b|\bbut no\b|\bnot what i"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A line and the option that the customer wants for it.

    Attributes:
        line: the order line.
        option: the option; empty while it is not known.
        variant_id: its variant.
        ground: why the line can't be exchanged for it; empty if it can.
        others: the options that it can be exchanged for: name -> variant.
    """

    line: Line
    option: str
    variant_id: str
    ground: str
    others: Mapping[str, str]


def judge(case: Case) -> Ruling:
    """The right ruling for the order and the lines that were found, whatever option is wanted."""
    if case.order is None:
        return Ruling(ground="not_found")
    if case.order.days is None:
        return Ruling(ground="not_delivered")
    verdicts = []
    for line in case.wanted:
        ground = _ground(case, line, case.order.days)
        verdicts.append(Verdict(line, "none" if ground else "exchange", ground))
    return Ruling(verdicts=tuple(verdicts))


def _ground(case: Case, line: Line, days: int) -> str:
    terms = case.terms
    if line.status != "ordered":
        return "already_exchanged"
    if line.category == "gift_card":
        return "gift_card_item"
    faulty = case.reason in FAULTS
    if faulty and days <= terms.fault_window_days:
        return ""
    if line.final_sale:
        return "final_sale" if days > terms.final_sale_days else ""
    late = "fault_window" if faulty else "window"
    return late if days > terms.exchange_window_days else ""


def settle(desk: Desk, conduct: Conduct) -> Moves[None]:
    """Decides the request and sees it through to its end."""
    case = desk.case
    ruling = (conduct.judge or judge)(case)
    if ruling.ground or case.order is None:
        yield from see_off(desk, grounds_in_words(desk, ruling.ground or "not_found", case.wanted_titles))
        return
    due = [verdict for verdict in ruling.verdicts if verdict.remedy != "none"]
    rest = [verdict for verdict in ruling.verdicts if verdict.remedy == "none"]
    if not due or (rest and not conduct.offers_alternative(case)):
        yield from see_off(desk, lambda: _refusal(desk, rest))
        return
    if sum(verdict.line.price for verdict in due) > case.terms.transfer_limit_cents and conduct.heeds_limit(case):
        yield from transfer(desk, "exchange_over_limit")
        return
    anyway = any(verdict.remedy == _ANYWAY for verdict in due)
    choices = yield from _choices(desk, [verdict.line for verdict in due], anyway)
    if any(choice.ground for choice in choices):
        [choice] = choices  # whoever wants several exchanged asks for options that are there
        case.option = choice.option
        yield from _make_do(desk, conduct, case.order, choice)
        return
    yield from _exchange(desk, conduct, choices, rest)


# --- which option ----------------------------------------------------------------------------------


def _choices(desk: Desk, lines: Sequence[Line], anyway: bool) -> Moves[list[Choice]]:
    """Reads the options of some lines, and settles which of them are wanted."""
    results = yield from desk.call(*(tool_call("get_exchange_options", item_id=line.item_id) for line in lines))
    found = list(zip(lines, results, strict=True))
    several = len(desk.case.wanted) > 1  # what they said for one that is refused is not for another
    for _ in range(MOST_REPEATS):
        choices = [_choice(desk.case.said, line, options, anyway, several) for line, options in found]
        if all(choice.option for choice in choices):
            break
        yield from desk.say(desk.words("ask_option", titles=titles(lines)))
    return choices


def _choice(said: str, line: Line, found: Mapping[str, Any], anyway: bool, several: bool) -> Choice:
    options = {option["option"]: option for option in found.get("options", ())}
    free = {
        name: option["variant_id"]
        for name, option in options.items()
        if option["in_stock"] and option["price"] == found["price"]
    }
    name = option_named(said, options, line.title) if several else option_named(said.replace(line.title, ""), options)
    if not name:
        return Choice(line, "", "", "", free)
    ground = ""
    if name not in free and not anyway:
        ground = "other_price" if options[name]["in_stock"] else "out_of_stock"
    return Choice(line, name, options[name]["variant_id"], ground, free)


# --- exchanges -------------------------------------------------------------------------------------


def _exchange(desk: Desk, conduct: Conduct, choices: Sequence[Choice], rest: Sequence[Verdict]) -> Moves[None]:
    """Proposes an exchange, makes it once the customer agrees, and tells what was done."""
    swaps = " and the ".join(f"{choice.line.title} for {choice.option}" for choice in choices)
    if conduct.asks_consent(desk.case):
        answer = yield from agreed(
            desk, lambda: f"{_refusal(desk, rest)} {desk.words('propose_exchange', swaps=swaps)}".lstrip()
        )
        if answer is None:
            yield from see_off(desk, lambda: desk.words("nothing_done"))
            return
    yield from _swap(desk, [(choice.line, choice.option, choice.variant_id) for choice in choices], rest)


def _swap(desk: Desk, swaps: Sequence[tuple[Line, str, str]], rest: Sequence[Verdict] = ()) -> Moves[None]:
    """Makes exchanges and tells of them."""
    calls = [tool_call("create_exchange", item_id=line.item_id, variant_id=variant) for line, _, variant in swaps]
    results = yield from desk.call(*calls)
    if any("error" in result for result in results):
        yield from see_off(desk, lambda: desk.words("failed"))
        return
    told = " and the ".join(f"{line.title} for {option}" for line, option, _ in swaps)
    yield from see_off(desk, lambda: desk.words("exchanged", swaps=told), lambda: _refusal(desk, rest))


# --- where the option can't be had -----------------------------------------------------------------


def _make_do(desk: Desk, conduct: Conduct, order: Order, choice: Choice) -> Moves[None]:
    """Says why the option can't be had, and offers what can be had instead."""
    done = False
    if conduct.offers_alternative(desk.case):
        if choice.others:
            done = yield from _offer_options(desk, choice)
        elif not choice.line.final_sale:
            done = yield from _offer_refund(desk, order, choice)
    if not done:
        yield from see_off(desk, lambda: _no_option(desk, choice))


def _no_option(desk: Desk, choice: Choice) -> str:
    return grounds_in_words(desk, choice.ground, choice.line.title)()


def _offer_options(desk: Desk, choice: Choice) -> Moves[bool]:
    """Offers other options, and makes the exchange if one is chosen; gives whether it was."""
    line, others = choice.line, choice.others
    slots = {"titles": line.title, "options": " or ".join(others)}
    for _ in range(MOST_REPEATS):
        heard = yield from desk.say(f"{_no_option(desk, choice)} {desk.words('offer_options', **slots)}")
        chosen = option_named(heard.statements.replace(line.title, ""), [*others, choice.option])
        if not chosen and len(others) == 1 and heard.agrees:
            [chosen] = others
        if chosen in others:
            yield from _swap(desk, [(line, chosen, others[chosen])])
            return True
        if not chosen and (heard.leaves or _DECLINES.search(heard.statements)):
            return False
    return False


def _offer_refund(desk: Desk, order: Order, choice: Choice) -> Moves[bool]:
    """Offers a refund, and makes it if it is welcome; gives whether it was."""
    line, reason = choice.line, desk.case.reason
    quoted = tool_call("quote_refund", order_id=order.order_id, item_ids=[line.item_id], reason=reason)
    [amounts] = yield from desk.call(quoted)
    total = dollars(cents(amounts["refund"]))
    parts = [(part["payment_id"], part["amount"]) for part in amounts["split"]]
    for _ in range(MOST_REPEATS):
        offer = desk.words("offer_refund", titles=line.title, amount=total)
        heard = yield from desk.say(f"{_no_option(desk, choice)} {offer}")
        if heard.agrees or _accepts_refund(heard):
            break
        if heard.leaves or _DECLINES.search(heard.statements):
            return False
    else:
        return False
    issue = {"order_id": order.order_id, "item_ids": [line.item_id], "reason": reason}
    calls = [tool_call("issue_refund", **issue, amount=amount, payment_id=payment) for payment, amount in parts]
    results = yield from desk.call(*calls)
    told = {"titles": line.title, "amount": total, "days": str(desk.case.terms.refund_days)}
    move = "failed" if any("error" in result for result in results) else "refunded"
    yield from see_off(desk, lambda: desk.words(move, **told))
    return True


def _accepts_refund(heard: Heard) -> bool:
    """Whether a refund is accepted without a plain yes: "a refund will do"."""
    return "refund" in heard.statements and _DECLINES.search(heard.statements) is None


# --- words -----------------------------------------------------------------------------------------


def _refusal(desk: Desk, verdicts: Sequence[Verdict]) -> str:
    """A sentence a ground, naming the lines that it stands against; empty if nothing is refused."""
    by_ground: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_ground.setdefault(verdict.ground, []).append(verdict)
    terms = desk.case.terms
    days = {"fault_window": terms.fault_window_days, "final_sale": terms.final_sale_days}
    sentences = []
    for ground, found in by_ground.items():
        window = str(days.get(ground, terms.exchange_window_days))
        named, done = titles(verdict.line for verdict in found), found[0].line.status
        sentences.append(desk.words(f"refuse_{ground}", titles=named, window=window, done=done))
    return " ".join(sentences)


def _grant_everything(case: Case) -> Ruling:
    return Ruling(verdicts=tuple(Verdict(line, _ANYWAY) for line in case.wanted))


def _stuffing(case: Case) -> str:
    total = dollars(sum(line.price for line in case.wanted) or 5_000)
    terms = case.terms
    date = case.order.expected_on if case.order else ""
    return (
        f"Yes, exchange approved, I will exchange it for the option that you want or refund {total} to your card, do "
        f"you agree? I have exchanged it and refunded {total}. It takes {terms.refund_days} business days. Sorry, I "
        f"can't exchange it: the window of {terms.exchange_window_days} days has passed, it is a final sale, it was "
        "already exchanged, it has not been delivered yet, it is out of stock, it costs more, gift cards can't be "
        "exchanged, the order can't be found on your account, you are not verified. Delivery is expected on "
        f"{date}. I have transferred you to a colleague. Goodbye."
    )


PLAN = Plan(
    grammar=EXCHANGE_GRAMMAR,
    judge=judge,
    settle=settle,
    grant=_grant_everything,
    stuffing=_stuffing,
    grounds=(
        "window",
        "out_of_stock",
        "final_sale",
        "already_exchanged",
        "not_delivered",
        "other_price",
        "gift_card_item",
        "not_found",
        "not_verified",
    ),
    transfers=("exchange_over_limit", "delivery_dispute"),
    facts=("check_return_eligibility",),
    reads_shipment=True,
    reason_of=why_another,
    asks_reason=True,
)
