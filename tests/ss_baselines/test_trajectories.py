"""Episodes as records: in the order of the plan, as they are recorded elsewhere, and the same when a plan goes on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from ss_baselines.agents import Agent, load_agent
from ss_baselines.lanes import Start, play
from ss_baselines.trajectories import Plan, check_plan, recorded
from ss_gym.agents import AgentConfig, Conversation, MultiTurnAgent
from ss_gym.types import Completion, Message
from ss_gym.wrappers import RecordedTrajectory, RecordTrajectories, read_trajectories
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.collate import collate
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import Obliging, register

REFUND = "StateSet/Refund-v0"


def stub() -> MultiTurnAgent:
    agent = MultiTurnAgent(AgentConfig("stub://demo"))
    agent.load()
    return agent


def test_episodes_are_recorded_as_the_wrapper_records_them(tmp_path: Path) -> None:
    ours = list(recorded(load_agent("reference"), Plan(REFUND, {"prompt": "compact"}, "dev", scenarios=3, batch=2)))
    agent, env = load_agent("reference"), RecordTrajectories(gym.make(REFUND, prompt="compact"), tmp_path / "x.jsonl")
    for episode in ours:
        assert episode.seed is None
        observation, info = env.reset(options=dict(episode.options))
        conversation = Conversation.begin(observation, info)
        ended = False
        while not ended:
            (completion,) = agent.act([conversation])
            observation, _, terminated, truncated, info = env.step(completion.text)
            conversation.record(completion, observation, info)
            ended = terminated or truncated
    env.close()
    assert ours == list(read_trajectories(tmp_path / "x.jsonl"))
    assert [episode.scenario_id for episode in ours] == [f"refund/dev/{number:04d}" for number in range(3)]
    assert all(episode.success for episode in ours)


def test_environments_without_families_are_played_by_seed_each_as_often_as_is_asked() -> None:
    plan = Plan(register(), {}, "train", scenarios=3, attempts=2, batch=4)
    episodes = list(recorded(Obliging(), plan))
    assert [episode.seed for episode in episodes] == [0, 0, 1, 1, 2, 2]
    assert all(episode.total_reward == 2 and episode.success for episode in episodes)
    assert episodes[0].messages == episodes[1].messages


def test_a_plan_goes_on_as_if_it_had_never_been_interrupted() -> None:
    plan = Plan(register(), {}, "train", scenarios=7, batch=3)
    whole = list(recorded(stub(), plan))
    assert [list(recorded(stub(), plan, first)) for first in (0, 1, 4, 6, 7)] == [
        whole,
        whole[1:],
        whole[4:],
        whole[6:],
        [],
    ]


def test_what_is_played_is_given_before_the_rest_is_begun() -> None:
    """A plan of a million episodes needs no memory for them."""
    given = recorded(Obliging(), Plan(register(), {}, "train", scenarios=10**12, batch=2))
    assert [episode.seed for episode in islice(given, 3)] == [0, 1, 2]
    given.close()

    class Counting:
        conversation = Conversation([{"role": "user", "content": "say a"}])
        begun = 0

        def begin(self, start: Start) -> None:
            Counting.begun += 1

        def step(self, completion: Completion) -> str:
            return completion.text

    assert list(islice(play(Obliging(), [Counting(), Counting()], repeat(Start())), 4)) == [
        (number, "a") for number in range(4)
    ]
    assert Counting.begun <= 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model"))


def sampled(model: Path, plan: Plan, first: int = 0, **settings: Any) -> list[RecordedTrajectory]:
    agent = MultiTurnAgent(AgentConfig(str(model), max_new_tokens=5, **settings))
    agent.load()
    return list(recorded(agent, plan, first))


def test_ids_and_log_probabilities_are_those_that_were_sampled(model: Path) -> None:
    first, second, *_ = episodes = sampled(model, Plan(register(), {}, "train", scenarios=3, attempts=2, batch=2))
    assert first.seed == second.seed and first.actions != second.actions
    agent = MultiTurnAgent(AgentConfig(str(model)))
    agent.load()
    backend = agent.backend
    assert isinstance(backend, HuggingFaceBackend)
    for episode in episodes:
        tokens = episode.tokens
        assert tokens is not None
        *read, unread = tokens.message_ids
        assert all(read) and unread == ()  # the last words of the user
        own = [tokens.message_ids[place] for place in episode.own_places]
        assert [backend.chat.text(ids) for ids in own] == list(episode.actions)
        assert [len(ids) for ids in own] == [len(row) for row in tokens.logprobs]
        assert backend.chat.decoded([*tokens.prompt_ids, *read[0]]).endswith(
            f"{episode.messages[0]['content']}<|end|>\n<|start|>assistant\n"
        )
    batch = collate([episode.trajectory() for episode in episodes])
    assert int(batch.action_mask.sum()) == sum(len(row) for e in episodes if e.tokens for row in e.tokens.logprobs)


def test_a_model_goes_on_with_the_very_noise(model: Path) -> None:
    plan = Plan(register(), {}, "train", scenarios=6, attempts=2, batch=2, seed=3)
    whole = sampled(model, plan)
    assert sampled(model, plan, first=11) == whole[11:]
    assert sampled(model, plan, first=5, seed=8) == whole[5:]  # the plan's seed counts, not the agent's
    other = Plan(register(), {}, "train", scenarios=6, attempts=2, batch=2, seed=4)
    assert sampled(model, other) != whole


def test_the_agents_own_instructions_are_part_of_the_record(model: Path) -> None:
    (episode,) = sampled(model, Plan(register(), {}, "train", scenarios=1), system_prompt="Say it.")
    assert episode.messages[0] == {"role": "system", "content": "Say it."}
    assert episode.tokens is not None and len(episode.tokens.message_ids) == len(episode.messages) - 1


def test_a_context_that_is_full_ends_what_the_agent_read(model: Path) -> None:
    options = {"max_context": 40}
    (episode,) = sampled(model, Plan(register(), {}, "train", scenarios=1), backend_options=options)
    tokens = episode.tokens
    assert tokens is not None and episode.actions[1] == "" and tokens.logprobs[1] == ()
    assert [bool(ids) for ids in tokens.message_ids] == [True, True, False, False, False]
    batch = collate([episode.trajectory()])
    assert len(batch.prefix) + int(batch.lengths) == len(tokens.prompt_ids) + sum(map(len, tokens.message_ids))


def test_scenarios_that_are_not_there_are_told() -> None:
    class Idle:
        def act(self, conversations: Sequence[Sequence[Message]]) -> list[Completion]:
            raise AssertionError("nothing is to be played")

    plan = Plan(REFUND, {}, "dev", scenarios=601)
    idle: Agent = Idle()
    with pytest.raises(ValueError, match="dev has 600"):
        next(recorded(idle, plan))
    with pytest.raises(ValueError, match="devv"):
        check_plan(Plan(REFUND, {}, "devv", scenarios=1), gym.make(REFUND))
