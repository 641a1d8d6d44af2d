"""RemoteEnvironment: an environment that runs on a server, as a Gymnasium environment here."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import gymnasium
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.spaces import Text
from gymnasium.utils.seeding import np_random

from ss_gym.environment import EpisodeState, TextEnvironment
from ss_gym.rendering import print_messages, transcript
from ss_gym.reset_options import as_options, check_names
from ss_gym.serving.environment_api import ATTRIBUTES, Description, TextSpace
from ss_gym.serving.wire import read_state, write_state
from ss_gym.spaces import Utterance
from ss_gym.types import Message

try:
    from ss_gym.serving.client import Ask, RemoteError, SessionClient
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "websockets":
        raise
    raise ModuleNotFoundError(
        "RemoteEnvironment needs the package 'websockets': pip install 'stateset-gym[serve]'", name=error.name
    ) from error


class RemoteEnvironment(gymnasium.Env[str, str]):
    """An environment of a server (``stateset-agents serve-env``): spaces, episodes and errors are those of a local one.

    A session of the server is this environment's own, and ends with it. When the connection breaks, or the server
    ends a session that was idle, or is itself started anew, the next call connects again and has the episode played
    again up to where it was: it goes on byte for byte. So does a copy, and what was pickled. That needs an
    environment of this package (``description.rebuilds``); an episode of another one is lost with its connection.

    Beyond the interface of Gymnasium it has what a local environment has and an agent may know: ``system_prompt``,
    ``tools``, ``messages``, ``get_state``, ``set_state``, ``option_names``, ``term_names`` and the limits. The
    scenario, the database and ``progress`` stay on the server.

    Args:
        url: of the server, such as ``"http://localhost:8002"``.
        env_id: the environment that is expected there, with its version; whatever is there by default.
        api_key: the server's; by default that of the environment variable ``STATESET_API_KEY``. Only one that is
            given here is part of a pickle.
        timeout: seconds that the server may take to answer.
        retries: how often to connect again after a failure: at once, after a tenth of a second, and then twice as
            long each time up to five seconds, or as long as a server says that has no room. The default tries for
            about half a minute.
        render_mode: ``human``, ``ansi`` or None.

    Raises:
        RemoteError: if the server can't be reached, refuses the key, serves another environment, or speaks another
            version of the protocol.
        ValueError: if an argument can't be used.
    """

    metadata = TextEnvironment.metadata

    max_turns: int
    max_steps: int
    max_action_chars: int
    option_names: frozenset[str]
    term_names: frozenset[str]

    _seed: int | None
    _options: Mapping[str, Any]
    _actions: list[str]
    _replies: list[str]
    _told: list[str]

    def __init__(
        self,
        url: str,
        env_id: str = "",
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 10,
        render_mode: str | None = None,
    ) -> None:
        self._client = SessionClient(url, env_id, api_key, timeout, retries)
        self._closed = False
        self._clear()
        described = self.description
        self.metadata = described.metadata
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            self._client.close()
            raise ValueError(f"render_mode must be None or one of {self.metadata['render_modes']}, got {render_mode!r}")
        self.render_mode = render_mode
        self.observation_space = _space(described.observation_space)
        self.action_space = _space(described.action_space)
        for name in ATTRIBUTES:
            if name in described.attributes:
                value = described.attributes[name]
                setattr(self, name, frozenset(value) if isinstance(value, list) else value)

    @property
    def description(self) -> Description:
        """What the server says of itself and its environment."""
        return self._client.description

    @property
    def system_prompt(self) -> str:
        """The policy and how to act, fixed for the episode; empty before the first reset."""
        prompt: str = self._opening["system_prompt"]
        return prompt

    @property
    def tools(self) -> list[dict[str, Any]]:
        """OpenAI function schemas, fixed for the episode; ``copy.deepcopy`` gives some that can be changed."""
        return list(self._opening["tools"])

    @property
    def messages(self) -> list[Message]:
        """The conversation so far in OpenAI chat form, without the system prompt, fresh each time."""
        return [message for text in self._told for message in self._client.read(text)["info"].get("messages", ())]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begins an episode.

        Args:
            seed: reseeds the generator that episodes are drawn from; None goes on with it.
            options: see the environment; they must be of what JSON has, and tuples and NumPy's numbers.

        Returns:
            The first observation and the info of the environment.

        Raises:
            ValueError: for an option that is not known, or that the environment refuses.
            TypeError: if the options are no mapping with names as keys.
            ClosedEnvironmentError: after ``close``.
            RemoteError: if the server does not answer.
        """
        if self._closed:
            raise ClosedEnvironmentError("the environment was closed: make a new one")
        options = as_options(options)
        if "option_names" in self.description.attributes:
            check_names(options, self.option_names)
        if seed is not None and (not isinstance(seed, int) or seed < 0):
            np_random(seed)  # raises what Gymnasium does
        request = {"do": "reset", "seed": None if seed is None else int(seed), "options": options}
        try:
            text, told = self._client.ask(request, lambda ask: self._resume_between(ask, seed))
        except (TypeError, ValueError):
            self._clear()
            raise
        self._clear()
        if "state" in told:
            state = read_state(told["state"])
            self._seed, self._options = state.seed, state.options
            self._np_random, self._np_random_seed = state.generator, state.generator_seed
        else:
            super().reset(seed=seed)  # the generator of this object, which nothing is drawn from
        self._told.append(text)
        info = told["info"]
        self._opening = _opening(info)
        self._running = True
        if self.render_mode == "human":
            print_messages(info["messages"])
        return told["observation"], info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Takes the agent's completion as it is.

        Args:
            action: the raw completion.

        Returns:
            Observation, reward, terminated, truncated and info of the environment.

        Raises:
            TypeError: if the action is not a ``str``.
            ResetNeeded: before the first ``reset`` and after the end of an episode.
            RemoteError: if the server does not answer, or the connection broke and the episode can't be played again.
        """
        if not isinstance(action, str):
            raise TypeError(f"an action is a str, got {type(action).__name__}: pass the agent's completion as text")
        if not self._running:
            raise ResetNeeded("call reset() before step(): no episode is running")
        text, told = self._client.ask({"do": "step", "action": action}, self._resume)
        self._told.append(text)
        self._actions.append(action)
        self._replies += told.get("replies", ())
        terminated, truncated, info = told["terminated"], told["truncated"], told["info"]
        self._running = not (terminated or truncated)
        if self.render_mode == "human":
            print_messages(info["messages"])
        return told["observation"], told["reward"], terminated, truncated, info

    def render(self) -> str | None:
        """The conversation so far as text in ``"ansi"`` mode; None otherwise.

        In ``"human"`` mode messages are printed as they come, by ``reset`` and ``step``.

        Raises:
            ResetNeeded: before the first ``reset``.
            ClosedEnvironmentError: after ``close``.
        """
        if self._closed:
            raise ClosedEnvironmentError("the environment was closed: make a new one")
        if not self._told:
            raise ResetNeeded("call reset() before render(): there is no episode to show")
        return transcript(self.messages) if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Ends the session; a closed environment can't be reset."""
        self._client.close()
        self._clear()
        self._closed = True

    def get_state(self) -> EpisodeState:
        """What it takes to rebuild this environment in the middle of its episode, here or elsewhere.

        The server is not asked. A local environment that is made alike takes this state, and the other way round.

        Raises:
            RemoteError: if the environment can't be rebuilt.
        """
        self._check_rebuilds()
        return EpisodeState(
            seed=self._seed,
            options=deepcopy(self._options),
            actions=tuple(self._actions),
            generator=deepcopy(self._np_random),
            generator_seed=self._np_random_seed,
            replies=tuple(self._replies),
        )

    def set_state(self, state: EpisodeState) -> None:
        """Rebuilds an episode: the server begins it again and replays its actions.

        Args:
            state: from ``get_state`` of this environment, remote or local.

        Raises:
            ValueError: if it is no state of this environment.
            ClosedEnvironmentError: after ``close``.
            RemoteError: if the environment can't be rebuilt, or the server does not answer.
        """
        if self._closed:
            raise ClosedEnvironmentError("the environment was closed: make a new one")
        self._check_rebuilds()
        self._clear()
        text, told = self._client.ask({"do": "restore", "state": write_state(state)}, lambda _: None)
        self._seed, self._options = state.seed, dict(deepcopy(state.options))
        self._actions, self._replies = list(state.actions), list(state.replies)
        self._np_random, self._np_random_seed = deepcopy(state.generator), state.generator_seed
        if state.seed is not None:
            self._told.append(text)
            self._opening = _opening(told["info"])
            self._running = True  # unless it has ended, which the server knows

    def _clear(self) -> None:
        """Forgets the episode."""
        self._running = False
        self._seed, self._options = None, {}
        self._actions, self._replies = [], []
        self._opening = _opening({})
        # What the server told of the episode, as it came: the conversation is read from it when it is wanted.
        self._told = []

    def _check_rebuilds(self) -> None:
        if not self.description.rebuilds:
            raise RemoteError(f"{self.description.id} at {self._client.url} has no state that can be told or set")

    def _resume_between(self, ask: Ask, seed: int | None) -> None:
        """Makes a new session what the last one was, for a reset: its episode is over, its generator may be wanted."""
        if seed is None and self.description.rebuilds and self._np_random is not None:
            ask({"do": "restore", "state": write_state(replace(self.get_state(), seed=None, options={}, actions=()))})

    def _resume(self, ask: Ask) -> None:
        """Makes a new session what the last one was, in the middle of an episode."""
        if not self.description.rebuilds:
            self._running = False
            raise RemoteError(
                f"the connection to {self._client.url} broke in the middle of an episode, which {self.description.id} "
                "can't play again: call reset()"
            )
        before = self.messages
        try:
            info = ask({"do": "restore", "state": write_state(self.get_state())})["info"]
        except (ResetNeeded, TypeError, ValueError) as error:
            raise self._changed() from error
        if info["messages"] != before:
            raise self._changed()
        self._opening = _opening(info)

    def _changed(self) -> RemoteError:
        return RemoteError(
            f"{self.description.id} at {self._client.url} does not play the episode again as it was, so it has "
            "changed: call reset()"
        )


def _opening(info: Mapping[str, Any]) -> dict[str, Any]:
    """What of an info stays for the episode."""
    return {"system_prompt": info.get("system_prompt", ""), "tools": list(info.get("tools", ()))}


def _space(described: TextSpace) -> Text:
    if described.characters is None:
        return Utterance(described.max_length)
    return Text(described.max_length, min_length=described.min_length, charset=described.characters)
