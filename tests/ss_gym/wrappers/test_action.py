"""A menu says what is chosen, and tells what can be."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from ss_gym.wrappers import FeatureObservation, MenuAction
from tests.ss_gym.wrappers.samples import CLOSE, LOOK_UP, MENU, REFUND, replies


def test_choices_are_said_as_they_are_now() -> None:
    plain, env = gym.make(REFUND), MenuAction(gym.make(REFUND), MENU)
    plain.reset(seed=3)
    _, info = env.reset(seed=3)
    assert info["action_mask"].tolist() == [1, 1, 0] and info["action_mask"].dtype == np.int8
    for action, text in ((0, MENU[0]), (1, LOOK_UP), (2, CLOSE)):
        observation, reward, terminated, truncated, info = env.step(action)
        assert (observation, reward, terminated, truncated) == plain.step(text)[:4]  # type: ignore[arg-type]
        assert info["action_mask"].tolist() == [1, 1, 1]


def test_a_mask_is_what_sample_takes() -> None:
    env = MenuAction(gym.make(REFUND), [lambda messages: None, "Hello!", lambda messages: None])
    _, info = env.reset(seed=3)
    assert {int(env.action_space.sample(info["action_mask"])) for _ in range(20)} == {1}
    masks = env.action_masks()
    assert masks.dtype == np.bool_ and masks.tolist() == [False, True, False]


@pytest.mark.parametrize(("unavailable", "heard"), [("", ""), ("Let me see.", "Let me see.")])
def test_what_is_not_available_is_silence_or_what_one_says(unavailable: str, heard: str) -> None:
    plain, env = gym.make(REFUND), MenuAction(gym.make(REFUND), MENU, unavailable=unavailable)
    plain.reset(seed=3)
    env.reset(seed=3)
    observation, *_, info = env.step(2)
    assert observation == plain.step(unavailable)[0]
    assert info["messages"][0] == {"role": "assistant", "content": heard}


class Counter:
    """A dialogue state: how many messages there were."""

    def __init__(self) -> None:
        self.count = 0

    def append(self, message: dict[str, Any]) -> None:
        self.count += 1


class CountingMenu:
    """An object with choices: the last one only while nothing was said."""

    def __len__(self) -> int:
        return 2

    def choices(self, memory: Counter) -> list[str | None]:
        return [f"There were {memory.count} messages.", "Hello!" if memory.count == 2 else None]


def test_a_menu_may_be_an_object_with_a_memory_of_its_own() -> None:
    env = MenuAction(gym.make(REFUND), CountingMenu(), memory=Counter)
    for _ in range(2):  # a new memory at each reset
        _, info = env.reset(seed=3)
        assert info["action_mask"].tolist() == [1, 1]
        *_, info = env.step(0)
        assert info["messages"][0]["content"] == "There were 2 messages."
        assert info["action_mask"].tolist() == [1, 0]
        assert env.step(np.int64(0))[4]["messages"][0]["content"] == "There were 4 messages."


@pytest.mark.parametrize(
    ("menu", "error", "says"),
    [
        ([], ValueError, "a menu needs at least one choice"),
        ("Hello!", TypeError, "a menu is a sequence"),
        (3, TypeError, "a menu is a sequence"),
        (["Hello!", 3], TypeError, "choice 1 must be a str or a function"),
    ],
)
def test_wrong_menus_are_told(menu: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        MenuAction(gym.make(REFUND), menu)


def test_choices_that_are_no_text_or_not_as_many_are_told() -> None:
    with pytest.raises(TypeError, match="choice 0 must give a str or None, got int"):
        MenuAction(gym.make(REFUND), [lambda messages: 3]).reset(seed=1)  # type: ignore[list-item, return-value]

    class Short(CountingMenu):
        def choices(self, memory: Any) -> list[str | None]:
            return ["Hello!"]

    with pytest.raises(ValueError, match="the menu must give 2 choices, got 1"):
        MenuAction(gym.make(REFUND), Short()).reset(seed=1)
    with pytest.raises(TypeError, match="unavailable must be a str"):
        MenuAction(gym.make(REFUND), MENU, unavailable=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("action", "error"), [("0", TypeError), (True, TypeError), (0.0, TypeError), (-1, ValueError), (3, ValueError)]
)
def test_an_action_that_is_no_choice_is_told(action: Any, error: type[Exception]) -> None:
    env = MenuAction(gym.make(REFUND), MENU)
    env.reset(seed=1)
    with pytest.raises(error, match="an action is the number of"):
        env.step(action)


def test_stable_baselines_accepts_numbers_in_and_out() -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="stable-baselines3 is not installed")
    from stable_baselines3 import PPO

    env = FeatureObservation(MenuAction(gym.make(REFUND), MENU), [replies])
    checker.check_env(env)
    PPO("MlpPolicy", env, n_steps=32, batch_size=32, device="cpu").learn(64)


def test_algorithms_that_mask_find_the_mask() -> None:
    contrib = pytest.importorskip("sb3_contrib", reason="sb3-contrib is not installed")

    class Strict(MenuAction):
        """Refuses what is not available."""

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            assert self.action_masks()[int(action)]
            return super().step(action)

    env = FeatureObservation(Strict(gym.make(REFUND), MENU), [replies])
    model = contrib.MaskablePPO("MlpPolicy", env, n_steps=32, batch_size=32, device="cpu").learn(64)
    assert model.num_timesteps == 64
