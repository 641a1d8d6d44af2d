from collections.abc import Sequence
from typing import Any

import pytest

from ss_gym.commerce.records import REASONS
from ss_gym.scenario_files import read_yaml
from ss_gym.users.phrases import BLOCKS, Entry, PhraseBook, case_of

SHARED, OWN = read_yaml("world", "phrases.yaml"), read_yaml("refund", "phrases.yaml")
REFUND = {section: SHARED[section] | OWN[section] for section in ("acts", "parts")}


def fault(field: Sequence[str | int], problem: str) -> ValueError:
    return ValueError(f"phrases.yaml {'.'.join(map(str, field))}: {problem}")


def entry(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"train": text, "dev": text, "test": text, **more}


def book(acts: Any = None, parts: Any = None) -> PhraseBook:
    return PhraseBook({"acts": acts or {"greet": entry()}, "parts": parts or {}}, fault)


def refund_book() -> PhraseBook:
    return PhraseBook(REFUND, fault)


def entries() -> list[Entry]:
    loaded = refund_book()
    return [*loaded.acts.values(), *(part for part in loaded.parts.values() if "shared" not in part.blocks)]


def test_lines_of_a_split_are_those_it_may_speak() -> None:
    found = book({"greet": {"train": "a\n@polite b\n@alone c", "dev": "d", "test": "e"}}).acts["greet"]
    assert [line.text for line in found.lines("train", "plain")] == ["a", "@alone c"]
    assert [line.text for line in found.lines("train", "polite", alone=False)] == ["a", "@polite b"]
    assert [line.text for line in found.lines("dev", "plain", alone=False)] == ["a", "d"]
    assert [line.text for line in found.lines("test", "polite")] == ["e"]


def test_a_case_is_preferred_to_its_act() -> None:
    loaded = book({"open": entry(), "open/damaged": entry()})
    assert case_of(loaded.acts, "open", {"reason": "damaged"}) == "open/damaged"
    assert case_of(loaded.acts, "open", {"reason": "defective"}) == "open"
    assert case_of(loaded.acts, "open", {}) == "open"


@pytest.mark.parametrize(
    ("acts", "parts", "message"),
    [
        ({"greet": entry("(hi")}, None, r"acts\.greet\.train: .*missing, in '\(hi'"),
        ({"greet": entry("hi {item}")}, None, r"acts\.greet\.train: slot 'item' is not declared"),
        ({"greet": entry("hi", slots="item")}, None, r"acts\.greet\.train: no template .* \['item'\]"),
        ({"greet": entry("my {item}", slots="item?")}, None, r"acts\.greet\.train: no template .*no slot"),
        ({"greet": entry("@rude hi")}, None, r"acts\.greet\.train: unknown tag '@rude'.*polite"),
        ({"greet": entry("@polite hi")}, None, r"acts\.greet\.train: no template without tags"),
        ({"greet": entry("<hallo>")}, None, r"acts\.greet: refers to <hallo>, which 'parts' does not have"),
        ({"greet": {"train": "hi"}}, None, r"acts\.greet: needs the keys train, dev, test.*has \['train'\]"),
        ({"greet": entry(tset="hi")}, None, r"acts\.greet: needs the keys .*'tset'"),
        ({"greet": {"shared": "hi"}}, None, r"acts\.greet: needs the keys train, dev, test"),
        ({"greet": entry(test="  ")}, None, r"acts\.greet: 'test' must be a text"),
        ({"greet": "hi"}, None, r"acts\.greet: needs the keys"),
        (None, {"a": entry("<b>"), "b": entry("<a>")}, r"parts\.a: refers to itself: a -> b -> a"),
        (None, {"a": entry("x\n{item}")}, r"parts\.a\.train: names other slots.*in '\{item\}'"),
        (
            {"greet": entry("<a>", slots="reason")},
            {"a/damaged": entry(), "b/damaged": entry(), "b/late": entry()},
            r"parts\.a/damaged: lacks its fellow 'a/late'",
        ),
        (None, {"a": {"shared": "@curt hi"}}, r"parts\.a\.shared: has no template without tags"),
        (["greet"], None, r"acts: must be a mapping"),
    ],
)
def test_a_malformed_file_is_refused_with_the_place_and_the_problem(acts: Any, parts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        book(acts, parts)


@pytest.mark.parametrize("document", [None, [], {"acts": {}}, {"acts": {}, "parts": {}, "more": {}}])
def test_a_file_with_other_sections_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="exactly two mappings"):
        PhraseBook(document, fault)


def test_each_entry_keeps_about_a_third_of_its_templates_for_the_test() -> None:
    for found in entries():
        counts = {block: len(found.blocks[block]) for block in BLOCKS}
        total = sum(counts.values())
        assert counts["dev"] >= 1, found.name
        assert 0.25 <= counts["test"] / total <= 0.45, (found.name, counts)
        assert counts["train"] / total >= 0.4, (found.name, counts)
    overall = {block: sum(len(found.blocks[block]) for found in entries()) for block in BLOCKS}
    assert overall["test"] / sum(overall.values()) == pytest.approx(0.3, abs=0.03)
    assert overall["dev"] / sum(overall.values()) == pytest.approx(0.1, abs=0.03)


def test_acts_have_at_least_ten_templates_and_reasons_twenty() -> None:
    loaded = refund_book()
    sizes = {found.name: sum(map(len, found.blocks.values())) for found in loaded.acts.values()}
    assert {name: size for name, size in sizes.items() if size < 10} == {}
    for reason in REASONS:
        assert sum(map(len, loaded.parts[f"why/{reason}"].blocks.values())) >= 20


def test_no_template_stands_in_two_blocks_of_an_entry() -> None:
    for found in entries():
        lines = [line.text for block in BLOCKS for line in found.blocks[block]]
        assert len(lines) == len(set(lines)), found.name
