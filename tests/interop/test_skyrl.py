"""Environments in SkyRL."""

import pytest

from tests.interop.episodes import REFUND, RETAIL, native

skyrl_gym = pytest.importorskip("skyrl_gym", reason="skyrl-gym is in an environment of its own: make test-interop")

from skyrl_gym.metrics import aggregate_for_environment  # noqa: E402

from ss_gym.interop.skyrl import SkyRLEnvironment, register  # noqa: E402

for known in (REFUND, RETAIL):
    register(known)


@pytest.mark.parametrize("env_id", [REFUND, RETAIL])
def test_an_episode_is_that_of_the_environment(env_id) -> None:
    metrics = []
    for seed in range(8):
        ours = native(env_id, seed)
        # As the trainer makes it: settings of the run, and the row.
        env = skyrl_gym.make(env_id, env_config={}, extras={"seed": seed})
        messages, _ = env.init([{"role": "user", "content": "the row's own words"}])
        assert messages == [{"role": "system", "content": ours.prompt}, {"role": "user", "content": ours.opening}]
        for action, (_, reward, terminated, truncated), came in zip(
            ours.actions, ours.steps, ours.messages, strict=True
        ):
            told = env.step(action)
            assert [each["content"] for each in told["observations"]] == [each["content"] for each in came]
            assert [each["role"] for each in told["observations"]] == [each["role"] for each in came]
            assert (told["reward"], told["done"]) == (reward, terminated or truncated)
        assert told["metadata"]["success"] == ours.success
        metrics.append(env.get_metrics())
        assert metrics[-1]["steps"] == len(ours.actions)
        assert metrics[-1]["return"] == pytest.approx(sum(step[1] for step in ours.steps))
        env.close()
    assert aggregate_for_environment(env_id, metrics)["success"] == 1.0


def test_rows_choose_the_customer_and_templates_the_role_of_tools() -> None:
    row = {"options": {"scenario_id": "refund/dev/0004"}}
    env = SkyRLEnvironment({"env_kwargs": {"prompt": "compact"}}, row, REFUND, tool_role="user")
    messages, info = env.init([{"role": "system", "content": "Be brief."}])
    assert [each["role"] for each in messages] == ["system", "system", "user"] and len(messages[1]["content"]) < 500
    assert info["scenario_id"] == "refund/dev/0004" and env.max_turns == 40
    told = env.step('<tool_call>{"name": "get_policy", "arguments": {}}</tool_call>')
    assert [each["role"] for each in told["observations"]] == ["user"]


def test_a_name_stands_for_one_environment() -> None:
    assert register(REFUND, "mine", prompt="compact") == register(REFUND, "mine", prompt="compact") == "mine"
    with pytest.raises(Exception, match="already registered"):
        register(RETAIL, "mine")
