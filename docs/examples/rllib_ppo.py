"""PPO of RLlib on a menu, with its own module for masks. A minute.

pip install "ray[rllib]" torch
python docs/examples/rllib_ppo.py
"""

from __future__ import annotations

import argparse
import logging

import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule

from ss_gym.interop.rllib import register


def main() -> None:
    """Trains, and tells what episodes are worth on the way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2048)
    options = parser.parse_args()
    ray.init(num_cpus=1, include_dashboard=False, logging_level=logging.ERROR)
    config = (
        PPOConfig()
        .environment(register("StateSet/CancelDiscrete-v0"))
        .env_runners(num_env_runners=0)
        .rl_module(rl_module_spec=RLModuleSpec(module_class=ActionMaskingTorchRLModule))
        .training(train_batch_size_per_learner=options.batch, minibatch_size=256, num_epochs=10, entropy_coeff=0.03)
        .debugging(seed=0, log_level="ERROR")
    )
    algorithm = config.build_algo()
    for number in range(options.iterations):
        told = algorithm.train()["env_runners"]
        print(f"{(number + 1) * options.batch:>7,} steps: return {told['episode_return_mean']:.2f}")
    algorithm.stop()
    ray.shutdown()


if __name__ == "__main__":
    main()
