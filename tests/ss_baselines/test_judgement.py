"""The reference agent's own reading of the policy against the policy engine."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from ss_baselines.agents.judgement import judge_by_policy
from ss_gym.commerce.policy import decide
from ss_gym.commerce.records import REASONS, ItemFacts, OrderFacts, PaymentFacts, Rules
from ss_gym.dialogue.case import Case, Line, Order

TODAY = "2025-06-30"
TERMS = Rules(30, 60, 90, 15, 50_000, 5)
RULES = Rules(30, 60, 90, 15, 10**9, 5)  # the limit is checked against the quote, not judged here

LINES = st.builds(
    Line,
    item_id=st.just("48213-1"),
    title=st.just("table lamp"),
    price=st.integers(100, 90_000),
    category=st.sampled_from(("home", "electronics", "gift_card")),
    final_sale=st.booleans(),
    status=st.sampled_from(("ordered", "ordered", "ordered", "refunded", "credited", "exchanged")),
)


@settings(max_examples=300)
@given(LINES, st.one_of(st.none(), st.integers(0, 120)), st.sampled_from(REASONS))
def test_it_rules_as_the_policy_engine_does(line: Line, days: int | None, reason: str) -> None:
    delivered = None if days is None else (date.fromisoformat(TODAY) - timedelta(days)).isoformat()
    status = "shipped" if delivered is None else "delivered"
    facts = OrderFacts(
        "48213",
        "C4821",
        status,
        delivered,
        delivered or "2025-07-03",
        (ItemFacts(line.item_id, "V1", line.title, line.category, line.price, line.final_sale, line.status),),
        (PaymentFacts("48213-P1", "card", "Visa 1234", line.price, 0),),
    )
    decision = decide(facts, "C4821", [line.item_id], reason, RULES, TODAY, lambda _: ("V2",))  # type: ignore[arg-type]
    order = Order("48213", "C4821", status, (line,), (("48213-P1", "Visa 1234"),), days, "2025-07-03")
    ruling = judge_by_policy(Case(TERMS, reason=reason, order=order, wanted=(line,)))
    assert (ruling.transfer, ruling.ground) == (decision.transfer, decision.ground)
    verdicts = [(verdict.remedy, verdict.ground) for verdict in ruling.verdicts]
    assert verdicts == [(item.remedy, item.ground) for item in decision.items]
