"""Who the customer is: how they write, how much they tell, how long they bear with the agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from ss_gym.spelling import nearest
from ss_gym.streams import Stream

Register = Literal["plain", "polite", "curt", "chatty", "upset"]
REGISTERS: tuple[Register, ...] = ("plain", "polite", "curt", "chatty", "upset")

Channel = Literal["chat", "email"]


class Persona(NamedTuple):
    """One customer's way of talking; what they want is the scenario's, not the persona's.

    Attributes:
        register: the tone of every sentence.
        patience: misunderstandings and idle turns borne before giving up.
        verbosity: in [0, 1]; how often sentences that carry no fact are added.
        disclosure: in [0, 1]; probability of telling a known fact before it is asked for.
        noise: share of the words that are mistyped, in [0, 1]; 0 writes cleanly.
        insists: how often a refusal is contested before it is accepted.
        hurried: wants it done quickly, and says so.
        checks_account: looks at the account when told that something is done.
        channel: chat writes lines, e-mail writes small letters with a greeting.
        tangents: in [0, 1]; how often they add something that has nothing to do with the matter.
        unprepared: in [0, 1]; how often they have to look for a fact, and tell it only when asked again.
        demanding: in [0, 1]; how often they ask for something that no shop does on top.
        manner: how they write, in words, for whoever plays them from outside; the scripted customer goes by the rest.
    """

    register: Register = "plain"
    patience: int = 4
    verbosity: float = 0.3
    disclosure: float = 0.5
    noise: float = 0.0
    insists: int = 1
    hurried: bool = False
    checks_account: bool = False
    channel: Channel = "chat"
    tangents: float = 0.0
    unprepared: float = 0.0
    demanding: float = 0.0
    manner: str = ""

    def without_noise(self) -> Persona:
        """The same customer, typing with care."""
        return self if self.noise == 0.0 else self._replace(noise=0.0)


class _Ranges(NamedTuple):
    """What the personas of a split are drawn from; pairs are (low, high), both included."""

    patience: tuple[int, int]
    disclosure: tuple[float, float]
    noise: tuple[float, float]
    insists: tuple[int, int]
    clean: float
    hurried: float
    checks_account: float
    email: float


_TRAIN = _Ranges((4, 7), (0.2, 0.9), (0.01, 0.06), (0, 2), clean=0.5, hurried=0.2, checks_account=0.3, email=0.2)
# Customers who are shorter-tempered, more silent or more talkative, and worse typists than any in training.
_HELD_OUT = _Ranges((3, 8), (0.1, 1.0), (0.01, 0.08), (0, 3), clean=0.4, hurried=0.25, checks_account=0.35, email=0.25)
_RANGES = {"train": _TRAIN, "dev": _HELD_OUT, "test": _HELD_OUT}

_REGISTER_BOUNDS = (0.30, 0.55, 0.70, 0.85, 1.0)
_VERBOSITY: dict[Register, tuple[float, float]] = {
    "plain": (0.1, 0.5),
    "polite": (0.2, 0.6),
    "curt": (0.0, 0.1),
    "chatty": (0.6, 1.0),
    "upset": (0.2, 0.7),
}


def draw_persona(stream: Stream, split: str) -> Persona:
    """Draws a customer; dev and test reach a little beyond the ranges of train.

    Args:
        stream: the source of randomness.
        split: ``"train"``, ``"dev"`` or ``"test"``.

    Raises:
        ValueError: if the split is unknown.
    """
    ranges = _RANGES.get(split)
    if ranges is None:
        raise ValueError(f"unknown split {split!r}: use one of {', '.join(_RANGES)}")
    register = stream.weighted(REGISTERS, _REGISTER_BOUNDS)
    return Persona(
        register=register,
        patience=stream.between(*ranges.patience),
        verbosity=_within(stream, _VERBOSITY[register]),
        disclosure=_within(stream, ranges.disclosure),
        noise=0.0 if stream.chance(ranges.clean) else _within(stream, ranges.noise),
        insists=stream.between(*ranges.insists),
        hurried=stream.chance(ranges.hurried),
        checks_account=stream.chance(ranges.checks_account),
        channel="email" if stream.chance(ranges.email) else "chat",
    )


def _within(stream: Stream, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return low + (high - low) * stream.uniform()


# Customers to ask for by name: what they have otherwise than the one that is drawn.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "patient": {"patience": 12, "insists": 0, "hurried": False},
    "impatient": {"patience": 3, "hurried": True},
    "taciturn": {"register": "curt", "verbosity": 0.0, "disclosure": 0.1},
    "talkative": {"register": "chatty", "verbosity": 1.0, "disclosure": 0.9},
    "upset": {"register": "upset", "insists": 3, "patience": 4},
    "careless": {"noise": 0.1},
    "careful": {"noise": 0.0, "checks_account": True},
    "rambling": {"tangents": 0.4, "verbosity": 0.8},
    "unprepared": {"unprepared": 0.6},
    "demanding": {"demanding": 0.4, "insists": 2},
    "difficult": {"tangents": 0.3, "unprepared": 0.4, "demanding": 0.3, "noise": 0.05, "insists": 2},
}


def as_changes(persona: str | Mapping[str, Any] | Persona | None) -> Mapping[str, Any]:
    """What every customer has otherwise than drawn.

    >>> as_changes({"patience": 9})["patience"], as_changes("careless")["noise"]
    (9, 0.1)

    Args:
        persona: the name of a preset, some fields of ``Persona`` with their values, a whole one, or None.

    Raises:
        ValueError: for an unknown name, field or value.
        TypeError: for anything else.
    """
    if persona is None:
        return {}
    if isinstance(persona, Persona):
        return persona._asdict()
    if isinstance(persona, str):
        if persona not in PRESETS:
            raise ValueError(f"unknown persona {persona!r}; {nearest(persona, PRESETS)}")
        return PRESETS[persona]
    if not isinstance(persona, Mapping):
        raise TypeError(f"persona must be a name, a mapping of its fields or a Persona, got {persona!r:.80}")
    for name, value in persona.items():
        _check_field(name, value)
    return dict(persona)


_CHOICES: Mapping[str, tuple[str, ...]] = {"register": REGISTERS, "channel": ("chat", "email")}
_LEAST = {"patience": 1, "insists": 0}


def _check_field(name: str, value: Any) -> None:
    if name not in Persona._fields:
        raise ValueError(f"a persona has no {name!r}; {nearest(name, Persona._fields)}")
    if name in _CHOICES:
        good, wanted = value in _CHOICES[name], f"one of {', '.join(_CHOICES[name])}"
    elif name in _LEAST:
        good, wanted = type(value) is int and value >= _LEAST[name], f"an int from {_LEAST[name]} up"
    elif isinstance(Persona._field_defaults[name], str):
        good, wanted = isinstance(value, str), "a text"
    elif isinstance(Persona._field_defaults[name], bool):
        good, wanted = isinstance(value, bool), "True or False"
    else:
        good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
        wanted = "a number from 0 to 1"
    if not good:
        raise ValueError(f"the {name} of a persona must be {wanted}, got {value!r:.80}")
