"""Offline algorithms by name and by their settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from ss_gym.spelling import nearest
from ss_trainers.config import config_from_mapping
from ss_trainers.offline.learner import Learner, Setup
from ss_trainers.offline.settings import OfflineConfig

# Name -> module, which has a function ``learner``, and the class of the settings in it.
OFFLINE_ALGORITHMS = {
    "bc": ("ss_trainers.offline.bc", "BCConfig"),
    "bcq": ("ss_trainers.offline.bcq", "BCQConfig"),
    "bear": ("ss_trainers.offline.bear", "BEARConfig"),
    "cql": ("ss_trainers.offline.cql", "CQLConfig"),
    "decision_transformer": ("ss_trainers.offline.decision_transformer", "DecisionTransformerConfig"),
    "ilql": ("ss_trainers.offline_text.ilql", "ILQLConfig"),
    "iql": ("ss_trainers.offline.iql", "IQLConfig"),
}


def make_config(name: str, settings: Mapping[str, Any]) -> OfflineConfig:
    """An algorithm's settings from plain values, such as those of a file.

    Raises:
        ValueError: for an unknown algorithm or setting, or a value that is wrong.
    """
    if name not in OFFLINE_ALGORITHMS:
        raise ValueError(f"there is no offline algorithm {name!r:.80}; {nearest(name, list(OFFLINE_ALGORITHMS))}")
    module, class_name = OFFLINE_ALGORITHMS[name]
    made: OfflineConfig = config_from_mapping(getattr(import_module(module), class_name), settings)
    return made


def name_of(config: OfflineConfig) -> str:
    """The name of the algorithm that settings are for.

    Raises:
        TypeError: if they are for none.
    """
    kind = type(config)
    for name, place in OFFLINE_ALGORITHMS.items():
        if place == (kind.__module__, kind.__name__):
            return name
    raise TypeError(f"{kind.__name__} is not the config of an offline algorithm: {', '.join(OFFLINE_ALGORITHMS)}")


def make_learner(config: OfflineConfig, setup: Setup) -> Learner[Any]:
    """The algorithm that settings are for.

    Raises:
        ValueError: if it can't learn from such a log.
    """
    module, _ = OFFLINE_ALGORITHMS[name_of(config)]
    make: Callable[[OfflineConfig, Setup], Learner[Any]] = import_module(module).learner
    return make(config, setup)
