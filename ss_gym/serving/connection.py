"""The client's end of a WebSocket that is asked and answers in turn, without a thread or an event loop."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Mapping

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import WebSocketURI, parse_uri

# Beyond any answer of an environment: a message is held in memory until it is complete.
_LARGEST = 256 << 20
_CHUNK = 1 << 18
_DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})


class LostError(Exception):
    """There is no connection, or no longer one.

    Args:
        reason: why.
        code: that the server closed it with; None if it did not.
    """

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


class RefusedError(Exception):
    """The server answers, but opens no WebSocket.

    Args:
        status: the HTTP status.
        message: what the server says of it; empty if nothing.
        retry_after: seconds after which it may go better; None if the server does not say.
    """

    def __init__(self, status: int, message: str, retry_after: float | None) -> None:
        super().__init__(message or f"HTTP status {status}")
        self.status, self.message, self.retry_after = status, message, retry_after


class Connection:
    """A WebSocket.

    Pings are answered while an answer is waited for, so the server must not take silence for an end.

    Args:
        address: ``ws://…`` or ``wss://…``.
        headers: of the request that opens it.
        timeout: seconds that opening it may take.

    Raises:
        ValueError: if it is no such address.
        LostError: if nobody is there.
        RefusedError: if something else is there.
        TimeoutError: if it takes longer.
    """

    def __init__(self, address: str, headers: Mapping[str, str], timeout: float) -> None:
        try:
            uri = parse_uri(address)
        except (InvalidURI, ValueError) as error:
            raise ValueError(f"'{address:.200}' is no address of a server: {error}") from error
        until = time.monotonic() + timeout
        self._protocol = ClientProtocol(uri, max_size=_LARGEST)
        self._frames: list[Frame] = []
        self._socket: socket.socket | None = _connected(uri, timeout)
        try:
            self._shake_hands(headers, until)
        except BaseException:
            self.drop()
            raise

    def ask(self, text: str, timeout: float) -> str:
        """The answer to a message.

        Args:
            text: the message.
            timeout: seconds that it may take.

        Raises:
            LostError: if the connection breaks, or is broken.
            TimeoutError: if it takes longer; the answer may still come, so the connection is of no more use.
        """
        until = time.monotonic() + timeout
        if self._protocol.state is not State.OPEN:
            raise self._lost()
        self._protocol.send_text(text.encode())
        self._flush(until)
        return self._message(until)

    def receive(self, timeout: float) -> str:
        """The next message, if the server is the one to speak; as ``ask``."""
        return self._message(time.monotonic() + timeout)

    def close(self) -> None:
        """Takes leave of the server, if it still listens, and frees the socket."""
        if self._socket is not None and self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            try:
                self._flush(time.monotonic() + 1.0)
            except (LostError, TimeoutError):
                pass  # then it notices by itself
        self.drop()

    def drop(self) -> None:
        """Frees the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __del__(self) -> None:
        if hasattr(self, "_socket"):
            self.drop()

    def _shake_hands(self, headers: Mapping[str, str], until: float) -> None:
        request = self._protocol.connect()
        for name, value in headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush(until)
        while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
            self._read(until)
        failed = self._protocol.handshake_exc
        if isinstance(failed, InvalidStatus):
            raise _refused(failed.response)
        if failed is not None:
            raise LostError(f"no WebSocket there: {failed}") from failed

    def _message(self, until: float) -> str:
        parts: list[bytes] = []
        while True:
            while self._frames:
                frame = self._frames.pop(0)
                parts.append(bytes(frame.data))
                if frame.fin:
                    try:
                        return b"".join(parts).decode()
                    except UnicodeDecodeError as error:
                        raise LostError("the server sent what is no text") from error
            if self._protocol.state is not State.OPEN:
                raise self._lost()
            self._read(until)

    def _read(self, until: float) -> None:
        """Waits until something comes, and takes it in."""
        try:
            data = self._timed(until).recv(_CHUNK)
        except TimeoutError:
            raise
        except OSError as error:
            raise LostError(error.strerror or str(error)) from error
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        self._frames += [
            event for event in self._protocol.events_received() if isinstance(event, Frame) and event.opcode in _DATA
        ]
        if self._protocol.state is State.OPEN:
            self._flush(until)  # answers to pings

    def _flush(self, until: float) -> None:
        """Sends what there is to send."""
        try:
            for data in self._protocol.data_to_send():
                if data:
                    self._timed(until).sendall(data)
                else:
                    self._timed(until).shutdown(socket.SHUT_WR)
        except TimeoutError:
            raise
        except OSError as error:
            raise LostError(error.strerror or str(error)) from error

    def _timed(self, until: float) -> socket.socket:
        """The socket, to wait no longer than so long."""
        if self._socket is None:
            raise LostError("the connection was closed")
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._socket

    def _lost(self) -> LostError:
        closed = self._protocol.close_rcvd
        if closed is None:
            return LostError("the connection broke")
        return LostError(closed.reason or f"the server closed the connection ({closed.code})", closed.code)


def _connected(uri: WebSocketURI, timeout: float) -> socket.socket:
    try:
        plain = socket.create_connection((uri.host, uri.port), timeout)
        # Messages are small and waited for.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not uri.secure:
            return plain
        try:
            return ssl.create_default_context().wrap_socket(plain, server_hostname=uri.host)
        except BaseException:
            plain.close()
            raise
    except TimeoutError:
        raise
    except OSError as error:
        raise LostError(error.strerror or str(error)) from error


def _refused(response: Response) -> RefusedError:
    try:
        message = str(json.loads(response.body or b"")["error"]["message"])
    except (ValueError, LookupError, TypeError):
        message = ""
    given = response.headers.get("Retry-After", "")
    return RefusedError(response.status_code, message, float(given) if given.isdigit() else None)
