"""The calls that users rely on, as they write them."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from ss_gym import (
    AgentConfig,
    CompositeReward,
    ConversationEnvironment,
    ConversationTurn,
    HelpfulnessReward,
    MultiTurnAgent,
    SafetyReward,
    TaskEnvironment,
    load_agent_from_checkpoint,
    parse_action,
    reward_function,
)
from ss_gym.datasets import ConversationDataset, ConversationDatasetConfig
from ss_gym.datasets.messages import logged
from ss_gym.rewards import create_customer_service_reward
from ss_trainers import (
    BCQConfig,
    BCQTrainer,
    GRPOConfig,
    GRPOTrainer,
    GSPOConfig,
    OfflineGRPOConfig,
    OfflineGRPOTrainer,
    OfflineTraining,
    TextTraining,
    TrainingConfig,
    TrainingProfile,
    Transitions,
    get_config_for_task,
    train,
    train_with_gspo,
)


def test_an_environment_is_made_stepped_and_batched_as_any_other() -> None:
    env = gym.make("StateSet/Refund-v0")
    observation, info = env.reset(seed=7)
    assert isinstance(observation, str) and info["system_prompt"] and info["tools"]
    observation, reward, terminated, truncated, info = env.step("Could you tell me your e-mail and postal code?")
    assert isinstance(observation, str) and isinstance(reward, float)
    assert (terminated, truncated) == (False, False)
    envs = gym.make_vec("StateSet/Refund-v0", num_envs=64)
    observations, _ = envs.reset(seed=7)
    assert len(observations) == 64
    envs.close()


def test_an_environment_is_made_by_its_module_too() -> None:
    assert gym.make("ss_gym:StateSet/Refund-v0").reset(seed=7)[0]


def test_ones_own_conversations_are_played_and_rewarded() -> None:
    @reward_function(weight=0.5)
    async def politeness(turns: Sequence[ConversationTurn], context: Mapping[str, Any] | None = None) -> float:
        return float(any("please" in turn.content for turn in turns if turn.role == "assistant"))

    scenario = {"id": "refund", "topic": "refunds", "context": "…", "user_responses": ["Money back!", "A1"]}
    env = ConversationEnvironment(scenarios=[scenario], max_turns=6, reward_fn=CompositeReward([politeness]))
    assert env.reset(seed=7)[0] == "Money back!"
    assert env.step("Your order number, please?")[:4] == ("A1", 0.0, False, False)
    assert env.step("Thank you.")[1:4] == (1.0, True, False)


def test_rewards_that_come_with_the_package_are_weighed_and_added() -> None:
    reward_fn = CompositeReward([HelpfulnessReward(weight=0.7), SafetyReward(weight=0.3)])
    turns = [ConversationTurn("user", "When do you open?"), ConversationTurn("assistant", "At 9:00, every day.")]
    result = reward_fn.compute(turns)
    assert result.score == 0.7 * result.breakdown["helpfulness"] + 0.3 * result.breakdown["safety"] > 0.7
    service = create_customer_service_reward().compute(turns, {"reference": "9:00"})
    assert 0.7 < service.score <= 1.0 and len(service.breakdown) == 5


def test_ones_own_tasks_are_done_or_not() -> None:
    def double(number: int) -> int:
        """Double a number.

        Args:
            number: what to double.
        """
        return 2 * number

    def is_right(turns: Sequence[ConversationTurn], context: Mapping[str, Any]) -> bool:
        return turns[-1].content == "42"

    env = TaskEnvironment(tasks=[{"id": "a", "goal": "Double 21!"}], success_criteria=is_right, tools=[double])
    assert env.reset(seed=7)[0] == "Double 21!"
    assert env.step('<tool_call>{"name": "double", "arguments": {"number": 21}}</tool_call>')[:3] == ("42", 0.0, False)
    assert env.step("42")[1:3] == (1.0, True)


def test_an_agent_of_the_stub_backend_answers() -> None:
    async def talk() -> str:
        agent = MultiTurnAgent(AgentConfig(model_name="stub://demo", max_new_tokens=128, temperature=0.7))
        await agent.initialize()
        return await agent.generate_response([{"role": "user", "content": "Hi!"}], context={"conversation_id": "c1"})

    assert asyncio.run(talk())


def test_an_agent_keeps_a_plan_that_the_context_changes() -> None:
    async def talk() -> list[str]:
        agent = MultiTurnAgent(
            AgentConfig(model_name="tiny", enable_planning=True, planning_config={"max_steps": 4}, max_new_tokens=4)
        )
        await agent.initialize()
        messages = [{"role": "user", "content": "Refund my lamp and cancel order 12345, please."}]
        plans = []
        for context in (
            {"goal": "a happy customer"},
            {"plan_update": {"action": "advance"}},
            {"plan_goal": "a customer who stays"},
        ):
            reply = await agent.generate_response(messages, context={"conversation_id": "c1", **context})
            messages += [{"role": "assistant", "content": reply}, {"role": "user", "content": "And now?"}]
            plan = agent.plan("c1")
            assert plan is not None
            plans.append(plan.text())
        return plans

    made, advanced, replanned = asyncio.run(talk())
    assert "Goal: a happy customer\n1. now: Refund my lamp\n2. open: cancel order 12345" in made
    assert "1. done: Refund my lamp\n2. now: cancel order 12345" in advanced
    assert "Goal: a customer who stays\n1. done: Refund my lamp\n2. now: cancel order 12345" in replanned


def test_the_tiny_agent_answers_a_customer() -> None:
    """It asks who the customer is so that they tell their e-mail, and looks that e-mail up."""

    async def talk() -> tuple[str, str]:
        agent = MultiTurnAgent(AgentConfig(model_name="tiny", temperature=0))
        await agent.initialize()
        env = gym.make("StateSet/Refund-v0", prompt="compact")
        _, info = env.reset(seed=7)
        messages = [{"role": "system", "content": info["system_prompt"]}, *info["messages"]]
        told, *_, info = env.step(await agent.generate_response(messages))
        return told, await agent.generate_response([*messages, *info["messages"]])

    told, answer = asyncio.run(talk())
    (email,) = re.findall(r"[\w.+-]+@[\w-]+\.\w+", told)
    (call,) = parse_action(answer).tool_calls
    assert (call.name, call.arguments["email"]) == ("verify_identity", email)


def test_a_trainer_trains_saves_and_its_agent_is_loaded_again(tmp_path: Path) -> None:
    trainer = GRPOTrainer(
        env="StateSet/Refund-v0",
        model="tiny",
        config=GRPOConfig(),
        training=TrainingConfig(iterations=1, groups_per_iteration=1, group_size=2, max_new_tokens=48),
        env_kwargs={"prompt": "compact"},
    )
    metrics = trainer.train()
    assert 0 <= metrics["success"] <= 1
    trainer.save(tmp_path / "refund_agent")

    async def talk() -> str:
        agent = await load_agent_from_checkpoint(str(tmp_path / "refund_agent"))
        return await agent.generate_response([{"role": "user", "content": "I want a refund for order 12345."}])

    assert asyncio.run(talk())


def test_a_model_is_trained_in_one_call(tmp_path: Path) -> None:
    async def trained() -> str:
        agent = MultiTurnAgent(AgentConfig(model_name="tiny", max_new_tokens=32))
        env = ConversationEnvironment(
            scenarios=[{"id": "refund", "topic": "refunds", "context": "…", "user_responses": ["Hi!", "Thanks."]}],
            max_turns=6,
        )
        reward_fn = CompositeReward([HelpfulnessReward(weight=0.7), SafetyReward(weight=0.3)])
        overrides = {"groups_per_iteration": 1, "group_size": 2}
        first = await train(
            agent=agent,
            environment=env,
            reward_fn=reward_fn,
            num_episodes=2,
            profile="balanced",
            save_path=tmp_path / "one",
            resume_from_checkpoint=None,
            config_overrides=overrides,
        )
        base = get_config_for_task("customer_service", model_name="tiny", **overrides)
        second = await train_with_gspo(
            config=GSPOConfig.from_training_config(base, num_outer_iterations=1),
            agent=agent,
            environment=env,
            reward_model=create_customer_service_reward(),
        )
        await load_agent_from_checkpoint(tmp_path / "one")
        return await first.generate_response([{"role": "user", "content": "Hi!"}]) + await second.generate_response(
            [{"role": "user", "content": "Hi!"}]
        )

    assert isinstance(asyncio.run(trained()), str)
    profile = TrainingConfig.from_profile(TrainingProfile.BALANCED, num_episodes=100)
    assert profile.iterations * profile.groups_per_iteration * profile.group_size >= 100


def test_settings_are_searched() -> None:
    pytest.importorskip("optuna", reason="needs optuna: pip install stateset-gym[hpo]")
    from ss_trainers.hpo import quick_hpo

    async def searched() -> Any:
        agent = MultiTurnAgent(AgentConfig(model_name="tiny", max_new_tokens=8))
        scenario = {"id": "refund", "topic": "refunds", "user_responses": ["Money back!", "A1"]}
        env = ConversationEnvironment(scenarios=[scenario], max_turns=1)
        base = TrainingConfig.from_profile(
            TrainingProfile.BALANCED, num_episodes=16, group_size=4, groups_per_iteration=2
        )
        base = base.changed(eval_episodes=2)
        return await quick_hpo(
            agent=agent, environment=env, reward_function=HelpfulnessReward(), base_config=base, n_trials=1
        )

    summary = asyncio.run(searched())
    assert summary.best_params["learning_rate"] > 0 and summary.metric == "return"


def test_an_offline_trainer_learns_from_a_log_of_numbers(tmp_path: Path) -> None:
    env, steps = gym.make("CartPole-v1"), []
    for seed in range(3):
        (observation, _), done = env.reset(seed=seed), False
        while not done:
            action = len(steps) % 2
            following, reward, terminated, truncated, _ = env.step(action)
            steps.append((observation, action, reward, terminated, truncated, following))
            observation, done = following, terminated or truncated
    *columns, following = (np.array(column) for column in zip(*steps, strict=True))
    log = Transitions.from_arrays(*columns, next_observations=following, action_space=env.action_space)
    trainer = BCQTrainer(BCQConfig(hidden_dim=32, latent_dim=64, num_epochs=2), OfflineTraining(batch_size=32))
    trainer.train(log)
    returns = trainer.policy().evaluate("CartPole-v1", episodes=2)
    trainer.save(tmp_path / "run")
    again = BCQTrainer.resume(tmp_path / "run").policy()
    assert again.evaluate("CartPole-v1", episodes=2).tolist() == returns.tolist() and returns.min() >= 1


def refund_log() -> ConversationDataset:
    """Two attempts at a refund, of which one went well."""
    roles = ("user", "assistant", "user", "assistant")

    def said(*texts: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]

    good = logged(said("Hi!", "What is your e-mail?", "a@b.example", "Thank you."), rewards=[0.0, 1.0])
    bad = logged(said("Hello!", "No.", "Please!", "No."), rewards=[0.0, 0.0])
    return ConversationDataset.from_trajectories([good, bad])


def test_an_offline_trainer_makes_an_agent_of_a_log_of_conversations(tmp_path: Path) -> None:
    # Of graded rewards, of which the best are kept: among equal ones there would be nothing to choose.
    graded = [
        {"messages": list(one.messages), "rewards": [0.0, reward]}
        for one in refund_log()
        for reward in (0.1, 0.75, 1.0)
    ]
    file = tmp_path / "conversations.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in graded), encoding="utf-8")
    dataset = ConversationDataset.from_jsonl(file, ConversationDatasetConfig(quality_threshold=0.7))
    assert 0 < len(dataset) < len(graded)
    trainer = BCQTrainer(
        BCQConfig(hidden_dim=256, latent_dim=64, num_epochs=100), text=TextTraining(max_new_tokens=8, candidates=2)
    )
    trainer.train(dataset)
    agent = trainer.policy()
    assert isinstance(agent, MultiTurnAgent)
    assert isinstance(asyncio.run(agent.generate_response([{"role": "user", "content": "Hi!"}])), str)


def test_training_goes_on_from_a_log_in_the_environment() -> None:
    env = gym.make("StateSet/Refund-v0", prompt="compact", max_steps=2)
    agent = MultiTurnAgent(AgentConfig(model_name="tiny"))
    training = TrainingConfig(iterations=1, groups_per_iteration=1, group_size=2, max_new_tokens=8)
    trained = OfflineGRPOTrainer(
        OfflineGRPOConfig(offline_algorithm="cql", offline_pretrain_steps=1, online_ratio=0.3), training
    ).train(agent, env, create_customer_service_reward(), offline_dataset=refund_log())
    assert isinstance(trained, MultiTurnAgent)
