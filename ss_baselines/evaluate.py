"""Runs an agent over scenarios and says what came of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import gymnasium as gym

from ss_baselines.agents import Agent, load_agent
from ss_baselines.lanes import Start, play
from ss_baselines.report import EpisodeRecord, Evaluation
from ss_gym.agents.conversation import Conversation
from ss_gym.families import import_packages
from ss_gym.families.splits import split_size
from ss_gym.scenarios import parse_scenario_id, scenario_id
from ss_gym.types import Completion, is_tool_error


class _Lane:
    """One environment and the conversation that is going on in it."""

    def __init__(self, env_id: str, env_kwargs: Mapping[str, Any], keep_messages: bool) -> None:
        import_packages()  # a process that was spawned knows no ids but ours
        self._env = gym.make(env_id, **env_kwargs)
        self._keep_messages = keep_messages
        self.conversation = Conversation()
        self._reward = 0.0
        self._tool_errors = 0

    def begin(self, start: Start) -> None:
        """Opens an episode."""
        observation, info = self._env.reset(seed=start.seed, options=dict(start.options))
        self.conversation = Conversation.begin(observation, info)
        self._reward = 0.0
        self._tool_errors = 0

    def step(self, completion: Completion) -> EpisodeRecord | None:
        """Takes the action; gives the record if the episode ended with it."""
        observation, reward, terminated, truncated, info = self._env.step(completion.text)
        self.conversation.record(completion, observation, info)
        self._reward += float(reward)
        self._tool_errors += sum(is_tool_error(message["role"], message["content"]) for message in info["messages"])
        return self._record(truncated, info) if terminated or truncated else None

    def _record(self, truncated: bool, info: Mapping[str, Any]) -> EpisodeRecord:
        audit = info["audit"]
        return EpisodeRecord(
            scenario_id=info["scenario_id"],
            pair_id=str(info["pair_id"]),
            success=bool(info["success"]),
            reward=self._reward,
            reward_terms=dict(info["episode_terms"]),
            critical=tuple(audit["critical"]),
            failed=tuple(audit["failed"]),
            turns=info["turn"],
            steps=info["step"],
            tool_errors=self._tool_errors,
            truncated=truncated,
            messages=tuple(self.conversation) if self._keep_messages else (),
        )

    def close(self) -> None:
        """Releases the environment."""
        self._env.close()


@dataclass(frozen=True)
class _Job:
    """The scenarios that one process plays."""

    agent: Agent | str
    env_id: str
    env_kwargs: Mapping[str, Any]
    scenario_ids: Sequence[str]
    batch: int
    keep_messages: bool


def _play(job: _Job) -> tuple[list[EpisodeRecord], float]:
    """The records of the scenarios, in their order, and the seconds they took."""
    agent = load_agent(job.agent) if isinstance(job.agent, str) else job.agent
    width = min(job.batch, len(job.scenario_ids))
    lanes = [_Lane(job.env_id, job.env_kwargs, job.keep_messages) for _ in range(width)]
    start = time.perf_counter()
    starts = (Start(options={"scenario_id": name}) for name in job.scenario_ids)
    records: dict[int, EpisodeRecord] = dict(play(agent, lanes, starts))
    seconds = time.perf_counter() - start
    for lane in lanes:
        lane.close()
    return [records[place] for place in range(len(job.scenario_ids))], seconds


def _play_all(job: _Job, workers: int) -> tuple[list[EpisodeRecord], float]:
    """The same in several processes; the seconds are those of the slowest."""
    size = -(-len(job.scenario_ids) // workers)
    starts = range(0, len(job.scenario_ids), size)
    jobs = [replace(job, scenario_ids=job.scenario_ids[start : start + size]) for start in starts]
    # Spawned, not forked: a forked process inherits the locks of torch's threads.
    with ProcessPoolExecutor(len(jobs), mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(_play, jobs))
    return [record for records, _ in parts for record in records], max(seconds for _, seconds in parts)


def family_of(env: gym.Env[Any, Any]) -> str:
    """The scenario family that an environment plays.

    Raises:
        ValueError: if it has none.
    """
    family = getattr(env.unwrapped, "family", None)
    if not isinstance(family, str):
        name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
        raise ValueError(f"{name} has no family of scenarios, whose dev and test lists an evaluation needs")
    return family


def _named(family: str, split: str, episodes: int | None, pairs: int | None, named: Sequence[str] | None) -> list[str]:
    """The ids of the scenarios that were asked for in one of the three ways."""
    if sum(choice is not None for choice in (episodes, pairs, named)) != 1:
        raise ValueError("give exactly one of episodes, pairs and scenario_ids")
    count = episodes if episodes is not None else 2 * (pairs or 0)
    chosen = [scenario_id(family, split, number) for number in range(count)] if named is None else list(named)
    if not chosen:
        raise ValueError("there is nothing to evaluate: ask for at least one episode")
    return chosen


def check_scenarios(scenario_ids: Sequence[str]) -> None:
    """Makes sure that all are there before the first is played: a model takes hours over them.

    Raises:
        ValueError: if one is not.
    """
    for name in scenario_ids:
        family, split, index = parse_scenario_id(name)
        size = split_size(family, split)
        if index >= size:
            raise ValueError(f"there is no scenario {name}: {split} has {size}, of which the last is number {size - 1}")


def evaluate(
    agent: Agent | str,
    env_id: str = "StateSet/Refund-v0",
    split: str = "dev",
    *,
    episodes: int | None = None,
    pairs: int | None = None,
    scenario_ids: Sequence[str] | None = None,
    name: str = "",
    workers: int = 1,
    batch: int = 64,
    env_kwargs: Mapping[str, Any] | None = None,
    keep_messages: bool = False,
) -> Evaluation:
    """Runs an agent over scenarios and reports what happened.

    Scenario ``2k`` of a split and its counterfactual twin ``2k + 1`` are a pair; ``episodes=N``
    takes the first N scenarios and ``pairs=K`` the first 2K, so the same call always plays the
    same customers. The outcome does not depend on ``workers`` or ``batch`` for agents whose
    actions depend on the conversation alone.

    Args:
        agent: the agent, whose ``act`` may be asynchronous, or the name of a baseline.
        env_id: the environment's id.
        split: train, dev or test.
        episodes: how many scenarios of the split, from the first.
        pairs: how many pairs instead.
        scenario_ids: the very scenarios instead; ``split`` is then not used.
        name: what the report calls the agent; its own name by default.
        workers: processes; an agent that is not given by name must pickle if there are several.
        batch: conversations that one process plays at once.
        env_kwargs: keywords of the environment, such as ``prompt="compact"``.
        keep_messages: keep each conversation in its record.

    Raises:
        ValueError: unless exactly one of ``episodes``, ``pairs`` and ``scenario_ids`` is given and
            it asks for at least one episode and none that is not there, if ``workers`` or ``batch``
            is less than 1, or if the environment has no scenarios.
    """
    kwargs = dict(env_kwargs or {})
    if workers < 1 or batch < 1:
        raise ValueError(f"workers and batch must be at least 1, got {workers} and {batch}")
    import_packages()
    env = gym.make(env_id, **kwargs)
    chosen = _named(family_of(env), split, episodes, pairs, scenario_ids)
    env.close()
    check_scenarios(chosen)
    job = _Job(agent, env_id, kwargs, chosen, batch, keep_messages)
    records, seconds = _play(job) if workers == 1 else _play_all(job, workers)
    name = name or (agent if isinstance(agent, str) else type(agent).__name__)
    return Evaluation(name, env_id, split if scenario_ids is None else "", tuple(records), seconds)
