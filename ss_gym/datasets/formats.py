"""The forms of logs that are read, and how each is told from the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ss_gym.datasets.chat_logs import messages_in, read_openai, read_sharegpt
from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.datasets.native import read_native
from ss_gym.datasets.records import Place, RecordError
from ss_gym.datasets.service_logs import read_sgd, read_tau2_bench, read_tau_bench
from ss_gym.wrappers.trajectories import FORMAT

# Reads the JSON value of a conversation; knows where it stands, and what stood at the head of its file.
Reader = Callable[[Any, Place, Mapping[str, Any]], LoggedConversation]


@dataclass(frozen=True, slots=True)
class LogFormat:
    """A form of logs.

    Attributes:
        name: by which it is asked for.
        matches: whether a JSON object is a conversation in this form, or means to be one.
        read: reads it.
    """

    name: str
    matches: Callable[[Mapping[str, Any]], bool]
    read: Reader


def _has_messages(key: str) -> Callable[[Mapping[str, Any]], bool]:
    """Whether there is a list of messages that tell by a key who speaks."""

    def matches(values: Mapping[str, Any]) -> bool:
        messages = messages_in(values)
        return messages is not None and any(isinstance(one, Mapping) and key in one for one in messages)

    return matches


def _is_tau2(values: Mapping[str, Any]) -> bool:
    return "termination_reason" in values and "reward_info" in values


def _is_openai(values: Mapping[str, Any]) -> bool:
    return _has_messages("role")(values) or messages_in(values) is not None


# In the order in which they are tried: those that are told by something of their own come first.
FORMATS: Mapping[str, LogFormat] = {
    one.name: one
    for one in (
        LogFormat("stateset", lambda values: values.get("format") == FORMAT, read_native),
        LogFormat("tau_bench", lambda values: "traj" in values or "messages_display" in values, read_tau_bench),
        LogFormat("tau2_bench", _is_tau2, read_tau2_bench),
        LogFormat("sgd", lambda values: "turns" in values and "services" in values, read_sgd),
        LogFormat("sharegpt", _has_messages("from"), read_sharegpt),
        LogFormat("openai", _is_openai, read_openai),
    )
}


def is_conversation(value: Any) -> bool:
    """Whether a JSON value is a conversation in a form that is known: one that has messages, or a list of them."""
    if isinstance(value, list):
        return _has_messages("role")({"messages": value})
    others = [one.matches for one in FORMATS.values() if one.name != "openai"]  # which takes any list for messages
    return isinstance(value, Mapping) and any(matches(value) for matches in (_has_messages("role"), *others))


def format_named(name: str) -> LogFormat:
    """The format of a name.

    Raises:
        ValueError: if there is none.
    """
    if name not in FORMATS:
        raise ValueError(f"unknown format {name!r}: known are {', '.join(FORMATS)}")
    return FORMATS[name]


def format_of(values: Any) -> LogFormat:
    """The format that a conversation has.

    Raises:
        RecordError: if it is none that is known.
    """
    if isinstance(values, list):
        return FORMATS["openai"]
    if not isinstance(values, Mapping):
        raise RecordError("unknown format", f"a conversation is an object or a list of messages, got {values!r:.80}")
    found = next((one for one in FORMATS.values() if one.matches(values)), None)
    if found is None:
        keys = ", ".join(map(repr, list(values)[:8])) or "nothing"
        known = ", ".join(FORMATS)
        raise RecordError("unknown format", f"the format is not known: the record has {keys}; name one of {known}")
    return found


def conversation_in(form: LogFormat, values: Any, place: Place, header: Mapping[str, Any]) -> LoggedConversation:
    """The conversation that a JSON value is, in a form.

    Args:
        form: the form.
        values: the value.
        place: where it stands.
        header: what stood at the head of its file.

    Raises:
        RecordError: if it is none.
    """
    if isinstance(values, Mapping) or (isinstance(values, list) and form.name == "openai"):
        return form.read(values, place, header)
    raise RecordError("no object", f"a conversation is an object, got {values!r:.80}")
