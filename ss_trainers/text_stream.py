"""The text of a reply while its tokens are still being sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ss_gym.agents.backends import cut_at_stop

# What a decoder writes for bytes that are no whole character yet.
_INCOMPLETE = "\ufffd"


class TextStream:
    """Pieces of a text, each given once it can't change any more; together they are the text that is told in the end.

    Held back are bytes that are no whole character yet, what may be the beginning of a stop text, and space at the
    end, since the text is told without the space around.

    Only the last few tokens are decoded again each time: a tokenizer may write a token otherwise after another one,
    so the ids that were new the last time are decoded once more, together with those that are new now.

    Args:
        decode: the text of some ids.
        stop: texts that end the reply.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()) -> None:
        self._decode, self._stop = decode, stop
        self._longest = max(map(len, stop), default=1)
        self._ids: list[int] = []
        self._from = self._read = 0  # ids that were new the last time
        self._held = ""
        self._told = self._stopped = False

    def push(self, ids: Sequence[int]) -> str:
        """What the next ids of the reply add to the text that is certain; may be nothing."""
        self._ids += ids
        known, now = self._decode(self._ids[self._from : self._read]), self._decode(self._ids[self._from :])
        if now.endswith(_INCOMPLETE) or len(now) <= len(known):
            return ""
        self._from, self._read = self._read, len(self._ids)
        return self._certain(self._held + now[len(known) :])

    def end(self) -> str:
        """What is left when the reply has ended."""
        rest = self._decode(self._ids[self._from :])[len(self._decode(self._ids[self._from : self._read])) :]
        text = "" if self._stopped else cut_at_stop(self._held + rest, self._stop)[0]
        self._held = ""
        return self._tellable(text).rstrip()

    def _certain(self, text: str) -> str:
        if self._stopped:
            return ""
        text, self._stopped = cut_at_stop(text, self._stop)
        sure = len(text) if self._stopped else len(text) - self._longest + 1
        sure = len(text[: max(0, sure)].rstrip())
        self._held = "" if self._stopped else text[sure:]
        return self._tellable(text[:sure])

    def _tellable(self, text: str) -> str:
        if not self._told:
            text = text.lstrip()
            self._told = bool(text)
        return text
