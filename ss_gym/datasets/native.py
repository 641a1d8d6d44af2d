"""The form that this package writes: a recorded episode a line, read without loss."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.datasets.messages import ROUNDING, action_text, check_logprob, text_field
from ss_gym.datasets.records import Place, RecordError
from ss_gym.rewards.function import is_finite
from ss_gym.types import ConversationTurn, Message, MultiTurnTrajectory
from ss_gym.wrappers.trajectories import RecordedTokens, RecordedTrajectory, decoded_values, encode_line

_ROLES = frozenset({"system", "user", "assistant", "tool"})
# What a conversation has besides its episode stands in this field of a line, which readers of episodes pass over.
_BESIDES = "log"


def read_native(values: Any, place: Place, header: Mapping[str, Any]) -> LoggedConversation:
    """A line that ``RecordTrajectories``, ``stateset-agents rollout`` or ``ConversationDataset.to_jsonl`` wrote.

    Raises:
        RecordError: if it is none.
    """
    try:
        episode = decoded_values(values, "")
    except ValueError as error:
        raise RecordError("broken episode", str(error).removeprefix(": ")) from None
    besides = values.get(_BESIDES, {})
    if not isinstance(besides, dict):
        raise RecordError("broken episode", f"{_BESIDES!r} must be an object, got {besides!r:.80}")
    return conversation_of(episode, place, besides)


def conversation_of(
    episode: RecordedTrajectory, place: Place, besides: Mapping[str, Any] | None = None
) -> LoggedConversation:
    """The conversation of a recorded episode.

    Args:
        episode: as it was recorded.
        place: where it stands.
        besides: what is known besides, as ``encoded`` writes it.

    Raises:
        RecordError: if it can't be learned from.
    """
    _check(episode)
    known = besides or {}
    logprobs, score = known.get("action_logprobs"), known.get("score")
    if logprobs is not None and not _are_numbers(logprobs, len(episode.actions)):
        raise RecordError("broken episode", f"action_logprobs must be a number for each action, got {logprobs!r:.80}")
    for logprob in logprobs or ():
        check_logprob(logprob)
    if score is not None and not is_finite(score):
        raise RecordError("score not finite", f"the score must be a finite number, got {score!r:.40}")
    return LoggedConversation(
        id=text_field(known, "id") or str(place),
        episode=episode,
        # An empty one is known to be unknown; null tells nothing.
        scenario=_scenario_of(episode) if known.get("scenario") is None else text_field(known, "scenario"),
        customer=text_field(known, "customer"),
        score=score,
        rewarded=bool(known.get("rewarded", True)),
        action_logprobs=None if logprobs is None else tuple(map(float, logprobs)),
        metadata=known.get("metadata") or {},
        source=place.source,
        line=place.line,
    )


def _are_numbers(values: Any, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(map(is_finite, values))


def _is_call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, Mapping) else None
    texts = [function.get(name) for name in ("name", "arguments")] if isinstance(function, Mapping) else [None]
    return all(isinstance(text, str) for text in texts)


def _check(episode: RecordedTrajectory) -> None:
    if not episode.messages:
        raise RecordError("empty conversation", "the conversation has no messages")
    for number, message in enumerate(episode.messages, 1):
        if message.get("role") not in _ROLES:
            known = "system, user, assistant and tool"
            problem = f"message {number} has the role {message.get('role')!r:.40}; known are {known}"
            raise RecordError("unknown role", problem)
        calls = message.get("tool_calls", ())
        if not isinstance(calls, list | tuple):
            problem = f"tool_calls of message {number} must be a list, got {calls!r:.80}"
            raise RecordError("broken tool call", problem)
        if not all(map(_is_call, calls)):
            raise RecordError("broken tool call", f"message {number} has a tool call that is not in OpenAI's form")
    if not episode.actions:
        raise RecordError("no reply", "the agent does nothing in the episode, so there is nothing to learn")
    try:
        _ = episode.own_places
    except ValueError as error:
        raise RecordError("broken episode", str(error)) from None
    _check_rewards(episode)
    for logprobs in episode.tokens.logprobs if episode.tokens is not None else ():
        # The quick way first: a log may have millions of tokens.
        if not all(map(isfinite, logprobs)) or max(logprobs, default=0) > ROUNDING:
            for logprob in logprobs:
                check_logprob(logprob)


def _check_rewards(episode: RecordedTrajectory) -> None:
    if not all(map(isfinite, episode.rewards)):
        raise RecordError("reward not finite", f"the rewards must be finite numbers, got {episode.rewards!r:.80}")
    for step, terms in enumerate(episode.reward_terms, 1):
        for name, term in terms.items():
            # By True or False an environment may tell that something happened, and that can be written and added up.
            if not isinstance(term, bool | np.bool_) and not is_finite(term):
                problem = f"reward_terms of step {step} must be finite numbers, got {term!r:.40} for {name!r:.40}"
                raise RecordError("reward not finite", problem)


def _scenario_of(episode: RecordedTrajectory) -> str:
    """The task of an episode: its scenario, else what it was drawn from; empty if that is not known."""
    asked = episode.options.get("scenario_id")  # which comes before the seed, see TextEnvironment.reset
    named = episode.scenario_id or (asked if isinstance(asked, str) else "")
    if named or episode.seed is None:
        return named
    options = {name: value for name, value in episode.options.items() if name != "user_seed"}
    return f"{episode.env_id} seed {episode.seed} {json.dumps(options, sort_keys=True) if options else ''}".strip()


def encoded(conversation: LoggedConversation) -> bytes:
    """A conversation as a line that ``read_native`` and ``read_trajectories`` read, its line break included.

    Rewards are those that were logged.

    Raises:
        TypeError: if something in it has no JSON form.
        ValueError: if a number is not finite.
    """
    line = encode_line(conversation.episode)
    besides = {
        **kept_besides(conversation),
        "action_logprobs": conversation.action_logprobs,
        "metadata": conversation.metadata,
    }
    return line[:-2] + f',"{_BESIDES}":'.encode() + json.dumps(besides, allow_nan=False).encode() + b"}\n"


def kept_besides(conversation: LoggedConversation) -> dict[str, Any]:
    """What a conversation has besides its episode that is short, as ``conversation_of`` takes it.

    The rest grows with the conversation: log-probabilities and metadata.
    """
    return {
        "id": conversation.id,
        "scenario": conversation.scenario,
        "customer": conversation.customer,
        "score": conversation.score,
        "rewarded": conversation.rewarded,
    }


def episode_of(trajectory: MultiTurnTrajectory) -> RecordedTrajectory:
    """A trajectory as an episode that can be recorded; ``RecordedTrajectory.trajectory`` is the way back.

    An action is what the agent wrote. Rollouts keep that as the content of its turns; where a content is only what
    was said, it is that and the calls.

    Raises:
        RecordError: if some turns have token ids and others have none.
    """
    turns = trajectory.turns
    begun = next((place for place, turn in enumerate(turns) if turn.role != "assistant" or turn.logprobs), len(turns))
    own = [turn for turn in turns[begun:] if turn.role == "assistant"]
    messages = tuple(map(_message, turns))
    system = ({"role": "system", "content": trajectory.system_prompt},) if trajectory.system_prompt else ()
    nothing: dict[str, float] = {}
    return RecordedTrajectory(
        env_id="",
        scenario_id=trajectory.scenario_id,
        seed=None,
        options={},
        messages=(*system, *messages),
        actions=tuple([_written(turn) for turn in own]),
        rewards=tuple([turn.reward for turn in own]),
        reward_terms=(*[nothing] * (len(own) - 1), dict(trajectory.reward_terms)) if own else (),
        terminated=trajectory.terminated,
        truncated=trajectory.truncated,
        success=trajectory.success,
        audit=dict(trajectory.info.get("audit", {})),
        tokens=_tokens(trajectory, own),
    )


def _tokens(trajectory: MultiTurnTrajectory, own: list[ConversationTurn]) -> RecordedTokens | None:
    if trajectory.prompt_ids is None:
        return None
    if any(turn.token_ids is None for turn in trajectory.turns) or any(turn.logprobs is None for turn in own):
        needed = "token ids on every turn, and log-probabilities on the agent's own"
        raise RecordError("broken episode", f"a trajectory with prompt ids needs {needed}")
    ids = tuple([turn.token_ids or () for turn in trajectory.turns])
    return RecordedTokens(trajectory.prompt_ids, ids, tuple([turn.logprobs or () for turn in own]))


def _written(turn: ConversationTurn) -> str:
    """What the agent wrote: its calls are in it already, or beside it."""
    return turn.content if "<tool_call>" in turn.content else action_text(_message(turn))


def _message(turn: ConversationTurn) -> Message:
    message: Message = {"role": turn.role, "content": turn.content}
    if turn.tool_calls:
        message["tool_calls"] = [dict(call) for call in turn.tool_calls]
    if turn.tool_call_id:
        message["tool_call_id"] = turn.tool_call_id
    return message
