"""Text environments of Gymnasium as environments of OpenEnv (``openenv``): in the process, on a server, by a client.

>>> from ss_gym.interop.openenv import OpenEnvEnvironment, SaidAction
>>> env = OpenEnvEnvironment("StateSet/Refund-v0")
>>> observation = env.reset(seed=7)
>>> observation = env.step(SaidAction(text="Hello! What is your order number?"))
>>> observation.done, env.state.step_count
(False, 1)
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium
from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient
from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, EnvironmentMetadata, Observation, State
from pydantic import Field

from ss_gym.families.splits import split_size
from ss_gym.scenarios import SPLITS, scenario_id

_INFOS = ("scenario_id", "pair_id", "reward_terms", "success", "audit")


class SaidAction(Action):  # type: ignore[misc]  # OpenEnv has no types
    """What the agent says or calls.

    Attributes:
        text: its raw completion.
    """

    text: str


class SeenObservation(Observation):  # type: ignore[misc]
    """What arrived since the agent's last action; ``done``, ``reward`` and ``metadata`` are OpenEnv's.

    Attributes:
        text: the customer's message, or the tools' results.
        messages: the same in OpenAI form, after a step with the agent's own action first.
        system_prompt: of the first observation.
        tools: schemas, of the first observation.
    """

    text: str = ""
    messages: list[dict[str, Any]] = Field(default_factory=list)
    system_prompt: str = ""
    tools: list[dict[str, Any]] = Field(default_factory=list)


class EpisodeState(State):  # type: ignore[misc]
    """Which episode it is, and how far it has come.

    Attributes:
        environment: its id.
        scenario_id: of the episode, where there is one.
        done: whether it has ended.
    """

    environment: str = ""
    scenario_id: str = ""
    done: bool = False


class OpenEnvEnvironment(Environment[SaidAction, SeenObservation, EpisodeState]):  # type: ignore[misc]
    """A text environment as one of OpenEnv.

    An episode follows from its seed. ``metadata`` has what infos tell besides messages: the reward's terms, and at the
    end success and the audit.

    Args:
        environment: its id; its observations and actions are text.
        **kwargs: of the environment.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, environment: str = "StateSet/Refund-v0", **kwargs: Any) -> None:
        super().__init__()
        self._id = environment
        self._env = gymnasium.make(environment, disable_env_checker=True, **kwargs)
        self._state = EpisodeState(environment=environment)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> SeenObservation:
        """Begins an episode.

        Args:
            seed: of the environment.
            episode_id: what the episode is called; something new if None.
            **kwargs: reset options of the environment, such as ``scenario_id``; ``split`` and ``index`` choose a task.

        Raises:
            ValueError: for an option that there is not.
        """
        options = dict(kwargs)
        if "index" in options:
            options["scenario_id"] = self.get_task(options.pop("split", "train"), options.pop("index"))["id"]
        observation, info = self._env.reset(seed=seed, options=options)
        self._state = EpisodeState(
            environment=self._id,
            episode_id=episode_id or str(uuid.uuid4()),
            scenario_id=str(info.get("scenario_id", "")),
        )
        return SeenObservation(
            text=observation,
            messages=_plain(info.get("messages", [])),
            system_prompt=info.get("system_prompt", ""),
            tools=_plain(info.get("tools", [])),
            metadata=_told(info),
        )

    def step(self, action: SaidAction, timeout_s: float | None = None, **kwargs: Any) -> SeenObservation:
        """One action of the agent; no step waits for anything, so that there is nothing to time out."""
        observation, reward, terminated, truncated, info = self._env.step(action.text)
        done = bool(terminated or truncated)
        self._state = self._state.model_copy(update={"step_count": self._state.step_count + 1, "done": done})
        metadata = {**_told(info), "terminated": bool(terminated), "truncated": bool(truncated)}
        return SeenObservation(
            text=observation,
            messages=_plain(info.get("messages", [])),
            done=done,
            reward=float(reward),
            metadata=metadata,
        )

    @property
    def state(self) -> EpisodeState:
        """Which episode it is, and how far it has come."""
        return self._state

    def get_metadata(self) -> EnvironmentMetadata:
        """Name, description and version."""
        name, _, version = self._id.rpartition("-v")
        described = (type(self._env.unwrapped).__doc__ or "").partition("\n")[0]
        return EnvironmentMetadata(name=name or self._id, description=described, version=version or "0")

    def list_splits(self) -> list[str]:
        """The splits of the scenarios, where there are any."""
        return list(SPLITS) if self._family else []

    def num_tasks(self, split: str) -> int:
        """How many scenarios a split has."""
        return split_size(self._family, split) if self._family else 0

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """The first thousand scenarios of a split; ``num_tasks`` tells how many there are."""
        return self.get_task_range(split, 0, 1000)

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """A scenario by its place, as ``reset(split=…, index=…)`` takes it.

        Raises:
            IndexError: if there is no such scenario.
        """
        if not 0 <= index < self.num_tasks(split):
            raise IndexError(f"{self._id} has {self.num_tasks(split)} tasks in {split!r}, and no number {index}")
        return {"id": scenario_id(self._family, split, index), "split": split, "index": index}

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[dict[str, Any]]:
        """Scenarios by their places, as slices take them."""
        return [self.get_task(split, index) for index in range(*slice(start, stop).indices(self.num_tasks(split)))]

    def close(self) -> None:
        """Closes the environment."""
        self._env.close()

    @property
    def _family(self) -> str:
        return str(getattr(self._env.unwrapped, "family", ""))


class OpenEnvClient(EnvClient[SaidAction, SeenObservation, EpisodeState]):  # type: ignore[misc]
    """Plays an environment on a server of OpenEnv; ``.sync()`` is the same without ``await``."""

    def _step_payload(self, action: SaidAction) -> dict[str, Any]:
        return dict(action.model_dump())

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[SeenObservation]:
        told = {name: payload.get(name) for name in ("reward", "done")}
        observation = SeenObservation(**{**payload.get("observation", {}), **told, "done": bool(told["done"])})
        return StepResult(
            observation, reward=observation.reward, done=observation.done, metadata=payload.get("metadata")
        )

    def _parse_state(self, payload: dict[str, Any]) -> EpisodeState:
        return EpisodeState(**payload)


def create_server(environment: str = "StateSet/Refund-v0", max_concurrent_envs: int = 64, **kwargs: Any) -> Any:
    """A FastAPI application that serves an environment to OpenEnv's clients.

    Args:
        environment: its id.
        max_concurrent_envs: sessions, each with an environment of its own.
        **kwargs: of the environment.
    """
    return create_app(
        partial(OpenEnvEnvironment, environment, **kwargs),
        SaidAction,
        SeenObservation,
        env_name=environment.rpartition("/")[2],
        max_concurrent_envs=max_concurrent_envs,
        state_cls=EpisodeState,
    )


def _plain(value: Any) -> Any:
    """As JSON has it: what goes over the line is the same here."""
    return json.loads(json.dumps(value, default=str))


def _told(info: Mapping[str, Any]) -> dict[str, Any]:
    """What infos tell besides messages, system prompt and tools."""
    told: dict[str, Any] = _plain({name: info[name] for name in _INFOS if name in info})
    return told
