"""Rewards of a trade: customer service, sales, technical support, and presets that weigh several objectives.

Each is the quality of a reply times a trait, see :mod:`ss_gym.rewards.heuristic`, and shares its limits.
"""

from __future__ import annotations

import re

from ss_gym.rewards import lexicon
from ss_gym.rewards.correctness import CorrectnessReward, TaskCompletionReward
from ss_gym.rewards.exchange import Exchange, coverage
from ss_gym.rewards.heuristic import (
    ConcisenessReward,
    EngagementReward,
    HelpfulnessReward,
    PolitenessReward,
    QualityReward,
    SafetyReward,
    helpfulness,
    politeness,
)
from ss_gym.rewards.multi_objective import MultiObjectiveReward, Scalarise

_DIAGNOSIS = re.compile(
    r"\b(?:which (?:version|model|device|browser|light|error)|what (?:does|do|is|are|happens)|does (?:it|the)|"
    r"have you (?:tried|checked)|can you (?:see|tell)|error (?:message|code)|still)\b",
    re.IGNORECASE,
)
_DESTRUCTIVE = re.compile(
    r"\b(?:factory reset|delete|erase|format|wipe|reinstall|uninstall|overwrite|remove the)\b", re.IGNORECASE
)
_CAUTION = re.compile(
    r"\b(?:back ?up|backed up|save|copy|will (?:be )?(?:lost|erased|deleted)|before|don't|do not|not)\b", re.IGNORECASE
)


class CustomerServiceReward(QualityReward):
    """Whether each reply settles something, owns it, and meets the customer's mood.

    The trait: half is that of ``HelpfulnessReward``; the rest is a reason or a way on, and manners.

    Args:
        weight: see ``RewardFunction``.
        name: see ``RewardFunction``.
    """

    def __init__(self, weight: float = 1.0, name: str = "customer_service") -> None:
        super().__init__(customer_service, name, weight)


class SalesReward(QualityReward):
    """Whether each reply advises: it fits the stated need, names the offer or its price, and does not press.

    The trait: the need is taken up, a value or name of the offer is told, there is a next step or a
    question about the need; pressure and promises void it.

    Args:
        weight: see ``RewardFunction``.
        name: see ``RewardFunction``.
    """

    def __init__(self, weight: float = 1.0, name: str = "sales") -> None:
        super().__init__(sales, name, weight)


class TechnicalSupportReward(QualityReward):
    """Whether each reply brings the user nearer to a working system.

    The trait: the symptom is taken up, there is something to do or a diagnostic question, and what to
    expect of it (a value, a reason, what comes next); steps that destroy data without a warning halve it.

    Args:
        weight: see ``RewardFunction``.
        name: see ``RewardFunction``.
    """

    def __init__(self, weight: float = 1.0, name: str = "technical_support") -> None:
        super().__init__(technical_support, name, weight)


def customer_service(exchange: Exchange) -> float:
    """The trait of ``CustomerServiceReward``."""
    text = exchange.reply.text
    leads_on = lexicon.STEP.search(text) is not None or lexicon.REASON.search(text) is not None or bool(exchange.told)
    return 0.5 * helpfulness(exchange) + 0.25 * leads_on + 0.25 * politeness(exchange)


def sales(exchange: Exchange) -> float:
    """The trait of ``SalesReward``."""
    text = exchange.reply.text
    if lexicon.PRESSURE.search(text):
        return 0.0
    fits = min(1.0, 3 * coverage(exchange.request.stems, exchange.reply.stems))
    offer = bool(exchange.told & exchange.given) or len(exchange.new) > 1
    leads_on = "?" in text or lexicon.STEP.search(text) is not None
    return 0.4 * fits + 0.4 * offer + 0.2 * leads_on


def technical_support(exchange: Exchange) -> float:
    """The trait of ``TechnicalSupportReward``."""
    text = exchange.reply.text
    symptom = min(1.0, 3 * coverage(exchange.request.stems, exchange.reply.stems))
    acts = lexicon.STEP.search(text) is not None or _DIAGNOSIS.search(text) is not None
    expects = bool(exchange.told) or lexicon.REASON.search(text) is not None or _DIAGNOSIS.search(text) is not None
    risky = _DESTRUCTIVE.search(text) is not None and _CAUTION.search(text) is None
    return (0.3 * symptom + 0.4 * acts + 0.3 * expects) * (0.5 if risky else 1.0)


def create_customer_service_reward(scalarise: Scalarise = "weighted", weight: float = 1.0) -> MultiObjectiveReward:
    """Service as five objectives: service .35, correctness .25, safety .2, politeness .1, conciseness .1.

    Correctness needs a reference in the context and is left out without one.

    >>> from ss_gym.types import ConversationTurn
    >>> turns = [ConversationTurn("user", "When do you open?"), ConversationTurn("assistant", "At 9:00, every day.")]
    >>> sorted(create_customer_service_reward().compute(turns).missing)
    ['correctness']

    Args:
        scalarise: see ``MultiObjectiveReward``.
        weight: see ``RewardFunction``.
    """
    objectives = (
        CustomerServiceReward(0.35),
        CorrectnessReward(0.25),
        SafetyReward(0.2),
        PolitenessReward(0.1),
        ConcisenessReward(0.1),
    )
    return MultiObjectiveReward(objectives, scalarise, name="customer_service_objectives", weight=weight)


def create_sales_reward(scalarise: Scalarise = "weighted", weight: float = 1.0) -> MultiObjectiveReward:
    """Sales as five objectives: sales .35, correctness .2, safety .2, engagement .15, conciseness .1.

    Args:
        scalarise: see ``MultiObjectiveReward``.
        weight: see ``RewardFunction``.
    """
    objectives = (
        SalesReward(0.35),
        CorrectnessReward(0.2),
        SafetyReward(0.2),
        EngagementReward(0.15),
        ConcisenessReward(0.1),
    )
    return MultiObjectiveReward(objectives, scalarise, name="sales_objectives", weight=weight)


def create_technical_support_reward(scalarise: Scalarise = "weighted", weight: float = 1.0) -> MultiObjectiveReward:
    """Support as five objectives: support .35, task completion .25, safety .2, helpfulness .1, conciseness .1.

    Args:
        scalarise: see ``MultiObjectiveReward``.
        weight: see ``RewardFunction``.
    """
    objectives = (
        TechnicalSupportReward(0.35),
        TaskCompletionReward(0.25),
        SafetyReward(0.2),
        HelpfulnessReward(0.1),
        ConcisenessReward(0.1),
    )
    return MultiObjectiveReward(objectives, scalarise, name="technical_support_objectives", weight=weight)
