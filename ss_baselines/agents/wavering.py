"""The wavering agent: the reference's dialogue, in which each decision goes right only so often.

It is a stochastic policy whose propensities are known exactly. What it says is a function of the conversation and of
its decisions; each of them goes right with a probability of its own, drawn afresh, whatever came before. Who logs the
decisions knows how likely an episode is under *any* rates: the customer has no part in the ratio. They also know all
that the agent might have done instead, which the dialogue tells when it is held again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from math import inf, log
from types import MappingProxyType
from typing import NamedTuple

from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import Desk, Moves
from ss_baselines.agents.dialogue import DialogueAgent, serve
from ss_baselines.agents.judgement import Ruling
from ss_baselines.agents.plan import Plan
from ss_baselines.agents.terse_grammar import terse_words
from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.dialogue.case import Case
from ss_gym.rewards.function import is_finite
from ss_gym.spelling import nearest
from ss_gym.streams import Stream
from ss_gym.types import Message


@dataclass(frozen=True, slots=True)
class Rates:
    """How often each decision goes right, from 0 to 1; always by default, as the reference agent's do.

    A decision is drawn each time that the dialogue comes to it, also where nobody will notice: whether a fee is kept
    is decided where there is none, too.

    Attributes:
        wants_postal_code: an e-mail alone is not enough to know who it is.
        insists_on_identity: it stops where the customer could not be verified.
        checks_owner: an order must be the verified customer's.
        doubts_number: it searches the account where the number that was told leads nowhere.
        asks_consent: the customer is asked before anything is done.
        keeps_fee: the restocking fee is kept.
        heeds_limit: what is above the limit goes to a colleague.
        offers_alternative: a refused customer is told what they can have instead.
        grants_due: a request that the policy grants in full is granted; else it is refused, on the first ground that
            the desk has.
        denies_undue: what the policy refuses or hands over is refused or handed over; else everything is granted.
    """

    wants_postal_code: float = 1.0
    insists_on_identity: float = 1.0
    checks_owner: float = 1.0
    doubts_number: float = 1.0
    asks_consent: float = 1.0
    keeps_fee: float = 1.0
    heeds_limit: float = 1.0
    offers_alternative: float = 1.0
    grants_due: float = 1.0
    denies_undue: float = 1.0

    def __post_init__(self) -> None:
        """Checks the rates.

        Raises:
            ValueError: if one is no number from 0 to 1.
        """
        for entry in fields(self):
            rate = getattr(self, entry.name)
            if not is_finite(rate) or not 0 <= rate <= 1:
                raise ValueError(f"the rate {entry.name} must be a number from 0 to 1, got {rate!r:.80}")


# No rate is 0 or 1, so that a log of each tells something of all the others.
PRESETS: Mapping[str, Rates] = MappingProxyType(
    {
        # Seldom wrong, and everywhere alike.
        "careful": Rates(0.95, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95, 0.97, 0.95),
        # Wants to be done: asks no more than it must, and looks no further.
        "hasty": Rates(
            wants_postal_code=0.4,
            insists_on_identity=0.8,
            checks_owner=0.7,
            doubts_number=0.3,
            asks_consent=0.5,
            keeps_fee=0.9,
            heeds_limit=0.8,
            offers_alternative=0.4,
            grants_due=0.95,
            denies_undue=0.9,
        ),
        # Can't say no: any rule that is in the way of the customer may be forgotten.
        "lenient": Rates(
            wants_postal_code=0.6,
            insists_on_identity=0.4,
            checks_owner=0.3,
            doubts_number=0.9,
            asks_consent=0.95,
            keeps_fee=0.4,
            heeds_limit=0.3,
            offers_alternative=0.9,
            grants_due=0.98,
            denies_undue=0.3,
        ),
        # Says no where it should not, and nothing else instead.
        "strict": Rates(
            wants_postal_code=0.98,
            insists_on_identity=0.98,
            checks_owner=0.98,
            doubts_number=0.5,
            asks_consent=0.95,
            keeps_fee=0.98,
            heeds_limit=0.98,
            offers_alternative=0.4,
            grants_due=0.5,
            denies_undue=0.98,
        ),
        # Anything may go wrong.
        "careless": Rates(0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.7, 0.6),
    }
)

_HABITS = tuple(entry.name for entry in fields(Conduct) if entry.name != "judge")


class Decision(NamedTuple):
    """A decision that was made.

    Attributes:
        name: which, a field of ``Rates``.
        right: whether it went right.
    """

    name: str
    right: bool


def log_probability(decisions: Iterable[tuple[str, bool]], rates: Rates) -> float:
    """How likely some decisions are at some rates, nats; 0 for none, minus infinity for what would never happen.

    >>> round(log_probability([("asks_consent", True), ("keeps_fee", True)], Rates(asks_consent=0.5)), 3)
    -0.693
    >>> log_probability([("keeps_fee", False)], Rates(asks_consent=0.5))
    -inf

    Args:
        decisions: as the agent told them, or as a log has them.
        rates: of the agent in question, who need not be the one that made them.

    Raises:
        ValueError: if there is no such decision.
    """
    total = 0.0
    for name, right in decisions:
        rate = getattr(rates, name, None)
        if rate is None:
            raise ValueError(
                f"no decision is called {name!r:.80}; {nearest(name, [one.name for one in fields(Rates)])}"
            )
        chance = rate if right else 1.0 - rate
        total += log(chance) if chance > 0 else -inf
    return total


class Choice(NamedTuple):
    """What the agent may do next.

    Attributes:
        decisions: those that it then makes, in their order.
        action: what it then says or calls.
    """

    decisions: tuple[Decision, ...]
    action: str


class WaveringScript:
    """One conversation of the wavering agent, in the words that the tiny agent learns from, with its notes.

    What is drawn for the n-th decision depends on the seed, the episode and n alone.

    Args:
        system_prompt: of the conversation.
        rates: how often decisions go right.
        seed: of what is drawn.
        episode: its number; attempts at the same scenario differ if their numbers do.
        forced: how the first decisions go, right or wrong, whatever the rates; those after them are drawn.

    Attributes:
        rates: as above.
        decisions: those that were made for the last action, in their order; often none.
    """

    __slots__ = ("_forced", "_script", "_stream", "decisions", "rates")

    def __init__(
        self, system_prompt: str, rates: Rates, seed: int = 0, episode: int = 0, forced: Iterable[bool] = ()
    ) -> None:
        self.rates = rates
        self.decisions: list[Decision] = []
        self._forced = iter(forced)
        self._stream = Stream("wavering", seed, episode)
        self._script = DialogueAgent(self._serve, terse_words, takes_notes=True).start(system_prompt)

    @property
    def action_logprob(self) -> float:
        """The log-probability of the decisions that were made for the last action, nats; 0 if there were none."""
        return log_probability(self.decisions, self.rates)

    def step(self, messages: Sequence[Message]) -> str:
        """The next action."""
        self.decisions = []
        return self._script.step(messages)

    def _serve(self, desk: Desk) -> Moves[None]:
        habits = {name: partial(self._keeps, name) for name in _HABITS}
        yield from serve(desk, Conduct(judge=partial(self._judge, desk.plan), **habits))

    def _keeps(self, name: str, case: Case) -> bool:
        right = next(self._forced, None)
        if right is None:
            right = self._stream.chance(getattr(self.rates, name))
        self.decisions.append(Decision(name, right))
        return right

    def _judge(self, plan: Plan, case: Case) -> Ruling:
        """The policy's ruling, or the opposite."""
        ruling = plan.judge(case)
        undue = ruling.transfer or ruling.ground or any(verdict.ground for verdict in ruling.verdicts)
        if self._keeps("denies_undue" if undue else "grants_due", case):
            return ruling
        return plan.grant(case) if undue else Ruling(ground=plan.grounds[0])


def choices_of(conversation: LoggedConversation) -> list[list[Choice]]:
    """For each action of an episode that the agent played, all that it might have done in its place.

    What was decided before is as it was; from there on the dialogue is held again for each way that decisions can go.
    So these are all the actions that agents of any rates may take there, and ``log_probability`` of the decisions tells
    how likely each is to one of them: expectations over a policy need not be drawn.

    Args:
        conversation: of a log that tells ``metadata["decisions"]`` for each action.

    Raises:
        ValueError: if it tells no decisions, or the agent would not have played it so.
    """
    made = conversation.metadata.get("decisions")
    if made is None or len(made) != len(conversation.actions):
        raise ValueError(f"conversation {conversation.id!r:.80} does not tell the decisions before each of its actions")
    places, before, found = conversation.episode.own_places, list[bool](), []
    for step, action in enumerate(conversation.actions):
        choices = _choices(conversation.messages, places[: step + 1], before)
        taken = Choice(tuple(Decision(name, right) for name, right in made[step]), action)
        if taken not in choices:
            raise ValueError(
                f"action {step} of conversation {conversation.id!r:.80} is none that the wavering agent would take "
                "there: it was played by another, or by another version"
            )
        found.append(choices)
        before += [right for _, right in taken.decisions]
    return found


def _choices(messages: Sequence[Message], places: Sequence[int], before: Sequence[bool]) -> list[Choice]:
    """All that can follow on the messages before the last of its own places, after what was decided before."""
    choices, courses = [], [[*before]]
    while courses:
        course = courses.pop()
        # At rates of 1, what is not forced goes right.
        script, seen, action = WaveringScript(messages[0]["content"], Rates(), forced=course), 1, ""
        for place in places:
            action, seen = script.step(messages[seen:place]), place
        decided = [right for _, right in script.decisions]
        choices.append(Choice(tuple(script.decisions), action))
        # Each decision that was not forced may go wrong as well, and others follow from that.
        free = range(len(course) - len(before), len(decided))
        courses += [[*before, *decided[:number], False] for number in free]
    return choices
