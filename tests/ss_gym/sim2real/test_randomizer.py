"""Customers beyond those of the train split: ranges, draws, and episodes that have them."""

from collections import Counter

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ss_gym  # noqa: F401
from ss_gym.families import FAMILIES
from ss_gym.sim2real.randomizer import (
    NOMINAL,
    STYLE,
    TOPICS,
    DomainRandomizationConfig,
    DomainRandomizer,
    families_of,
    widened,
)
from ss_gym.streams import Stream
from ss_gym.users.parameters import PARAMETERS, Parameter, checked_params
from ss_gym.users.persona import draw_persona
from ss_gym.wrappers import DomainRandomization

REFUND = "StateSet/Refund-v0"


def test_the_nominal_ranges_are_those_of_the_train_split():
    assert set(NOMINAL) == set(PARAMETERS) and set(PARAMETERS) > STYLE
    personas = [draw_persona(Stream(number, "persona"), "train") for number in range(4000)]
    for name in ("patience", "disclosure", "insists", "verbosity", "noise", "tangents", "unprepared", "demanding"):
        values = [getattr(persona, name) for persona in personas]
        low, high = NOMINAL[name]
        assert low <= min(values) and max(values) <= high
        assert max(values) - min(values) >= 0.95 * (high - low)
    tones, slack = Counter(persona.register for persona in personas), 4 * np.sqrt(0.25 * 0.75 / 4000)
    shares = {name: tones[name] / 4000 for name in ("polite", "curt", "chatty", "upset")}
    shares |= {
        name: np.mean([getattr(persona, name) for persona in personas]) for name in ("hurried", "checks_account")
    }
    shares["email"] = np.mean([persona.channel == "email" for persona in personas])
    assert all(
        abs(share - NOMINAL[name][0]) < slack and NOMINAL[name][0] == NOMINAL[name][1] for name, share in shares.items()
    )


@pytest.mark.parametrize("name", PARAMETERS)
def test_variation_widens_a_range_from_the_train_splits_to_all_there_is(name):
    nominal, whole = NOMINAL[name], PARAMETERS[name][:2]
    assert widened(nominal, whole, 0.0) == nominal
    assert widened(nominal, whole, 1.0) == pytest.approx(whole)
    (low, high), (lower, higher) = widened(nominal, whole, 0.2), widened(nominal, whole, 0.7)
    assert lower <= low <= high <= higher


def test_style_and_persona_vary_by_themselves():
    plain, styled = DomainRandomizationConfig(0.0, 0.0, 0.0), DomainRandomizationConfig(0.0, 0.0, 1.0)
    before, after = DomainRandomizer(plain).ranges, DomainRandomizer(styled).ranges
    changed = {name for name in PARAMETERS if before[name] != after[name]}
    assert changed == STYLE - {"verbosity"}  # which has its whole range in the train split


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32))
def test_whatever_is_drawn_can_be_set(persona, style, seed):
    drawn = DomainRandomizer(DomainRandomizationConfig(persona, 0.2, style, seed=seed)).sample_persona()
    assert checked_params(drawn) == drawn and set(drawn) == set(PARAMETERS)


def test_draws_are_uniform_within_their_ranges_and_a_range_changes_no_other_parameter():
    config = DomainRandomizationConfig(ranges={"noise": (0.1, 0.3), "patience": (2, 2)})
    drawn = [DomainRandomizer(config).sample_persona(np.random.default_rng(seed)) for seed in range(2000)]
    noise = np.array([each["noise"] for each in drawn])
    quarters = np.histogram(noise, bins=4, range=(0.1, 0.3))[0]
    assert quarters.sum() == 2000 and (abs(quarters - 500) < 4 * np.sqrt(2000 * 0.25 * 0.75)).all()
    assert {each["patience"] for each in drawn} == {2}
    others = [DomainRandomizer().sample_persona(np.random.default_rng(seed)) for seed in range(50)]
    for each, other in zip(drawn, others, strict=False):
        assert {name for name in PARAMETERS if each[name] != other[name]} <= {"noise", "patience"}


def test_the_seed_says_what_is_drawn():
    def some(seed):
        randomizer = DomainRandomizer(DomainRandomizationConfig(seed=seed))
        return [randomizer.sample_persona() for _ in range(3)]

    assert some(1) == some(1) != some(2) and len({tuple(each.values()) for each in some(1)}) == 3


def test_scenarios_are_of_the_topic_or_as_often_as_was_said_of_another():
    randomizer = DomainRandomizer(DomainRandomizationConfig(topic_variation=0.25))
    families = Counter(randomizer.sample_scenario("returns").family for _ in range(800))
    own = families["refund"] + families["exchange"]
    assert abs(own / 800 - 0.75) < 4 * np.sqrt(0.25 * 0.75 / 800)
    assert abs(families["refund"] / own - 0.5) < 4 * np.sqrt(0.25 / own)
    assert set(families) == set(FAMILIES)
    strict = DomainRandomizer(DomainRandomizationConfig(topic_variation=0.0))
    assert {strict.sample_scenario("warranty").family for _ in range(20)} == {"warranty"}
    assert len({strict.sample_scenario().family for _ in range(60)}) > 5


def test_topics_name_families():
    assert all(family in FAMILIES for families in TOPICS.values() for family in families)
    assert families_of("refund") == ("refund",)
    with pytest.raises(ValueError, match="no topic 'return'; did you mean 'returns'"):
        families_of("return")


def test_episodes_have_the_customers_that_were_drawn_and_attempts_at_one_seed_the_same():
    env = DomainRandomization(gym.make(REFUND), DomainRandomizer(DomainRandomizationConfig(1.0, 0.0, 1.0)))
    seen = []
    for seed in (1, 2, 1):
        observation, info = env.reset(seed=seed)
        drawn, persona = info["drawn_options"]["user_params"], env.unwrapped.persona
        assert persona.noise == drawn["noise"] and abs(persona.patience - drawn["patience"]) < 1
        seen.append((observation, drawn))
    assert seen[0] == seen[2] != seen[1]
    # The scenario is that of the seed.
    assert info["scenario_id"] == gym.make(REFUND).reset(seed=1)[1]["scenario_id"]


def test_parameters_of_other_customers_vary_about_their_middle_and_change_no_others():
    own = {"mood": Parameter(0, 4, "share", "of the messages in a temper")}
    randomizer = DomainRandomizer(DomainRandomizationConfig(persona_variation=0.5), own)
    assert randomizer.ranges["mood"] == (1.0, 3.0)
    options = randomizer(np.random.default_rng(0))
    assert set(options) == {"user_params"} and 1 <= options["user_params"]["mood"] <= 3
    assert checked_params(options["user_params"], {**PARAMETERS, **own}) == options["user_params"]
    alone = DomainRandomizer(DomainRandomizationConfig(persona_variation=0.5))(np.random.default_rng(0))
    assert {name: options["user_params"][name] for name in PARAMETERS} == alone["user_params"]
    assert DomainRandomizer(DomainRandomizationConfig(0.0), own).ranges["mood"] == (2, 2)


def test_tools_are_left_alone_unless_they_are_to_vary():
    assert set(DomainRandomizer()(np.random.default_rng(0))) == {"user_params"}
    config = DomainRandomizationConfig(ranges={"tool_failure": (0.1, 0.1)})
    assert DomainRandomizer(config)(np.random.default_rng(0))["tool_params"] == {"tool_failure": 0.1, "tool_latency": 0}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"persona_variation": 1.2}, "persona_variation must be from 0 to 1, not 1.2"),
        ({"style_variation": float("nan")}, "style_variation must be from 0 to 1, not nan"),
        ({"ranges": {"nois": (0, 0.1)}}, "no parameter 'nois'; did you mean 'noise'"),
        ({"ranges": {"noise": (0, 0.5)}}, r"noise needs a low and a high end within 0 to 0.3, not \(0, 0.5\)"),
        ({"ranges": {"noise": (0.2, 0.1)}}, "noise needs a low and a high end"),
    ],
)
def test_what_can_not_be_drawn_from_is_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        DomainRandomizer(DomainRandomizationConfig(**wrong))
