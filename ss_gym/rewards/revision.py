"""What a reply should have been: a model criticises a draft under a principle, and writes it again.

Bai et al. 2022, "Constitutional AI", arXiv:2212.08073, section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ss_gym.agents.backends import Backend
from ss_gym.agents.config import AgentConfig
from ss_gym.asynchronous import run
from ss_gym.rewards import judge_prompt
from ss_gym.rewards.function import MissingReward, Turns
from ss_gym.rewards.judge import Bench

_REPLY_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Revision:
    """A reply that was criticised and written again.

    Attributes:
        text: the reply; empty if missing.
        critique: what was found wrong with the draft.
        missing: why there is none; empty if there is one.
    """

    text: str
    critique: str = ""
    missing: str = ""


class Reviser:
    """A language model that criticises the last reply of a conversation, and writes a better one.

    Two calls for each draft: the critique under a principle, then the reply that heeds it. Failures are missing,
    as in ``JudgeReward``.

    >>> from ss_gym.types import ConversationTurn
    >>> reviser = Reviser(AgentConfig("stub://reviser", stub_responses=("We close at 6 p.m.",)))
    >>> draft = [ConversationTurn("user", "When do you close?"), ConversationTurn("assistant", "Early.")]
    >>> reviser.revise([draft], ["Answer with a time."])[0].text
    'We close at 6 p.m.'

    Args:
        model: see ``JudgeReward``; named by a string, it is asked at temperature 0.
        batch_size: see ``Bench``; as are ``concurrency``, ``timeout`` and ``retries``.
        concurrency: see above.
        timeout: see above.
        retries: see above.
        key: a secret of the fences.

    Raises:
        ValueError: if an argument is outside its range.
    """

    def __init__(
        self,
        model: str | AgentConfig | Backend,
        batch_size: int = 32,
        concurrency: int = 1,
        timeout: float | None = 60.0,
        retries: int = 2,
        key: bytes = b"ss_gym.reviser",
    ) -> None:
        self._key = key
        self.bench = Bench(model, batch_size, concurrency, timeout, retries, _REPLY_TOKENS)

    def revise(
        self, drafts: Sequence[Turns], principles: Sequence[str], instructions: Sequence[str] | None = None
    ) -> list[Revision]:
        """A revision for each draft, waited for; see ``revise_drafts``."""
        return run(self.revise_drafts(drafts, principles, instructions))

    async def revise_drafts(
        self, drafts: Sequence[Turns], principles: Sequence[str], instructions: Sequence[str] | None = None
    ) -> list[Revision]:
        """A revision for each draft, with the reason where it is missing.

        Args:
            drafts: conversations whose last turn is the reply to revise.
            principles: what each is held to.
            instructions: what the agent was told to do in each; not shown if None.

        Raises:
            ValueError: if a draft does not end with a reply, or the numbers differ.
        """
        for place, draft in enumerate(drafts):
            if not draft or draft[-1].role != "assistant":
                raise ValueError(f"draft {place} does not end with a reply of the assistant")
        told = [""] * len(drafts) if instructions is None else instructions
        asked = list(zip(drafts, principles, told, strict=True))
        critiques = await self.bench.write(
            [judge_prompt.critique_prompt(draft, held, self._key, own) for draft, held, own in asked],
            judge_prompt.read_prose,
        )
        open_ = [place for place, critique in enumerate(critiques) if not isinstance(critique, MissingReward)]
        written = await self.bench.write(
            [
                judge_prompt.revision_prompt(draft, held, str(critiques[place]), self._key, own)
                for place in open_
                for draft, held, own in (asked[place],)
            ],
            judge_prompt.read_prose,
        )
        revisions = {
            place: Revision("", str(critiques[place]), str(text))
            if isinstance(text, MissingReward)
            else Revision(text, str(critiques[place]))
            for place, text in zip(open_, written, strict=True)
        }
        return [revisions.get(place) or Revision("", missing=str(critiques[place])) for place in range(len(asked))]
