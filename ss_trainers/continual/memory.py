"""Attempts at earlier tasks, kept to be learnt from again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ss_gym.types import ConversationTurn, MultiTurnTrajectory
from ss_trainers.continual.settings import ContinualConfig
from ss_trainers.offline_text.logged_experience import LoggedExperience
from ss_trainers.replay_buffer import ReplayBuffer
from ss_trainers.types import TokenBatch

_STATE, _ITEMS = "replay.json", "replay.jsonl"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A conversation that was learnt from.

    Attributes:
        trajectory: its tokens and rewards; what was said is left out, since nothing reads it.
        advantages: of each of the agent's turns, as it was when the conversation was fresh.
    """

    trajectory: MultiTurnTrajectory
    advantages: tuple[float, ...]


class ReplayMemory:
    """Keeps attempts with the advantages that they had, and gives some back to learn from beside fresh ones.

    An advantage says how much better an attempt was than the others of its group, which are gone. It is that of the
    time: weights of the tokens, by how likely they still are, are for the training to add (``mismatch="truncate"``).
    Attempts that taught nothing, of groups whose members all earned the same, are not kept.

    Args:
        config: how many are kept, which, and how many are given back.
        seed: of what is kept and drawn.
    """

    def __init__(self, config: ContinualConfig, seed: int) -> None:
        self._ratio = config.replay_ratio
        self._buffer = ReplayBuffer[Attempt](config.replay_buffer_size, config.replay_sampling, seed)
        self._drawn = LoggedExperience((), ())

    @property
    def counts(self) -> dict[str, int]:
        """How many attempts there are of each task."""
        return {str(task): count for task, count in self._buffer.counts.items()}

    def draw(self, fresh: int, task: str | None) -> tuple[MultiTurnTrajectory, ...]:
        """Attempts for a batch, with negative group ids.

        Args:
            fresh: conversations of the batch that were just played.
            task: which they are all of, and of which none is given; None if they are of several.
        """
        known = sum(count for name, count in self.counts.items() if name != task)
        count = min(known, round(fresh * self._ratio / (1 - self._ratio)))
        drawn = [attempt for attempt, _ in self._buffer.sample(count, task)]
        self._drawn = LoggedExperience(
            tuple(replace(attempt.trajectory, group_id=-1 - place) for place, attempt in enumerate(drawn)),
            tuple(np.asarray(attempt.advantages, np.float32) for attempt in drawn),
        )
        return self._drawn.trajectories

    def with_advantages(self, batch: TokenBatch) -> TokenBatch:
        """The batch in which the attempts that were drawn last have their own advantages."""
        assert batch.advantages is not None
        own = self._drawn.of_tokens(batch.group_ids, batch.turn_ids).to(batch.advantages)
        return replace(batch, advantages=torch.where((batch.group_ids < 0)[:, None], own, batch.advantages))

    def keep(self, trajectories: Sequence[MultiTurnTrajectory], batch: TokenBatch, tasks: Sequence[str]) -> None:
        """Offers what was played to the buffer.

        Args:
            trajectories: in the order of the batch's rows.
            batch: with their advantages.
            tasks: which each is of.
        """
        assert batch.advantages is not None
        of_turns = _of_turns(batch.advantages, batch.turn_ids)
        rows = zip(trajectories, tasks, batch.group_ids.tolist(), of_turns.tolist(), strict=True)
        for trajectory, task, group, advantages in rows:
            said = sum(bool(turn.token_ids) for turn in trajectory.turns if turn.logprobs is not None)
            own = advantages[:said]
            if group >= 0 and any(own):
                self._buffer.add(Attempt(_stripped(trajectory), tuple(own)), task)

    def snapshot(self) -> tuple[dict[str, Any], tuple[Attempt, ...]]:
        """All that there is, to ``restore``."""
        return self._buffer.state_dict(), self._buffer.items

    def restore(self, snapshot: tuple[dict[str, Any], Sequence[Attempt]]) -> None:
        """Is again as it was.

        Raises:
            ValueError: if the snapshot is of another buffer.
        """
        self._buffer.load_state_dict(*snapshot)

    def write(self, folder: Path) -> None:
        """Writes it into a checkpoint."""
        state, items = self.snapshot()
        (folder / _STATE).write_text(json.dumps(state) + "\n", encoding="utf-8")
        with (folder / _ITEMS).open("w", encoding="utf-8") as file:
            for attempt in items:
                file.write(json.dumps(_record(attempt)) + "\n")

    def read(self, folder: Path) -> None:
        """Takes up what a checkpoint has.

        Raises:
            OSError: if it is missing.
            ValueError: if it is damaged, or of another buffer.
        """
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        lines = (folder / _ITEMS).read_text(encoding="utf-8").splitlines()
        try:
            items = [_attempt(json.loads(line)) for line in lines]
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{_ITEMS} holds something else than attempts ({error!r:.200})") from error
        self.restore((state, items))


def _of_turns(values: Tensor, turn_ids: Tensor) -> Tensor:
    """The mean of each turn's tokens, (B, K), of values (B, T); 0 of turns that are not there."""
    own = turn_ids >= 0
    places, count = turn_ids.clamp(min=0), max(1, int(turn_ids.max()) + 1)
    empty = values.new_zeros(len(values), count)
    sums = empty.scatter_add(1, places, torch.where(own, values, 0.0))
    return sums / empty.scatter_add(1, places, own.to(values.dtype)).clamp(min=1)


def _stripped(trajectory: MultiTurnTrajectory) -> MultiTurnTrajectory:
    """What training reads of a trajectory."""
    turns = tuple(
        ConversationTurn(turn.role, "", token_ids=turn.token_ids, logprobs=turn.logprobs, reward=turn.reward)
        for turn in trajectory.turns
    )
    return MultiTurnTrajectory(
        turns,
        prompt_ids=trajectory.prompt_ids,
        scenario_id=trajectory.scenario_id,
        success=trajectory.success,
        terminated=trajectory.terminated,
        truncated=trajectory.truncated,
    )


def _record(attempt: Attempt) -> dict[str, Any]:
    trajectory = attempt.trajectory
    return {
        "scenario_id": trajectory.scenario_id,
        "success": trajectory.success,
        "ended": [trajectory.terminated, trajectory.truncated],
        "advantages": attempt.advantages,
        "prompt_ids": trajectory.prompt_ids,
        "turns": [[turn.role, turn.reward, turn.token_ids, turn.logprobs] for turn in trajectory.turns],
    }


def _attempt(record: dict[str, Any]) -> Attempt:
    turns = tuple(
        ConversationTurn(
            role, "", token_ids=tuple(ids), logprobs=None if logprobs is None else tuple(logprobs), reward=reward
        )
        for role, reward, ids, logprobs in record["turns"]
    )
    terminated, truncated = record["ended"]
    trajectory = MultiTurnTrajectory(
        turns,
        prompt_ids=tuple(record["prompt_ids"]),
        scenario_id=record["scenario_id"],
        success=record["success"],
        terminated=terminated,
        truncated=truncated,
    )
    return Attempt(trajectory, tuple(record["advantages"]))
