"""Text environments of Gymnasium as environments of GEM (``gem-llm``), with GEM's own vectors and wrappers.

>>> import gem
>>> from ss_gym.interop.gem import register
>>> register("StateSet/Refund-v0")
'StateSet/Refund-v0'
>>> env = gem.make("StateSet/Refund-v0")
>>> observation, info = env.reset(seed=7)
"""

from __future__ import annotations

import copy
from typing import Any, SupportsFloat

import gem
import gymnasium
from gem.envs.registration import ENV_REGISTRY

from ss_gym.types import Message

_ENTRY_POINT = "ss_gym.interop.gem:GEMEnvironment"


class GEMEnvironment(gem.Env):  # type: ignore[misc]  # GEM has no types
    """A text environment as one of GEM.

    The first observation is what there is to read at the beginning: the system prompt, then what the customer says.
    ``info["use_tool"]`` tells whether what came back are results of tools, as GEM's wrappers take it. All else is the
    environment's own, byte for byte.

    Args:
        environment: its id; its observations and actions are text.
        show_prompt: whether the first observation begins with the system prompt; without, ``info`` has it alone.
        seed: of the first episode that is begun without one, as ``gem.make_vec`` gives it.
        **kwargs: of the environment.
    """

    def __init__(
        self, environment: str = "StateSet/Refund-v0", show_prompt: bool = True, seed: int | None = None, **kwargs: Any
    ) -> None:
        self._given = {"environment": environment, "show_prompt": show_prompt, **kwargs}
        self._show_prompt, self._seed = show_prompt, seed
        self._env = gymnasium.make(environment, disable_env_checker=True, **kwargs)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begins an episode; reset options are those of the environment."""
        if seed is None:
            seed, self._seed = self._seed, None
        observation, info = self._env.reset(seed=seed, options=options)
        prompt = info.get("system_prompt", "") if self._show_prompt else ""
        return f"{prompt}\n\n{observation}" if prompt else observation, {**info, "use_tool": False}

    def step(self, action: str) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """One action of the agent."""
        observation, reward, terminated, truncated, info = self._env.step(action)
        return observation, reward, terminated, truncated, {**info, "use_tool": _from_tools(info.get("messages", ()))}

    def sample_random_action(self) -> str:
        """Some text."""
        return str(self._env.action_space.sample())

    def spawn(self, same_state: bool = False, **kwargs: Any) -> GEMEnvironment:
        """Another one of the same kind.

        Args:
            same_state: whether it is in the middle of the same episode.
            **kwargs: what it has otherwise than this one.

        Raises:
            ValueError: if it is to be in the same state and of another kind.
        """
        if not same_state:
            return type(self)(**{**self._given, **kwargs})
        if kwargs:
            raise ValueError(f"an environment in the same state is of the same kind: leave out {', '.join(kwargs)}")
        return copy.deepcopy(self)

    def close(self) -> None:
        """Closes the environment."""
        self._env.close()


def register(env_id: str, gem_id: str | None = None, **kwargs: Any) -> str:
    """Makes an environment known to GEM; once more changes nothing.

    Args:
        env_id: of Gymnasium.
        gem_id: its name there; the same if None.
        **kwargs: of ``GEMEnvironment``.

    Returns:
        its name there.

    Raises:
        ValueError: if something else has that name.
    """
    name, given = env_id if gem_id is None else gem_id, {"environment": env_id, **kwargs}
    known = ENV_REGISTRY.get(name)
    if known is None or (known.entry_point, known.kwargs) != (_ENTRY_POINT, given):
        gem.register(name, _ENTRY_POINT, **given)
    return name


def _from_tools(messages: Any) -> bool:
    last: Message | None = messages[-1] if messages else None
    return last is not None and last.get("role") == "tool"
