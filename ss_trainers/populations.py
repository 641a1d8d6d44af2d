"""Populations of customers by their settings alone, as config files and checkpoints have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from inspect import signature
from pathlib import Path
from typing import Any, cast

from ss_gym.attributes import named_attribute
from ss_gym.sim2real import (
    AutomaticRandomizationConfig,
    AutomaticRandomizer,
    ConversationSimulator,
    ConversationSimulatorConfig,
    Curriculum,
    DomainRandomizationConfig,
    DomainRandomizer,
    Population,
    RandomizedPopulation,
    SimToRealConfig,
    SimToRealTransfer,
    TransferPopulation,
)
from ss_gym.sim2real.population import Draw
from ss_gym.spelling import nearest
from ss_trainers.config import config_from_mapping

# Whom an agent meets: a population, or the settings of one.
Customers = Population | Mapping[str, Any]

_METHODS = ("draw", "learn", "evaluated", "state_dict", "load_state_dict")


@dataclass(frozen=True)
class CurriculumPace:
    """What a curriculum has beside the ranges."""

    widen_at: float = 0.7
    step: float = 0.1


@dataclass(frozen=True)
class CalibratedCustomers:
    """Customers that ``ConversationSimulator.save`` wrote."""

    calibration: str
    realism_level: float = 1.0


@dataclass(frozen=True)
class FixedOptions:
    """Reset options that are the same for all."""

    options: Mapping[str, Any] = field(default_factory=dict)


def make_population(settings: Mapping[str, Any], source: str = "") -> Population:
    """The population that some settings describe.

    >>> population = make_population({"kind": "uniform", "style_variation": 0.5})
    >>> population.learn(0, [])["population/width"] > 0.3
    True

    Args:
        settings: its ``kind``, and what that kind has:

            * ``uniform``: the settings of ``DomainRandomizationConfig``;
            * ``automatic``: those of ``AutomaticRandomizationConfig``;
            * ``curriculum``: those of ``DomainRandomizationConfig``, ``widen_at`` and ``step``;
            * ``calibrated``: ``calibration``, the file of ``ConversationSimulator.save``, and ``realism_level``;
            * ``options``: ``options``, reset options of every episode;
            * ``transfer``: the settings of ``SimToRealConfig``, and ``simulated`` and ``real``, each the settings of a
              population;
            * ``package.module:name``, of a function that makes one: its keyword arguments.
        source: where the settings come from, for messages.

    Raises:
        ValueError: for a kind that there is not, or a setting that is unknown, wrong or missing.
        OSError: if the file of a calibration is missing.
        ImportError: if a function's module can't be imported.
    """
    return _made(settings, f"{source}: population" if source else "population")


def as_population(customers: Customers | None) -> Population | None:
    """A population, made if only its settings are there; None if there is none."""
    return make_population(customers) if isinstance(customers, Mapping) else customers


def lasting_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that mean the same from other working directories: with the whole paths of calibrations."""
    told = dict(settings)
    if isinstance(told.get("calibration"), str):
        told["calibration"] = str(Path(told["calibration"]).absolute())
    sides = {side: lasting_settings(told[side]) for side in _SIDES if isinstance(told.get(side), Mapping)}
    return {**told, **sides}


def _made(settings: Any, where: str) -> Population:
    if not isinstance(settings, Mapping):
        raise ValueError(f"{where} must be settings by name, got {settings!r:.80}")
    told = dict(settings)
    kind = told.pop("kind", None)
    if isinstance(kind, str) and ":" in kind:
        return _made_by(kind, told, where)
    if kind not in _KINDS:
        hint = nearest(str(kind), _KINDS) if kind else f"one of {', '.join(_KINDS)}"
        raise ValueError(f"{where}.kind: there is no {kind!r:.80}; {hint}, or the module:name of your own")
    return _KINDS[kind](told, where)


def _made_by(name: str, keywords: Mapping[str, Any], where: str) -> Population:
    maker = named_attribute(name, "population")
    try:
        signature(maker).bind(**keywords)
    except TypeError as error:
        raise ValueError(f"{where}.kind: {name} does not take what is given: {error}") from error
    made = maker(**keywords)
    if not all(callable(getattr(made, method, None)) for method in _METHODS):
        needed = ", ".join(_METHODS)
        raise ValueError(f"{where}.kind: {name} makes a {type(made).__name__}, and a population has {needed}")
    return cast("Population", made)


def _uniform(told: Mapping[str, Any], where: str) -> Population:
    return RandomizedPopulation(DomainRandomizer(config_from_mapping(DomainRandomizationConfig, told, where)))


def _automatic(told: Mapping[str, Any], where: str) -> Population:
    return RandomizedPopulation(AutomaticRandomizer(config_from_mapping(AutomaticRandomizationConfig, told, where)))


def _curriculum(told: Mapping[str, Any], where: str) -> Population:
    own = {entry.name for entry in fields(CurriculumPace)}
    pace = config_from_mapping(CurriculumPace, {name: told[name] for name in told if name in own}, where)
    ranges = {name: value for name, value in told.items() if name not in own}
    config = config_from_mapping(DomainRandomizationConfig, ranges, where)
    return RandomizedPopulation(cast("Draw", Curriculum(config, pace.widen_at, pace.step)))


def _calibrated(told: Mapping[str, Any], where: str) -> Population:
    fitted = config_from_mapping(CalibratedCustomers, told, where)
    simulator = ConversationSimulator(ConversationSimulatorConfig(realism_level=fitted.realism_level))
    simulator.load(fitted.calibration)
    return RandomizedPopulation(simulator)


def _always(told: Mapping[str, Any], where: str) -> Population:
    options = config_from_mapping(FixedOptions, told, where).options
    return RandomizedPopulation(lambda generator: options)


_SIDES = ("simulated", "real")


def _transfer(told: Mapping[str, Any], where: str) -> Population:
    schedule = {name: value for name, value in told.items() if name not in _SIDES}
    if missing := [side for side in _SIDES if side not in told]:
        raise ValueError(f"{where}: a transfer goes from one population to another: {missing[0]} is missing")
    sides = [_made(told[side], f"{where}.{side}") for side in _SIDES]
    return TransferPopulation(SimToRealTransfer(config_from_mapping(SimToRealConfig, schedule, where)), *sides)


_KINDS: Mapping[str, Callable[[Mapping[str, Any], str], Population]] = {
    "uniform": _uniform,
    "automatic": _automatic,
    "curriculum": _curriculum,
    "calibrated": _calibrated,
    "options": _always,
    "transfer": _transfer,
}
