"""The reference agent: follows the written policy, from what it reads and is told alone."""

from __future__ import annotations

from functools import partial

from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.dialogue import DialogueAgent, serve


class ReferenceAgent(DialogueAgent):
    """Follows the policy from observations alone.

    Args:
        never_repeat: walk through the sentences of each move across conversations instead of
            within one, for measurements that no cache may help: over 10,000 episodes fewer than
            one message in 200 repeats an earlier one, and none in the first thousand.
        seed: varies the words.
    """

    def __init__(self, never_repeat: bool = False, seed: int = 0) -> None:
        super().__init__(partial(serve, conduct=Conduct()), seed=seed, never_repeats=never_repeat)
