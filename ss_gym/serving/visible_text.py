"""What of a completion a client reads, while it is being written."""

from __future__ import annotations

import re

from ss_gym.actions import OPEN_CALL, showable

_OPEN_THINK, _CLOSE_THINK = "<think>", "</think>"
_TAGS = (OPEN_CALL, _OPEN_THINK, _CLOSE_THINK)


class VisibleText:
    """The text of a completion without its thoughts and calls, each part of it as soon as it is certain.

    Together the parts are what :func:`ss_gym.actions.parse_action` finds to be said, or to stand before the calls;
    only that a thought which has an end and no beginning can't be told from words before its end comes.

    Args:
        calls: whether blocks of calls are left out; else they are text like any other.
    """

    def __init__(self, *, calls: bool = True) -> None:
        self._tags = _TAGS if calls else _TAGS[1:]
        self._tag = re.compile("|".join(map(re.escape, self._tags)))
        self._held = self._space = ""
        self._thinking = self._calling = self._told = False

    def push(self, piece: str) -> str:
        """What a piece of the completion adds; may be nothing."""
        self._held += piece
        certain: list[str] = []
        while not self._calling:
            if self._thinking:
                _, ended, rest = self._held.partition(_CLOSE_THINK)
                if not ended:
                    self._held = self._held[-len(_CLOSE_THINK) + 1 :]
                    break
                self._held, self._thinking = rest, False
            tag = self._tag.search(self._held)
            if tag is None:
                sure = self._sure()
                certain.append(self._held[:sure])
                self._held = self._held[sure:]
                break
            certain.append(self._held[: tag.start()])
            self._held = self._held[tag.end() :]
            if tag[0] == _CLOSE_THINK:
                certain.clear()  # a template has opened it in the prompt, so all before was thought
            self._thinking, self._calling = tag[0] == _OPEN_THINK, tag[0] == OPEN_CALL
        return self._visible("".join(certain))

    def end(self) -> str:
        """What is left when there is no more; what stands after a call is not told."""
        rest = "" if self._thinking or self._calling else self._held
        self._held = ""
        return self._visible(rest)

    def _sure(self) -> int:
        """How much of what is held is not the beginning of a tag."""
        start = self._held.rfind("<")
        may_be = start >= 0 and any(tag.startswith(self._held[start:]) for tag in self._tags)
        return start if may_be else len(self._held)

    def _visible(self, text: str) -> str:
        """The text without space at its beginning, and at its end until something follows."""
        text = self._space + showable(text)
        if not self._told:
            text = text.lstrip()
        words = text.rstrip()
        self._space, self._told = text[len(words) :], self._told or bool(words)
        return words
