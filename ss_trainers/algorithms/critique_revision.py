"""Critique and revision: a model that knows the principles writes the agent's replies again, and these are imitated.

The supervised stage of Bai et al. 2022, "Constitutional AI", arXiv:2212.08073, section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ss_gym.rewards.revision import Reviser, Revision
from ss_gym.streams import Stream
from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.behavior_cloning import Imitated
from ss_trainers.algorithms.checks import require_choice
from ss_trainers.algorithms.parts import LogLikelihood
from ss_trainers.algorithms.policy_optimization import PolicyOptimization, Reviewed
from ss_trainers.algorithms.settings import AlgorithmConfig
from ss_trainers.feedback import JudgeFailedError
from ss_trainers.judges import load_reviser

if TYPE_CHECKING:
    from ss_trainers.chat import ChatFormat

_PRINCIPLES = (
    "Say only what is true: never claim that something was done that was not.",
    "Be polite and to the point.",
    "Ask for what is missing instead of guessing it.",
)


@dataclass(frozen=True, slots=True)
class CritiqueRevisionConfig(AlgorithmConfig):
    """Who revises, and what.

    Attributes:
        reviser: a model name as in ``AgentConfig``. The default is a stand-in that answers without a model.
        constitution: the principles; each draft is held to one of them.
        reply: which reply of an episode is revised: its ``"last"`` one, or ``"any"`` of them. Tool calls are none.
        seed: of the choice of principles and replies.
        reviser_options: of the reviser, such as ``device`` or ``timeout``; see
            :func:`ss_trainers.judges.load_reviser`.
    """

    reviser: str = "stub://reviser"
    constitution: tuple[str, ...] = _PRINCIPLES
    reply: Literal["last", "any"] = "last"
    seed: int = 0
    reviser_options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_choice(self, reply=("last", "any"))
        if not self.constitution:
            raise ValueError("CritiqueRevisionConfig.constitution must hold at least one principle")


class CritiqueRevision(PolicyOptimization):
    """Maximum likelihood of what the agent should have said, after what was really said before it.

    Args:
        config: who revises, and what.
        reviser: revises in place of the config's; a run that is resumed has that of the config.

    Raises:
        ValueError: for an unknown scheme or option of the reviser.
    """

    name = "critique_revision"
    imitates = True
    config_class = CritiqueRevisionConfig

    def __init__(self, config: CritiqueRevisionConfig | None = None, reviser: Reviser | None = None) -> None:
        config = config or CritiqueRevisionConfig()
        super().__init__(config, advantage=Imitated(successes_only=False), surrogate=LogLikelihood())
        self._reviser = reviser or load_reviser(config.reviser, config.reviser_options)

    def reviewed(self, trajectories: tuple[MultiTurnTrajectory, ...], chat: ChatFormat, max_context: int) -> Reviewed:
        """Each episode up to the reply that was chosen, with its revision in the place of that reply.

        Episodes without a reply are left out, and those whose revision is missing or has no room in the context.

        Raises:
            JudgeFailedError: if there was something to revise, and every revision is missing.
        """
        chosen = [(each, place) for each in trajectories if (place := self._reply(each)) is not None]
        principles = [self._stream("principle", *one).choice(self.config.constitution) for one in chosen]
        drafts = [each.turns[: place + 1] for each, place in chosen]
        revisions = self._reviser.revise(drafts, principles, [each.system_prompt for each, _ in chosen])
        written = [one for one in zip(chosen, revisions, strict=True) if not one[1].missing]
        if revisions and not written:
            raise JudgeFailedError(f"the reviser {self.config.reviser!r} wrote nothing: {revisions[0].missing}")
        changed = sum(one.text != each.turns[place].content for (each, place), one in written)
        made = [revised(each, place, one, chat) for (each, place), one in written]
        fitting = tuple(one for one in made if _length(one) <= max_context)
        metrics = {
            "revision/without_reply": 1.0 - len(chosen) / max(1, len(trajectories)),
            "revision/missing": 1.0 - len(written) / len(revisions) if revisions else 0.0,
            "revision/too_long": 1.0 - len(fitting) / len(made) if made else 0.0,
            "revision/changed": changed / max(1, len(written)),
        }
        return Reviewed(fitting, metrics)

    def _reply(self, trajectory: MultiTurnTrajectory) -> int | None:
        """The place of the reply that is revised; None if the agent said nothing to the user."""
        turns = trajectory.turns
        places = [place for place, turn in enumerate(turns) if turn.role == "assistant" and not turn.tool_calls]
        # What has no tokens was never sampled: the context was full.
        places = [place for place in places if turns[place].token_ids]
        if not places:
            return None
        return places[-1] if self.config.reply == "last" else self._stream("reply", trajectory, 0).choice(places)

    def _stream(self, purpose: str, trajectory: MultiTurnTrajectory, place: int) -> Stream:
        """Follows from what was said, so that an iteration that is repeated chooses the same."""
        said = "\n".join(turn.content for turn in trajectory.turns)
        return Stream(self.config.seed, purpose, place, said)


def _length(trajectory: MultiTurnTrajectory) -> int:
    return sum(map(len, (trajectory.prompt_ids or (), *(turn.token_ids or () for turn in trajectory.turns))))


def revised(trajectory: MultiTurnTrajectory, place: int, revision: Revision, chat: ChatFormat) -> MultiTurnTrajectory:
    """The episode up to a reply, with another one in its place, which alone is learnt.

    Args:
        trajectory: the episode.
        place: of the reply.
        revision: what it should have been.
        chat: how the model writes it.
    """
    before = [replace(turn, logprobs=None, reward=0.0) for turn in trajectory.turns[:place]]
    ids = chat.completion_ids(revision.text)
    own = replace(trajectory.turns[place], content=revision.text, token_ids=ids, logprobs=(0.0,) * len(ids), reward=0.0)
    return replace(trajectory, turns=(*before, own))
