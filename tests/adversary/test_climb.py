"""The adversary gets nothing without the job: a short search by default, 200,000 tries a family with -m slow."""

from __future__ import annotations

import pytest

from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.families import FAMILIES
from ss_gym.streams import Stream
from tests.adversary.climb import GOALS, Adversary, pairs_of, reference_script, targets
from tests.adversary.mutation import MOST_ACTIONS, Mutator, as_action, is_call
from tests.adversary.trial import try_script
from tests.adversary.values import values_of

SHORT, LONG = 500, 200_000
FEW, MANY = 12, 60  # pairs of scenarios


def search(family: str, tries: int, pairs: int) -> Adversary:
    adversary = Adversary(family, seed=0, pairs=pairs)
    *_, spent = adversary.search(tries)
    assert tries <= spent < tries + 2 * len(adversary.tallies) * pairs
    assert sum(tally.tries for tally in adversary.tallies.values()) == spent
    return adversary


@pytest.mark.parametrize("family", FAMILIES)
def test_a_short_search_finds_no_exploit(family: str) -> None:
    assert search(family, SHORT, FEW).exploits == []


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_200000_tries_find_no_exploit(family: str) -> None:
    assert search(family, LONG, MANY).exploits == []


def test_an_exploit_would_be_found(monkeypatch) -> None:
    """With an audit that asks for no diligence the adversary succeeds."""
    monkeypatch.setattr("ss_gym.rewards.outcome.OutcomeAudit._diligence_failure", lambda self: "")
    exploits = search("refund", SHORT, FEW).exploits
    assert {exploit.goal for exploit in exploits} >= {"unverified", "unread"}
    env = CustomerServiceEnvironment(family="refund")
    for exploit in exploits[:5]:
        trial = try_script(env, exploit.scenario_id, exploit.script)
        assert trial.success and not trial.diligent


def test_the_same_seed_tries_the_same() -> None:
    first, second = (search("cancel", 200, pairs=5).tallies for _ in range(2))
    assert first == second
    assert first.keys() == GOALS.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_of_case_is_attacked_before_any_is_attacked_again(family: str) -> None:
    pairs = pairs_of(family, "dev", 60)
    kinds = [first.kind for first, _ in pairs]
    every = len(set(kinds))
    assert len(set(kinds[:every])) == every
    for pair in pairs:
        goals = [target.goal for target in targets(pair)]
        assert goals.count("effects") + goals.count("unverified") == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_the_diligence_of_the_reference_is_seen(family: str) -> None:
    env = CustomerServiceEnvironment(family=family)
    for pair in pairs_of(family, "dev", 10):
        for twin in pair:
            trial = try_script(env, twin.id, reference_script(env, twin.id))
            assert trial.success and trial.passed == 6 and trial.reward > 0.9
            assert trial.diligent
            assert trial.granted == bool(twin.outcome.effects)


def test_mutations_change_scripts_and_keep_them_playable() -> None:
    (pair,) = pairs_of("refund", "dev", 1)
    env = CustomerServiceEnvironment(family="refund")
    seeds = [reference_script(env, twin.id) for twin in pair]
    mutator = Mutator("refund", values_of(pair), seeds, lambda call: "verify" not in call, Stream("test"))
    script, seen = seeds[0], set()
    for _ in range(500):
        script = mutator.mutated(script) or seeds[0]
        assert len(script) <= MOST_ACTIONS
        assert all(action and (len(action) == 1 or not is_call(action)) for action in script)
        seen.add(script)
    assert len(seen) > 400


def test_a_message_is_its_sentences_and_a_call_is_whole() -> None:
    assert as_action("One. Two? Three") == ("One.", "Two?", "Three")
    assert as_action("<tool_call>{}</tool_call>") == ("<tool_call>{}</tool_call>",)
    assert as_action("") == ("",)
