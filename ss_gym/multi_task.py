"""Several tasks in one environment: each episode is of one of them, which a reset option names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from ss_gym.reset_options import as_options
from ss_gym.spelling import nearest
from ss_gym.types import Message
from ss_gym.vector import TextVectorEnv, make_vector

_VERSION = re.compile(r"-v\d+$")
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class TaskState:
    """Everything that it takes to be in the middle of an episode again.

    Attributes:
        task: which it is of; None before the first reset.
        state: of its environment.
        generator: what the next episodes are drawn from.
    """

    task: str | None
    state: Any
    generator: np.random.Generator


Build = str | Callable[[], gymnasium.Env[str, str]]


class MultiTaskEnvironment(gymnasium.Env[str, str]):
    """Episodes of several text environments, one after the other.

    Which one an episode is of, the reset option says that is called as ``key`` is, else it is drawn; infos tell it
    under the same name. Everything else is that environment's: its other reset options, system prompt, tools, reward
    and limits. It is what a run of continual learning goes through, whose ``task_schedule`` has the names of tasks.

    >>> import ss_gym
    >>> env = gymnasium.make("StateSet/MultiTask-v0", tasks=["StateSet/Refund-v0", "StateSet/Cancel-v0"])
    >>> _, info = env.reset(seed=1, options={"task": "cancel", "split": "dev"})
    >>> info["task"], info["scenario_id"].split("/")[0]
    ('cancel', 'cancel')

    Args:
        tasks: ids of environments, or functions that make one, by the name of the task. Ids alone name their tasks
            themselves: ``"StateSet/OrderStatus-v0"`` is ``"order_status"``.
        key: the name of the reset option, and of the entry in infos.
        render_mode: of all environments.
        **kwargs: keyword arguments of those that are made of an id, such as ``prompt="compact"``.

    Raises:
        ValueError: if there is no task, or two have the same name.
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "ansi"], "render_fps": 1}  # noqa: RUF012  Gymnasium's own

    def __init__(
        self,
        tasks: Mapping[str, Build] | Sequence[str] = (
            "StateSet/Refund-v0",
            "StateSet/Exchange-v0",
            "StateSet/Cancel-v0",
            "StateSet/Warranty-v0",
        ),
        key: str = "task",
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        named = dict(tasks) if isinstance(tasks, Mapping) else {_named(env_id): env_id for env_id in tasks}
        if not named or len(named) < len(tasks):
            raise ValueError(f"tasks must be one or more, each of another name, not {tasks!r:.200}")
        self.key, self.render_mode = key, render_mode
        self._kwargs = {**kwargs, "render_mode": render_mode}
        self._environments = {name: self._made(build) for name, build in named.items()}
        first = next(iter(self._environments.values()))
        self.observation_space, self.action_space = first.observation_space, first.action_space
        self._task: str | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks, in order."""
        return tuple(self._environments)

    @property
    def system_prompt(self) -> str:
        """That of the episode; empty before the first reset."""
        return "" if self._task is None else str(self._current.unwrapped.system_prompt)  # type: ignore[attr-defined]

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The schemas of the episode's tools; none before the first reset."""
        return [] if self._task is None else list(self._current.unwrapped.tools)  # type: ignore[attr-defined]

    @property
    def messages(self) -> list[Message]:
        """What the episode's environment has of the conversation so far."""
        return [] if self._task is None else list(self._current.unwrapped.messages)  # type: ignore[attr-defined]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begins an episode of one of the tasks.

        Raises:
            ValueError: if there is no such task.
        """
        super().reset(seed=seed)
        given = as_options(options)
        drawn = self.tasks[int(self.np_random.integers(len(self.tasks)))]
        task = given.pop(self.key, drawn)
        if task not in self._environments:
            raise ValueError(f"there is no task {task!r:.80}; {nearest(str(task), self.tasks)}")
        # Drawn in any case, so that the next episode does not depend on what was asked for in this one.
        own = int(self.np_random.integers(2**31))
        self._task = task
        observation, info = self._current.reset(seed=own if seed is None else seed, options=given or None)
        return observation, {**info, self.key: task}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Says or does something in the episode.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if self._task is None:
            raise ResetNeeded("call reset() before step()")
        observation, reward, terminated, truncated, info = self._current.step(action)
        return observation, float(reward), terminated, truncated, {**info, self.key: self._task}

    def render(self) -> Any:
        """As the episode's environment does it.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if self._task is None:
            raise ResetNeeded("call reset() before render()")
        return self._current.render()

    def get_state(self) -> TaskState:
        """What ``set_state`` goes on from."""
        own = None if self._task is None else self._current.unwrapped.get_state()  # type: ignore[attr-defined]
        return TaskState(self._task, own, deepcopy(self.np_random))

    def set_state(self, state: TaskState) -> None:
        """Is again where ``get_state`` was called, here or in another environment of the same tasks."""
        self._task, self.np_random = state.task, deepcopy(state.generator)
        if state.task is not None:
            self._current.unwrapped.set_state(state.state)  # type: ignore[attr-defined]

    def close(self) -> None:
        """Closes all environments."""
        for env in self._environments.values():
            env.close()

    @property
    def _current(self) -> gymnasium.Env[str, str]:
        assert self._task is not None
        return self._environments[self._task]

    def _made(self, build: Build) -> gymnasium.Env[str, str]:
        if not isinstance(build, str):
            return build()
        made: gymnasium.Env[str, str] = gymnasium.make(build, disable_env_checker=True, **self._kwargs)
        return made


def _named(env_id: str) -> str:
    """What the task of an environment is called.

    >>> _named("StateSet/OrderStatus-v0")
    'order_status'
    """
    return _WORDS.sub("_", _VERSION.sub("", env_id.rpartition("/")[2])).lower()


def make_tasks_together(num_envs: int = 1, **kwargs: Any) -> TextVectorEnv:
    """The vector entry point of ``StateSet/MultiTask-v0``; see :func:`ss_gym.vector.make_vector`."""
    return make_vector(num_envs, environment=f"{__name__}:MultiTaskEnvironment", **kwargs)
