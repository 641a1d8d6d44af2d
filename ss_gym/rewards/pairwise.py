"""Which of two conversations a judge prefers, asked in both orders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ss_gym.agents.backends import Backend
from ss_gym.agents.config import AgentConfig
from ss_gym.asynchronous import run
from ss_gym.rewards import judge_prompt
from ss_gym.rewards.function import MissingReward, Turns
from ss_gym.rewards.judge import Bench

DEFAULT_QUESTION = (
    "In which conversation does the assistant serve the user better: correct, honest, complete and to the point?"
)


@dataclass(frozen=True, slots=True)
class Preference:
    """How much the first of two conversations is preferred.

    Attributes:
        value: probability that the first is better; 0.5, a tie, where the two orders disagree; nan if missing.
        orders: the same as told with the first shown first, and with the first shown second; empty if missing.
        missing: why there is none; empty if there is one.
    """

    value: float
    orders: tuple[float, ...] = ()
    missing: str = ""

    @property
    def flipped(self) -> bool:
        """Whether the judge prefers a place rather than a conversation: one order says the first, one the second."""
        return len(self.orders) == 2 and (self.orders[0] - 0.5) * (self.orders[1] - 0.5) < 0

    @property
    def mean(self) -> float:
        """The mean of both orders, whether they agree or not; nan if missing."""
        return sum(self.orders) / len(self.orders) if self.orders else math.nan


class PairwiseJudge:
    """A language model that compares two conversations, each pair in both orders.

    Judges prefer what stands first, or second (Wang et al. 2023, arXiv:2305.17926). So a verdict counts only
    where both orders agree: then it is the mean of both, p = ½ [P(first | first, second) + P(first | second,
    first)]; else it is a tie. Failures are missing, as in ``JudgeReward``.

    >>> from ss_gym.types import ConversationTurn
    >>> biased = PairwiseJudge(AgentConfig("stub://judge", stub_responses=("A",)))
    >>> one, other = ([ConversationTurn("assistant", text)] for text in ("Until 6.", "Who knows."))
    >>> biased.compare(one, other)
    Preference(value=0.5, orders=(1.0, 0.0), missing='')

    Args:
        model: see ``JudgeReward``.
        question: what is compared.
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
        question: str = DEFAULT_QUESTION,
        batch_size: int = 32,
        concurrency: int = 1,
        timeout: float | None = 60.0,
        retries: int = 2,
        key: bytes = b"ss_gym.judge",
    ) -> None:
        self.question, self._key = question, key
        self.bench = Bench(model, batch_size, concurrency, timeout, retries)

    def compare(self, first: Turns, second: Turns) -> Preference:
        """Which one is preferred, waited for.

        Raises:
            MissingReward: if the judge does not say.
        """
        (preference,) = self.compare_batch([(first, second)])
        if preference.missing:
            raise MissingReward(preference.missing)
        return preference

    def compare_batch(
        self,
        pairs: Sequence[tuple[Turns, Turns]],
        asked: Sequence[str] | None = None,
        instructions: Sequence[str] | None = None,
    ) -> list[Preference]:
        """Which ones are preferred, waited for; see ``compare_pairs``."""
        return run(self.compare_pairs(pairs, asked, instructions))

    async def compare_pairs(
        self,
        pairs: Sequence[tuple[Turns, Turns]],
        asked: Sequence[str] | None = None,
        instructions: Sequence[str] | None = None,
    ) -> list[Preference]:
        """Which one of each pair is preferred; pairs without a verdict are marked as missing.

        Args:
            pairs: what is compared.
            asked: the question about each pair, such as a principle; the judge's own if None.
            instructions: what the agent was told to do in each pair; not shown if None.
        """
        asked = [self.question] * len(pairs) if asked is None else asked
        instructions = [""] * len(pairs) if instructions is None else instructions
        questions = [
            judge_prompt.comparing_prompt(*order, question, self._key, told)
            for (first, second), question, told in zip(pairs, asked, instructions, strict=True)
            for order in ((first, second), (second, first))
        ]
        answers = await self.bench.ask(
            questions,
            ("A", "B"),
            lambda logprobs: judge_prompt.distribution(logprobs)[0],
            lambda text: float(judge_prompt.read_choice(text) == "A"),
        )
        return [_preference(answers[place], answers[place + 1]) for place in range(0, len(answers), 2)]


def flip_rate(preferences: Sequence[Preference]) -> float:
    """Share of the verdicts in which the two orders disagree; nan if there is no verdict."""
    told = [preference.flipped for preference in preferences if not preference.missing]
    return sum(told) / len(told) if told else math.nan


def _preference(forward: float | MissingReward, backward: float | MissingReward) -> Preference:
    for answer in (forward, backward):
        if isinstance(answer, MissingReward):
            return Preference(math.nan, missing=str(answer))
    assert not isinstance(forward, MissingReward) and not isinstance(backward, MissingReward)
    both = Preference(0.5, (forward, 1.0 - backward))
    return both if both.flipped else Preference(both.mean, both.orders)
