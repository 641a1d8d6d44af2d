"""The environment that a server is of: how each session's is made, and what clients are told of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.spaces import Space, Text

from ss_gym import __version__
from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.environment import TextEnvironment
from ss_gym.families import import_packages
from ss_gym.serving.environment_api import ATTRIBUTES, DescribedEpisode, Description, SessionLimits, TextSpace
from ss_gym.serving.wire import PROTOCOL, WireError, write
from ss_gym.spaces import Utterance
from ss_gym.users.simulator import HumanUser


class ServedEnvironment:
    """Makes the environments of sessions, all alike.

    One is made and played at once, so that whatever is wrong with it shows before anybody is served, and what all
    of a process share is there when the first client comes.

    Args:
        env_id: the environment's id, as ``gymnasium.make`` takes it.
        keywords: what it is made with.
        limits: of the server, for the description.

    Attributes:
        computes: whether steps do nothing but compute, and are over at once: the customer-service environment with
            its scripted customers. Others may wait, for a model or a tool.
        description: what clients are told first.

    Raises:
        TypeError: if its observations or actions are no texts.
        ValueError: if a person at the terminal is to play the customers.
        gymnasium.error.Error: if there is no such environment.
    """

    def __init__(self, env_id: str, keywords: Mapping[str, Any], limits: SessionLimits) -> None:
        self._id, self._keywords = env_id, dict(keywords)
        import_packages()
        env = self.make()
        try:
            user = getattr(env.unwrapped, "user", None)
            if isinstance(user, HumanUser):
                raise ValueError("a person at this terminal can't play the customers of a server: choose another user")
            self.computes = isinstance(env, CustomerServiceEnvironment) and user is None
            _, info = env.reset(seed=0)
            if self.computes:
                env.step("Hello, how can I help you?")
            self._episode = {
                "system_prompt": info.get("system_prompt", ""),
                "tools": [dict(tool) for tool in info.get("tools", ())],
            }
            self.description = self._described(env, limits)
        finally:
            env.close()

    def make(self) -> gymnasium.Env[str, str]:
        """A new one."""
        # The sessions check the order of calls, and clients what is passed.
        env: gymnasium.Env[str, str] = gymnasium.make(self._id, disable_env_checker=True, **self._keywords)
        return env

    @property
    def described_episode(self) -> DescribedEpisode:
        """The description, with what agents are told."""
        return DescribedEpisode(**self.description.model_dump(), **self._episode)

    def _described(self, env: gymnasium.Env[str, str], limits: SessionLimits) -> Description:
        rebuilds = isinstance(env, TextEnvironment)
        attributes = {name: getattr(env, name) for name in ATTRIBUTES if rebuilds}
        return Description(
            protocol=PROTOCOL,
            server=__version__,
            id=self._id if env.spec is None else env.spec.id,
            keywords={name: _sendable(value) for name, value in self._keywords.items()},
            rebuilds=rebuilds,
            observation_space=_described_space(env.observation_space, self._id),
            action_space=_described_space(env.action_space, self._id),
            # What is shown is shown by the client, who has the conversation.
            metadata={"render_modes": ["human", "ansi"] if rebuilds else [], "render_fps": 1},
            attributes={
                name: sorted(value) if isinstance(value, frozenset) else value for name, value in attributes.items()
            },
            limits=limits,
        )


def _sendable(value: Any) -> Any:
    """A value as JSON has it, or else as it is written in Python."""
    try:
        return json.loads(write({"value": value}))["value"]
    except WireError:
        return repr(value)


def _described_space(space: Space[Any], env_id: str) -> TextSpace:
    if not isinstance(space, Text):
        raise TypeError(f"{env_id} can't be served: only environments of text can, and it has {space!r:.80}")
    free = isinstance(space, Utterance)
    return TextSpace(
        max_length=space.max_length,
        min_length=space.min_length,
        characters=None if free else space.characters,
    )
