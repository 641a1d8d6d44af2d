from __future__ import annotations

import re
from dataclasses import fields
from datetime import date, timedelta
from typing import Any, get_args

import pytest

from ss_gym.commerce import prompt
from ss_gym.commerce.policy import decide
from ss_gym.commerce.prompt import Topic, compact_prompt, full_prompt, policy_section, sections, signature
from ss_gym.commerce.records import REASONS, ItemFacts, OrderFacts, PaymentFacts, Rules, TransferReason
from ss_gym.commerce.toolkit import MAX_VERIFICATION_ATTEMPTS
from ss_gym.families import load_family
from ss_gym.scenario_files import read_text

POLICY = read_text("refund", "policy.md")
TOOLS = load_family("refund").tools
SCHEMAS = [tool.schema for tool in TOOLS.values()]
OTHER = Rules(14, 44, 59, 10, 20_000, 3)


def rule(number: int) -> str:
    """The text of one numbered rule of the policy."""
    found = re.search(rf"^{number}\. (.+)$", POLICY, re.MULTILINE)
    assert found is not None
    return found[1]


def full(rules: Rules, today: str = "2025-03-14", max_turns: int = 12) -> str:
    return full_prompt("refund", rules, today, SCHEMAS, max_turns, 40)


def test_the_parameters_of_the_text_are_the_fields_of_the_rules() -> None:
    names = {field.name.removesuffix("_cents") for field in fields(Rules)}
    text = POLICY.split("## Today")[0]
    assert set(re.findall(r"`(\w+)`", text)) - {"like_this"} == names
    assert set(re.findall(r"{(\w+)}", POLICY)) == names | {"today"}
    assert "{" not in text


def test_prompts_of_two_shops_differ_only_in_the_parameters_at_the_end(rules: Rules) -> None:
    one, other = full(rules), full(OTHER, "2025-12-01")
    shared = one.split("## Today")[0]
    assert other.startswith(shared)
    assert len(shared) > 0.95 * len(one)
    assert one.endswith(
        "## Today\n- today: 2025-03-14\n- return_window_days: 30\n- credit_window_days: 60\n- damage_window_days: 90\n"
        "- restocking_fee_percent: 15\n- transfer_limit: 500.00\n- refund_days: 5\n"
    )


def test_the_full_prompt_tells_grammar_tools_and_limits(rules: Rules) -> None:
    text = full(rules, max_turns=9)
    assert '<tool_call>{"name": "get_order", "arguments": {"order_id": "12345"}}</tool_call>' in text
    assert "9 times at most, in at most 40 messages" in text
    for name in TOOLS:
        assert f"\n- {name}(" in text
    assert "- end_conversation(): End the conversation when all is settled." in text


def test_a_signature_has_the_types() -> None:
    assert signature(TOOLS["issue_store_credit"].schema) == (
        "- issue_store_credit(order_id: string, item_ids: list of string, amount: string): "
        "Give store credit for items of an order."
    )
    assert '"refund_over_limit" | "delivery_dispute" | "other"' in signature(TOOLS["transfer_to_human"].schema)


def test_the_policy_is_short_enough_to_be_read() -> None:
    # About 1.3 tokens a word in the vocabularies of open models.
    assert 350 <= len(POLICY.split()) <= 560


def test_the_compact_prompt_is_one_short_line(rules: Rules) -> None:
    line = compact_prompt("refund", rules, "2025-03-14")
    expected = "refund | today 2025-03-14 | return 30 | credit 60 | damage 90 | fee 15% | limit 500.00 | days 5"
    assert line == expected
    assert len(line) <= 100


def test_every_topic_is_a_section_with_its_values(rules: Rules) -> None:
    for topic in get_args(Topic):
        text = policy_section("refund", topic, rules, "2025-03-14")
        assert re.match(r"\d+\. |Decide each", text)
    assert "up to day return_window_days (30)" in policy_section("refund", "eligibility", rules, "2025-03-14")
    assert list(sections("refund", Rules)) == ["", *(t.capitalize() for t in get_args(Topic)), "Today"]


def test_the_text_names_tools_reasons_and_transfers_that_exist() -> None:
    words = set(re.findall(r"[a-z]+(?:_[a-z]+)+", POLICY))
    parameters = {field.name.removesuffix("_cents") for field in fields(Rules)} | {"like_this"}
    known = parameters | set(TOOLS) | set(REASONS) | set(get_args(TransferReason)) | {"gift_card"}
    assert words - known == set()
    assert set(REASONS) - {"damaged", "defective"} <= words
    assert {"refund_over_limit", "delivery_dispute"} <= words
    assert {1: "one", 2: "two"}[MAX_VERIFICATION_ATTEMPTS] + " failed attempts" in rule(1)


def decide_one(
    rules: Rules, day: int, reason: Any = "changed_mind", price: int = 2490, **item: Any
) -> tuple[str, str, str]:
    """Transfer, remedy and ground for one item, ``day`` days after delivery; another option is in stock."""
    line = ItemFacts("1-1", "V1", "wool scarf", "clothing", price, False, "ordered")._replace(**item)
    order = OrderFacts(
        "1", "C1", "delivered", "2025-01-01", None, (line,), (PaymentFacts("1-P1", "card", "Visa", price, 0),)
    )
    today = (date(2025, 1, 1) + timedelta(days=day)).isoformat()
    decision = decide(order, "C1", ["1-1"], reason, rules, today, lambda _: ("V2",))
    if decision.transfer:
        return decision.transfer, "", ""
    return "", decision.items[0].remedy, decision.items[0].ground


@pytest.mark.parametrize("rules", [Rules(30, 60, 90, 15, 50_000, 5), OTHER], ids=["usual", "other"])
def test_the_numbered_rules_are_what_the_policy_engine_does(rules: Rules) -> None:
    window, credit, damage = rules.return_window_days, rules.credit_window_days, rules.damage_window_days
    assert "already refunded, credited or exchanged" in rule(4)
    assert decide_one(rules, 1, "damaged", status="exchanged")[1:] == ("none", "already_refunded")
    assert "not_received" in rule(5) and "delivery_dispute" in rule(5)
    assert decide_one(rules, 1, "not_received")[0] == "delivery_dispute"
    assert "category gift_card" in rule(6)
    assert decide_one(rules, 1, "damaged", category="gift_card")[1:] == ("none", "gift_card_item")
    assert "up to day `damage_window_days`" in rule(7) and "final sale or not" in rule(7)
    assert decide_one(rules, damage, "damaged", final_sale=True)[1:] == ("refund", "")
    assert decide_one(rules, damage + 1, "damaged")[1:] == decide_one(rules, damage + 1)[1:]
    assert "Up to day `return_window_days` offer an exchange" in rule(8)
    assert decide_one(rules, window, final_sale=True)[1:] == ("exchange", "final_sale")
    assert decide_one(rules, window + 1, final_sale=True)[1:] == ("none", "final_sale")
    assert "up to day `return_window_days`: refund the price" in rule(9)
    assert decide_one(rules, window)[1:] == ("refund", "")
    assert "up to day `credit_window_days`: no refund, but offer store credit" in rule(10)
    assert decide_one(rules, window + 1)[1:] == decide_one(rules, credit)[1:] == ("store_credit", "window")
    assert decide_one(rules, credit + 1)[1:] == ("none", "window")
    assert "totals more than `transfer_limit`" in rule(11)
    assert decide_one(rules, 1, price=rules.transfer_limit_cents)[0] == ""
    assert decide_one(rules, 1, price=rules.transfer_limit_cents + 1)[0] == "refund_over_limit"


def test_the_fee_of_the_text_is_the_fee_of_the_engine(rules: Rules) -> None:
    assert "`restocking_fee_percent` percent of each item's price, rounded half up to the cent" in rule(9)
    order = OrderFacts(
        "1",
        "C1",
        "delivered",
        "2025-01-01",
        None,
        (ItemFacts("1-1", "V1", "tablet", "electronics", 1010, False, "ordered"),),
        (PaymentFacts("1-P1", "card", "Visa", 1010, 0),),
    )
    decision = decide(order, "C1", ["1-1"], "changed_mind", rules, "2025-01-02", lambda _: ())
    assert decision.items[0].fee_cents == 152  # 151.5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("`refund_days`", "`refund_dayz`", r"refund/policy.md, line 24: refund_dayz is no parameter"),
        ("## Payment", "## Paying", "the headings must be Verification, Eligibility, Payment, Closing, Today; got"),
    ],
)
def test_a_broken_policy_is_named(monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str) -> None:
    monkeypatch.setattr(prompt, "read_text", lambda family, name: POLICY.replace(old, new))
    with pytest.raises(ValueError, match=message):
        sections.__wrapped__("refund", Rules)
