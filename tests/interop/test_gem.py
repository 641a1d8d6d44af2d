"""Environments in GEM."""

import pytest

from tests.interop.episodes import REFUND, RETAIL, native

gem = pytest.importorskip("gem", reason="gem-llm is in an environment of its own: make test-interop")

from gem.wrappers.observation_wrapper import ObservationWrapper  # noqa: E402

from ss_gym.interop.gem import GEMEnvironment, register  # noqa: E402

for known in (REFUND, RETAIL):
    register(known)


@pytest.mark.parametrize("env_id", [REFUND, RETAIL])
def test_an_episode_is_that_of_the_environment(env_id) -> None:
    for seed in range(8):
        ours, env = native(env_id, seed), gem.make(env_id)
        observation, info = env.reset(seed=seed)
        assert observation == f"{ours.prompt}\n\n{ours.opening}" and not info["use_tool"]
        for action, step, messages in zip(ours.actions, ours.steps, ours.messages, strict=True):
            *told, info = env.step(action)
            assert tuple(told) == step
            assert info["use_tool"] == (bool(messages) and messages[-1]["role"] == "tool")
        assert info["success"] == ours.success
        env.close()


def test_the_prompt_may_be_left_to_the_infos() -> None:
    observation, info = GEMEnvironment(REFUND, show_prompt=False).reset(seed=3)
    assert observation == native(REFUND, 3).opening and info["system_prompt"]


def test_vectors_and_wrappers_of_gem_take_them() -> None:
    wrapped = [lambda env: ObservationWrapper(env, include_chat_template=False)]
    vector = gem.make_vec([REFUND] * 3, wrappers=wrapped, seed=5, prompt="compact")
    observations, _ = vector.reset()
    expected = [native(REFUND, seed, prompt="compact") for seed in (5, 6, 7)]
    assert observations == [f"{each.prompt}\n\n{each.opening}\n" for each in expected]
    observations, rewards, *_ = vector.step([each.actions[0] for each in expected])
    for observation, reward, each in zip(observations, rewards, expected, strict=True):
        seen = (f"{each.prompt}\n\n{each.opening}", each.actions[0], each.steps[0][0])
        assert observation == "".join(f"{part}\n" for part in seen if part) and reward == each.steps[0][1]


def test_another_one_is_in_the_same_state_or_at_the_beginning() -> None:
    ours, env = native(REFUND, 2), gem.make(REFUND)
    env.reset(seed=2)
    env.step(ours.actions[0])
    twin, fresh = env.spawn(same_state=True), env.spawn(prompt="compact")
    for each in (twin, env):
        assert tuple(each.step(ours.actions[1])[:4]) == ours.steps[1]
    assert fresh.reset(seed=2)[0].endswith(ours.opening) and len(fresh.reset(seed=2)[0]) < len(ours.prompt)
    assert isinstance(env.sample_random_action(), str)
    with pytest.raises(ValueError, match="leave out prompt"):
        env.spawn(same_state=True, prompt="compact")


def test_a_name_stands_for_one_environment() -> None:
    assert register(REFUND, "mine", prompt="compact") == register(REFUND, "mine", prompt="compact") == "mine"
    with pytest.raises(Exception, match="already registered"):
        register(RETAIL, "mine")
