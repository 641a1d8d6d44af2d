"""The rules of any family: a frozen dataclass whose names end in their unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import pytest

from ss_gym.commerce.prompt import compact_prompt, read_rules
from ss_gym.commerce.rules import compact, parameter_names, parameters, typed_values, units, window_of
from ss_gym.families import FAMILIES, load_family


@dataclass(frozen=True, slots=True)
class HireRules:
    """The parameters of a shop that hires out tools, which refuses nothing for its date."""

    deposit_cents: int
    wear_percent: int
    hire_days: int
    late_fee_cents: int

    SHORT: ClassVar[Mapping[str, str]] = {
        "hire_days": "hire",
        "late_fee_cents": "late",
        "wear_percent": "wear",
        "deposit_cents": "deposit",
    }
    WINDOW: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class LoanRules:
    """The parameters of a library."""

    loan_days: int
    renewal_count: int

    SHORT: ClassVar[Mapping[str, str]] = {"loan_days": "loan", "renewal_count": "renewals"}
    WINDOW: ClassVar[str] = "loan_days"


@dataclass(frozen=True, slots=True)
class OddRules:
    """Parameters of which one does not say what it is counted in."""

    loan_days: int
    most_books: int

    SHORT: ClassVar[Mapping[str, str]] = {"loan_days": "loan", "most_books": "most"}
    WINDOW: ClassVar[str] = ""


HIRE = HireRules(deposit_cents=5000, wear_percent=15, hire_days=7, late_fee_cents=105)


def test_the_unit_of_a_rule_is_the_end_of_its_name() -> None:
    assert units(HireRules) == {
        "deposit_cents": "money",
        "wear_percent": "percent",
        "hire_days": "days",
        "late_fee_cents": "money",
    }


def test_a_rule_without_a_unit_is_named() -> None:
    with pytest.raises(TypeError, match=r"\.most_books must end in its unit: days, months, percent, cents, count"):
        units(OddRules)
    with pytest.raises(TypeError, match=r"OddRules\.most_books"):
        parameters(OddRules(14, 3), "2025-03-14")


def test_the_policy_text_names_the_date_and_the_rules_without_cents() -> None:
    assert parameter_names(HireRules) == ("today", "deposit", "wear_percent", "hire_days", "late_fee")
    assert parameters(HIRE, "2025-03-14") == {
        "today": "2025-03-14",
        "deposit": "50.00",
        "wear_percent": "15",
        "hire_days": "7",
        "late_fee": "1.05",
    }
    assert tuple(parameters(HIRE, "")) == parameter_names(HireRules)


def test_the_compact_line_has_the_rules_in_the_order_of_their_short_names() -> None:
    assert compact(HIRE) == "hire 7 | late 1.05 | wear 15% | deposit 50.00"
    assert compact_prompt("hire", HIRE, "2025-03-14") == (
        "hire | today 2025-03-14 | hire 7 | late 1.05 | wear 15% | deposit 50.00"
    )


def test_rules_are_typed_values_that_an_agent_may_tell() -> None:
    assert typed_values(HIRE) == [("money", 5000), ("percent", 15), ("days", 7), ("money", 105)]


def test_a_count_is_written_and_read_but_is_no_typed_value() -> None:
    rules = LoanRules(14, 2)
    assert parameters(rules, "")["renewal_count"] == "2"
    assert read_rules(compact_prompt("loan", rules, "2025-03-14"), LoanRules) == rules
    assert typed_values(rules) == [("days", 14)]


def test_the_window_is_the_rule_that_the_class_names() -> None:
    assert window_of(LoanRules(14, 2)) == 14
    assert window_of(HIRE) is None


@pytest.mark.parametrize("name", FAMILIES)
def test_the_rules_of_a_family_are_such_rules(name: str) -> None:
    family = load_family(name)
    names = {field.name for field in fields(family.rules)}
    assert set(units(family.rules)) == names
    assert set(family.rules.SHORT) == names
    assert len(set(family.rules.SHORT.values())) == len(names)
    assert family.rules.WINDOW in {"", *(rule for rule, unit in units(family.rules).items() if unit == "days")}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_compact_line_of_a_family_tells_every_value(name: str) -> None:
    rules = load_family(name).draw("train", 0, 5).rules
    line = compact(rules)
    for value in list(parameters(rules, "").values())[1:]:
        assert value in line
