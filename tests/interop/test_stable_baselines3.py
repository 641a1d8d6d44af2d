"""The menus in Stable-Baselines3 and sb3-contrib, which take them as they are."""

import numpy as np
import pytest

from ss_gym.registration import ENVIRONMENTS
from tests.interop.episodes import EXCHANGE_MENU, REFUND_MENU, native_choices

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is installed by: make test-interop")

import gymnasium as gym
from sb3_contrib import MaskablePPO, RecurrentPPO
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env

MENUS = [env_id for env_id in ENVIRONMENTS if "Discrete" in env_id]


@pytest.mark.parametrize("env_id", [REFUND_MENU, EXCHANGE_MENU])
def test_an_episode_is_that_of_the_environment(env_id) -> None:
    for seed in range(8):
        ours, env = native_choices(env_id, seed), make_vec_env(env_id)
        env.seed(seed)
        observations = env.reset()
        for place, (action, (reward, terminated, truncated)) in enumerate(zip(ours.actions, ours.steps, strict=True)):
            assert observations[0].tobytes() == ours.observations[place].tobytes()
            assert get_action_masks(env)[0].tolist() == ours.masks[place].astype(bool).tolist()
            observations, rewards, dones, infos = env.step(np.array([action]))
            assert rewards[0] == np.float32(reward) and dones[0] == (terminated or truncated)
        # The next episode has begun: the last observation of this one is in the infos.
        assert infos[0]["terminal_observation"].tobytes() == ours.observations[-1].tobytes()
        assert infos[0]["TimeLimit.truncated"] == (truncated and not terminated)
        assert infos[0]["success"] == ours.success and infos[0]["episode"]["l"] == len(ours.actions)
        env.close()


@pytest.mark.parametrize("env_id", MENUS)
@pytest.mark.filterwarnings("error")
def test_its_own_check_finds_nothing(env_id) -> None:
    check_env(gym.make(env_id))


@pytest.mark.parametrize(
    ("algorithm", "policy"), [(PPO, "MlpPolicy"), (MaskablePPO, "MlpPolicy"), (RecurrentPPO, "MlpLstmPolicy")]
)
def test_algorithms_learn_from_the_id(algorithm, policy, tmp_path) -> None:
    model = algorithm(policy, REFUND_MENU, n_steps=128, batch_size=64, n_epochs=2, seed=1, device="cpu").learn(256)
    assert model.num_timesteps == 256
    model.save(tmp_path / "model")
    ours = native_choices(REFUND_MENU, 3)
    choices = [
        each.predict(ours.observations[0], deterministic=True)[0]
        for each in (model, algorithm.load(tmp_path / "model"))
    ]
    assert choices[0] == choices[1]
