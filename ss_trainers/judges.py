"""Judges by name: a language model, a learned reward, or a reward function."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.metadata import entry_points
from typing import Any

from ss_gym.agents.backends import check_model_name
from ss_gym.agents.config import AgentConfig
from ss_gym.attributes import named_object
from ss_gym.rewards.function import Context, RewardFunction, Turns, as_reward_function
from ss_gym.rewards.judge import JudgeReward
from ss_gym.rewards.judge_prompt import DEFAULT_RUBRIC
from ss_gym.rewards.neural import ENTRY_POINT_GROUP, ConversationScorer, NeuralReward, load_scorer
from ss_gym.rewards.pairwise import DEFAULT_QUESTION, PairwiseJudge
from ss_gym.rewards.revision import Reviser
from ss_gym.spelling import nearest
from ss_trainers.feedback import ComparedByGrade, ComparedByModel, Grades, Judge, Pairs

_ANSWER_TOKENS, _REPLY_TOKENS = 8, 256
# What a model is asked with, beside what its kind of judge has of its own.
_ASKING = ("batch_size", "concurrency", "timeout", "retries")


def load_judge(
    name: str,
    feedback: str = "pairs",
    comparisons: int = 3,
    principles: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> Judge:
    """The judge of a name.

    Args:
        name: ``"package.module:attribute"`` of a reward, or of what makes one; ``"NAME://LOCATION"`` of a learned
            reward (``ss_gym.reward_models``); or a model name as in ``AgentConfig``.
        feedback: ``"grades"`` or ``"pairs"``.
        comparisons: see ``Pairs``.
        principles: what attempts are held to, for a language model.
        options: of a language model: fields of ``AgentConfig``, and of ``JudgeReward`` or ``PairwiseJudge`` what
            concerns the asking, ``rubric``, ``samples`` or ``question``. Of a learned reward: ``device``.

    Raises:
        ValueError: for an unknown scheme or option, or one that such a judge does not have.
        ImportError: if the module can't be imported, or has no such attribute.
    """
    options = dict(options or {})
    reward = _named_reward(name, options)
    if reward is not None:
        if principles:
            raise ValueError(f"a constitution is for a language model as judge; {name!r} is a reward")
        return Grades(reward) if feedback == "grades" else Pairs(ComparedByGrade(reward), comparisons)
    if feedback == "pairs":
        config, own = _asked(name, _ANSWER_TOKENS, options, ("question",))
        _refuse_both(principles, own, "question")
        judge = PairwiseJudge(config, own.pop("question", DEFAULT_QUESTION), **own)
        return Pairs(ComparedByModel(judge, principles), comparisons)
    config, own = _asked(name, _ANSWER_TOKENS, options, ("rubric", "samples"))
    _refuse_both(principles, own, "rubric")
    rubric = own.pop("rubric", _rubric(principles) if principles else DEFAULT_RUBRIC)
    return Grades(JudgeReward(config, rubric, **own))


def load_reviser(name: str, options: Mapping[str, Any] | None = None) -> Reviser:
    """The reviser of a model name.

    Args:
        name: as in ``AgentConfig``.
        options: fields of ``AgentConfig``, and of ``Reviser`` what concerns the asking.

    Raises:
        ValueError: for an unknown scheme or option.
    """
    config, own = _asked(name, _REPLY_TOKENS, dict(options or {}), ())
    return Reviser(config, **own)


def _asked(
    name: str, tokens: int, options: Mapping[str, Any], more: Sequence[str]
) -> tuple[AgentConfig, dict[str, Any]]:
    """The model's config and the other options, at temperature 0 where nothing else is said."""
    check_model_name(name)
    sampled = {entry.name for entry in fields(AgentConfig)} - {"model_name", "system_prompt"}
    known = sorted([*sampled, *_ASKING, *more])
    for option in options:
        if option not in known:
            raise ValueError(f"there is no option {option!r:.80} of the model {name!r}; {nearest(option, known)}")
    settings: dict[str, Any] = {"max_new_tokens": tokens, "temperature": 0.0}
    settings |= {option: value for option, value in options.items() if option in sampled}
    return AgentConfig(name, **settings), {key: value for key, value in options.items() if key not in sampled}


def _refuse_both(principles: Sequence[str], options: Mapping[str, Any], name: str) -> None:
    if principles and name in options:
        raise ValueError(f"a constitution takes the place of the {name}: give one of them")


def _rubric(principles: Sequence[str]) -> str:
    listed = "\n".join(f"- {principle}" for principle in principles)
    return f"How well does the assistant keep to these principles, 5: to all of them, 1: to none?\n{listed}"


def _named_reward(name: str, options: Mapping[str, Any]) -> RewardFunction | None:
    """The reward of a name; None if the name is a model's."""
    scheme, separator, _ = name.partition("://")
    learned = separator and scheme in {entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if not learned and (separator or ":" not in name):
        return None
    allowed = ("device",) if learned else ()
    for option in options:
        if option not in allowed:
            has = "device alone" if learned else "no options"
            raise ValueError(f"judge_options has {option!r:.80}, but the reward {name!r} has {has}")
    if learned:
        return NeuralReward(Placed(name, options["device"]) if options else name)
    return as_reward_function(named_object(name, "judge", _is_reward))


def _is_reward(found: Any) -> bool:
    """A reward function, or a plain one that takes the turns; what makes a reward takes nothing."""
    if isinstance(found, RewardFunction):
        return True
    if not callable(found):
        return False
    parameters = inspect.signature(found).parameters.values()
    return any(each.default is each.empty and each.kind is not each.VAR_KEYWORD for each in parameters)


class Placed:
    """A learned reward on a device of its own; loaded when it is first asked, and again where it is sent.

    Args:
        name: as of ``NeuralReward``.
        device: where its model is.
    """

    def __init__(self, name: str, device: str) -> None:
        self._name, self._device = name, device
        self._loaded: ConversationScorer | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the model."""
        return {**vars(self), "_loaded": None}

    def __call__(self, conversations: Sequence[tuple[Turns, Context]]) -> Sequence[float]:
        """The scores."""
        if self._loaded is None:
            self._loaded = load_scorer(self._name, device=self._device)
        return self._loaded(conversations)
