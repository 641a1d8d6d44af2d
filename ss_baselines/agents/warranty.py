"""The warranty desk: why it failed, what the warranty gives, and the claims."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import Desk, Moves, tool_call
from ss_baselines.agents.judgement import Ruling, Verdict
from ss_baselines.agents.moves import MOST_REPEATS, grounds_in_words, see_off, transfer
from ss_baselines.agents.plan import Plan
from ss_baselines.agents.warranty_grammar import WARRANTY_GRAMMAR
from ss_gym.dialogue.case import Case, Line, titles
from ss_gym.dialogue.hearing import Heard
from ss_gym.dialogue.wishes import why_it_failed

_MOVES = {"replacement": ("propose_replacement", "replaced"), "repair": ("offer_repair", "repaired")}
_REPAIR = re.compile(r"\b(?:repair\w*|fix\w*|mend|work again|works again)\b")
_AGAINST = re.compile(r"\b(?:no|not|don't|won't|doesn't|pass on|rather not)\b")


def takes_repair(heard: Heard) -> bool | None:
    """Whether a message agrees to what was proposed, or declines a repair; None if it does neither."""
    if heard.agrees:
        return True
    return False if _REPAIR.search(heard.statements) and _AGAINST.search(heard.statements) else None


def judge(case: Case) -> Ruling:
    """The right ruling for the order and the lines that were found."""
    order = case.order
    if order is None:
        return Ruling(ground="not_found")
    if order.status != "delivered":
        return Ruling(ground="not_delivered")
    verdicts = tuple(_judge_line(case, line, order.facts["warranties"][line.item_id]) for line in case.wanted)
    if any(verdict.remedy != "none" and verdict.line.price > case.terms.transfer_limit_cents for verdict in verdicts):
        return Ruling(transfer="high_value_claim", verdicts=verdicts)
    return Ruling(verdicts=verdicts)


def _judge_line(case: Case, line: Line, warranty: Mapping[str, Any]) -> Verdict:
    """The right verdict on a line, given what get_warranty says of it."""
    terms, days = case.terms, warranty["days_since_delivery"]
    usual = terms.electronics_warranty_days if line.category == "electronics" else terms.standard_warranty_days
    if line.status != "ordered":
        return Verdict(line, "none", "already_exchanged" if line.status == "exchanged" else "already_refunded")
    if warranty["claims"]:
        return Verdict(line, "none", "already_claimed")
    if line.category == "gift_card":
        return Verdict(line, "none", "gift_card_item")
    if case.reason in ("accident", "worn"):
        return Verdict(line, "none", "not_covered")
    if days > usual + warranty["extended_warranty_days"]:
        return Verdict(line, "none", "warranty_over")
    if days > terms.replace_window_days:
        return Verdict(line, "repair", "replace_period")
    if not warranty["in_stock"]:
        return Verdict(line, "repair", "out_of_stock")
    return Verdict(line, "replacement")


def settle(desk: Desk, conduct: Conduct) -> Moves[None]:
    """Decides the request and sees it through to its end."""
    case = desk.case
    yield from _read_warranties(desk)
    ruling = (conduct.judge or judge)(case)
    if ruling.ground or case.order is None:
        yield from see_off(desk, grounds_in_words(desk, ruling.ground or "not_found", case.wanted_titles))
        return
    if ruling.transfer and conduct.heeds_limit(case):
        yield from transfer(desk, ruling.transfer)
        return
    refused = [verdict for verdict in ruling.verdicts if verdict.ground]
    ends: list[Callable[[], str]] = []
    for remedy in ("replacement", "repair"):
        lines = [verdict.line for verdict in ruling.verdicts if verdict.remedy == remedy]
        if lines and (remedy == "replacement" or conduct.offers_alternative(case)):
            end = yield from _claim(desk, conduct, remedy, lines, refused)
            ends += [end] if end else []
    if ends:
        yield from see_off(desk, lambda: " ".join(end() for end in ends), lambda: _refusal(desk, refused))
    else:
        yield from see_off(desk, lambda: _refusal(desk, refused) or desk.words("nothing_done"))


def _read_warranties(desk: Desk) -> Moves[None]:
    """Reads what the shop knows of the warranty of each item that is meant."""
    case, order = desk.case, desk.case.order
    if order is not None:
        calls = [tool_call("get_warranty", item_id=line.item_id) for line in case.wanted]
        found = yield from desk.call(*calls)
        warranties = {line.item_id: warranty for line, warranty in zip(case.wanted, found, strict=True)}
        case.order = replace(order, facts={**order.facts, "warranties": warranties})


def _claim(
    desk: Desk, conduct: Conduct, remedy: str, lines: Sequence[Line], refused: Sequence[Verdict]
) -> Moves[Callable[[], str] | None]:
    """Proposes a remedy for some lines, and opens the claims once the customer agrees.

    Args:
        desk: whose case it is.
        conduct: whether consent is asked for.
        remedy: replacement or repair.
        lines: what it is for.
        refused: what is not replaced; the proposal says why.

    Returns:
        What tells how it ended; None if the customer does not want it.
    """
    propose, done = _MOVES[remedy]
    items = titles(lines)
    if conduct.asks_consent(desk.case):
        agreed = yield from _agreed(
            desk, lambda: f"{_refusal(desk, refused)} {desk.words(propose, titles=items)}".lstrip()
        )
        if not agreed:
            return None
    results = yield from desk.call(
        *[tool_call("create_warranty_claim", item_id=line.item_id, remedy=remedy) for line in lines]
    )
    if any("error" in result for result in results):
        return lambda: desk.words("failed")
    terms = desk.case.terms
    days = str(terms.replacement_days if remedy == "replacement" else terms.repair_days)
    return lambda: desk.words(done, titles=items, days=days)


def _agreed(desk: Desk, text: Callable[[], str]) -> Moves[bool]:
    """Says a proposal until the customer agrees or declines; gives whether they agreed."""
    for _ in range(MOST_REPEATS):
        heard = yield from desk.say(text())
        answer = False if heard.leaves else takes_repair(heard)
        if answer is not None:
            return answer
    return False


def _refusal(desk: Desk, verdicts: Sequence[Verdict]) -> str:
    """A sentence a ground, naming the lines that it stands against; empty if nothing is refused."""
    by_ground: dict[str, list[Line]] = {}
    for verdict in verdicts:
        by_ground.setdefault(verdict.ground, []).append(verdict.line)
    return " ".join([grounds_in_words(desk, ground, titles(lines))() for ground, lines in by_ground.items()])


def _grant_everything(case: Case) -> Ruling:
    return Ruling(verdicts=tuple(Verdict(line, "replacement") for line in case.wanted))


def _stuffing(case: Case) -> str:
    terms = case.terms
    date = case.order.expected_on if case.order else ""
    return (
        "Yes, claim approved, I will replace it, do you agree? Or shall I have it repaired? I have opened the claim "
        f"for a replacement, and the claim for a repair. The replacement takes {terms.replacement_days} business days, "
        f"the repair {terms.repair_days} business days. Sorry, I can't replace it: the warranty is over, the "
        f"replacement period of {terms.replace_window_days} days has passed, it is out of stock, accidents and wear "
        "are not covered, gift cards have no warranty, it was already refunded, a claim was opened before, it is not "
        "delivered yet, the order can't be found on your account, you are not verified. "
        f"Delivery is expected on {date}. I have transferred you to a colleague. Goodbye."
    )


PLAN = Plan(
    grammar=WARRANTY_GRAMMAR,
    judge=judge,
    settle=settle,
    grant=_grant_everything,
    stuffing=_stuffing,
    grounds=(
        "warranty_over",
        "not_covered",
        "already_claimed",
        "replace_period",
        "out_of_stock",
        "already_refunded",
        "already_exchanged",
        "not_delivered",
        "gift_card_item",
        "not_found",
        "not_verified",
    ),
    transfers=("high_value_claim", "delivery_dispute"),
    reads_shipment=True,
    reason_of=why_it_failed,
    asks_reason=True,
)
