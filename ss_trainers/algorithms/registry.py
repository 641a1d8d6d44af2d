"""Algorithms by name: ours, and those that other packages bring by an entry point."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from ss_gym.spelling import nearest
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.config import config_from_mapping

GROUP = "ss_trainers.algorithms"

# Name -> module and class; a module is imported when its algorithm is used.
ALGORITHMS = {
    "behavior_cloning": "ss_trainers.algorithms.behavior_cloning:BehaviorCloning",
    "cispo": "ss_trainers.algorithms.cispo:CISPO",
    "critique_revision": "ss_trainers.algorithms.critique_revision:CritiqueRevision",
    "dapo": "ss_trainers.algorithms.dapo:DAPO",
    "gepo": "ss_trainers.algorithms.gepo:GEPO",
    "grpo": "ss_trainers.algorithms.grpo:GRPO",
    "gspo": "ss_trainers.algorithms.gspo:GSPO",
    "offline_grpo": "ss_trainers.algorithms.offline_grpo:OfflineGRPO",
    "online_dpo": "ss_trainers.algorithms.online_dpo:OnlineDPO",
    "ppo": "ss_trainers.algorithms.ppo:PPO",
    "reinforce_plus_plus": "ss_trainers.algorithms.reinforce_plus_plus:ReinforcePlusPlus",
    "rejection_sampling": "ss_trainers.algorithms.rejection_sampling:RejectionSampling",
    "rlaif": "ss_trainers.algorithms.rlaif:RLAIF",
    "rloo": "ss_trainers.algorithms.rloo:RLOO",
    "shuffled": "ss_trainers.algorithms.shuffled:Shuffled",
    "vapo": "ss_trainers.algorithms.vapo:VAPO",
}


def algorithm_class(name: str) -> type[PolicyOptimization]:
    """The class of an algorithm: ours of that name, or that of an entry point in ``ss_trainers.algorithms``.

    It has a ``name``, a ``config_class``, which is a frozen dataclass, and is built with a config or nothing
    (``offline_grpo`` alone needs a log beside, or a config without).

    Raises:
        ValueError: if there is no such algorithm.
        ImportError: if the module that should hold it can't be imported.
    """
    if name in ALGORITHMS:
        module, _, attribute = ALGORITHMS[name].partition(":")
        found: type[PolicyOptimization] = getattr(import_module(module), attribute)
        return found
    brought = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in brought:
        raise ValueError(f"there is no algorithm {name!r:.80}; {nearest(name, [*ALGORITHMS, *brought])}")
    found = brought[name].load()
    return found


def make_algorithm(name: str, settings: Mapping[str, Any]) -> PolicyOptimization:
    """An algorithm from its name and plain values, such as those of a file.

    Raises:
        ValueError: for an unknown algorithm or setting, a value that is wrong, or one that needs more than settings, as
            ``offline_grpo`` does.
    """
    chosen: Any = algorithm_class(name)
    made: PolicyOptimization = chosen(config_from_mapping(chosen.config_class, settings))
    return made
