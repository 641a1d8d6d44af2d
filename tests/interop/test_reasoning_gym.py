"""Tasks of reasoning-gym in Gymnasium."""

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env

reasoning_gym = pytest.importorskip("reasoning_gym", reason="reasoning-gym is installed by: make test-interop")

from ss_gym.interop.reasoning_gym import from_reasoning_gym  # noqa: E402


@pytest.mark.parametrize("task", ["letter_counting", "basic_arithmetic", "spell_backward"])
def test_questions_and_scores_are_those_of_the_package(task) -> None:
    env = from_reasoning_gym(task)
    for seed in range(5):
        question, info = env.reset(seed=seed)
        data = reasoning_gym.create_dataset(
            task, size=1, seed=int(gym.utils.seeding.np_random(seed)[0].integers(2**31))
        )
        assert question == data[0]["question"]
        for answer in (info["answer"], f"<think>so it is</think> {info['answer']}", "perhaps 3", ""):
            env.reset(seed=seed)
            _, reward, terminated, truncated, info_ = env.step(answer)
            assert reward == data.score_answer(answer.rpartition("</think>")[2].strip(), data[0])
            assert terminated and not truncated and info_["success"] == (reward == 1)


def test_it_is_a_gymnasium_environment_with_settings() -> None:
    check_env(from_reasoning_gym("letter_counting", max_words=5), skip_render_check=True)
    with pytest.raises(ValueError, match="letter_count"):
        from_reasoning_gym("letter_count")
    with pytest.raises(TypeError, match="an action is a str, got int"):
        env = from_reasoning_gym("letter_counting")
        env.reset(seed=1)
        env.step(3)
