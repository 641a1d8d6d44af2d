"""The card of the OrderStatus family says what its files hold."""

import re
from collections import Counter

import pytest

from ss_gym.families import load_family
from ss_gym.families.parameters import kind_weights
from ss_gym.families.splits import frozen_pairs
from ss_gym.scenario_files import read_text, read_yaml

CARD = read_text("order_status", "CARD.md")
FAMILY = load_family("order_status")


def test_the_kinds_their_shares_and_their_ends_are_those_of_the_generator() -> None:
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) % \| (\w+) \| (\w+) \| ", CARD, re.MULTILINE)
    weights = kind_weights("order_status")
    total = sum(weights.values())
    assert {kind: share for kind, share, *_ in rows} == {kind: f"{100 * w / total:.1f}" for kind, w in weights.items()}
    for kind, _, base, twin in rows:
        assert [FAMILY.draw("train", 14 + n, 7, kind).outcome.verdict for n in (0, 1)] == [base, twin]


def test_the_frozen_lists_hold_the_kinds_in_these_shares() -> None:
    weights = kind_weights("order_status")
    for split in ("dev", "test"):
        counts = Counter(pair.kind for pair in frozen_pairs("order_status", split))
        for kind, weight in weights.items():
            assert abs(counts[kind] - 300 * weight / sum(weights.values())) < 1


def test_the_ends_occur_as_often_as_the_card_says() -> None:
    ends = Counter(FAMILY.draw("train", index, index // 2).outcome.verdict for index in range(4000))
    told = re.search(r"an answer \((\d+) %.*?credit \((\d+) %\), .*?reason \((\d+) %\).*?person \((\d+) %\)", CARD)
    assert told is not None
    for verdict, percent in zip(("inform", "store_credit", "refuse", "transfer"), map(int, told.groups()), strict=True):
        assert 100 * ends[verdict] / 4000 == pytest.approx(percent, abs=2)


def test_the_numbers_of_templates_are_those_of_the_phrases() -> None:
    lines: Counter[str] = Counter()
    common = read_yaml("world", "phrases.yaml")
    for name, section in read_yaml("order_status", "phrases.yaml").items():
        for entry in (common[name] | section).values():
            lines.update({block: len(text.splitlines()) for block, text in entry.items() if block != "slots"})
    assert f"| {lines['train']} | those of train and {lines['dev']} more | {lines['test']} of its own |" in CARD
    assert f"besides {lines['shared']} short parts" in CARD
