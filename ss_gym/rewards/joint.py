"""The verifiable reward of a conversation about several wishes: all of them must end as they should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ss_gym.commerce.records import Effect
from ss_gym.rewards.outcome import PARTIAL_CREDIT, PENALTIES, OutcomeAudit
from ss_gym.scenarios import Scenario
from ss_gym.users.acts import Act, Consent
from ss_gym.users.course import Course
from ss_gym.users.told import done_share


class JointAudit:
    """Follows one episode about several wishes, with an audit for each; see ``OutcomeAudit``.

    Every wish is judged by itself, by the changes that belong to it, and a success is a success in each. The reward
    keeps its scale: success is 1, partial credit is that of all due effects together, and each penalty has its cap
    once an episode.

    Args:
        scenario: what is acceptable, of all wishes together.
        audits: that of each wish.
        course: how far the conversation has come; its owner goes on to the next wish.
    """

    def __init__(self, scenario: Scenario, audits: Sequence[OutcomeAudit], course: Course) -> None:
        self._outcome = scenario.outcome
        self._audits = audits
        self._course = course
        self._paid: dict[str, float] = {}
        self._terms: dict[str, float] = {}

    def take_terms(self) -> dict[str, float]:
        """The reward terms since the last call, penalties negative."""
        for audit in self._audits:
            for name, value in audit.take_terms().items():
                if value < 0:
                    self._charge(name, -value)
        terms, self._terms = self._terms, {}
        return terms

    def penalise(self, name: str) -> None:
        """Count one occurrence of a fault against its cap."""
        self._charge(name, PENALTIES[name][0])

    def verification(self, verified: bool) -> None:
        """An attempt to verify the customer, which counts for every wish."""
        for audit in self._audits:
            audit.verification(verified)

    def look(self, arguments: Mapping[str, Any]) -> None:
        """A look into the shop's data, found or not."""
        for audit in self._audits:
            audit.look(arguments)

    def consent(self, step: int, consent: Consent) -> None:
        """The customer's yes."""
        self._current.consent(step, consent)

    def write(self, step: int, before: frozenset[Effect], effects: frozenset[Effect]) -> None:
        """A successful write: it is one of the wish whose changes it makes."""
        for place, audit in enumerate(self._audits):
            earlier, now = self._course.of(place, before), self._course.of(place, effects)
            if earlier != now:
                audit.write(step, earlier, now)

    def failed_write(self) -> None:
        """A write that the shop refused."""
        self._current.failed_write()

    def hear(self, acts: Sequence[Act], effects: frozenset[Effect]) -> None:
        """A message of the agent to the customer."""
        course = self._course
        own = course.own_acts(acts, effects)
        self._current.hear(own, course.of(course.current, effects))
        self._current.overhear([act for act in acts if act not in own])
        for place, said in course.earlier.items():
            self._audits[place].hear(said, course.of(place, effects))

    def progress(self, effects: frozenset[Effect]) -> float:
        """How much of what the right ends need is there: the mean of the wishes'."""
        shares = [audit.progress(self._course.of(place, effects)) for place, audit in enumerate(self._audits)]
        return sum(shares) / len(shares)

    def conclude(self, effects: frozenset[Effect], ended_by: str) -> tuple[bool, dict[str, Any]]:
        """Score the end of the episode; see ``OutcomeAudit.conclude``."""
        course = self._course
        ends = [*course.ends, ended_by, *["unbegun"] * (len(self._audits) - 1 - course.current)]
        found = []
        for place, (audit, end) in enumerate(zip(self._audits, ends, strict=True)):
            success, checked = audit.conclude(course.of(place, effects), end)
            found.append((success and end != "unbegun", checked))
        if "unbegun" in ends:
            found[-1][1]["failed"].setdefault("closed", "it never came up")
            if ended_by == "agent":
                self.penalise("no_outcome")
        audits = [checked for _, checked in found]
        success = all(fine for fine, _ in found)
        joint = self._joint(audits, ended_by)
        terms = self.take_terms()
        if success:
            terms["success"] = 1.0
        elif self._outcome.effects and not joint["critical"] and not joint["wrong_effects"]:
            if share := done_share(effects, self._outcome.effects):
                terms["partial"] = PARTIAL_CREDIT * share
        self._terms = terms
        return success, joint

    def _joint(self, audits: Sequence[Mapping[str, Any]], ended_by: str) -> dict[str, Any]:
        """What was checked in all wishes, under the names that one has."""
        failed: dict[str, str] = {}
        for place, audit in enumerate(audits, 1):
            for name, failure in audit["failed"].items():
                text = f"wish {place}: {failure}"
                failed[name] = f"{failed[name]}; {text}" if name in failed else text
        names = dict.fromkeys([name for audit in audits for name in (*audit["passed"], *audit["failed"])])
        return {
            "verdict": self._outcome.verdict,
            "ended_by": ended_by,
            "passed": [name for name in names if name not in failed],
            "failed": failed,
            "critical": [breach for audit in audits for breach in audit["critical"]],
            "wrong_effects": [effect for audit in audits for effect in audit["wrong_effects"]],
            "missing_effects": [effect for audit in audits for effect in audit["missing_effects"]],
        }

    @property
    def _current(self) -> OutcomeAudit:
        return self._audits[self._course.current]

    def _charge(self, name: str, size: float) -> None:
        paid = self._paid.get(name, 0.0)
        due = min(size, PENALTIES[name][1] - paid)
        if due > 0:
            self._paid[name] = paid + due
            self._terms[name] = self._terms.get(name, 0.0) - due
