"""An agent's episodes as recorded trajectories, one by one and in a fixed order."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym

from ss_baselines.agents import Agent
from ss_baselines.evaluate import check_scenarios
from ss_baselines.lanes import Start, in_order, play
from ss_gym.agents import Conversation, MultiTurnAgent
from ss_gym.scenarios import scenario_id
from ss_gym.streams import Stream
from ss_gym.types import Completion
from ss_gym.wrappers.recording import Episode
from ss_gym.wrappers.trajectories import RecordedTokens, RecordedTrajectory

# Batches that share their sampling noise. The end of such a block waits for its longest episode, and a run that goes
# on begins with the block that it was in.
_BATCHES = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """Which episodes to play.

    Attributes:
        env_id: the environment.
        env_kwargs: its keywords.
        split: train, dev or test.
        scenarios: how many of the split, from the first; of an environment without families, how many seeds.
        attempts: episodes of each, one after the other.
        batch: most that are played at once.
        seed: of the sampling noise of models.
        user_seeds: whether each attempt is given its number as ``user_seed``, so that the customer has other words.
    """

    env_id: str
    env_kwargs: Mapping[str, Any]
    split: str
    scenarios: int
    attempts: int = 1
    batch: int = 64
    seed: int = 0
    user_seeds: bool = False

    def __len__(self) -> int:
        """How many episodes there are."""
        return self.scenarios * self.attempts

    @property
    def lanes(self) -> int:
        """How many are played at once."""
        return min(self.batch, len(self))


class Encoding(Protocol):
    """The ids of a conversation up to its last answer."""

    prompt_ids: tuple[int, ...]
    message_ids: list[tuple[int, ...]]


@runtime_checkable
class Sampler(Protocol):
    """A backend that samples tokens: its noise can be begun anew, and it tells the ids that it saw."""

    def seed(self, seed: int) -> None:
        """Begins the noise anew."""
        ...

    def encoding(self, conversation: Conversation) -> Encoding | None:
        """The ids of a conversation; None if it read another, such as a trimmed one."""
        ...

    def close(self, conversation: Conversation) -> None:
        """Frees what is kept for a conversation that has ended."""
        ...


def recorded(agent: Agent, plan: Plan, first: int = 0) -> Generator[RecordedTrajectory, None, None]:
    """Plays episodes, and gives them in their order.

    What an episode is depends on the plan and its number alone, for models that run here on a processor, and for
    agents whose actions depend on the conversation alone: with ``first`` a plan goes on as if it had never been
    interrupted. Nothing is kept but what is being played.

    Args:
        agent: who plays.
        plan: what.
        first: the number of the first episode that is wanted, counted from 0.

    Raises:
        ValueError: if the split has not so many scenarios.
    """
    sampler = sampler_of(agent)
    with ExitStack() as opened:
        envs = [opened.enter_context(gym.make(plan.env_id, **plan.env_kwargs)) for _ in range(plan.lanes)]
        check_plan(plan, envs[0])
        lanes = [RecordingLane(env, plan.env_id, sampler) for env in envs]
        if sampler is None:
            yield from _played(agent, lanes, plan, range(first, len(plan)))
            return
        size = _BATCHES * plan.lanes
        for begin in range(first - first % size, len(plan), size):
            # The noise of each episode follows from that of those before it, so a block is played as a whole.
            sampler.seed(Stream(plan.seed, "rollout", begin).below(2**63))
            block = range(begin, min(begin + size, len(plan)))
            yield from islice(_played(agent, lanes, plan, block), max(0, first - begin), None)


def _played(agent: Agent, lanes: Sequence[RecordingLane], plan: Plan, numbers: range) -> Iterator[RecordedTrajectory]:
    starts = (start_of(plan, lanes[0].env, number) for number in numbers)
    return in_order(play(agent, lanes, starts))


def check_plan(plan: Plan, env: gym.Env[Any, Any]) -> None:
    """Makes sure that the last episode of a plan is there, and so all.

    Raises:
        ValueError: if it is not.
    """
    last = start_of(plan, env, len(plan) - 1)
    if "scenario_id" in last.options:
        check_scenarios([last.options["scenario_id"]])


def start_of(plan: Plan, env: gym.Env[Any, Any], number: int) -> Start:
    """How an episode of a plan begins, in an environment that the plan names."""
    base, which = env.unwrapped, number // plan.attempts
    family = getattr(base, "family", None)
    if isinstance(family, str):
        trial = {"user_seed": number % plan.attempts} if plan.user_seeds else {}
        return Start(options={"scenario_id": scenario_id(family, plan.split, which), **trial})
    # Others' may have splits, or say what is wrong.
    known = getattr(base, "option_names", {"split"})
    return Start(which, {"split": plan.split} if "split" in known else {})


def sampler_of(agent: Agent) -> Sampler | None:
    """What samples an agent's tokens; None if it has none."""
    backend = agent.backend if isinstance(agent, MultiTurnAgent) else None
    return backend if isinstance(backend, Sampler) else None


class RecordingLane:
    """One environment, and the record of the episode that is going on in it.

    Args:
        env: the environment.
        env_id: as the record calls it.
        sampler: what samples the tokens of the agent that plays; None if it has none.

    Attributes:
        conversation: what the agent is to answer.
    """

    def __init__(self, env: gym.Env[Any, Any], env_id: str, sampler: Sampler | None = None) -> None:
        self.env = env
        self.conversation = Conversation()
        self._env_id, self._sampler = env_id, sampler
        self._episode = Episode(env_id, None, {}, (), {}, keep_tools=False)

    def begin(self, start: Start) -> None:
        """Opens an episode."""
        observation, info = self.env.reset(seed=start.seed, options=dict(start.options))
        self.conversation = Conversation.begin(observation, info)
        self._episode = Episode(self._env_id, start.seed, start.options, (), info, keep_tools=False)

    def step(self, completion: Completion) -> RecordedTrajectory | None:
        """Takes the action; gives the record of the episode if it ended."""
        observation, reward, terminated, truncated, info = self.env.step(completion.text)
        self.conversation.record(completion, observation, info)
        self._episode.add(completion.text, float(reward), (), info)
        if not (terminated or truncated):
            return None
        tokens = None
        if self._sampler is not None:
            tokens = _tokens(self.conversation, self._sampler)
            self._sampler.close(self.conversation)
        record = self._episode.record(terminated, truncated)
        # As the agent had them, with its own instructions where the environment brings none.
        return replace(record, messages=tuple(self.conversation), tokens=tokens)


def _tokens(conversation: Conversation, sampler: Sampler) -> RecordedTokens | None:
    """What the agent read and sampled; None where it read another conversation, such as a trimmed one."""
    encoding, own = sampler.encoding(conversation), conversation.completions
    if encoding is None:
        return None
    first = int(conversation[0]["role"] == "system")
    # What followed its last words it never read; where the context was full, nor what came before empty ones.
    last = max((place for place, completion in own.items() if completion.token_ids), default=first - 1)
    ids = [*encoding.message_ids[: last - first], own[last].token_ids or ()] if last >= first else []
    ids += [()] * (len(conversation) - first - len(ids))
    logprobs = (completion.logprobs or () for _, completion in sorted(own.items()))
    return RecordedTokens(tuple(encoding.prompt_ids), tuple(ids), tuple(logprobs))
