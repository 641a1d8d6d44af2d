"""A language model as a judge: any backend, grades as expectations, failures as missing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from ss_gym.agents.backends import Backend, ChoosingBackend, Sampling, load_backend
from ss_gym.agents.config import AgentConfig
from ss_gym.agents.conversation import Conversation
from ss_gym.asynchronous import Slots, in_thread, side_by_side
from ss_gym.rewards import judge_prompt
from ss_gym.rewards.correctness import references_of
from ss_gym.rewards.function import CONCURRENCY, Context, MissingReward, RewardFunction, RewardResult, Turns
from ss_gym.types import Completion

T = TypeVar("T")
_ANSWER_TOKENS = 8


class Bench:
    """A backend that is asked in batches, with a time-out, bounded retries and a limit of calls at once.

    Args:
        model: a model name as in ``AgentConfig``, a config, or a backend.
        batch_size: most questions in one call.
        concurrency: most calls at once, in each event loop; above 1 only for a backend that bears it.
        timeout: most seconds a call may take; no limit if None. Nothing can end a call that hangs: it is left
            to itself.
        retries: how often a call that failed is made again.
        answer_tokens: most tokens of an answer, where ``model`` is no config that says so.

    Raises:
        ValueError: if a number is outside its range.
    """

    def __init__(
        self,
        model: str | AgentConfig | Backend,
        batch_size: int = 32,
        concurrency: int = 1,
        timeout: float | None = 60.0,
        retries: int = 2,
        answer_tokens: int = _ANSWER_TOKENS,
    ) -> None:
        if batch_size < 1 or retries < 0 or (timeout is not None and not timeout > 0):
            raise ValueError(
                f"batch_size must be at least 1, retries at least 0 and timeout above 0, "
                f"got {batch_size}, {retries}, {timeout}"
            )
        config = AgentConfig(model, answer_tokens, temperature=0.0) if isinstance(model, str) else model
        self._config = config if isinstance(config, AgentConfig) else None
        self._backend = None if isinstance(config, AgentConfig) else config
        self._loading = threading.Lock()
        self.sampling = Sampling(answer_tokens, 0.0)
        if self._config:
            self.sampling = Sampling.of(self._config)
        self.batch_size, self.timeout, self.retries = batch_size, timeout, retries
        self._slots = Slots(concurrency)

    def __getstate__(self) -> dict[str, Any]:
        """Without the lock, and without a model that can be loaded again."""
        state = {name: value for name, value in vars(self).items() if name != "_loading"}
        return {**state, "_backend": None if self._config else self._backend}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _loading=threading.Lock())

    @property
    def backend(self) -> Backend:
        """What answers; loaded when it is first asked."""
        with self._loading:
            if self._backend is None:
                assert self._config is not None
                self._backend = load_backend(self._config)
            return self._backend

    async def ask(
        self,
        questions: Sequence[Conversation],
        choices: Sequence[str],
        from_logprobs: Callable[[Sequence[float]], T],
        from_text: Callable[[str], T],
    ) -> list[T | MissingReward]:
        """What the judge says to each question, or why that is missing.

        Args:
            questions: each ends with a user message.
            choices: the answers it may give.
            from_logprobs: reads the answer of a backend that tells the log-probabilities of the choices.
            from_text: reads the answer of any other.
        """

        def answers(batch: Sequence[Conversation]) -> list[T | MissingReward]:
            backend = self.backend
            if isinstance(backend, ChoosingBackend):
                return _read(from_logprobs, backend.choice_logprobs(batch, choices), len(batch))
            completions = backend.generate(batch, self.sampling)
            return _read(from_text, [completion.text for completion in completions], len(batch))

        return await self._in_batches(questions, answers)

    async def write(self, questions: Sequence[Conversation], from_text: Callable[[str], T]) -> list[T | MissingReward]:
        """What the model writes to each question, or why that is missing; what was cut off is.

        Args:
            questions: each ends with a user message.
            from_text: reads what was written.
        """

        def read(completion: Completion) -> T:
            if completion.finish_reason == "length":
                raise MissingReward(f"the answer was not over after {self.sampling.max_new_tokens} tokens")
            return from_text(completion.text)

        def answers(batch: Sequence[Conversation]) -> list[T | MissingReward]:
            return _read(read, self.backend.generate(batch, self.sampling), len(batch))

        return await self._in_batches(questions, answers)

    async def _in_batches(
        self,
        questions: Sequence[Conversation],
        answers: Callable[[Sequence[Conversation]], list[T | MissingReward]],
    ) -> list[T | MissingReward]:
        size = self.batch_size
        batches = [questions[start : start + size] for start in range(0, len(questions), size)]
        calls = [partial(self._tried, answers, batch) for batch in batches]
        parts = await side_by_side(calls, len(calls)) if calls else []
        return [answer for part in parts for answer in part]

    async def _tried(
        self, answers: Callable[[Sequence[Conversation]], list[T | MissingReward]], batch: Sequence[Conversation]
    ) -> list[T | MissingReward]:
        """The answers to a batch; what failed or could not be read is asked again, up to the limit.

        The last time, each question is asked by itself: one that the backend can't take must not cost the others.
        """
        given: dict[int, T | MissingReward] = {}
        for left in range(self.retries, -1, -1):
            places = [place for place in range(len(batch)) if isinstance(given.get(place, _UNASKED), MissingReward)]
            groups = [places] if left or not given else [[place] for place in places]
            for group in filter(None, groups):
                # A backend may keep what it computed with a conversation: each attempt has a fresh one.
                fresh = [Conversation(batch[place]) for place in group]
                told = await self._called(partial(answers, fresh), len(fresh))
                given.update(zip(group, told, strict=True))
                if len(groups) > 1 and isinstance(told[0], _SlowJudge):
                    break  # it hangs: do not wait for it as often as there are questions
        return [given[place] for place in range(len(batch))]

    async def _called(self, call: Callable[[], list[T | MissingReward]], count: int) -> list[T | MissingReward]:
        async with self._slots.here:
            try:
                return await in_thread(call, self.timeout)
            except TimeoutError:
                limit = "in time" if self.timeout is None else f"in {self.timeout:g} seconds"
                reason: MissingReward = _SlowJudge(f"the judge did not answer {limit}")
            except (ImportError, TypeError, FileNotFoundError, NotImplementedError):
                raise  # it never can answer: a mistake to be told, not a judgement that is missing
            except Exception as error:
                reason = MissingReward(f"the judge failed: {type(error).__name__}: {error}")
        return [reason] * count


class _SlowJudge(MissingReward):
    """A judge that ran into its time-out."""


_UNASKED = MissingReward("it was not asked")


def _read(reader: Callable[[Any], T], answers: Sequence[Any], expected: int) -> list[T | MissingReward]:
    if len(answers) != expected:
        raise RuntimeError(f"{expected} questions got {len(answers)} answers")
    read: list[T | MissingReward] = []
    for answer in answers:
        try:
            read.append(reader(answer))
        except MissingReward as missing:
            read.append(missing)
    return read


class JudgeReward(RewardFunction):
    """The grade that a language model gives a conversation, 1 to 5 as 0 to 1.

    Where the backend tells log-probabilities (``ChoosingBackend``), the grade is the expectation over the five
    grade tokens; else it is the digit that the answer has, or the mean of several samples of it. A judge
    that fails, runs into its time-out or gives no grade is asked again; then the reward is missing, never 0.
    A mistake in how it is set up (a package or model that is not there) is raised.

    The conversation is shown as JSON between fences that those who are judged can't know. That keeps texts from
    posing as the question; whether a model is swayed by what it reads is for its user to test.

    >>> from ss_gym.types import ConversationTurn
    >>> judge = JudgeReward(AgentConfig("stub://judge", stub_responses=("4",)))
    >>> judge.compute([ConversationTurn("user", "Open?"), ConversationTurn("assistant", "Until 6.")]).score
    0.75

    Args:
        model: a model name as in ``AgentConfig`` (asked at temperature 0), a config, or a backend.
        rubric: what the grades mean.
        weight: see ``RewardFunction``.
        name: see ``RewardFunction``.
        samples: answers whose mean is taken, where they are sampled: then give a config with a temperature.
        batch_size: see ``Bench``; as are ``concurrency``, ``timeout`` and ``retries``.
        concurrency: see above.
        timeout: see above.
        retries: see above.
        key: a secret of the fences.

    Raises:
        ValueError: if an argument is outside its range.
        MissingReward: when it is computed, if there is no grade.
    """

    def __init__(
        self,
        model: str | AgentConfig | Backend,
        rubric: str = judge_prompt.DEFAULT_RUBRIC,
        weight: float = 1.0,
        name: str = "judge",
        samples: int = 1,
        batch_size: int = 32,
        concurrency: int = 1,
        timeout: float | None = 60.0,
        retries: int = 2,
        key: bytes = b"ss_gym.judge",
    ) -> None:
        super().__init__(self._judged, name, weight)
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        self.rubric, self.samples, self._key = rubric, samples, key
        self.bench = Bench(model, batch_size, concurrency, timeout, retries)

    async def compute_rewards(
        self, conversations: Sequence[tuple[Turns, Context]], concurrency: int = CONCURRENCY
    ) -> list[RewardResult]:
        """See ``RewardFunction``: the judge is asked in batches; how many at once is its own setting."""
        backend = await in_thread(lambda: self.bench.backend)  # to load a model takes its time
        choosing = isinstance(backend, ChoosingBackend)
        repeats = 1 if choosing else self.samples
        questions = [self._question(*one) for one in conversations for _ in range(repeats)]
        answers = await self.bench.ask(
            questions,
            judge_prompt.GRADES,
            judge_prompt.expected_grade,
            lambda text: float(judge_prompt.read_grade(text)),
        )
        return [self._result(answers[start : start + repeats]) for start in range(0, len(answers), repeats)]

    async def _judged(self, turns: Turns, context: Context = None) -> RewardResult:
        (result,) = await self.compute_rewards([(turns, context)])
        if result.missing:
            raise MissingReward(result.missing[self.name])
        return result

    def _question(self, turns: Turns, context: Context) -> Conversation:
        instructions = (context or {}).get("system_prompt", "")
        reference = "; ".join(references_of(context))
        return judge_prompt.grading_prompt(turns, self.rubric, self._key, reference, str(instructions))

    def _result(self, answers: Sequence[float | MissingReward]) -> RewardResult:
        grades = [answer for answer in answers if not isinstance(answer, MissingReward)]
        if not grades:
            return self.missed(answers[0])
        grade = sum(grades) / len(grades)
        score = (grade - 1.0) / (len(judge_prompt.GRADES) - 1)
        return RewardResult(score, {self.name: score, f"{self.name}.grade": grade})
