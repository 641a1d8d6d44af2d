"""Figures for the log: what trajectories tell of themselves."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ss_gym.types import ConversationTurn, MultiTurnTrajectory, is_tool_error


def trajectory_metrics(trajectories: Sequence[MultiTurnTrajectory]) -> dict[str, float]:
    """Means over episodes; empty without any.

    ``success`` is there if the environment has that notion. ``reward/NAME`` are the components of
    the return. ``tool_calls`` and ``tool_errors`` count the calls of an episode, ``steps`` what
    the agent did in it and ``tokens`` what it wrote; ``terminated_tokens`` are those of episodes that
    no limit cut.
    """
    if not trajectories:
        return {}
    own = [[turn for turn in trajectory.turns if turn.role == "assistant"] for trajectory in trajectories]
    count = len(trajectories)
    metrics = {
        "return": sum(trajectory.total_reward for trajectory in trajectories) / count,
        "truncated": sum(trajectory.truncated for trajectory in trajectories) / count,
        "steps": sum(map(len, own)) / count,
        "tool_calls": sum(len(turn.tool_calls) for turns in own for turn in turns) / count,
        "tool_errors": sum(map(_is_tool_error, (turn for each in trajectories for turn in each.turns))) / count,
        "tokens": sum(map(_written, own)) / count,
    }
    ended = [_written(turns) for turns, trajectory in zip(own, trajectories, strict=True) if trajectory.terminated]
    if ended:
        metrics["terminated_tokens"] = sum(ended) / len(ended)
    judged = [trajectory.success for trajectory in trajectories if trajectory.success is not None]
    if judged:
        metrics["success"] = sum(judged) / len(judged)
    names = sorted({name for trajectory in trajectories for name in trajectory.reward_terms})
    for name in names:
        metrics[f"reward/{name}"] = sum(trajectory.reward_terms.get(name, 0.0) for trajectory in trajectories) / count
    return metrics


def group_metrics(returns: Tensor, group_ids: Tensor) -> dict[str, float]:
    """How many groups tell their attempts apart.

    Args:
        returns: (B,) return of each trajectory.
        group_ids: (B,) its group.
    """
    groups = [returns[group_ids == group] for group in sorted(set(group_ids.tolist()))]
    equal = sum(bool((values == values[0]).all()) for values in groups)
    return {"groups_without_variance": equal / len(groups)}


def _written(turns: Sequence[ConversationTurn]) -> int:
    return sum(len(turn.token_ids or ()) for turn in turns)


def _is_tool_error(turn: ConversationTurn) -> bool:
    return is_tool_error(turn.role, turn.content)
