"""Models of Stable-Baselines3 as baselines: trained on a menu, handed in for the text environment."""

from pathlib import Path

import gymnasium as gym
import pytest

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is installed by: make test-interop")

from ss_baselines.agents.sb3 import algorithm_class, load_sb3, model_hash
from ss_baselines.evaluate import evaluate
from ss_baselines.sb3 import SETTINGS, train
from tests.interop.episodes import REFUND, REFUND_MENU


@pytest.mark.parametrize("algorithm", SETTINGS)
def test_a_model_plays_the_text_environment_as_it_plays_the_menu(algorithm: str, tmp_path: Path) -> None:
    file = train(algorithm, "Refund", 256, 0, tmp_path)
    assert file == tmp_path / "refund.zip" and list(tmp_path.iterdir()) == [file]
    name = f"sb3://{algorithm}/{tmp_path}"
    played = evaluate(load_sb3(name), REFUND, "dev", episodes=6, env_kwargs={"prompt": "compact"})
    model, env = algorithm_class(algorithm).load(file, device="cpu"), gym.make(REFUND_MENU, shaping=0)
    for record in played.episodes:
        observation, info = env.reset(options={"scenario_id": record.scenario_id})
        state, first, reward, ended = None, True, 0.0, False
        while not ended:
            masks = {"action_masks": env.get_wrapper_attr("action_masks")()} if algorithm == "maskable_ppo" else {}
            choice, state = model.predict(observation, state=state, episode_start=[first], deterministic=True, **masks)
            observation, step, terminated, truncated, info = env.step(int(choice))
            first, reward, ended = False, reward + float(step), terminated or truncated
        assert (reward, info["success"], info["step"]) == (record.reward, record.success, record.steps)
    assert len(model_hash(name)) == 64 and model_hash(name) == model_hash(f"sb3://{algorithm}/{tmp_path}")


def test_a_family_without_a_model_is_told(tmp_path: Path) -> None:
    train("ppo", "Refund", 64, 0, tmp_path)
    with pytest.raises(ValueError, match="has no model for the family cancel"):
        evaluate(load_sb3(f"sb3://ppo/{tmp_path}"), "StateSet/Cancel-v0", "dev", episodes=1)
