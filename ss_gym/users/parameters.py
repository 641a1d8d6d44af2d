"""The parameter vector φ of customers: what of them can be set for an episode, as numbers with ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ss_gym.spelling import nearest
from ss_gym.streams import Stream
from ss_gym.users.persona import Persona, Register


class Parameter(NamedTuple):
    """One component of φ.

    Attributes:
        low: the least value.
        high: the greatest.
        unit: what it counts.
        about: what it does.
    """

    low: float
    high: float
    unit: str
    about: str


PARAMETERS: Mapping[str, Parameter] = {
    "patience": Parameter(1, 12, "turns", "misunderstandings and idle turns borne before giving up, on average"),
    "verbosity": Parameter(0, 1, "share", "how often sentences that carry no fact are added"),
    "disclosure": Parameter(0, 1, "probability", "of telling a known fact before it is asked for"),
    "noise": Parameter(0, 0.3, "share", "of the words that are mistyped"),
    "insists": Parameter(0, 4, "times", "a refusal is contested before it is accepted, on average"),
    "hurried": Parameter(0, 1, "probability", "of wanting it done quickly, and saying so"),
    "checks_account": Parameter(0, 1, "probability", "of looking at the account when told that something is done"),
    "email": Parameter(0, 1, "probability", "of writing letters and not lines of a chat"),
    "tangents": Parameter(0, 1, "probability", "of adding something that has nothing to do with the matter, a turn"),
    "unprepared": Parameter(0, 1, "probability", "of having to look for a fact that was asked for"),
    "demanding": Parameter(0, 1, "probability", "of asking for something that no shop does, a turn"),
    "plain": Parameter(0, 1, "weight", "of a plain tone; what the others leave of one if it is not given"),
    "polite": Parameter(0, 1, "weight", "of a polite tone"),
    "curt": Parameter(0, 1, "weight", "of a curt tone"),
    "chatty": Parameter(0, 1, "weight", "of a chatty tone"),
    "upset": Parameter(0, 1, "weight", "of an upset tone"),
}
_TONES: tuple[Register, ...] = ("polite", "curt", "chatty", "upset")
# What an end of a range may be off by in single precision, as a share of the range.
_ROUNDING = 1e-6
_WHOLE = ("patience", "insists")
_LIKELY = ("hurried", "checks_account")
_SHARES = ("verbosity", "disclosure", "noise", "tangents", "unprepared", "demanding")


def checked_params(
    params: Any, known: Mapping[str, Parameter] = PARAMETERS, option: str = "user_params"
) -> dict[str, float]:
    """Some components of φ, or of another vector, as numbers within their ranges.

    >>> checked_params({"noise": 0.1, "patience": 3})
    {'noise': 0.1, 'patience': 3.0}

    Args:
        params: values by name.
        known: the components that there are.
        option: what it is called in errors.

    Raises:
        ValueError: for an unknown name, or a value that is no number within the range.
        TypeError: if it is no mapping.
    """
    if not isinstance(params, Mapping):
        raise TypeError(f"{option} must be a mapping of parameters to numbers, got {params!r:.80}")
    checked = {}
    for name, value in params.items():
        if name not in known:
            raise ValueError(f"{option}: there is no parameter {name!r}; {nearest(str(name), known)}")
        low, high, unit, _ = known[name]
        if type(value) is float and low <= value <= high:  # as a randomizer draws them, for every episode
            checked[name] = value
            continue
        try:
            number = math.nan if isinstance(value, bool | str | bytes) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if abs(number - min(max(number, low), high)) <= _ROUNDING * (high - low):
            number = min(max(number, low), high)
        if not low <= number <= high:
            raise ValueError(f"{option}: {name} must be from {low:g} to {high:g} ({unit}), got {value!r:.80}")
        checked[name] = number
    return checked


def with_params(persona: Persona, params: Mapping[str, float], stream: Stream) -> Persona:
    """The customer that φ describes: the one that was drawn, but for what φ sets.

    Shares and probabilities of a turn are taken as they are. What is true of a customer or not is drawn, as is a whole
    number with the mean that is asked for. Weights of tones are shares of their sum; where ``plain`` has none, it has
    what the others leave of 1. Where one tone is given, those that are not have the weight 0.

    Args:
        persona: as it was drawn.
        params: what ``checked_params`` gave.
        stream: the source of randomness; it is drawn from as often, whatever is set.
    """
    changes: dict[str, Any] = {name: params[name] for name in _SHARES if name in params}
    for name in (*_WHOLE, *_LIKELY, "email"):
        draw = stream.uniform()
        if name not in params:
            continue
        if name in _WHOLE:
            changes[name] = math.floor(params[name]) + (draw < params[name] % 1)
        elif name == "email":
            changes["channel"] = "email" if draw < params[name] else "chat"
        else:
            changes[name] = draw < params[name]
    draw = stream.uniform()
    if "plain" in params or any(tone in params for tone in _TONES):
        weights = [params.get(tone, 0.0) for tone in _TONES]
        plain = params.get("plain", max(0.0, 1 - sum(weights)))
        changes["register"], left = "plain", draw * (plain + sum(weights))
        for tone, weight in zip(_TONES, weights, strict=True):
            if left < weight:
                changes["register"] = tone
                break
            left -= weight
    return persona._replace(**changes)
