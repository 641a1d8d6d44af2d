"""The menus in RLlib, by their ids and with masks."""

import numpy as np
import pytest

from tests.interop.episodes import EXCHANGE_MENU, REFUND_MENU, native_choices

ray = pytest.importorskip("ray", reason="RLlib is in an environment of its own: make test-interop")
pytest.importorskip("tree", reason="RLlib is in an environment of its own: make test-interop")

import gymnasium as gym  # noqa: E402
import torch  # noqa: E402
from gymnasium.utils.env_checker import check_env  # noqa: E402
from ray.rllib.algorithms.ppo import PPOConfig  # noqa: E402
from ray.rllib.core.columns import Columns  # noqa: E402
from ray.rllib.core.rl_module.rl_module import RLModuleSpec  # noqa: E402
from ray.rllib.core.rl_module.torch import TorchRLModule  # noqa: E402
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner  # noqa: E402
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule  # noqa: E402

from ss_gym.interop.rllib import MaskedObservation, register  # noqa: E402


class Recited(TorchRLModule):
    """Does what was done in an episode that is known."""

    def setup(self):
        self.left = list(self.model_config["actions"])

    def _forward(self, batch, **kwargs):
        return {Columns.ACTIONS: torch.tensor([self.left.pop(0)])}


def sampled(name, seed, actions):
    """An episode as RLlib's runner samples it."""
    spec = RLModuleSpec(module_class=Recited, model_config={"actions": [*actions, 0]})
    config = PPOConfig().environment(name).debugging(seed=seed).rl_module(rl_module_spec=spec)
    runner = SingleAgentEnvRunner(config=config.env_runners(num_env_runners=0, num_envs_per_env_runner=1))
    (episode,) = runner.sample(num_episodes=1, explore=True)
    runner.stop()
    return episode


def assert_same(episode, ours, observations):
    assert [each.tobytes() for each in observations] == [each.tobytes() for each in ours.observations]
    assert [int(action) for action in episode.get_actions()] == ours.actions
    assert [float(reward) for reward in episode.get_rewards()] == [step[0] for step in ours.steps]
    assert (episode.is_terminated, episode.is_truncated) == ours.steps[-1][1:]
    infos = episode.get_infos()
    assert [info["action_mask"].tobytes() for info in infos] == [mask.tobytes() for mask in ours.masks]
    assert infos[-1]["success"] == ours.success


@pytest.mark.parametrize("env_id", [REFUND_MENU, EXCHANGE_MENU])
def test_an_episode_is_that_of_the_environment(env_id) -> None:
    for seed in range(8):
        ours = native_choices(env_id, seed)
        episode = sampled(f"ss_gym:{env_id}", seed, ours.actions)
        assert_same(episode, ours, episode.get_observations())


def test_an_episode_with_masks_is_the_same() -> None:
    name = register(REFUND_MENU, "with masks", shaping=0)
    for seed in range(4):
        ours = native_choices(REFUND_MENU, seed, shaping=0)
        episode = sampled(name, seed, ours.actions)
        seen = episode.get_observations()
        assert seen["action_mask"].tolist() == [mask.tolist() for mask in ours.masks]
        assert_same(episode, ours, list(seen["observations"]))


def test_masked_observations_are_what_gymnasium_wants() -> None:
    check_env(MaskedObservation(gym.make(REFUND_MENU)), skip_render_check=True)
    with pytest.raises(ValueError, match="a mask is for choices"):
        MaskedObservation(gym.make("StateSet/Refund-v0"))


def test_ppo_learns_from_the_id_and_from_available_choices() -> None:
    ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR")
    try:
        for name, spec in (
            (f"ss_gym:{REFUND_MENU}", None),
            (register(REFUND_MENU), RLModuleSpec(module_class=ActionMaskingTorchRLModule)),
        ):
            config = (
                PPOConfig()
                .environment(name)
                .env_runners(num_env_runners=0)
                .training(train_batch_size_per_learner=256, minibatch_size=64, num_epochs=1)
                .debugging(seed=1)
            )
            algorithm = (config if spec is None else config.rl_module(rl_module_spec=spec)).build_algo()
            results = algorithm.train()
            assert results["num_env_steps_sampled_lifetime"] == 256
            assert np.isfinite(results["env_runners"]["episode_return_mean"])
            algorithm.stop()
    finally:
        ray.shutdown()
