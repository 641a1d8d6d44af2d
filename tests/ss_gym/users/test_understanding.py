from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, product
from pathlib import Path

import pytest
import yaml

from ss_gym.users.acts import Act
from ss_gym.users.lexicon import Lexicon
from ss_gym.users.understanding import _Compiler, load_understanding
from ss_gym.users.values import Inventory

INVENTORY = Inventory(
    own={
        ("order_id", "48213"),
        ("item_id", "48213-1"),
        ("title", "wool scarf"),
        ("title", "table lamp"),
        ("name", "ada abara"),
        ("email", "ada@example.com"),
        ("postal_code", "ab43xy"),
        ("city", "ashbury"),
        ("money", 2000),
        ("money", 3000),
        ("date", "2025-03-03"),
    },
    other={("order_id", "50001"), ("title", "rain coat"), ("email", "bela@example.com"), ("name", "bela chen")},
    policy={("days", 30), ("days", 60), ("days", 5), ("percent", 15), ("date", "2025-03-20")},
)
SOCIAL = {"thank", "greet", "apologise", "wait", "inform"}


def read(text: str, inventory: Inventory = INVENTORY) -> tuple[Act, ...]:
    return load_understanding().read(text, inventory)


def gist(acts: tuple[Act, ...], keep: frozenset[str] | set[str] = frozenset()) -> set[str]:
    """The acts in short, as the keys of the case files have them."""
    proposed = {act.verb for act in acts if act.kind == "propose"}
    found = set()
    for act in acts:
        if (act.kind in SOCIAL and act.kind not in keep) or (act.kind == "offer" and act.verb in proposed):
            continue
        detail = {"ask": act.slot, "refuse": act.ground}.get(act.kind, act.verb)
        found.add(
            f"{act.kind}({detail})" if act.kind in ("ask", "refuse", "propose", "offer", "confirm_done") else act.kind
        )
    return found


def cases(name: str) -> Iterator[tuple[str, str]]:
    data = yaml.safe_load((Path(__file__).parent / name).read_text(encoding="utf-8"))
    for key, texts in data.items():
        for text in texts:
            yield key, text


@pytest.mark.parametrize(
    ("expected", "text"),
    [case for name in ("cases", "messages", "wordings") for case in cases(f"understanding_{name}.yaml")],
)
def test_a_sentence_gives_the_acts_of_its_key(expected: str, text: str) -> None:
    wanted = {part.strip() for part in expected.split("+")}
    social = wanted & SOCIAL
    got = gist(read(text), social)
    if social and social != {"inform"}:
        assert wanted <= got
        assert got - wanted <= SOCIAL | {"ask(anything_else)"}
    else:
        assert got == wanted


def test_sentences_of_a_language_model_agent_are_understood_as_they_are_labelled() -> None:
    """tau-bench's assistant; an act is right if one of the readings that its label allows has it."""
    right = wrong = missed = silent = total = 0
    nobody = Inventory(set())
    for key, text in chain(cases("tau_bench_sentences.yaml"), cases("tau_bench_sentences_2.yaml")):
        readings = [set[str]() if r.strip() == "none" else {a.strip() for a in r.split("+")} for r in key.split("/")]
        acts = read(text, nobody)
        got = gist(acts)
        best = max(readings, key=lambda reading: len(reading & got) - len(reading ^ got))
        right, wrong, missed = right + len(best & got), wrong + len(got - best), missed + len(best - got)
        silent, total = silent + (not acts), total + 1
    assert total == 300
    assert right / (right + wrong) >= 0.95
    assert right / (right + missed) >= 0.95
    assert silent / total < 0.03


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ({"confirm_done(refund)"}, "The refund for the wool scarf and the table lamp has been made."),
        ({"ask(other)"}, "What changes would you like to make?"),
        ({"ask(preference)"}, "Tell me which payment method you would like to use for the refund."),
        ({"ask(confirmation)", "ask(anything_else)"}, "Confirm with a yes, please, or say if there is anything else."),
        ({"close"}, "Take care, and do come back if you have more questions in the future!"),
        (set(), "For further help, contact the maker."),
        (set(), "That would help us find the tracking number."),
    ],
)  # fmt: skip
def test_who_is_asked_for_what_depends_on_the_words_around_it(expected: set[str], text: str) -> None:
    assert gist(read(text)) == expected


def test_equal_parts_of_a_lexicon_are_one_and_every_phrase_is_still_there() -> None:
    lexicon = Lexicon({"adverbs": {}, "phrases": {"always S_ORDER": "(a|b) (c|d)? e (f|g)", "neutral": "h c e"}})
    compiled = _Compiler().children(lexicon.root)

    def phrases(trie, before=()):
        for token, (action, below) in trie.items():
            if action is not None:
                yield (*before, token)
            yield from phrases(below or {}, (*before, token))

    expected = product("ab", ("c", "d", ""), "e", "fg")
    assert sorted(map("".join, phrases(compiled))) == sorted([*map("".join, expected), "hce"])
    assert compiled["a"] is compiled["b"]
    assert compiled["a"][1]["c"] is compiled["b"][1]["d"]
    assert compiled["h"][1]["c"] is not compiled["a"][1]["c"]
