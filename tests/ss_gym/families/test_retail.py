"""The Retail family: several wishes of one customer in one world, each as its own family has it."""

import re
from collections import Counter
from dataclasses import replace

import pytest

from ss_gym.commerce.joint_rules import part_of
from ss_gym.commerce.prompt import compact_prompt, full_prompt, read_rules, sections
from ss_gym.commerce.records import World
from ss_gym.commerce.store import Store
from ss_gym.families import load_family
from ss_gym.families.retail import FAMILIES, RetailRules, make
from ss_gym.scenario_files import read_text, read_yaml
from ss_gym.scenarios import SPLITS, Scenario

FAMILY = make()
KINDS = tuple(read_yaml("retail", "family.yaml")["kinds"])
WISHES = {"two": 2, "three": 3, "same_again": 2, "second_thoughts": 2}


def pair(split: str, seed: int, kind: str | None = None) -> tuple[Scenario, Scenario]:
    return FAMILY.draw(split, 2 * seed, seed, kind), FAMILY.draw(split, 2 * seed + 1, seed, kind)


def drawn(count: int, split: str = "train") -> list[Scenario]:
    return [FAMILY.draw(split, index, index // 2) for index in range(count)]


def refuses(part: Scenario, ground: str) -> bool:
    return any(ground in allowed for allowed in part.outcome.grounds)


# --- the wishes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_the_wishes_that_it_says(kind: str) -> None:
    for seed in range(30):
        for scenario in pair("train", seed, kind):
            families = [part.family for part in scenario.parts]
            assert scenario.kind == kind and set(families) <= set(FAMILIES)
            if kind.startswith("one_"):
                assert families == [kind.removeprefix("one_")]
            else:
                assert len(families) == WISHES[kind]
                assert len(set(families)) == (1 if kind == "same_again" else len(families))
            withdrawn = [part.goal.withdraws for part in scenario.parts]
            assert withdrawn == ([True, False] if kind == "second_thoughts" else [False] * len(families))


@pytest.mark.parametrize("split", SPLITS)
def test_all_wishes_are_of_one_customer_on_one_day_in_one_world(split: str) -> None:
    for scenario in drawn(200, split):
        for part in scenario.parts:
            for name in ("id", "split", "index", "today", "world", "customer", "wording_seed"):
                assert getattr(part, name) == getattr(scenario, name), name
            assert part.rules == part_of(scenario.rules, part.family)
        assert scenario.world.customers[0][0] == scenario.customer.customer_id


@pytest.mark.parametrize("split", SPLITS)
def test_the_world_holds_together_and_no_wish_can_be_taken_for_another(split: str) -> None:
    store = Store(split)
    for scenario in drawn(200, split):
        store.open(scenario.world, scenario.today)
        assert store.integrity_errors() == []
        titles = [title for part in scenario.parts for title in part.goal.titles]
        nouns = [title.split()[-1] for title in titles]
        assert len({*titles}) == len(titles)
        if all(len(part.goal.titles) == 1 for part in scenario.parts):
            assert len({*nouns}) == len(nouns)
        numbers = [{part.goal.order_id, part.goal.true_order_id} - {""} for part in scenario.parts]
        assert sum(map(len, numbers)) == len(set().union(*numbers))


def test_every_wish_is_what_its_family_makes_of_the_same_facts() -> None:
    """The outcome of a wish does not depend on the others: it is that of a scenario of its family."""
    own = {name: set(load_family(name).kinds) for name in FAMILIES}
    for scenario in drawn(400):
        for part in scenario.parts:
            kind = next(kind for kind, _ in own[part.family] if kind.name == part.kind)
            assert part.outcome.verdict in (*kind.ends, "withdrawn")


def test_only_the_last_wish_may_end_with_a_transfer_and_who_cannot_be_verified_has_one_wish() -> None:
    for scenario in drawn(2000):
        for part in scenario.parts[:-1]:
            assert part.outcome.verdict != "transfer"
        if len(scenario.parts) > 1:
            assert not any(refuses(part, "not_verified") for part in scenario.parts)


def test_two_wishes_never_bring_store_credit_at_once() -> None:
    for scenario in drawn(2000):
        credited = [part for part in scenario.parts if any(e[0] == "store_credit" for e in part.outcome.effects)]
        assert len(credited) <= 1


# --- joined ----------------------------------------------------------------------------------------


def test_the_right_end_is_that_of_all_wishes_together() -> None:
    for scenario in drawn(400):
        outcomes = [part.outcome for part in scenario.parts]
        assert scenario.outcome.effects == frozenset().union(*[outcome.effects for outcome in outcomes])
        assert len(scenario.outcome.effects) == sum(len(outcome.effects) for outcome in outcomes)  # none is shared
        for name in ("facts", "grounds", "consents"):
            assert getattr(scenario.outcome, name) == sum([getattr(outcome, name) for outcome in outcomes], ())
        verdicts = [outcome.verdict for outcome in outcomes if outcome.verdict != "withdrawn"]
        assert scenario.outcome.verdict in verdicts
        assert scenario.outcome.verdict != "refuse" or set(verdicts) == {"refuse"}


def test_what_is_taken_back_would_have_been_granted_and_leaves_nothing() -> None:
    for seed in range(100):
        for scenario in pair("train", seed, "second_thoughts"):
            taken = scenario.parts[0]
            assert (taken.outcome.verdict, taken.outcome.effects, taken.outcome.consents) == (
                "withdrawn",
                frozenset(),
                (),
            )
            assert not taken.outcome.grounds and not taken.outcome.facts
            assert taken.goal.verb and taken.family != "order_status"
            assert set(scenario.goal.titles) == set(scenario.parts[1].goal.titles)


@pytest.mark.parametrize("split", SPLITS)
def test_a_twin_has_one_wish_otherwise_and_is_asked_for_in_the_same_words(split: str) -> None:
    for seed in range(200):
        base, twin = pair(split, seed)
        assert base.pair_id == twin.pair_id
        for name in ("kind", "today", "rules", "customer", "wording_seed"):
            assert getattr(base, name) == getattr(twin, name)
        changed = [place for place, of in enumerate(base.parts) if of.outcome != twin.parts[place].outcome]
        assert len(changed) == 1
        for place, (first, second) in enumerate(zip(base.parts, twin.parts, strict=True)):
            for name in ("order_id", "titles", "reason", "verb", "welcomes", "details", "values", "withdraws"):
                assert getattr(first.goal, name) == getattr(second.goal, name)
            if place not in changed:
                assert (first.goal, first.outcome) == (second.goal, second.outcome)


def test_any_of_the_wishes_may_be_the_one_that_the_twin_has_otherwise() -> None:
    places: Counter[int] = Counter()
    for seed in range(100):
        base, twin = pair("train", seed, "three")
        places.update(n for n, of in enumerate(base.parts) if of.outcome != twin.parts[n].outcome)
    assert min(places[place] for place in range(3)) >= 20


# --- the prompt ------------------------------------------------------------------------------------


def test_the_policy_has_the_rules_of_every_family_under_its_heading_with_its_own_parameters() -> None:
    parts = sections("retail", RetailRules)
    for family in FAMILIES:
        own = sections(family, load_family(family).rules)
        heading = f"### {family.replace('_', ' ').capitalize()}\n"
        for name in ("Eligibility", "Payment"):
            rules = re.findall(r"^\d+\. .*", own[name], re.MULTILINE)
            block = parts[name].partition(heading)[2].partition("\n\n###")[0]
            found = re.findall(r"^\d+\. .*", block, re.MULTILINE)
            assert [re.sub(rf"`{family}_", "`", rule) for rule in found] == rules


def test_the_prompt_does_not_tell_what_is_coming() -> None:
    tools = [tool.schema for tool in FAMILY.tools.values()]
    texts = set()
    for kind in KINDS:
        scenario = FAMILY.draw("train", 6, 3, kind)
        rules = replace(scenario.rules, **{name: 1 for name in scenario.rules.__dataclass_fields__})
        texts.add(full_prompt("retail", rules, "2025-01-01", tools, 24, 80))
    assert len(texts) == 1


def test_every_rule_is_read_back_from_either_prompt() -> None:
    tools = [tool.schema for tool in FAMILY.tools.values()]
    for scenario in drawn(20):
        full = full_prompt("retail", scenario.rules, scenario.today, tools, 24, 80)
        compact = compact_prompt("retail", scenario.rules, scenario.today)
        assert read_rules(full, RetailRules) == read_rules(compact, RetailRules) == scenario.rules
        assert "{" not in full.rpartition("## Today")[2]


def test_a_rule_that_one_family_has_goes_by_its_own_name_too_and_no_other_does() -> None:
    rules = drawn(1)[0].rules
    assert rules.replace_window_days == rules.warranty_replace_window_days
    for ambiguous in ("transfer_limit_cents", "refund_days", "no_such_rule"):
        with pytest.raises(AttributeError, match=ambiguous):
            getattr(rules, ambiguous)


def test_the_desk_has_all_tools_and_all_reasons_to_hand_over_of_its_families() -> None:
    names = {name for family in FAMILIES for name in load_family(family).tools}
    assert set(FAMILY.tools) == names

    def reasons(family: str) -> set[str]:
        return set(read_yaml(family, "family.yaml")["transfers"])

    assert reasons("retail") == set().union(*map(reasons, FAMILIES))


# --- splits ----------------------------------------------------------------------------------------


def test_the_wishes_end_as_often_as_the_card_says() -> None:
    card = read_text("retail", "CARD.md")
    scenarios = drawn(6000)
    parts = [part for scenario in scenarios for part in scenario.parts]
    ends = Counter(part.outcome.verdict for part in parts)
    due, *told = map(
        int,
        re.search(
            r"(\d+) % end with the remedy that is due, (\d+) % with a refusal .*?, (\d+) % with an answer, "
            r"(\d+) % are taken back, (\d+) % end with store credit, (\d+) % with another option or a repair, "
            r"and (\d+) % with a transfer",
            card,
        ).groups(),  # type: ignore[union-attr]
    )
    ends["other"] = ends["other_option"] + ends["repair"]
    for verdict, percent in zip(
        ("refuse", "inform", "withdrawn", "store_credit", "other", "transfer"), told, strict=True
    ):
        assert 100 * ends[verdict] / len(parts) == pytest.approx(percent, abs=1.5), verdict
    assert due + sum(told) == 100
    several = sum(len(scenario.parts) > 1 for scenario in scenarios)
    share = re.search(r"In (\d+) % of the scenarios there is more than one wish", card)
    assert share is not None and 100 * several / len(scenarios) == pytest.approx(int(share[1]), abs=2)


def test_a_world_is_made_of_the_worlds_of_its_wishes() -> None:
    for scenario in drawn(200):
        world = scenario.world
        assert isinstance(world, World)
        assert len({row[0] for row in world.customers}) == len(world.customers)
        numbers = [row[0] for row in (*world.orders, *world.subscriptions)]
        assert len(set(numbers)) == len(numbers)
