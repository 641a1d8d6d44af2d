"""Who may use a server, and how much at once."""

from __future__ import annotations

import hmac
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ss_gym.serving.errors import ServiceError

KEYS_VARIABLE = "STATESET_API_KEYS"
ANYONE = "anyone"
# Seconds after which it is worth to try again.
_RETRY_AFTER = 1.0


class ApiKeys:
    """The keys that a server accepts; without any, it is open.

    Args:
        keys: each a word.

    Raises:
        ValueError: if one is too short to keep anybody out, or has other than visible ASCII characters.
    """

    _SHORTEST = 8

    def __init__(self, keys: Sequence[str] = ()) -> None:
        for key in keys:
            if len(key) < self._SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
                raise ValueError(
                    f"the API key that begins with '{key[:2]}' can't be used: a key has at least {self._SHORTEST} "
                    "visible ASCII characters and no space"
                )
        self._keys = tuple(dict.fromkeys(keys))

    @classmethod
    def read(cls, file: Path | None = None) -> ApiKeys:
        """The keys in a file, one a line, or else those in the variable ``STATESET_API_KEYS``, parted by commas.

        Raises:
            OSError: if the file can't be read.
            ValueError: if it has none, or one that can't be used.
        """
        if file is None:
            return cls([key.strip() for key in os.environ.get(KEYS_VARIABLE, "").split(",") if key.strip()])
        lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys:
            raise ValueError(f"'{file}' has no API keys: write one a line")
        return cls(keys)

    @property
    def wanted(self) -> bool:
        """Whether a key is needed."""
        return bool(self._keys)

    def holder(self, authorization: str) -> str:
        """Who asks, as a name that tells nothing of the key.

        Args:
            authorization: the header, ``Bearer KEY``.

        Raises:
            ServiceError: 401 if it is none of the keys.
        """
        if not self._keys:
            return ANYONE
        scheme, _, given = authorization.partition(" ")
        # All are compared, each in constant time, so that time tells nothing of them.
        held = [
            number
            for number, key in enumerate(self._keys, 1)
            if hmac.compare_digest(key.encode(), given.strip().encode())
        ]
        if scheme.lower() != "bearer" or not held:
            raise ServiceError(
                401, "this server wants a key: send the header 'Authorization: Bearer KEY'", "invalid_api_key"
            )
        return f"key-{held[0]}"


class Gate:
    """Lets in so many requests at once, in all and of one holder of a key.

    Args:
        most: in all.
        each: of one holder; None for as many as in all.

    Attributes:
        most: as above.
        each: as above, a number in any case.
    """

    def __init__(self, most: int, each: int | None = None) -> None:
        self.most, self.each = most, most if each is None else each
        self._inside: Counter[str] = Counter()

    @property
    def inside(self) -> int:
        """How many are in."""
        return self._inside.total()

    @contextmanager
    def entered(self, holder: str, count: int = 1) -> Iterator[None]:
        """Keeps the room of ``count`` requests.

        Raises:
            ServiceError: 429 if the holder has too many under way, 503 if all have.
        """
        if self.inside + count > self.most:
            raise ServiceError(
                503,
                f"the server has {self.inside} requests to answer and takes no more than {self.most}: try again later",
                "overloaded",
                retry_after=_RETRY_AFTER,
            )
        if self._inside[holder] + count > self.each:
            raise ServiceError(
                429,
                f"this key has {self._inside[holder]} requests under way and may have {self.each}: wait for one to end",
                "too_many_requests",
                retry_after=_RETRY_AFTER,
            )
        self._inside[holder] += count
        try:
            yield
        finally:
            self._inside[holder] -= count
            if not self._inside[holder]:
                del self._inside[holder]
