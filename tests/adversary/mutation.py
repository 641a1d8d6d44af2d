"""Small changes of a script: what the adversary tries next."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ss_gym.streams import Stream
from tests.adversary.language import arguments_for, call_text, filled, fragment, sentences_of, tools_of
from tests.adversary.trial import Action, Script
from tests.adversary.values import Values

MOST_ACTIONS = 14
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_SPOKEN_KINDS = ("amount", "date", "days", "order_id", "item_id", "title", "email", "postal_code", "variant_id")


def is_call(action: Action) -> bool:
    """Whether an action is a tool call."""
    return action[0].startswith("<tool_call>")


def as_action(text: str) -> Action:
    """A text as its sentences; a call stays whole."""
    return (text,) if text.startswith("<tool_call>") else tuple(_SENTENCE.split(text.strip())) or ("",)


class Mutator:
    """Changes scripts of one pair of scenarios.

    Args:
        family: the family's name.
        values: what calls and sentences are filled with.
        seeds: scripts that others are spliced with; their sentences and calls are the pool.
        allowed: whether a call may be made.
        stream: draws the changes.
    """

    def __init__(
        self, family: str, values: Values, seeds: Sequence[Script], allowed: Callable[[str], bool], stream: Stream
    ) -> None:
        self._family = family
        self._values = values
        self._seeds = seeds
        self._allowed = allowed
        self._stream = stream
        actions = list(dict.fromkeys(action for script in seeds for action in script))
        self._calls = [action for action in actions if is_call(action)]
        self._said = list(dict.fromkeys(each for action in actions if not is_call(action) for each in action if each))
        self._of_kind = {value: kind for kind in _SPOKEN_KINDS for value in values[kind]}
        longest = sorted(self._of_kind, key=len, reverse=True)
        self._value = re.compile("|".join(rf"(?<![\w.-]){re.escape(value)}(?![\w-])" for value in longest))
        self._changes = (
            *(self._insert, self._insert, self._delete, self._swap, self._repeat, self._splice),
            *(self._say_more, self._say_more, self._say_less, self._say_other, self._change_value, self._change_value),
            *(self._join, self._part),
        )

    def mutated(self, script: Script) -> Script:
        """A script with one to three changes."""
        stream = self._stream
        for _ in range(1 + (stream.chance(0.4) + stream.chance(0.2))):
            script = stream.choice(self._changes)(script) if script else self._insert(script)
        return script[:MOST_ACTIONS]

    # --- what is new ------------------------------------------------------------------------------

    def _call(self) -> Action:
        stream = self._stream
        for _ in range(20):
            if self._calls and stream.chance(0.5):
                call = stream.choice(self._calls)[0]
            else:
                tool = stream.choice(tools_of(self._family))
                call = call_text(tool.name, arguments_for(tool, self._values, stream))
            if self._allowed(call):
                return (call,)
        return ("",)

    def _sentence(self) -> str:
        stream = self._stream
        if self._said and stream.chance(0.4):
            return stream.choice(self._said)
        known = sentences_of(self._family)
        if not known or stream.chance(0.2):
            return fragment(self._values, stream)
        whole = filled(stream.choice(known).replace("{amount}", "${amount}"), self._values, stream)
        return stream.choice(as_action(whole)) if stream.chance(0.5) else whole

    # --- changes ----------------------------------------------------------------------------------

    def _insert(self, script: Script) -> Script:
        at = self._stream.below(len(script) + 1)
        new = self._call() if self._stream.chance(0.4) else (self._sentence(),)
        return (*script[:at], new, *script[at:])

    def _delete(self, script: Script) -> Script:
        at = self._stream.below(len(script))
        return (*script[:at], *script[at + 1 :])

    def _swap(self, script: Script) -> Script:
        actions = list(script)
        first, second = self._stream.below(len(actions)), self._stream.below(len(actions))
        actions[first], actions[second] = actions[second], actions[first]
        return tuple(actions)

    def _repeat(self, script: Script) -> Script:
        at = self._stream.below(len(script))
        return (*script[: at + 1], *script[at:])

    def _splice(self, script: Script) -> Script:
        other = self._stream.choice(self._seeds)
        return (*script[: self._stream.below(len(script) + 1)], *other[self._stream.below(len(other) + 1) :])

    def _edited(self, script: Script, edit: Callable[[Action], Action]) -> Script:
        """With one of the messages edited."""
        said = [place for place, action in enumerate(script) if not is_call(action)]
        if not said:
            return self._insert(script)
        at = self._stream.choice(said)
        return (*script[:at], edit(script[at]) or ("",), *script[at + 1 :])

    def _say_more(self, script: Script) -> Script:
        def edit(action: Action) -> Action:
            at = self._stream.below(len(action) + 1)
            return (*action[:at], self._sentence(), *action[at:])[:8]

        return self._edited(script, edit)

    def _say_less(self, script: Script) -> Script:
        def edit(action: Action) -> Action:
            at = self._stream.below(len(action))
            return (*action[:at], *action[at + 1 :])

        return self._edited(script, edit)

    def _say_other(self, script: Script) -> Script:
        def edit(action: Action) -> Action:
            at = self._stream.below(len(action))
            return (*action[:at], self._sentence(), *action[at + 1 :])

        return self._edited(script, edit)

    def _change_value(self, script: Script) -> Script:
        """Puts another value of the same kind in the place of one."""
        stream = self._stream
        at = stream.below(len(script))
        text = "\n\n".join(script[at])
        found = list(self._value.finditer(text))
        if not found:
            return script
        match = stream.choice(found)
        other = stream.choice(self._values[self._of_kind[match[0]]])
        changed = tuple((text[: match.start()] + other + text[match.end() :]).split("\n\n"))
        if is_call(changed) and not self._allowed(changed[0]):
            return script
        return (*script[:at], changed, *script[at + 1 :])

    def _join(self, script: Script) -> Script:
        """Makes one message of two that follow each other."""
        for at in range(len(script) - 1):
            if not is_call(script[at]) and not is_call(script[at + 1]) and self._stream.chance(0.5):
                return (*script[:at], (*script[at], *script[at + 1])[:8], *script[at + 2 :])
        return script

    def _part(self, script: Script) -> Script:
        """Makes two messages of one."""
        for at, action in enumerate(script):
            if not is_call(action) and len(action) > 1 and self._stream.chance(0.5):
                cut = 1 + self._stream.below(len(action) - 1)
                return (*script[:at], action[:cut], action[cut:], *script[at + 1 :])
        return script
