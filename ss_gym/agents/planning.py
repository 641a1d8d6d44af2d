"""Plans: what an agent means to do in a conversation, how they are kept, and for how long."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from ss_gym.spelling import nearest

Status = Literal["pending", "done", "failed", "skipped"]
Shown = Literal["changes", "turns", "steps"]
PlannerName = Literal["heuristic", "model"]

# The most steps of a plan, and the most characters of its goal and of a step: it is read again and again.
MOST_STEPS = 32
MOST_CHARS = 200

_OPEN, _CLOSE = "<plan>", "</plan>"
_TAGS = re.compile(r"</?plan>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan.

    Attributes:
        text: what is to be done, in one line; what is longer than ``MOST_CHARS`` is cut.
        status: whether it is still to be done, or how it ended.

    Raises:
        ValueError: if there is no text, or no such status.
    """

    text: str
    status: Status = "pending"

    def __post_init__(self) -> None:
        """Tidies the text."""
        object.__setattr__(self, "text", _tidy(self.text))
        if not self.text:
            raise ValueError("a step of a plan needs a text that says what is to be done")
        if self.status not in get_args(Status):
            raise ValueError(f"a step has no status {self.status!r:.80}; {nearest(self.status, get_args(Status))}")


@dataclass(frozen=True, slots=True)
class Plan:
    """A goal and the steps that lead to it; every change makes a new one.

    The first pending step is the current one. Steps are numbered from 1, as ``text`` shows them.

    >>> plan = Plan.of("a happy customer", ["refund the lamp", "cancel the subscription"])
    >>> plan.current, plan.advance().current, plan.advance().skip().status
    (1, 2, 'done')

    Attributes:
        goal: what it is for; tidied as the text of a step is.
        steps: in the order in which they are to be done.

    Raises:
        ValueError: if there are more than ``MOST_STEPS``.
    """

    goal: str = ""
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        """Tidies the goal."""
        object.__setattr__(self, "goal", _tidy(self.goal))
        object.__setattr__(self, "steps", tuple(self.steps))
        if len(self.steps) > MOST_STEPS:
            raise ValueError(f"a plan has at most {MOST_STEPS} steps, got {len(self.steps)}")

    @classmethod
    def of(cls, goal: str, steps: Iterable[str]) -> Plan:
        """A plan of which nothing is done yet."""
        return cls(goal, tuple(map(Step, steps)))

    @property
    def current(self) -> int | None:
        """The number of the step that is to be done now; None if none is left."""
        return next((number for number, step in enumerate(self.steps, 1) if step.status == "pending"), None)

    @property
    def status(self) -> Literal["active", "done", "failed"]:
        """Active as long as a step is pending, or there are no steps yet; then failed if one of them has."""
        if self.current is not None or not self.steps:
            return "active"
        return "failed" if any(step.status == "failed" for step in self.steps) else "done"

    def advance(self) -> Plan:
        """The plan with the current step done; one of which nothing is left stays as it is."""
        return self.complete()

    def complete(self, number: int | None = None) -> Plan:
        """The plan with a step done.

        Args:
            number: which step; the current one if None.

        Raises:
            ValueError: if there is no such step.
        """
        return self._ended("done", number)

    def fail(self, number: int | None = None) -> Plan:
        """The plan with a step that could not be done; see ``complete``."""
        return self._ended("failed", number)

    def skip(self, number: int | None = None) -> Plan:
        """The plan with a step that need not be done any more; see ``complete``."""
        return self._ended("skipped", number)

    def add(self, steps: Iterable[str], most: int = MOST_STEPS) -> Plan:
        """The plan with further steps at its end.

        Args:
            steps: their texts.
            most: how many steps it may have then. The oldest that have ended are left out; where too many are
                pending, the last one says what the others say, too.
        """
        return replace(self, steps=_within((*self.steps, *map(Step, steps)), most))

    def replan(self, steps: Iterable[str], goal: str | None = None, most: int = MOST_STEPS) -> Plan:
        """The plan with other steps in place of those that are pending; what has ended stays.

        Args:
            steps: their texts.
            goal: the new goal; the same as before if None.
            most: as of ``add``.
        """
        ended = [step for step in self.steps if step.status != "pending"]
        return Plan(self.goal if goal is None else goal, _within((*ended, *map(Step, steps)), most))

    def text(self) -> str:
        """The plan as a model reads it; empty if there are no steps.

        >>> print(Plan.of("a happy customer", ["refund the lamp", "cancel the subscription"]).text())
        <plan>
        Goal: a happy customer
        1. now: refund the lamp
        2. open: cancel the subscription
        </plan>
        """
        if not self.steps:
            return ""
        current = self.current
        lines = [f"Goal: {self.goal}"] if self.goal else []
        for number, step in enumerate(self.steps, 1):
            state = ("now" if number == current else "open") if step.status == "pending" else step.status
            lines.append(f"{number}. {state}: {step.text}")
        return "\n".join([_OPEN, *lines, _CLOSE])

    def as_info(self) -> dict[str, Any]:
        """The plan as JSON data: ``goal``, ``status``, and ``steps`` with ``text`` and ``status`` each."""
        steps = [{"text": step.text, "status": step.status} for step in self.steps]
        return {"goal": self.goal, "status": self.status, "steps": steps}

    def _ended(self, status: Status, number: int | None) -> Plan:
        number = self.current if number is None else number
        if number is None:
            return self
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(self.steps):
            raise ValueError(f"the plan has the steps 1 to {len(self.steps)}, and none of the number {number!r:.80}")
        steps = list(self.steps)
        steps[number - 1] = replace(steps[number - 1], status=status)
        return replace(self, steps=tuple(steps))


def with_plan(text: str, plan: str) -> str:
    """A text, and below it a plan as :meth:`Plan.text` gives it."""
    return f"{text}\n\n{plan}" if text and plan else text or plan


def without_plan(text: str) -> str:
    """A text without the plan that stands at its end.

    >>> without_plan(with_plan("Hello!", Plan.of("", ["say hello"]).text()))
    'Hello!'
    """
    start = text.rfind(f"{_OPEN}\n") if text.endswith(f"\n{_CLOSE}") else -1
    return text if start < 0 else text[:start].removesuffix("\n\n")


@dataclass(frozen=True, slots=True)
class PlanningConfig:
    """How an agent plans: ``AgentConfig.planning_config``.

    Attributes:
        max_steps: most steps of a plan, at most ``MOST_STEPS``.
        planner: who makes plans: ``"heuristic"`` (:class:`ss_gym.agents.planners.HeuristicPlanner`), or
            ``"model"``, the agent's own (:class:`ss_gym.agents.planners.ModelPlanner`).
        show: when the model reads the plan: ``"changes"``, beside what the user says, where it is not as the model
            has read it last; ``"turns"``, whenever the user speaks; ``"steps"``, also beside results of tools. An
            agent that trims histories shows it at least when the user speaks, since earlier words may be left out.
        max_plans: plans that are kept, each of a conversation; of more, the one that was not used for longest goes.
        time_to_live: seconds after which a plan that was not used is forgotten; ``math.inf`` keeps it.
        planning_tokens: most tokens of what the model says when it plans.
    """

    max_steps: int = 6
    planner: PlannerName = "heuristic"
    show: Shown = "changes"
    max_plans: int = 256
    time_to_live: float = 3600.0
    planning_tokens: int = 192

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ValueError: if one is of another kind or outside its range.
        """
        for name, most in (("max_steps", MOST_STEPS), ("max_plans", None), ("planning_tokens", None)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most and value > most):
                limit = f"from 1 to {most}" if most else "of at least 1"
                raise ValueError(f"planning_config: {name} must be a whole number {limit}, got {value!r:.80}")
        for name, known in (("planner", get_args(PlannerName)), ("show", get_args(Shown))):
            check_choice(f"planning_config: {name}", getattr(self, name), known)
        seconds = self.time_to_live
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
            raise ValueError(f"planning_config: time_to_live must be a number of seconds above 0, got {seconds!r:.80}")


def check_choice(name: str, value: object, known: tuple[str, ...]) -> None:
    """Checks that a setting is one of some words.

    Raises:
        ValueError: if it is not; names the nearest.
    """
    if not isinstance(value, str) or value not in known:
        allowed = " or ".join(map(repr, known))
        hint = nearest(value, known) if isinstance(value, str) else ""
        raise ValueError(f"{name} must be {allowed}, got {value!r:.80}{f'; {hint}' if hint.endswith('?') else ''}")


def read_planning(settings: Mapping[str, Any]) -> PlanningConfig:
    """The settings of planning from plain values, such as those of a file.

    Raises:
        ValueError: if there is no such setting, or a value is out of its range.
    """
    known = [entry.name for entry in fields(PlanningConfig)]
    if not isinstance(settings, Mapping):
        raise ValueError(f"planning_config is a mapping of settings such as {{'max_steps': 4}}, got {settings!r:.80}")
    for name in settings:
        if name not in known:
            raise ValueError(f"planning_config has no setting {name!r:.80}; {nearest(name, known)}")
    return PlanningConfig(**settings)


class PlanStore:
    """Plans by conversation, so many and for so long; it may be used from several threads.

    Args:
        max_plans: how many are kept; of more, the one that was not used for longest goes.
        time_to_live: seconds after which a plan that was neither read nor put is forgotten.
        clock: gives the seconds of a clock that never goes back.
    """

    def __init__(self, max_plans: int, time_to_live: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_plans, self._time_to_live, self._clock = max_plans, time_to_live, clock
        self._lock = threading.Lock()
        # In the order in which they were used, with when that was.
        self._plans: OrderedDict[str, tuple[float, Plan]] = OrderedDict()

    def get(self, key: str) -> Plan | None:
        """The plan of a conversation; None if there is none, or none any more."""
        with self._lock:
            self._forget()
            found = self._plans.pop(key, None)
            if found is None:
                return None
            self._plans[key] = (self._clock(), found[1])
            return found[1]

    def put(self, key: str, plan: Plan) -> None:
        """Keeps the plan of a conversation, in place of the one before."""
        with self._lock:
            self._plans.pop(key, None)
            self._plans[key] = (self._clock(), plan)
            self._forget()

    def __len__(self) -> int:
        """How many there are."""
        with self._lock:
            self._forget()
            return len(self._plans)

    def _forget(self) -> None:
        """Drops what is too old, and what is too much; the first were not used for longest."""
        oldest = self._clock() - self._time_to_live
        while self._plans and (len(self._plans) > self._max_plans or next(iter(self._plans.values()))[0] <= oldest):
            self._plans.popitem(last=False)


def _within(steps: tuple[Step, ...], most: int) -> tuple[Step, ...]:
    """At most so many steps; see ``Plan.add``."""
    kept = list(steps)
    while len(kept) > most and (ended := next((step for step in kept if step.status != "pending"), None)):
        kept.remove(ended)
    if len(kept) > most:
        kept[most - 1 :] = [Step("; ".join(step.text for step in kept[most - 1 :]))]
    return tuple(kept)


def _tidy(text: str) -> str:
    """A text in one line, without what would end a plan, and not too long."""
    line = " ".join(_TAGS.sub(" ", str(text)).split())
    return line if len(line) <= MOST_CHARS else line[: MOST_CHARS - 1].rstrip() + "…"
