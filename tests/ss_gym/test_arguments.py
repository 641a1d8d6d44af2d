import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.arguments import ArgumentError, Money, argument, read_money, show

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
ANNOTATIONS = [str, int, float, bool, Money, list[str], list[Money], Literal["a", "b"], str | None, list[int] | None]


@pytest.mark.parametrize(
    ("value", "cents"),
    [
        ("24.00", 2400), ("24", 2400), ("24.5", 2450), ("$24.00", 2400), (" $ 24.00 ", 2400), ("0", 0), ("0.07", 7),
        (24, 2400), (24.5, 2450), (19.99, 1999), (0.1, 10), (0, 0), ("123456789.99", 12345678999),
    ],
)  # fmt: skip
def test_an_amount_is_read_into_cents(value, cents):
    assert read_money(value) == cents


@pytest.mark.parametrize(
    "value",
    [
        "-5", -5, -5.0, "24.001", 24.001, 1e-9, 1e300, "1e3", "1,200", "", "$", "twenty", "24.", ".5", "٢٤", "24 EUR",
        float("inf"), float("nan"), True, None, [24], {"amount": 24}, 10**30, "1" * 10, "1" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_amount_is_refused(value):
    with pytest.raises(ArgumentError):
        read_money(value)


@given(st.integers(0, 10**11 - 1))
def test_every_amount_in_cents_survives_its_decimal_string(cents):
    assert read_money(f"{cents // 100}.{cents % 100:02}") == cents


@given(st.integers(0, 10**9))
def test_every_amount_in_cents_survives_its_json_number(cents):
    assert read_money(json.loads(json.dumps(cents / 100))) == cents


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (str, ["", "x"], [1, None, True, ["x"]]),
        (int, [0, -3, 2**63 - 1], [1.0, "1", True, None, 2**63, -(2**63) - 1]),
        (float, [0, 1.5, -2], ["1.5", True, None, float("nan"), float("inf"), 10**400]),
        (bool, [True, False], [0, 1, "true", None]),
        (list[str], [[], ["a", "b"]], ["a", [1], ["a", None], None, {"a": 1}]),
        (Literal["a", "b"], ["a"], ["c", "", 1, None, ["a"], {"a": 1}]),
        (str | None, [None, "x"], [1]),
        (list[int] | None, [None, [1]], [["1"], 1]),
    ],
)
def test_only_values_of_the_annotated_type_are_read(annotation, good, bad):
    reader = argument(annotation, "here")
    for value in good:
        assert reader.read(value) == value
    for value in bad:
        with pytest.raises(ArgumentError):
            reader.read(value)


@pytest.mark.parametrize(
    "annotation", [Any, dict, list, list[dict], bytes, int | str, Literal[1], Annotated[int, "x"], "str"]
)
def test_a_type_that_tools_do_not_take_is_a_type_error(annotation):
    with pytest.raises(TypeError, match="tool x, argument y"):
        argument(annotation, "tool x, argument y")


@pytest.mark.parametrize("annotation", ANNOTATIONS)
@given(value=json_values)
def test_any_json_value_is_read_or_refused_and_shown_briefly(annotation, value):
    try:
        argument(annotation, "here").read(value)
    except ArgumentError:
        assert 0 < len(show(value)) < 80


@pytest.mark.parametrize(
    ("value", "shown"),
    [("5", '"5"'), (None, "null"), (True, "true"), ([1, 2], "[1, 2]"), ([1] * 9, "a list"), ({"a": 1}, "an object"),
     (10**100, "a huge number"), ("x" * 100_000, '"' + "x" * 59 + "…")],
)  # fmt: skip
def test_values_are_shown_briefly(value, shown):
    assert show(value) == shown
