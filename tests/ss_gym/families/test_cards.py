"""The card of every family says what its files hold."""

import re
from collections import Counter

import pytest

from ss_gym.commerce.joint_rules import parts_of
from ss_gym.families import FAMILIES, load_family
from ss_gym.families.parameters import kind_weights
from ss_gym.families.splits import frozen_pairs
from ss_gym.scenario_files import folder, has_file, read_text, read_yaml
from ss_gym.users.phrases import BLOCKS, SOURCES

SECTIONS = (
    "What it tests",
    "How scenarios are made",
    "Kinds of case",
    "Splits",
    "Baselines",
    "Known limits",
    "Use",
    "Licence",
)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_all_the_files_that_a_family_has(family: str) -> None:
    names = {path.name for path in (folder() / family).iterdir()}
    assert names >= {"family.yaml", "phrases.yaml", "splits.json", "CARD.md"}
    assert (folder() / load_family(family).policy / "policy.md").is_file()


@pytest.mark.parametrize("title", SECTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_card_has_the_section(family: str, title: str) -> None:
    assert re.search(rf"^## {title}\n\n\S", read_text(family, "CARD.md"), re.MULTILINE)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_kinds_their_shares_and_their_ends_are_those_of_the_generator(family: str) -> None:
    card, weights = read_text(family, "CARD.md"), kind_weights(family)
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) % \| (\w+) \| (\w+) \| ", card, re.MULTILINE)
    total = sum(weights.values())
    assert {kind: share for kind, share, *_ in rows} == {kind: f"{100 * w / total:.1f}" for kind, w in weights.items()}
    drawn = load_family(family)
    for kind, _, base, twin in rows:
        if base == twin == "any":  # a kind that leaves it to the wishes
            continue
        assert [drawn.draw("train", 14 + n, 7, kind).outcome.verdict for n in (0, 1)] == [base, twin]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_frozen_lists_hold_the_kinds_in_these_shares(family: str) -> None:
    weights = kind_weights(family)
    assert "| pairs | 2³⁹ | 300, frozen | 300, frozen |" in read_text(family, "CARD.md")
    for split in ("dev", "test"):
        pairs = frozen_pairs(family, split)
        counts = Counter(pair.kind for pair in pairs)
        assert len(pairs) == 300
        for kind, weight in weights.items():
            assert abs(counts[kind] - 300 * weight / sum(weights.values())) < 1


@pytest.mark.parametrize("family", FAMILIES)
def test_rule_values_and_dates_of_a_split_are_its_own(family: str) -> None:
    parameters = read_yaml(family, "family.yaml")
    for name, values in parameters["rules"].items():
        assert not set(values["train"]) & (set(values["dev"]) | set(values["test"])), name
    assert parameters["today"]["train"][1] < parameters["today"]["dev"][0] < parameters["today"]["test"][0]


def test_goods_and_people_of_a_split_are_its_own() -> None:
    goods, people = read_yaml("world", "catalogue.yaml"), read_yaml("world", "people.yaml")
    for split in ("dev", "test"):
        assert not {product["title"] for product in goods["train"]} & {product["title"] for product in goods[split]}
        for key in ("first_names", "last_names", "streets", "cities", "email_domains"):
            assert not set(people["train"][key]) & set(people[split][key]), key


@pytest.mark.parametrize("family", FAMILIES)
def test_no_single_reason_settles_more_than_a_twentieth_and_a_good_share_gets_nothing(family: str) -> None:
    drawn = load_family(family)
    count = 2000
    scenarios = [drawn.draw("train", index, index // 2) for index in range(count)]
    grounds = Counter(
        ground
        for scenario in scenarios
        if scenario.outcome.verdict == "refuse"
        for ground in frozenset.intersection(*scenario.outcome.grounds)
    )
    assert max(grounds.values(), default=0) / count <= 0.06
    verdicts = Counter(scenario.outcome.verdict for scenario in scenarios)
    assert verdicts["refuse"] / count <= 0.5
    assert (verdicts["refuse"] + verdicts["transfer"]) / count >= 0.2


def templates(family: str) -> Counter[str]:
    """How many templates of each block the family's customers may use."""
    own = dict(read_yaml(family, "phrases.yaml"))  # what is read is kept
    base = own.pop("as", "")
    common = read_yaml("world", "phrases.yaml")
    used = {}
    for below in parts_of(load_family(family).rules) or (base,):
        layers = {"world": common, below: read_yaml(below, "phrases.yaml") if below else {}, family: own}
        # Answers to other remedies than a refund, store credit and an exchange, which only a lexicon of its own names.
        named = has_file(below or family, "lexicon.yaml")
        unsaid = set() if named else {"accept", "decline"}
        assert unsaid < set(common["acts"])
        for name in common:
            merged = {act: layer for layer, entries in layers.items() for act in entries.get(name, {})}
            used.update(
                {(layer, name, act): layers[layer][name][act] for act, layer in merged.items() if act not in unsaid}
            )
    lines: Counter[str] = Counter()
    for entry in used.values():
        lines.update({block: len(text.splitlines()) for block, text in entry.items() if block != "slots"})
    return lines


@pytest.mark.parametrize("family", FAMILIES)
def test_the_numbers_of_templates_are_those_of_the_phrases(family: str) -> None:
    card, lines = read_text(family, "CARD.md"), templates(family)
    assert f"| {lines['train']} | those of train and {lines['dev']} more | {lines['test']} of its own |" in card
    assert f"besides {lines['shared']} short parts" in card
    assert SOURCES["dev"] == ("train", "dev", "shared") and SOURCES["test"] == ("test", "shared")


@pytest.mark.parametrize("family", FAMILIES)
def test_about_a_third_of_the_templates_is_kept_for_the_test(family: str) -> None:
    lines: Counter[str] = Counter()
    for section in ("acts", "parts"):
        for entry in read_yaml(family, "phrases.yaml")[section].values():
            lines.update({block: len(entry[block].splitlines()) for block in BLOCKS if block in entry})
    assert 0.25 <= lines["test"] / lines.total() <= 0.45
