"""Conversations for learners that can't read."""

import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import ss_gym  # noqa: F401 - registers the ids
from ss_gym import scenario_files
from ss_gym.dialogue.menu import FamilyMenu
from ss_gym.dialogue.state import DialogueState
from ss_gym.discrete import make_discrete
from tests.ss_gym.dialogue.clerk import Clerk

ENV_ID = "StateSet/RefundDiscrete-v0"


def played(env: gymnasium.Env[Any, Any], **reset: Any) -> tuple[dict[str, Any], float, int]:
    """An episode by the clerk: the last info, the sum of rewards, the steps."""
    clerk, total, steps = Clerk(), 0.0, 0
    _, info = env.reset(**reset)
    names = env.get_wrapper_attr("choice_names")
    while True:
        state = env.get_wrapper_attr("_state")
        _, reward, terminated, truncated, info = env.step(names.index(clerk.choose(state)))
        total, steps = total + float(reward), steps + 1
        if terminated or truncated:
            return info, total, steps


@pytest.mark.parametrize("split", ["train", "dev"])
def test_the_menu_is_enough_to_settle_nearly_every_case(split: str) -> None:
    env = gymnasium.make(ENV_ID, split=split)
    wins = [played(env, seed=seed)[0]["success"] for seed in range(150)]
    assert np.mean(wins) >= 0.98


def test_the_shaping_adds_up_to_nothing_where_the_discount_is_one() -> None:
    plain, shaped = make_discrete(shaping=0), make_discrete(shaping=1.0)
    for number in range(12):
        scenario = {"scenario_id": f"refund/dev/{number:04d}"}
        one, other = played(plain, options=scenario), played(shaped, options=scenario)
        assert one[2] == other[2] and one[0]["success"] == other[0]["success"]
        # The episode begins with nothing verified, read, agreed or told.
        assert other[1] == pytest.approx(one[1], abs=1e-9)


def test_gymnasium_finds_nothing_to_complain_of(recwarn: pytest.WarningsRecorder) -> None:
    check_env(gymnasium.make(ENV_ID).unwrapped)
    env = make_discrete()
    observation, info = env.reset(seed=1)
    assert observation.dtype == np.float32 and observation in env.observation_space
    assert len(env.feature_names) == len(set(env.feature_names)) == observation.shape[0]
    assert env.action_space.n == len(env.choice_names) == info["action_mask"].shape[0]


def test_the_mask_tells_what_can_be_chosen() -> None:
    env = make_discrete()
    _, info = env.reset(options={"scenario_id": "refund/dev/0004"})
    names = np.array(env.choice_names)
    assert set(names[info["action_mask"] == 1]) == {"ask_identity"}
    assert env.action_masks().tolist() == info["action_mask"].astype(bool).tolist()
    info = env.step(env.choice_names.index("ask_identity"))[4]
    assert "verify" in names[info["action_mask"] == 1] and "refund" not in names[info["action_mask"] == 1]


def test_a_choice_that_is_not_available_becomes_the_next_that_is() -> None:
    env = make_discrete()
    env.reset(options={"scenario_id": "refund/dev/0004"})
    info = env.step(env.choice_names.index("refund"))[4]
    assert info["messages"][0]["content"].startswith("Could you tell me the e-mail address and the postal code")


def test_pictures_are_a_type_error_after_which_stable_baselines3_goes_on_without() -> None:
    with pytest.raises(TypeError, match="no pictures of a conversation"):
        gymnasium.make(ENV_ID, render_mode="rgb_array")


def test_stable_baselines3_learns_from_the_id_in_one_line() -> None:
    ppo = pytest.importorskip("stable_baselines3", reason="needs the extra sb3").PPO
    model = ppo("MlpPolicy", ENV_ID, n_steps=64, batch_size=64, n_epochs=1, seed=0, device="cpu").learn(64)
    assert model.num_timesteps == 64


@pytest.mark.parametrize("action", [-1, 999])
def test_a_choice_that_is_not_on_the_menu_is_an_error(action: int) -> None:
    env = make_discrete()
    env.reset(seed=1)
    with pytest.raises(ValueError, match=rf"a number from 0 to \d+, got {action}"):
        env.step(action)


def test_an_answer_in_parts_is_asked_for_the_part_that_is_missing() -> None:
    menu, state = FamilyMenu("refund"), DialogueState()
    env = gymnasium.make("StateSet/Refund-v0")
    state.append({"role": "system", "content": env.reset(seed=1)[1]["system_prompt"]})
    state.append({"role": "user", "content": "My e-mail is a@b.example, I want a refund for order 48213."})
    texts = dict(zip(menu.names, menu.choices(state), strict=True))
    assert texts["ask_identity"] == "Could you tell me the postal code of your account?"
    assert texts["verify"] is None and state.case.order_number == "48213"


def test_a_call_that_was_made_is_not_offered_again() -> None:
    env = make_discrete()
    env.reset(options={"scenario_id": "refund/dev/0004"})
    for name in ("ask_identity", "verify", "read_order", "quote"):
        env.step(env.choice_names.index(name))
    available = np.array(env.choice_names)[env.action_masks()]
    assert "quote" not in available and "propose_refund" in available


def test_batches_are_made_as_gymnasium_makes_them() -> None:
    envs = gymnasium.make_vec(ENV_ID, num_envs=3)
    observations, infos = envs.reset(seed=5)
    single = gymnasium.make(ENV_ID)
    assert observations.shape == (3, *single.observation_space.shape)
    assert (observations[1] == single.reset(seed=6)[0]).all() and infos["action_mask"].shape[0] == 3
    envs.close()


def test_the_same_seed_and_choices_give_the_same_numbers() -> None:
    def trace() -> list[bytes]:
        env = gymnasium.make(ENV_ID)
        seen = [env.reset(seed=3)[0].tobytes()]
        for number in range(20):
            observation, _, terminated, truncated, _ = env.step(number * 7 % 32)
            seen.append(observation.tobytes())
            if terminated or truncated:
                seen.append(env.reset()[0].tobytes())
        return seen

    assert trace() == trace()


def test_features_and_menus_pickle() -> None:
    env = make_discrete()
    assert pickle.loads(pickle.dumps(env._features)).names == env.feature_names


@pytest.mark.parametrize(
    ("menu", "message"),
    [
        ("[]", "expected a mapping of choices"),
        ("ask: {say: Hello, call: [x]}", "line 1, field ask: expected a mapping with either say or call"),
        ("ask: {say: Hello, neads: read}", "line 1, field ask.neads: is not known; did you mean 'needs'"),
        ("ask: {say: Hello, needs: raed}", "line 1, field ask.needs: 'raed' is no condition; did you mean 'read'"),
    ],
)
def test_a_broken_menu_is_named_with_its_line(
    menu: str, message: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "menu.yaml").write_text(menu, encoding="utf-8")
    monkeypatch.setattr(scenario_files, "folder", lambda: tmp_path)
    for kept in (scenario_files.folder_of, scenario_files.read_text, scenario_files.read_yaml):
        kept.cache_clear()
    with pytest.raises(ValueError, match=message):
        FamilyMenu("odd")
    monkeypatch.undo()
    for kept in (scenario_files.folder_of, scenario_files.read_text, scenario_files.read_yaml):
        kept.cache_clear()
