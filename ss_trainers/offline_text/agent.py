"""What was learnt offline, as an agent that can be called at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ss_gym.agents import MultiTurnAgent
from ss_gym.agents.checkpoint import saved_agent


class OfflineAgent(MultiTurnAgent):
    """The agent that an offline trainer has saved, critic and all, ready to answer.

    It is what ``trainer.policy()`` was, and goes wherever an agent does: into ``evaluate``, ``stateset-agents serve``
    by its folder, and a trainer. :func:`ss_gym.load_agent_from_checkpoint` gives the same, awaited.

    Args:
        folder: of the run (its ``output_dir``), or of the checkpoint.
        **changes: settings of the agent that are to be others, such as ``seed=1``.

    Raises:
        CheckpointError: if the checkpoint is missing or damaged.
        TypeError: for a setting that no agent has.
        ValueError: for one that it can't have.
    """

    def __init__(self, folder: str | Path, **changes: Any) -> None:
        saved = saved_agent(folder, changes)
        super().__init__(saved.agent)
        self.provenance = saved.provenance
        self.load()
