"""Populations of customers by their settings alone, as config files and checkpoints have them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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

_SIDES = ("simulated", "real")


@dataclass(frozen=True, slots=True)
class CurriculumSettings(DomainRandomizationConfig):
    """Settings of a curriculum: what is varied in the end, and how it comes to that.

    Attributes:
        widen_at: share of successes in an evaluation from which on it gets harder.
        step: how much of the way an advance is.
    """

    widen_at: float = 0.7
    step: float = 0.1


@dataclass(frozen=True, slots=True)
class CalibratedCustomers:
    """Settings of customers who were fitted to conversations.

    Attributes:
        calibration: the file of ``ConversationSimulator.save``, of a simulator without parameters of its own.
        realism_level: as of ``ConversationSimulatorConfig``.
        digest: of what the file holds, as checkpoints keep it; whatever it holds if empty.
    """

    calibration: str
    realism_level: float = 1.0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class FixedOptions:
    """Settings of customers who are all reset alike.

    Attributes:
        options: of every episode.
    """

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
        ValueError: for a kind that there is not, a setting that is unknown, wrong or missing, or a calibration that
            has changed.
        OSError: if the file of a calibration is missing.
        ImportError: if a function's module can't be imported.
    """
    return _made(settings, f"{source}: population" if source else "population")


def as_population(customers: Customers | None) -> Population | None:
    """A population, made if only its settings are there; None if there is none."""
    return make_population(customers) if isinstance(customers, Mapping) else customers


def lasting_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that mean the same later and from elsewhere, as a checkpoint keeps them.

    Files of calibrations are named by their whole path, and by what they hold.

    Raises:
        ValueError: if something is no plain value, as JSON has them.
        OSError: if the file of a calibration is missing.
    """
    told = dict(settings)
    if told.get("kind") == "calibrated" and isinstance(told.get("calibration"), str | Path):
        file = Path(told["calibration"]).expanduser().absolute()
        told |= {"calibration": str(file), "digest": _digest(file)}
    sides = {side: lasting_settings(told[side]) for side in _SIDES if isinstance(told.get(side), Mapping)}
    try:
        plain: dict[str, Any] = json.loads(json.dumps({**told, **sides}))
    except (TypeError, ValueError) as error:
        raise ValueError(f"settings of a population are texts, numbers, lists and mappings: {error}") from error
    return plain


def resumed_population(kept: Mapping[str, Any] | None, given: Customers | None, folder: str | Path) -> Customers | None:
    """The population of a run that goes on.

    Settings may be given again, if they are the same; a calibration may lie elsewhere by now.

    Args:
        kept: the settings that the checkpoint has; None if there are none.
        given: what the caller has given.
        folder: the checkpoint, for messages.

    Raises:
        ValueError: if settings are given that are not those of the run, or those that are kept name a function, which
            a checkpoint has not to choose.
    """
    if isinstance(given, Mapping):
        if kept is None:
            raise ValueError(
                f"the run in '{folder}' has no settings of a population: give the population itself, if any"
            )
        if _compared(lasting_settings(given)) != _compared(kept):
            raise ValueError(f"the population differs from that of the run in '{folder}', which is {kept!r:.300}")
    elif given is None and kept is not None and (name := _function_in(kept)):
        raise ValueError(f"the population of the run in '{folder}' is made by {name}: give its settings again")
    return kept if given is None else given


def _compared(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without where a calibration lies, which its digest stands for."""
    told = {name: value for name, value in settings.items() if name != "calibration" or "digest" not in settings}
    return {name: _compared(value) if isinstance(value, Mapping) else value for name, value in told.items()}


def _function_in(settings: Mapping[str, Any]) -> str:
    """The function that settings name; nothing if they name none."""
    kind = settings.get("kind")
    if isinstance(kind, str) and ":" in kind:
        return kind
    sides = [settings[side] for side in _SIDES if isinstance(settings.get(side), Mapping)]
    return next(filter(None, map(_function_in, sides)), "")


def _made(settings: Any, where: str) -> Population:
    if not isinstance(settings, Mapping):
        raise ValueError(f"{where} must be settings by name, got {settings!r:.80}")
    told = dict(settings)
    kind = told.pop("kind", None)
    if isinstance(kind, str) and ":" in kind:
        return _made_by(kind, told, where)
    if not isinstance(kind, str) or kind not in _KINDS:
        hint = nearest(kind, _KINDS) if isinstance(kind, str) else f"one of {', '.join(_KINDS)}"
        raise ValueError(f"{where}.kind: there is no {kind!r:.80}; {hint}, or the module:name of your own")
    return _KINDS[kind](told, where)


def _made_by(name: str, keywords: Mapping[str, Any], where: str) -> Population:
    maker = named_attribute(name, "population")
    try:
        signature(maker).bind(**keywords)
    except TypeError as error:
        raise ValueError(f"{where}.kind: {name} does not take what is given: {error}") from error
    made = maker(**keywords)
    if not isinstance(made, Population):
        raise ValueError(f"{where}.kind: {name} makes a {type(made).__name__}, and no population")
    return made


def _uniform(told: Mapping[str, Any], where: str) -> Population:
    return RandomizedPopulation(DomainRandomizer(config_from_mapping(DomainRandomizationConfig, told, where)))


def _automatic(told: Mapping[str, Any], where: str) -> Population:
    return RandomizedPopulation(AutomaticRandomizer(config_from_mapping(AutomaticRandomizationConfig, told, where)))


def _curriculum(told: Mapping[str, Any], where: str) -> Population:
    config = config_from_mapping(CurriculumSettings, told, where)
    return RandomizedPopulation(cast("Draw", Curriculum(config, config.widen_at, config.step)))


def _calibrated(told: Mapping[str, Any], where: str) -> Population:
    given = {**told, "calibration": str(told["calibration"])} if isinstance(told.get("calibration"), Path) else told
    fitted = config_from_mapping(CalibratedCustomers, given, where)
    if not 0 <= fitted.realism_level <= 1:
        raise ValueError(f"{where}.realism_level must be from 0 to 1, not {fitted.realism_level}")
    file = Path(fitted.calibration).expanduser()
    if fitted.digest and _digest(file) != fitted.digest:
        raise ValueError(f"{where}: '{file}' does not hold the calibration that the run began with")
    simulator = ConversationSimulator(ConversationSimulatorConfig(realism_level=fitted.realism_level))
    simulator.load(file)
    return RandomizedPopulation(simulator)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _always(told: Mapping[str, Any], where: str) -> Population:
    options = config_from_mapping(FixedOptions, told, where).options
    return RandomizedPopulation(lambda generator: options)


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
