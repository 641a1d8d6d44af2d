"""What holds for every wrapper: Gymnasium's rules, copies, specs, states, and the new messages in the info."""

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env

from ss_gym import wrappers
from ss_gym.agents.planning import without_plan
from tests.ss_gym.wrappers.samples import CLOSE, LOOK_UP, NAMES, REFUND, Wrap, every_wrapper
from tests.ss_trainers.toy_env import register

TEXTS = ("Could you tell me your e-mail and postal code?", LOOK_UP, "One moment, please.", CLOSE)


@pytest.fixture(params=NAMES)
def wrap(request: pytest.FixtureRequest, tmp_path: Path) -> Wrap:
    return every_wrapper(str(tmp_path))[request.param]


def acts(env: gym.Env[Any, Any]) -> list[Any]:
    """The same conversation in numbers where there is a menu."""
    return [0, 1, 0, 2] if isinstance(env.action_space, gym.spaces.Discrete) else [TEXTS[n] for n in (0, 1, 0, 3)]


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, tuple | list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool((left == right).all() if hasattr(left, "shape") and left.shape else left == right)


def test_gymnasium_finds_nothing_to_say(wrap: Wrap) -> None:
    env = wrap(gym.make(REFUND, render_mode="ansi"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env, skip_close_check=True)
    # That it is a wrapper is what it always says of one.
    assert [
        str(one.message) for one in caught if "is different from the unwrapped version" not in str(one.message)
    ] == []


def test_the_info_tells_the_new_messages_as_without_it(wrap: Wrap) -> None:
    """But for a plan that stands below one of them."""

    def told_in(info: dict[str, Any]) -> list[dict[str, Any]]:
        return [{**message, "content": without_plan(message["content"])} for message in info["messages"]]

    plain, env = gym.make(REFUND), wrap(gym.make(REFUND))
    info = env.reset(seed=3)[1]
    told = info.get("drawn_options", {})
    assert told_in(info) == plain.reset(seed=3, options=told)[1]["messages"]
    for action, text in zip(acts(env), (TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[3]), strict=True):
        *_, info = env.step(action)
        *_, expected = plain.step(text)
        assert told_in(info) == expected["messages"] and info["messages"][0]["role"] == "assistant"
        assert info.get("success") == expected.get("success")
    assert info["success"] is False


def test_a_copy_goes_on_as_the_original_does(wrap: Wrap) -> None:
    env = wrap(gym.make(REFUND))
    env.reset(seed=5)
    first, *rest = acts(env)
    env.step(first)
    for other in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
        again = copy.deepcopy(env)
        for action in rest:
            assert same(other.step(action), again.step(action))


def test_it_is_made_again_from_its_spec(wrap: Wrap) -> None:
    env = wrap(gym.make(REFUND, prompt="compact"))
    assert env.spec is not None
    again = gym.make(env.spec)
    assert again.unwrapped.prompt == "compact"  # type: ignore[attr-defined]
    assert again.observation_space == env.observation_space and again.action_space == env.action_space
    assert same(env.reset(seed=2), again.reset(seed=2))
    for action in acts(env):
        assert same(env.step(action), again.step(action))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("recording", "randomization")])
def test_a_state_is_picked_up_through_it(name: str) -> None:
    wrap = every_wrapper("")[name]
    env, other = wrap(gym.make(REFUND)), wrap(gym.make(REFUND))
    env.reset(seed=5)
    actions = acts(env)
    for action in actions[:2]:
        env.step(action)
    other.reset(seed=6)
    other.step(actions[0])
    other.get_wrapper_attr("set_state")(env.get_wrapper_attr("get_state")())
    for action in actions[2:]:
        mine, theirs = env.step(action), other.step(action)
        for info in (mine[4], theirs[4]):
            info.pop("episode_terms", None)  # what was paid before the state is not known
        assert same(mine, theirs)


def test_a_state_reaches_every_wrapper_on_the_way() -> None:
    def build() -> gym.Env[Any, Any]:
        shaped = wrappers.TurnPenalty(gym.make(REFUND), 0.5, free_turns=1)
        return wrappers.TranscriptObservation(wrappers.DomainRandomization(shaped, lambda rng: {}))

    env, other = build(), build()
    env.reset(seed=5)
    env.step(TEXTS[0])
    other.reset(seed=6)
    other.set_state(env.get_state())  # type: ignore[attr-defined]
    mine, theirs = env.step(TEXTS[2]), other.step(TEXTS[2])
    assert mine[0] == theirs[0] and mine[1] == theirs[1] <= -0.5


def test_a_state_needs_an_environment_that_has_one() -> None:
    env = wrappers.TranscriptObservation(gym.make(register()))
    with pytest.raises(TypeError, match="SayTheLetter has no state that can be set"):
        env.set_state(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["transcript", "chat", "tokens", "features", "embedding", "plan", "turn penalty"])
def test_environments_of_others_tell_their_messages_too(name: str) -> None:
    env = every_wrapper("")[name](gym.make(register(), disable_env_checker=True))
    observation, info = env.reset(seed=1)
    (asked,) = info["messages"]
    assert asked["role"] == "user" and asked["content"].startswith("say ")
    *_, info = env.step("aa")
    own, asked = info["messages"]
    assert own == {"role": "assistant", "content": "aa"} and asked["content"].startswith("say ")
    assert name == "turn penalty" or observation in env.observation_space
    assert env.step("bb")[2] is True


def test_environments_without_text_are_refused() -> None:
    cart = gym.make("CartPole-v1")
    for wrapper in (wrappers.TranscriptObservation, wrappers.ChatObservation, wrappers.EmbeddingObservation):
        with pytest.raises(TypeError, match=f"{wrapper.__name__} needs an environment with text observations, got Box"):
            wrapper(cart)
    with pytest.raises(TypeError, match="MenuAction needs an environment with text actions, got Discrete"):
        wrappers.MenuAction(cart, ["a"])
