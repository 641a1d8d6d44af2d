"""Random episodes: nothing raises, the books stay in order, and rewards are what they say they are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.families import FAMILIES
from ss_gym.scenarios import SPLITS, scenario_id
from tests.adversary.genes import Genes
from tests.adversary.invariants import check_store, play
from tests.adversary.language import action, verification
from tests.adversary.values import values_of

SCENARIOS = 400  # of each split, twins included
SHORT, LONG = 100, 50_000
# Most episodes have the usual limits; the others show that any limits hold.
LIMITS = ((12, 40), (12, 40), (1, 1), (3, 5), (40, 12))

EPISODES = st.tuples(st.integers(0, len(SPLITS) * SCENARIOS - 1), st.binary(min_size=40, max_size=200))


@cache
def environments(family: str) -> tuple[CustomerServiceEnvironment, ...]:
    return tuple(CustomerServiceEnvironment(family=family, max_turns=turns, max_steps=steps) for turns, steps in LIMITS)


def actions(env: CustomerServiceEnvironment, genes: Genes) -> Iterator[str]:
    """The actions that the bytes stand for, once an episode has begun; half begin with a verified customer."""
    scenario = env.scenario
    values = values_of([scenario])
    if genes.below(2):
        yield verification(scenario.customer.email, scenario.customer.postal_code)
    said: list[str] = []
    while genes.left:
        if said and genes.chance(0.1):
            yield genes.choice(said)
        else:
            said.append(action(scenario.family, values, genes))
            yield said[-1]


def check_episode(family: str, number: int, drawn: bytes) -> None:
    split, index = SPLITS[number % len(SPLITS)], number // len(SPLITS)
    genes = Genes(drawn)
    env = genes.choice(environments(family))
    play(env, scenario_id(family, split, index), actions(env, genes))
    check_store(env)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=SHORT, deadline=None, derandomize=True, database=None)
@given(drawn=EPISODES)
def test_no_random_episode_breaks_an_invariant(family: str, drawn: tuple[int, bytes]) -> None:
    check_episode(family, *drawn)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@settings(
    max_examples=LONG, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(drawn=EPISODES)
def test_no_random_episode_of_50000_breaks_an_invariant(family: str, drawn: tuple[int, bytes]) -> None:
    check_episode(family, *drawn)
