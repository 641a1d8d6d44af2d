"""Many conversations side by side, as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from operator import itemgetter
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Tuple
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import TimeLimit

from ss_gym.actions import OPEN_CALL
from ss_gym.reset_options import as_options
from ss_gym.spaces import Utterance
from ss_gym.users.rendezvous import Rendezvous
from ss_gym.users.simulator import SCRIPTED, load_user

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
Step = tuple[tuple[str, ...], FloatArray, BoolArray, BoolArray, dict[str, Any]]

_SCALARS = (bool, int, float)
_ROW = itemgetter(0)
_Result = tuple[str, SupportsFloat, bool, bool, dict[str, Any]]


def make_vector(
    num_envs: int = 1,
    *,
    environment: str = "ss_gym.customer_service:CustomerServiceEnvironment",
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    max_episode_steps: int | None = None,
    **kwargs: Any,
) -> TextVectorEnv:
    """The vector entry point of the registered ids; ``gymnasium.make_vec`` calls it.

    Args:
        num_envs: how many environments.
        environment: the class of one of them, as ``"module:name"``.
        autoreset_mode: what happens when an episode has ended, see ``TextVectorEnv``.
        max_episode_steps: a limit on top of the environment's own, as ``gymnasium.make`` takes it.
        **kwargs: what each environment is built with.
    """
    module, _, name = environment.partition(":")
    create = getattr(import_module(module), name)
    together = None
    if (user := load_user(kwargs.get("user", SCRIPTED))) is not None:
        kwargs["user"] = together = Rendezvous(user)

    def build() -> gymnasium.Env[str, str]:
        env: gymnasium.Env[str, str] = create(**kwargs)
        return env if max_episode_steps is None else TimeLimit(env, max_episode_steps)

    return TextVectorEnv([build] * num_envs, autoreset_mode=autoreset_mode, rendezvous=together)


class TextVectorEnv(VectorEnv[tuple[str, ...], Sequence[str], np.ndarray]):
    """A batch of text environments in one process.

    It returns what ``SyncVectorEnv`` returns, step for step, and costs less: observations are a
    tuple of ``str`` and infos are put together column by column.

    The autoreset modes are Gymnasium's. In ``NEXT_STEP`` the step after an episode's end resets it
    and ignores the action. In ``SAME_STEP`` the reset happens at once, and the last observation and
    info are in ``infos["final_obs"]`` and ``infos["final_info"]``. In ``DISABLED`` an episode that
    has ended waits until ``reset(options={"reset_mask": mask})`` picks it: until then its action is
    ignored, its observation and flags stay, its reward is 0, and it has no info.

    Args:
        env_fns: build the environments.
        autoreset_mode: one of the three.
        rendezvous: where the environments meet that ask somebody outside, so that all are answered in one call.

    Raises:
        ValueError: if there is no environment, or their spaces differ.
    """

    def __init__(
        self,
        env_fns: Iterable[Callable[[], gymnasium.Env[str, str]]],
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        rendezvous: Rendezvous | None = None,
    ) -> None:
        self._rendezvous = rendezvous
        self.envs = [build() for build in env_fns]
        if not self.envs:
            raise ValueError("a vector environment needs at least one environment, got none")
        first = self.envs[0]
        for env in self.envs:
            if (env.observation_space, env.action_space) != (first.observation_space, first.action_space):
                raise ValueError("the environments of a batch must have the same spaces")
        self.num_envs = len(self.envs)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**first.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = first.render_mode
        self.single_observation_space = first.observation_space
        self.single_action_space = first.action_space
        self.observation_space = _batch(first.observation_space, self.num_envs)
        self.action_space = _batch(first.action_space, self.num_envs)
        self._observations = [""] * self.num_envs
        self._terminated = [False] * self.num_envs
        self._truncated = [False] * self.num_envs

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | npt.NDArray[np.integer[Any]] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Begins an episode in every environment, or in those that a mask picks.

        Args:
            seed: None, a seed for the first environment (the next gets the next number), or one each.
            options: every environment's options; ``"reset_mask"`` is a boolean array that picks which
                environments are reset, the others stay as they are and have no info.

        Returns:
            Observations of all environments, infos of those that were reset.

        Raises:
            ValueError: if there is not one seed or one an environment, or the mask picks none of them.
            TypeError: if a seed, the options or the mask are of a wrong type; no environment has been reset.
        """
        seeds = self._seeds(seed)
        options = as_options(options)
        mask = options.pop("reset_mask", None)
        rows = range(self.num_envs) if mask is None else self._rows(mask)
        infos = []
        for row in rows:
            self._observations[row], info = self.envs[row].reset(seed=seeds[row], options=dict(options))
            self._terminated[row] = self._truncated[row] = False
            infos.append((row, info))
        return tuple(self._observations), batch_infos(infos, self.num_envs)

    def step(self, actions: Sequence[str]) -> Step:
        """Takes one action in each environment.

        Args:
            actions: one ``str`` each; anything where the episode has ended, see the class.

        Returns:
            Observations, rewards ``(num_envs,)``, terminated and truncated ``(num_envs,)``, infos.

        Raises:
            ValueError: if there is not one action an environment.
            TypeError: if an action is not a ``str``; no environment has taken a step.
        """
        if isinstance(actions, str) or len(actions) != self.num_envs:
            got = "a single str" if isinstance(actions, str) else f"{len(actions)}"
            raise ValueError(f"step takes {self.num_envs} actions, one an environment, got {got}")
        given: Sequence[Any] = actions
        for row, action in enumerate(given):
            if not isinstance(action, str) and not (self._terminated[row] or self._truncated[row]):
                raise TypeError(
                    f"action {row} is not a str but {type(action).__name__}: pass the agent's completion as text"
                )
        rewards = np.zeros(self.num_envs, np.float64)
        infos: list[tuple[int, Mapping[str, Any]]] = []
        steps = self._steps_together(actions) if self._rendezvous else {}
        for row in self._order(actions):
            if not (self._terminated[row] or self._truncated[row]):
                rewards[row] = self._take(row, steps.get(row) or self.envs[row].step(actions[row]), infos)
            elif self.autoreset_mode is AutoresetMode.NEXT_STEP:
                self._reset_row(row, infos)
        infos.sort(key=_ROW)
        terminated, truncated = np.array(self._terminated), np.array(self._truncated)
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            self._terminated = [False] * self.num_envs
            self._truncated = [False] * self.num_envs
        return tuple(self._observations), rewards, terminated, truncated, batch_infos(infos, self.num_envs)

    def render(self) -> tuple[Any, ...]:
        """What each environment renders."""
        return tuple(env.render() for env in self.envs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Calls a method of each environment, or reads an attribute of each."""
        values = [env.get_wrapper_attr(name) for env in self.envs]
        return tuple(value(*args, **kwargs) if callable(value) else value for value in values)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Reads an attribute of each environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Sets an attribute of each environment: to one of a list or tuple, or all to the same."""
        if not isinstance(values, list | tuple):
            values = [values] * self.num_envs
        for env, value in zip(self.envs, values, strict=True):
            env.set_wrapper_attr(name, value)

    def close_extras(self, **kwargs: Any) -> None:
        """Closes every environment."""
        for env in self.envs:
            env.close()
        if self._rendezvous:
            self._rendezvous.close()

    def _order(self, actions: Sequence[Any]) -> list[int]:
        """The rows, those with tool calls last.

        Each database is memory of its own, which drives out of the processor's caches what the reading of speech
        needs again for every row.
        """
        speaking: list[int] = []
        calling: list[int] = []
        for row, action in enumerate(actions):
            (calling if isinstance(action, str) and OPEN_CALL in action else speaking).append(row)
        return speaking + calling

    def _steps_together(self, actions: Sequence[str]) -> dict[int, _Result]:
        """The steps of all environments that are in an episode, side by side."""
        assert self._rendezvous is not None
        rows = [row for row in range(self.num_envs) if not (self._terminated[row] or self._truncated[row])]
        results = self._rendezvous.run(lambda row: self.envs[row].step(actions[row]), rows)
        return dict(zip(rows, results, strict=True))

    def _take(self, row: int, result: _Result, infos: list[tuple[int, Mapping[str, Any]]]) -> float:
        """Keeps what a step gave; resets the environment where that is due at once."""
        observation, reward, terminated, truncated, info = result
        self._terminated[row], self._truncated[row] = terminated, truncated
        if (terminated or truncated) and self.autoreset_mode is AutoresetMode.SAME_STEP:
            infos.append((row, {"final_obs": observation, "final_info": info}))
            self._reset_row(row, infos)
            self._terminated[row], self._truncated[row] = terminated, truncated
        else:
            self._observations[row] = observation
            infos.append((row, info))
        return float(reward)

    def _reset_row(self, row: int, infos: list[tuple[int, Mapping[str, Any]]]) -> None:
        self._observations[row], info = self.envs[row].reset()
        self._terminated[row] = self._truncated[row] = False
        infos.append((row, info))

    def _seeds(self, seed: Any) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + row for row in range(self.num_envs)]
        if isinstance(seed, str) or not isinstance(seed, Sequence | np.ndarray):
            raise TypeError(f"a seed is an int, or a sequence of one an environment, got {seed!r:.80}")
        if len(seed) != self.num_envs:
            raise ValueError(f"reset takes one seed or {self.num_envs}, one an environment, got {len(seed)}")
        for one in seed:
            if one is not None and not isinstance(one, int | np.integer):
                raise TypeError(f"every seed is an int or None, got {one!r:.80}")
        return [None if one is None else int(one) for one in seed]

    def _rows(self, mask: Any) -> list[int]:
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError(f"options['reset_mask'] must be a boolean numpy array, got {mask!r:.80}")
        if mask.shape != (self.num_envs,):
            raise ValueError(f"options['reset_mask'] must have shape ({self.num_envs},), got {mask.shape}")
        rows: list[int] = np.flatnonzero(mask).tolist()
        if not rows:
            raise ValueError("options['reset_mask'] picks no environment: pick at least one")
        return rows


def batch_infos(infos: Sequence[tuple[int, Mapping[str, Any]]], num_envs: int) -> dict[str, Any]:
    """Puts infos together as ``VectorEnv`` does: an array a key, and ``_key`` tells who has it.

    Args:
        infos: (row, info) pairs.
        num_envs: the number of rows.

    Returns:
        For each key an array of ``num_envs`` entries (typed for numbers, of objects otherwise, a
        nested result for dictionaries) and a boolean mask under the key with ``_`` before it.
    """
    columns: dict[str, tuple[list[int], list[Any]]] = {}
    for row, info in infos:
        for key, value in info.items():
            column = columns.get(key)
            if column is None:
                columns[key] = column = ([], [])
            column[0].append(row)
            column[1].append(value)
    batched: dict[str, Any] = {}
    for key, (rows, values) in columns.items():
        mask = np.zeros(num_envs, np.bool_)
        mask[rows] = True
        batched[key] = _column(key, rows, values, num_envs)
        batched[f"_{key}"] = mask
    return batched


def _column(key: str, rows: list[int], values: list[Any], num_envs: int) -> Any:
    """One key's values as an array, by the type of the first."""
    first = values[0]
    if key != "final_obs":
        if isinstance(first, dict):
            return batch_infos(list(zip(rows, values, strict=True)), num_envs)
        if type(first) in _SCALARS or isinstance(first, np.number):
            column = np.zeros(num_envs, type(first))
            column[rows] = values
            return column
        if isinstance(first, np.ndarray):
            stacked = np.zeros((num_envs, *first.shape), first.dtype)
            stacked[rows] = values
            return stacked
    # Filled one by one: numpy would spread a list over the array.
    objects = np.full(num_envs, None, dtype=object)
    for row, value in zip(rows, values, strict=True):
        objects[row] = value
    return objects


def _batch(space: gymnasium.Space[str], num_envs: int) -> Tuple[Any]:
    """One space a row, each with a generator of its own."""
    if not isinstance(space, Utterance):
        raise ValueError(f"TextVectorEnv needs Utterance spaces, got {space!r:.80}: use gymnasium.vector.SyncVectorEnv")
    seeds = space.np_random.integers(2**31, size=num_envs)
    return Tuple([Utterance(space.max_length, seed=int(seed)) for seed in seeds])
