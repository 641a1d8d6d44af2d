"""A session of an environment's server, from the client's side: connecting, and connecting again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from gymnasium.error import ResetNeeded
from pydantic import ValidationError

from ss_gym import __version__
from ss_gym.serving.connection import Connection, LostError, RefusedError
from ss_gym.serving.environment_api import SOCKET_PATH, Description
from ss_gym.serving.wire import PROTOCOL, Frozen, WireError, read, write

T = TypeVar("T")
Ask = Callable[[Mapping[str, Any]], dict[str, Any]]

KEY_VARIABLE = "STATESET_API_KEY"
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
_TOO_LARGE = 1009
# No room, or a proxy whose server is being started anew.
_PASSING = frozenset({429, 502, 503, 504})
# What the environment would have raised here.
_RAISED: dict[str, type[Exception]] = {
    "reset_needed": ResetNeeded,
    "invalid_value": ValueError,
    "invalid_type": TypeError,
}


class RemoteError(RuntimeError):
    """An environment's server can't be used, or can't do what it was asked."""


class SessionClient:
    """A session of a server; opened again when its connection has broken.

    A copy, and what was pickled, has a session of its own, which is opened when it is first used.

    Args:
        url: of the server.
        env_id: the environment that is expected; whatever is there if it is empty.
        api_key: the server's; None for that of the environment variable ``STATESET_API_KEY``.
        timeout: seconds that the server may take to answer.
        retries: how often to connect again after a failure.

    Attributes:
        url: of the server.
        description: what the server says of itself.

    Raises:
        RemoteError: if no session can be had.
        ValueError: if an argument can't be used.
    """

    def __init__(self, url: str, env_id: str, api_key: str | None, timeout: float, retries: int) -> None:
        if not timeout > 0 or retries < 0:
            raise ValueError(f"timeout must be above 0 and retries at least 0, got {timeout} and {retries}")
        self.url, self._address = url, _address(url)
        self._api_key, self._timeout, self._retries = api_key, timeout, retries
        self._jitter = np.random.default_rng()
        self._frozen: Frozen = {}
        self._connection: Connection | None = None
        self.description = self._patiently(lambda: self._connect(env_id))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_connection": None, "_frozen": {}}

    def ask(self, request: Mapping[str, Any], resume: Callable[[Ask], None]) -> tuple[str, dict[str, Any]]:
        """The answer to a request, as it came and as it is read.

        Args:
            request: what is asked.
            resume: makes a new session what the last one was; it is given a function that asks.

        Raises:
            RemoteError: if there is none.
            ResetNeeded: if the environment would have raised it; likewise TypeError and ValueError.
        """
        text = write(request)
        size, most = len(text.encode()), self.description.limits.message_bytes
        if size > most:
            raise RemoteError(f"the server at {self.url} takes messages of {most} bytes, and this one has {size}")

        def asked() -> str:
            if self._connection is None:
                self._reconnect(resume)
            return self._answer(text)

        answer = self._patiently(asked)
        return answer, self.read(answer)

    def read(self, answer: str) -> dict[str, Any]:
        """What an answer says.

        Raises:
            RemoteError: if it is an error of the server.
            ResetNeeded: if it is what the environment would have raised; likewise TypeError and ValueError.
        """
        try:
            told = read(answer, self._frozen)
            error = told.get("error")
            message = "" if error is None else str(error["message"])
        except (WireError, LookupError, TypeError) as wrong:
            raise RemoteError(f"the server at {self.url} gave an answer that can't be read: {wrong}") from wrong
        if error is None:
            return told
        raised = _RAISED.get(error.get("code"))
        raise (
            RemoteError(f"the server at {self.url} refuses or fails: {message}") if raised is None else raised(message)
        )

    def close(self) -> None:
        """Ends the session."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.drop()
            self._connection = None

    def _patiently(self, act: Callable[[], T]) -> T:
        """What a function gives, called again as long as it may go better."""
        wait = _FIRST_WAIT
        for left in range(self._retries, -1, -1):
            connected = self._connection is not None
            try:
                return act()
            except LostError as error:
                self._drop()
                if error.code == _TOO_LARGE:
                    raise RemoteError(f"the server at {self.url} refuses the message: {error}") from error
                failed: Exception = error
                pause = 0.0 if connected else wait
            except RefusedError as error:
                if error.status not in _PASSING:
                    raise self._refused(error) from error
                failed, pause = error, error.retry_after or wait
            if not left:
                break
            if pause:
                # Not all clients of a server that was started anew come at the same time.
                time.sleep(pause * self._jitter.uniform(0.5, 1.0))
                wait = min(2 * wait, _LONGEST_WAIT)
        tries = f"in {self._retries + 1} tries" if self._retries else "in one try"
        if isinstance(failed, RefusedError):
            raise RemoteError(f"the server at {self.url} takes nobody, {tries}: {failed}") from failed
        raise RemoteError(
            f"the server at {self.url} can't be reached, {tries} ({failed}): is it running, and at that address?"
        ) from failed

    def _connect(self, env_id: str) -> Description:
        """Opens a session; tells what the server says of itself.

        Raises:
            LostError, RefusedError: if there is nobody, or no room.
            RemoteError: if there is something else than is expected.
        """
        key = os.environ.get(KEY_VARIABLE) if self._api_key is None else self._api_key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            connection = Connection(self._address, headers, self._timeout)
            try:
                description = self._greeted(connection.receive(self._timeout), env_id)
            except BaseException:
                connection.drop()
                raise
        except TimeoutError as error:
            raise LostError(f"no answer within {self._timeout:g} s") from error
        self._connection = connection
        return description

    def _greeted(self, greeting: str, env_id: str) -> Description:
        """Reads what the server says first, and checks that it is who it should be."""
        try:
            told = json.loads(greeting)
            version, server = told["protocol"], told["server"]
            if version != PROTOCOL:
                raise RemoteError(
                    f"the server at {self.url} (stateset-gym {server}) speaks version {version} of the protocol, and "
                    f"this client (stateset-gym {__version__}) version {PROTOCOL}: install the same on both sides"
                )
            description = Description.model_validate(told)
        except (ValidationError, ValueError, LookupError, TypeError) as error:
            raise RemoteError(f"at {self.url} is a WebSocket, but no environment's server") from error
        if env_id and description.id != env_id:
            raise RemoteError(f"the server at {self.url} has {description.id}, not {env_id}")
        return description

    def _reconnect(self, resume: Callable[[Ask], None]) -> None:
        description = self._connect(self.description.id)
        try:
            if description.keywords != self.description.keywords:
                raise RemoteError(
                    f"the server at {self.url} now makes {description.id} with {description.keywords}, and the "
                    f"episode was begun with {self.description.keywords}"
                )
            resume(lambda request: self.read(self._answer(write(request))))
        except BaseException:
            self._drop()  # the session is not what it was
            raise

    def _answer(self, text: str) -> str:
        assert self._connection is not None
        try:
            return self._connection.ask(text, self._timeout)
        except BaseException as error:
            # Also when it is interrupted: an answer that comes later must not be taken for that to the next request.
            self._drop()
            if isinstance(error, TimeoutError):
                raise RemoteError(
                    f"the server at {self.url} has not answered within {self._timeout:g} s: give it more time (timeout)"
                ) from error
            raise

    def _refused(self, error: RefusedError) -> RemoteError:
        if error.status in (401, 403):
            return RemoteError(
                f"the server at {self.url} refuses the key: give a valid one as api_key=… or in {KEY_VARIABLE}"
            )
        return RemoteError(
            f"at {self.url} is no environment's server ({error}): it is started with 'stateset-agents serve-env'"
        )


def _address(url: str) -> str:
    """The address of the WebSocket."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"'{url:.200}' is no address of a server: write http://HOST:PORT or https://HOST")
    return f"{_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}{SOCKET_PATH}"
