"""What customers can be set to be for an episode: names, ranges, and what is drawn of them."""

import math
import pickle
from collections import Counter
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import ss_gym  # noqa: F401
from ss_gym.multi_agent import ConversationAEC
from ss_gym.streams import Stream
from ss_gym.users.parameters import PARAMETERS, checked_params, with_params
from ss_gym.users.persona import Persona, draw_persona

REFUND = "StateSet/Refund-v0"


def drawn(params, count=2000):
    return [with_params(Persona(), checked_params(params), Stream(number)) for number in range(count)]


def near(found, expected, count=2000):
    """Within four standard deviations of a share."""
    return abs(found - expected) <= 4 * math.sqrt(expected * (1 - expected) / count)


@pytest.mark.parametrize("name", ["verbosity", "disclosure", "noise", "tangents", "unprepared", "demanding"])
def test_shares_are_taken_as_they_are(name):
    assert {getattr(persona, name) for persona in drawn({name: 0.25}, 20)} == {0.25}


@pytest.mark.parametrize("name", ["patience", "insists"])
def test_whole_numbers_have_the_mean_that_was_asked_for(name):
    values = Counter(getattr(persona, name) for persona in drawn({name: 2.3}))
    assert set(values) == {2, 3} and near(values[3] / 2000, 0.3)
    assert {getattr(persona, name) for persona in drawn({name: 4}, 50)} == {4}


@pytest.mark.parametrize("name", ["hurried", "checks_account"])
def test_what_is_true_of_a_customer_or_not_is_drawn(name):
    assert near(sum(getattr(persona, name) for persona in drawn({name: 0.7})) / 2000, 0.7)
    assert {getattr(persona, name) for persona in drawn({name: 1}, 50)} == {True}


def test_the_channel_is_drawn():
    assert near(Counter(persona.channel for persona in drawn({"email": 0.4}))["email"] / 2000, 0.4)


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ({"upset": 0.5, "curt": 0.3}, {"upset": 0.5, "curt": 0.3, "plain": 0.2}),
        ({"upset": 1.0, "curt": 0.5, "polite": 0.5}, {"upset": 0.5, "curt": 0.25, "polite": 0.25}),
        ({"chatty": 0.0}, {"plain": 1.0}),
        ({"plain": 0.6, "upset": 0.2}, {"plain": 0.75, "upset": 0.25}),
        ({"plain": 0.0, "upset": 0.2}, {"upset": 1.0}),
        (
            {"plain": 1.0, "polite": 1.0, "upset": 1.0, "chatty": 1.0},
            dict.fromkeys(("plain", "polite", "upset", "chatty"), 0.25),
        ),
    ],
)
def test_tones_have_the_shares_of_their_weights(weights, shares):
    found = Counter(persona.register for persona in drawn(weights))
    assert set(found) == set(shares)
    assert all(near(found[tone] / 2000, share) for tone, share in shares.items())


def test_what_is_set_changes_nothing_else():
    before = draw_persona(Stream(5, "persona"), "train")
    for name, (_, high, *_) in PARAMETERS.items():
        after = with_params(before, {name: high}, Stream(5))
        changed = {field for field in Persona._fields if getattr(after, field) != getattr(before, field)}
        tone = name in ("plain", "polite", "curt", "chatty", "upset")
        assert changed <= {"register" if tone else "channel" if name == "email" else name}
    # Nor what is drawn of the rest.
    for number in range(50):
        alone = with_params(before, {"hurried": 0.5}, Stream(number))
        beside = with_params(before, {"hurried": 0.5, "patience": 2.5, "upset": 0.5}, Stream(number))
        assert alone.hurried == beside.hurried


def test_an_episode_has_the_customer_that_was_asked_for():
    env, params = gym.make(REFUND), {"noise": 0.3, "patience": 2, "upset": 1, "email": 0}
    observation, info = env.reset(seed=3, options={"user_params": params})
    persona = env.unwrapped.persona
    assert (persona.noise, persona.patience, persona.register, persona.channel) == (0.3, 2, "upset", "chat")
    again = gym.make(REFUND).reset(seed=3, options={"user_params": dict(params)})
    assert again[0] == observation and again[1]["scenario_id"] == info["scenario_id"]
    # The scenario is the same as without, and the next episode is as it was.
    plain = env.reset(seed=3)
    assert plain[1]["scenario_id"] == info["scenario_id"] and plain[0] != observation
    assert plain == gym.make(REFUND).reset(seed=3)


def test_what_is_asked_for_an_episode_comes_before_the_environments_own_persona():
    env = gym.make(REFUND, persona={"patience": 9, "insists": 3})
    env.reset(seed=0, options={"user_params": {"patience": 2, "noise": 0.1}})
    persona = env.unwrapped.persona
    assert (persona.patience, persona.insists, persona.noise) == (2, 3, 0.1)
    env.reset(seed=0)
    assert env.unwrapped.persona.patience == 9


def test_numbers_of_any_kind_will_do():
    given = {"noise": np.float32(0.3), "patience": np.int64(3), "hurried": 1}
    assert checked_params(given) == {"noise": 0.3, "patience": 3.0, "hurried": 1.0}


def test_whoever_gave_the_numbers_may_go_on_changing_them():
    params = {"noise": 0.1}
    env = gym.make(REFUND)
    env.reset(seed=2, options={"user_params": params})
    params["noise"] = 0.3
    assert pickle.loads(pickle.dumps(env.unwrapped)).persona == env.unwrapped.persona
    pair = ConversationAEC("refund")
    params["noise"] = 0.1
    pair.reset(seed=2, options={"user_params": params})
    before = pair._env.persona
    params["noise"] = 0.3
    pair.step("Hello, I want a refund.")
    assert pair._env.persona == before and before.noise == 0.1


def test_every_family_takes_them():
    for spec in [spec for name, spec in gym.registry.items() if name.startswith("StateSet/") and spec.kwargs]:
        if "family" in spec.kwargs:
            env = gym.make(spec)
            env.reset(seed=0, options={"user_params": {"disclosure": 1.0}})
            assert env.unwrapped.persona.disclosure == 1.0


@pytest.mark.parametrize(
    ("params", "error", "told"),
    [
        ({"nois": 0.1}, ValueError, "no parameter 'nois'; did you mean 'noise'?"),
        ({"noise": 0.31}, ValueError, r"noise must be from 0 to 0.3 \(share\), got 0.31"),
        ({"patience": 0}, ValueError, r"patience must be from 1 to 12 \(turns\), got 0"),
        ({"noise": math.nan}, ValueError, "got nan"),
        ({"noise": "much"}, ValueError, "got 'much'"),
        ({"noise": b"0.1"}, ValueError, "got b'0.1'"),
        ({"patience": 10**400}, ValueError, "got 1000000"),
        ({"noise": None}, ValueError, "got None"),
        ({"hurried": True}, ValueError, "got True"),
        (0.3, TypeError, "must be a mapping of parameters to numbers, got 0.3"),
    ],
)
def test_what_can_not_be_set_is_told(params, error, told):
    with pytest.raises(error, match=told):
        gym.make(REFUND).reset(seed=0, options={"user_params": params})


def test_the_page_on_customers_tells_every_parameter():
    page = (Path(__file__).parents[3] / "docs" / "pages" / "customers.md").read_text()
    for name, (low, high, unit, about) in PARAMETERS.items():
        assert f"| `{name}` | {low:g} to {high:g} | {unit} | {about} |" in page
