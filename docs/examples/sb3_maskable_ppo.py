"""MaskablePPO of sb3-contrib on a menu: it chooses only from what is available. Half a minute.

pip install "stateset-gym[sb3]"
python docs/examples/sb3_maskable_ppo.py
"""

from __future__ import annotations

import argparse

import gymnasium as gym
from sb3_contrib import MaskablePPO

import ss_gym  # noqa: F401 - registers the ids

ENV_ID = "StateSet/CancelDiscrete-v0"


def success(model: MaskablePPO, episodes: int) -> float:
    """The share of the first customers of dev that the most likely choices settle."""
    env, wins = gym.make(ENV_ID), 0
    for number in range(episodes):
        observation, info = env.reset(options={"scenario_id": f"cancel/dev/{number:04d}"})
        while "success" not in info:
            choice, _ = model.predict(observation, action_masks=info["action_mask"].astype(bool), deterministic=True)
            observation, *_, info = env.step(int(choice))
        wins += info["success"]
    return wins / episodes


def main() -> None:
    """Trains, and tells what it was good for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=12_288)
    parser.add_argument("--episodes", type=int, default=100)
    options = parser.parse_args()
    model = MaskablePPO("MlpPolicy", ENV_ID, ent_coef=0.03, seed=0, device="cpu")
    before = success(model, options.episodes)
    model.learn(options.steps)
    print(f"success on dev: {before:.2f} before, {success(model, options.episodes):.2f} after {options.steps:,} steps")


if __name__ == "__main__":
    main()
