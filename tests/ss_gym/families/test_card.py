"""The card of the Refund family says what its files hold."""

import re
from collections import Counter

import pytest
import yaml

from ss_gym.families.parameters import kind_weights
from ss_gym.families.refund import make
from ss_gym.families.splits import frozen_pairs
from ss_gym.scenario_files import folder, has_file, read_text, read_yaml
from ss_gym.users.phrases import SOURCES

CARD = read_text("refund", "CARD.md")


def test_a_family_has_all_the_files_that_a_family_has() -> None:
    names = {path.name for path in (folder() / "refund").iterdir()}
    assert names >= {"policy.md", "family.yaml", "phrases.yaml", "splits.json", "CARD.md"}


@pytest.mark.parametrize(
    "title",
    [
        "What it tests",
        "How scenarios are made",
        "Kinds of case",
        "Splits",
        "Baselines",
        "Known limits",
        "Use",
        "Licence",
    ],
)
def test_the_card_has_the_section(title: str) -> None:
    assert re.search(rf"^## {title}\n\n\S", CARD, re.MULTILINE)


def test_the_kinds_their_shares_and_their_ends_are_those_of_the_generator() -> None:
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) % \| (\w+) \| (\w+) \| ", CARD, re.MULTILINE)
    weights = kind_weights("refund")
    total = sum(weights.values())
    assert {kind: share for kind, share, *_ in rows} == {kind: f"{100 * w / total:.1f}" for kind, w in weights.items()}
    family = make()
    for kind, _, base, twin in rows:
        assert [family.draw("train", 14 + n, 7, kind).outcome.verdict for n in (0, 1)] == [base, twin]


def test_the_frozen_lists_hold_the_kinds_in_these_shares() -> None:
    weights = kind_weights("refund")
    for split in ("dev", "test"):
        pairs = frozen_pairs("refund", split)
        assert len(pairs) == 300 and "| pairs | 2³⁹ | 300, frozen | 300, frozen |" in CARD
        counts = Counter(pair.kind for pair in pairs)
        for kind, weight in weights.items():
            assert abs(counts[kind] - 300 * weight / sum(weights.values())) < 1


def test_the_ends_occur_as_often_as_the_card_says() -> None:
    family = make()
    ends = Counter(family.draw("train", index, index // 2).outcome.verdict for index in range(4000))
    told = re.search(
        r"a refund \((\d+) %.*?reason \((\d+) %\), store credit \((\d+) %\), .*?person \((\d+) %\).*?\((\d+) %\)", CARD
    )
    assert told is not None
    for verdict, percent in zip(
        ("refund", "refuse", "store_credit", "transfer", "exchange"), map(int, told.groups()), strict=True
    ):
        assert 100 * ends[verdict] / 4000 == pytest.approx(percent, abs=2)


def test_the_numbers_of_templates_are_those_of_the_phrases() -> None:
    lines: Counter[str] = Counter()
    common = read_yaml("world", "phrases.yaml")
    # Answers to other remedies than a refund, store credit and an exchange, which only a lexicon of its own would name.
    assert not has_file("refund", "lexicon.yaml")
    unsaid = {"accept", "decline"}
    assert unsaid < set(common["acts"])
    for name, section in read_yaml("refund", "phrases.yaml").items():
        for entry in [each for key, each in (common[name] | section).items() if key not in unsaid]:
            lines.update({block: len(text.splitlines()) for block, text in entry.items() if block != "slots"})
    row = f"| {lines['train']} | those of train and {lines['dev']} more | {lines['test']} of its own |"
    assert row in CARD
    assert f"besides {lines['shared']} short parts" in CARD
    assert SOURCES["dev"] == ("train", "dev", "shared") and SOURCES["test"] == ("test", "shared")


def test_rule_values_goods_and_people_of_a_split_are_its_own() -> None:
    for values in read_yaml("refund", "family.yaml")["rules"].values():
        assert not set(values["train"]) & (set(values["dev"]) | set(values["test"]))
    world = folder() / "world"
    goods = yaml.safe_load((world / "catalogue.yaml").read_text(encoding="utf-8"))
    people = yaml.safe_load((world / "people.yaml").read_text(encoding="utf-8"))
    for split in ("dev", "test"):
        assert not {product["title"] for product in goods["train"]} & {product["title"] for product in goods[split]}
        for key in ("first_names", "last_names", "streets", "cities", "email_domains"):
            assert not set(people["train"][key]) & set(people[split][key]), key
