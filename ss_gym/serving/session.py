"""One environment in use by one client of a server."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import gymnasium
from gymnasium.error import ResetNeeded
from prometheus_client import Histogram

from ss_gym.environment import EpisodeState, TextEnvironment
from ss_gym.json_text import is_deeper
from ss_gym.rendering import transcript
from ss_gym.serving.environment_api import SessionView
from ss_gym.serving.errors import ServiceError
from ss_gym.serving.served_environment import ServedEnvironment
from ss_gym.serving.session_metrics import SessionMetrics
from ss_gym.serving.session_thread import OverdueError, SessionThread
from ss_gym.serving.wire import WireError, read_state, write, write_state

T = TypeVar("T")

_LOGGER = logging.getLogger(__name__)
_DEEPEST = 32
_NO_EPISODE = "call reset() before step(): no episode is running"


class Session:
    """One environment, in use by one client.

    What it answers is text, ready to be sent. Requests are made one at a time, see ``Sessions.using``.

    Args:
        session_id: its name.
        served: makes its environment.
        patience: seconds that the environment may take to answer, where it does more than compute.
        metrics: get the times that the environment takes.

    Attributes:
        id: its name.
        busy: whether a request is being answered.
        overdue: whether the environment took longer than it may, so that the session is good for nothing more.
        episodes: that were begun.
        steps: of the episode.
        total_steps: of all episodes.
    """

    def __init__(self, session_id: str, served: ServedEnvironment, patience: float, metrics: SessionMetrics) -> None:
        self.id = session_id
        self.busy = self.overdue = False
        self.episodes = self.steps = self.total_steps = 0
        self._served, self._patience, self._metrics = served, patience, metrics
        self._thread = None if served.computes else SessionThread()
        self._env: gymnasium.Env[str, str]
        self._running = False
        self._replies = 0
        self._last: tuple[int, str, str] | None = None

    async def begin(self) -> None:
        """Makes the environment."""
        self._env = await self._called(self._served.make)

    async def reset(self, seed: int | None, options: Mapping[str, Any] | None) -> str:
        """Begins an episode.

        Raises:
            ServiceError: 400 if the environment refuses the seed or the options.
        """
        _check_depth(options)
        given = None if options is None else dict(options)

        def begin() -> tuple[tuple[str, dict[str, Any]], EpisodeState | None]:
            # What refuses a reset may or may not have ended the episode before.
            return self._env.reset(seed=seed, options=given), self._state()

        with _refusals():
            (observation, info), state = await self._timed(begin, self._metrics.resets)
        self._begun(0, 0)
        self.episodes += 1
        answer = {"observation": observation, "info": info}
        return _sent(answer if state is None else {**answer, "state": write_state(state)})

    async def step(self, action: str, number: int | None = None) -> str:
        """Acts.

        Args:
            action: what is done.
            number: which step of the episode this is to be; the last one is answered again if it was the same.

        Raises:
            ServiceError: 409 if no episode is running or another step is due; 504 if the environment does not answer.
        """
        if number is not None and number != self.steps + 1:
            if self._last is not None and self._last[:2] == (number, action):
                return self._last[2]
            raise ServiceError(
                409, f"the next step is {self.steps + 1}, not {number}: was it taken already?", "other_step", "step"
            )
        if not self._running:
            raise ServiceError(409, _NO_EPISODE, "reset_needed")

        def act() -> tuple[Any, ...]:
            return (*self._env.step(action), self._new_replies())

        answer = await self._timed(act, self._metrics.steps)
        observation, reward, terminated, truncated, info, replies = answer
        self.steps, self.total_steps = self.steps + 1, self.total_steps + 1
        self._running = not (terminated or truncated)
        told = {
            "observation": observation,
            "reward": reward,
            "terminated": terminated,
            "truncated": truncated,
            "info": info,
        }
        if replies:
            self._replies += len(replies)
            told["replies"] = list(replies)
        text = _sent(told)
        self._last = self.steps, action, text
        return text

    async def restore(self, text: str) -> str:
        """Goes on with an episode of another session.

        Raises:
            ServiceError: 400 if it is none of this environment; 409 if this environment can't.
        """
        env = self._env
        if not isinstance(env, TextEnvironment):
            raise ServiceError(409, "this environment can't be restored: begin an episode", "not_restorable")
        try:
            state = read_state(text)
            _check_depth(state.options)
        except WireError as error:
            raise ServiceError(400, str(error), "invalid_state", "state") from error

        def go_on() -> dict[str, Any]:
            env.set_state(state)
            return {"messages": env.messages, "system_prompt": env.system_prompt, "tools": env.tools}

        with _refusals():
            info = await self._timed(go_on, self._metrics.restores)
        self._begun(len(state.actions), len(state.replies))
        self._running = state.seed is not None
        return _sent({"info": info})

    async def view(self) -> SessionView:
        """The session as it is."""
        env = self._env

        def look() -> SessionView:
            state = self._state()
            messages = env.messages if isinstance(env, TextEnvironment) else []
            return SessionView(
                id=self.id,
                steps=self.steps,
                messages=messages,
                transcript=transcript(messages),
                state=None if state is None else write_state(state),
            )

        return await self._called(look)

    def close(self) -> None:
        """Frees the environment."""
        if self._thread is None:
            self._free()
        else:
            self._thread.end(self._free)

    def _free(self) -> None:
        if hasattr(self, "_env"):
            try:
                self._env.close()
            except Exception:
                _LOGGER.exception("an environment could not be closed")

    def _begun(self, steps: int, replies: int) -> None:
        self._running, self._last = True, None
        self.steps, self._replies = steps, replies

    def _state(self) -> EpisodeState | None:
        return self._env.get_state() if isinstance(self._env, TextEnvironment) else None

    def _new_replies(self) -> tuple[str, ...]:
        """What came from outside since the last answer."""
        if self._served.computes or (state := self._state()) is None:
            return ()
        return state.replies[self._replies :]

    async def _timed(self, function: Callable[[], T], seconds: Histogram) -> T:
        began = time.perf_counter()
        given = await self._called(function)
        seconds.observe(time.perf_counter() - began)
        return given

    async def _called(self, function: Callable[[], T]) -> T:
        """What a function gives that uses the environment.

        Raises:
            ServiceError: 409 if there is no episode; 504 if it takes too long, after which there is no session.
        """
        try:
            if self._thread is None:
                return function()
            return await self._thread.call(function, self._patience)
        except ResetNeeded as error:
            raise ServiceError(409, str(error), "reset_needed") from error
        except OverdueError as error:
            self.overdue = True
            raise ServiceError(504, f"the environment gave {error}, and is given up", "overdue") from error


@contextmanager
def _refusals() -> Iterator[None]:
    """What an environment says of a reset that it refuses, as an error of the request."""
    try:
        yield
    except TypeError as error:
        raise ServiceError(400, str(error), "invalid_type") from error
    except (ValueError, gymnasium.error.Error) as error:
        raise ServiceError(400, str(error), "invalid_value") from error


def _check_depth(options: Mapping[str, Any] | None) -> None:
    if options is not None and is_deeper(dict(options), _DEEPEST):
        raise ServiceError(400, f"the options are nested deeper than {_DEEPEST} levels", "invalid_value", "options")


def _sent(answer: Mapping[str, Any]) -> str:
    """An answer as text.

    Raises:
        ServiceError: 500 if the environment's info holds something that can't be sent.
    """
    try:
        return write(answer)
    except WireError as error:
        _LOGGER.error("the environment's answer can't be sent: %s", error)
        raise ServiceError(500, f"the environment's answer can't be sent: {error}", "unsendable") from error
