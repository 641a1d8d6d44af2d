import pytest

from ss_gym.users.templates import Mentions, Situation, Template, TemplateError, expand, mentions, parse

NO_PARTS: dict[str, Mentions] = {}


def surfaces(text: str, told: frozenset[str] = frozenset(), plural: bool = False, **values: str) -> set[str]:
    parts: dict[str, tuple[Template, ...]] = {"why": (("it broke",), ("it tore",))}
    found = set()
    for bits in range(200):
        out: list[str] = []
        expand(parse(text), values, Situation(told, plural, parts), bits, out)
        found.add("".join(out))
    return found


def test_plain_text_is_itself() -> None:
    assert surfaces("where is my order? it's late!") == {"where is my order? it's late!"}


def test_alternatives_nest() -> None:
    assert surfaces("(a|b(c|d))e") == {"ae", "bce", "bde"}


def test_slots_take_their_values() -> None:
    assert surfaces("order {order_id}, please", order_id="48213") == {"order 48213, please"}


def test_number_follows_the_items() -> None:
    assert surfaces("[it is|they are] late") == {"it is late"}
    assert surfaces("[it is|they are] late", plural=True) == {"they are late"}


def test_conditions_follow_what_is_told() -> None:
    text = "refund{item? my {item}| it}"
    assert surfaces(text) == {"refund it"}
    assert surfaces(text, frozenset({"item"}), item="lamp") == {"refund my lamp"}


def test_a_question_mark_inside_a_condition_is_text() -> None:
    assert surfaces("can I{reason?? yes|?}") == {"can I?"}
    assert surfaces("can I{reason?? yes|?}", frozenset({"reason"})) == {"can I? yes"}


def test_references_bring_all_their_alternatives() -> None:
    assert surfaces("because <why>") == {"because it broke", "because it tore"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("thanks (a lot|)", {"thanks a lot", "thanks"}),
        ("why (not|)?", {"why not?", "why?"}),
        ("I (just |)want it", {"I just want it", "I want it"}),
        ("(well, |)no", {"well, no", "no"}),
    ],
)
def test_an_empty_alternative_leaves_no_blank_behind(text: str, expected: set[str]) -> None:
    assert surfaces(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("(a|b", r"'\)' is missing"),
        ("a|b)", r"'\|' without an opening bracket"),
        ("a)", r"'\)' without an opening bracket"),
        ("(a]", r"'\]' without an opening bracket"),
        ("[a]", "two parts"),
        ("[a|b|c]", "has 3"),
        ("{item?a|b|c}", "one or two parts and has 3"),
        ("{Item}", r"stray '\{'"),
        ("a < b", "stray '<'"),
    ],
)
def test_malformed_templates_are_refused(text: str, problem: str) -> None:
    with pytest.raises(TemplateError, match=problem):
        parse(text)


def test_mentions_tell_needed_and_possible_slots() -> None:
    found = mentions(parse("my {item}{order_id? in {order_id}}"), NO_PARTS.__getitem__)
    assert found == Mentions(frozenset({"item"}), frozenset({"item", "order_id"}))
    assert found.fits({"item"})
    assert found.fits({"item", "order_id"})
    assert not found.fits({"order_id"})
    assert not found.fits({"item", "reason"})


def test_alternatives_must_tell_the_same_facts() -> None:
    with pytest.raises(TemplateError, match="different slots"):
        mentions(parse("(my {item}|it)"), NO_PARTS.__getitem__)
