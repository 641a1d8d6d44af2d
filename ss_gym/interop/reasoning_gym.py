"""Tasks of reasoning-gym as text environments of Gymnasium.

>>> from ss_gym.interop.reasoning_gym import from_reasoning_gym
>>> env = from_reasoning_gym("letter_counting")
>>> question, info = env.reset(seed=1)
>>> _, reward, terminated, _, info = env.step(info["answer"])
>>> reward, terminated, info["success"]
(1.0, True, True)
"""

from __future__ import annotations

from typing import Any

import gymnasium
import reasoning_gym
from gymnasium.utils import RecordConstructorArgs

from ss_gym.spaces import Utterance

_MAX_CHARS = 100_000


class ReasoningTask(gymnasium.Env[str, str], RecordConstructorArgs):
    """A question of reasoning-gym, and what one answer to it is worth.

    The seed makes the question. Infos tell the expected answer, for audits and never for agents. The answer is what is
    left of a reply without what it thinks (``<think>…</think>``); its score is reasoning-gym's, from 0 to 1.

    Args:
        task: its name there, such as ``"letter_counting"``.
        **config: settings of the task.

    Raises:
        ValueError: for a task that there is not.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  Gymnasium's own

    def __init__(self, task: str, render_mode: str | None = None, **config: Any) -> None:
        RecordConstructorArgs.__init__(self, task=task, **config)
        self.observation_space = self.action_space = Utterance(_MAX_CHARS)
        self.render_mode = render_mode
        self._task, self._config = task, config
        self._made(0)  # to refuse what there is not

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Asks the question of a seed."""
        super().reset(seed=seed)
        self._data = self._made(int(self.np_random.integers(2**31)))
        self._entry = self._data[0]
        return str(self._entry["question"]), {"task": self._task, "answer": str(self._entry["answer"])}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Scores the answer.

        Raises:
            TypeError: if the action is no text.
        """
        if not isinstance(action, str):
            raise TypeError(f"an action is a str, got {type(action).__name__}")
        answer = action.rpartition("</think>")[2].strip()
        score = float(self._data.score_answer(answer, self._entry))
        return "", score, True, False, {"success": score == 1.0, "task": self._task}

    def _made(self, seed: int) -> Any:
        return reasoning_gym.create_dataset(self._task, size=1, seed=seed, **self._config)


def from_reasoning_gym(task: str, **config: Any) -> ReasoningTask:
    """A task of reasoning-gym as a Gymnasium environment, which every trainer here learns from.

    Args:
        task: its name there.
        **config: settings of the task.
    """
    return ReasoningTask(task, **config)
