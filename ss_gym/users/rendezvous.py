"""One batched call for the customers of many environments that are stepped side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ss_gym.users.simulator import UserRequest, UserSimulator, own_parameters

T = TypeVar("T")


class Rendezvous:
    """Collects what environments in different threads ask of one user simulator, and asks once.

    ``run`` calls a function for each row in a thread of its own. A row that asks waits until every
    other row waits, too, or is done; then all are answered in one call, in the order of the rows. Outside
    of ``run`` it passes requests on.

    Args:
        user: who answers.

    Attributes:
        user: the same.
        parameters: those that it declares.
    """

    def __init__(self, user: UserSimulator) -> None:
        self.user = user
        self.parameters = own_parameters(user)
        self._pool: ThreadPoolExecutor | None = None
        self._local = threading.local()
        self._changed = threading.Condition()
        self._active = 0
        self._waiting: dict[int, UserRequest] = {}
        self._replies: dict[int, str | BaseException] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the user; threads are made when they are needed."""
        return type(self), (self.user,)

    def __deepcopy__(self, memo: object) -> Rendezvous:
        """All environments of a batch meet at the same one."""
        return self

    def respond_batch(self, requests: Sequence[UserRequest]) -> list[str]:
        """The replies to some requests; from a row of ``run``, together with those of the other rows."""
        row = getattr(self._local, "row", None)
        if row is None:
            return self.user.respond_batch(requests)
        return [self._ask(row, request) for request in requests]

    def run(self, step: Callable[[int], T], rows: Sequence[int]) -> list[T]:
        """Calls ``step`` with each row, side by side; gives the results in order.

        Raises:
            Exception: the first that a row raised; the other rows are done by then.
        """
        if self._pool is None or len(rows) > self._pool._max_workers:
            self._pool = ThreadPoolExecutor(max(1, len(rows)), thread_name_prefix="row")
        self._active = len(rows)
        futures = [self._pool.submit(self._row, step, row) for row in rows]
        errors = [future.exception() for future in futures]
        for error in errors:
            if error is not None:
                raise error
        return [future.result() for future in futures]

    def close(self) -> None:
        """Ends the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _row(self, step: Callable[[int], T], row: int) -> T:
        self._local.row = row
        try:
            return step(row)
        finally:
            self._local.row = None
            with self._changed:
                self._active -= 1
                self._answer()

    def _ask(self, row: int, request: UserRequest) -> str:
        with self._changed:
            self._waiting[row] = request
            self._answer()
            while row not in self._replies:
                self._changed.wait()
            reply = self._replies.pop(row)
        if isinstance(reply, BaseException):
            raise RuntimeError(f"the customers could not be asked: {reply}") from reply
        return reply

    def _answer(self) -> None:
        """Asks for everybody once all rows that are not done wait; called with the lock held."""
        if not self._waiting or len(self._waiting) < self._active:
            return
        rows = sorted(self._waiting)
        requests = [self._waiting.pop(row) for row in rows]
        try:
            replies: Sequence[str | BaseException] = self.user.respond_batch(requests)
            if len(replies) != len(rows):
                raise ValueError(f"{len(rows)} requests got {len(replies)} replies")
        except Exception as error:
            replies = [error] * len(rows)
        self._replies.update(zip(rows, replies, strict=True))
        self._changed.notify_all()
