"""Text environments of Gymnasium as environments of SkyRL (``skyrl-gym``).

>>> import skyrl_gym
>>> from ss_gym.interop.skyrl import register
>>> register("StateSet/Refund-v0")
'StateSet/Refund-v0'
>>> env = skyrl_gym.make("StateSet/Refund-v0", extras={"seed": 7})
>>> messages, info = env.init([])
>>> [message["role"] for message in messages]
['system', 'user']
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import skyrl_gym
from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput
from skyrl_gym.envs.registration import registry

from ss_gym.types import Message

_ENTRY_POINT = "ss_gym.interop.skyrl:SkyRLEnvironment"


class SkyRLEnvironment(BaseTextEnv):  # type: ignore[misc]  # SkyRL has no types
    """A text environment as one of SkyRL, which makes one for each row of a dataset.

    Args:
        env_config: settings of the run: keyword arguments of the environment as ``env_kwargs``.
        extras: the row: ``seed`` and ``options`` of ``reset``.
        env_id: of Gymnasium; its observations and actions are text.
        tool_role: the role of tools' results, ``"user"`` for chat templates that know no tools.
        **kwargs: of the environment.
    """

    def __init__(
        self,
        env_config: Any = None,
        extras: Mapping[str, Any] | None = None,
        env_id: str = "StateSet/Refund-v0",
        tool_role: str = "tool",
        **kwargs: Any,
    ) -> None:
        super().__init__()
        row, settings = dict(extras or {}), dict(env_config or {})
        self._seed, self._options, self._tool_role = row.get("seed"), row.get("options"), tool_role
        kwargs = {**kwargs, **settings.get("env_kwargs", {})}
        self._env = gymnasium.make(env_id, disable_env_checker=True, **kwargs)
        self.max_turns = int(getattr(self._env.unwrapped, "max_steps", 1_000_000))
        self._metrics: dict[str, Any] = {}

    def init(self, prompt: list[dict[str, str]]) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """Begins the episode of the row.

        Args:
            prompt: the row's, of which system messages are kept, in front of what the environment says.

        Returns:
            what the model reads first, and the infos of ``reset``.
        """
        observation, info = self._env.reset(seed=self._seed, options=self._options)
        self.turns, self._metrics = 0, {}
        kept = [dict(message) for message in prompt if message.get("role") == "system"]
        own = [{"role": "system", "content": text} for text in [info.get("system_prompt", "")] if text]
        return [*kept, *own, {"role": "user", "content": observation}], info

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """One action of the agent: what came back as messages, and the infos of ``step`` as metadata."""
        observation, reward, terminated, truncated, info = self._env.step(action)
        self.turns += 1
        self._note(float(reward), info)
        came: list[Message] = list(info.get("messages", ()))[1:]
        if not came and observation:
            came = [{"role": "user", "content": observation}]
        said = [
            {"role": self._tool_role if message["role"] == "tool" else "user", "content": message["content"]}
            for message in came
        ]
        return BaseTextEnvStepOutput(
            observations=said, reward=float(reward), done=bool(terminated or truncated), metadata=info
        )

    def get_metrics(self) -> dict[str, Any]:
        """Steps, the return, each reward term, and success once the episode has ended."""
        return {"steps": self.turns, **self._metrics}

    def close(self) -> None:
        """Closes the environment."""
        self._env.close()

    def _note(self, reward: float, info: Mapping[str, Any]) -> None:
        terms = {f"reward/{name}": value for name, value in info.get("reward_terms", {}).items()}
        for name, value in {"return": reward, **terms}.items():
            self._metrics[name] = self._metrics.get(name, 0.0) + float(value)
        if "success" in info:
            self._metrics["success"] = bool(info["success"])


def register(env_id: str, skyrl_id: str | None = None, **kwargs: Any) -> str:
    """Makes an environment known to SkyRL; once more changes nothing.

    Args:
        env_id: of Gymnasium.
        skyrl_id: its name there; the same if None.
        **kwargs: of ``SkyRLEnvironment``.

    Returns:
        its name there.

    Raises:
        skyrl_gym.error.RegistrationError: if something else has that name.
    """
    name, given = env_id if skyrl_id is None else skyrl_id, {"env_id": env_id, **kwargs}
    known = registry.get(name)
    if known is None or (known.entry_point, known.kwargs) != (_ENTRY_POINT, given):
        skyrl_gym.register(id=name, entry_point=_ENTRY_POINT, kwargs=given)
    return name
