"""What the shell may complete.

A person waits at each press of the key, and the tables that hold these names take half a second to import: so they are
here once more, and a test compares them.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

_FAMILIES = (
    "AddressChange",
    "Adversarial",
    "Cancel",
    "Exchange",
    "OrderStatus",
    "Refund",
    "Retail",
    "Subscription",
    "Warranty",
)
_ENVIRONMENTS = (
    *(f"StateSet/{name}-v0" for name in _FAMILIES),
    *(f"StateSet/{name}Discrete-v0" for name in _FAMILIES if name != "Retail"),
    "StateSet/Conversation-v0",
    "StateSet/MultiTask-v0",
    "StateSet/Task-v0",
)
_AGENTS = (
    "reference",
    "rule_bot",
    "demonstrator",
    "silent",
    "instant_closer",
    "random_tools",
    "keyword_stuffer",
    "data_dumper",
    "always_grant",
    "always_refuse",
    "always_transfer",
    "ground_fisher",
)
_ALGORITHMS = (
    "behavior_cloning",
    "cispo",
    "critique_revision",
    "dapo",
    "gepo",
    "grpo",
    "gspo",
    "offline_grpo",
    "online_dpo",
    "ppo",
    "reinforce_plus_plus",
    "rejection_sampling",
    "rlaif",
    "rloo",
    "shuffled",
    "vapo",
)
_PERSONAS = (
    "patient",
    "impatient",
    "taciturn",
    "talkative",
    "upset",
    "careless",
    "careful",
    "rambling",
    "unprepared",
    "demanding",
    "difficult",
)


def environments(incomplete: str) -> list[str]:
    """Ids of environments."""
    return _beginning(incomplete, _ENVIRONMENTS)


def agents(incomplete: str) -> list[str]:
    """Scripted agents, models, and folders."""
    return [*_beginning(incomplete, _AGENTS), *models(incomplete)]


def models(incomplete: str) -> list[str]:
    """Models, and folders."""
    return [*_beginning(incomplete, ("tiny",)), *_folders(incomplete)]


def algorithms(incomplete: str) -> list[str]:
    """Algorithms, those of other packages included."""
    brought = (entry.name for entry in entry_points(group="ss_trainers.algorithms"))
    return _beginning(incomplete, (*_ALGORITHMS, *brought))


def splits(incomplete: str) -> list[str]:
    """Splits of scenarios."""
    return _beginning(incomplete, ("train", "dev", "test"))


def prompts(incomplete: str) -> list[str]:
    """Forms of the policy."""
    return _beginning(incomplete, ("full", "compact"))


def personas(incomplete: str) -> list[str]:
    """Presets of how customers are."""
    return _beginning(incomplete, _PERSONAS)


def booleans(incomplete: str) -> list[str]:
    """Yes or no."""
    return _beginning(incomplete, ("true", "false"))


def _beginning(incomplete: str, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _folders(incomplete: str) -> list[str]:
    """Folders that a path may go on with, hidden ones where they are asked for."""
    head, separator, tail = incomplete.rpartition("/")
    above = Path(head + separator)
    if not above.is_dir():
        return []
    names = (folder.name for folder in above.iterdir() if folder.is_dir())
    found = sorted(name for name in names if name.startswith(tail) and (tail or not name.startswith(".")))
    return [f"{head}{separator}{name}" for name in found]
