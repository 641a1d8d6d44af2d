"""The reference agent: follows the written policy, from what it reads and is told alone."""

from __future__ import annotations

from functools import partial

from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.dialogue import DialogueAgent, serve
from ss_baselines.agents.grammars import REFERENCE_GRAMMAR
from ss_baselines.agents.phrasing import Phrasing


class ReferenceAgent(DialogueAgent):
    """Follows the policy from observations alone.

    Args:
        never_repeat: word each message differently from every one before, whatever the
            conversation, for measurements that no cache may help.
        seed: varies the words.
    """

    def __init__(self, never_repeat: bool = False, seed: int = 0) -> None:
        phrasing = Phrasing(REFERENCE_GRAMMAR, seed) if never_repeat else None
        super().__init__(partial(serve, conduct=Conduct()), REFERENCE_GRAMMAR, seed, phrasing)
