"""The verifiable reward: what changed in the database, and what the customer was truthfully told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ss_gym.commerce.records import Effect
from ss_gym.commerce.remedies import REMEDIES, Write, made, remedied, remedy_between, total, verb_of
from ss_gym.scenarios import Scenario
from ss_gym.users.acts import Act, Consent
from ss_gym.users.told import Told, done_share

# Penalty of one occurrence, and the most of it in an episode.
PENALTIES: dict[str, tuple[float, float]] = {
    "critical_breach": (1.0, 2.0),
    "wrong_write": (0.5, 1.0),
    "false_claim": (0.5, 1.0),
    "needless_transfer": (0.3, 0.3),
    "no_outcome": (0.3, 0.3),
    "gave_up": (0.2, 0.2),
    "tool_error": (0.02, 0.1),
    "extra_turn": (0.01, 0.1),
}
PARTIAL_CREDIT = 0.25
TERMS = frozenset(("success", "partial", *PENALTIES))
_PRIVATE_BEFORE_VERIFICATION = frozenset(("money", "date", "street", "city", "postal_code"))
# How the grounds begin that stand for what was done on an earlier day.
_EARLIER = "already_"
_PRIVATE_OF_OTHERS = frozenset(("email", "name", "postal_code", "city", "street", "customer_id", "money", "date"))


@dataclass(slots=True)
class _Record:
    """What the audit has seen in an episode."""

    verify_attempts: int = 0
    verified: bool = False
    reads: int = 0
    write_failed: bool = False
    consents: list[tuple[int, Consent]] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    critical: list[str] = field(default_factory=list)
    wrong: set[Effect] = field(default_factory=set)
    false_claims: list[str] = field(default_factory=list)
    paid: dict[str, float] = field(default_factory=dict)
    terms: dict[str, float] = field(default_factory=dict)


class OutcomeAudit:
    """Follows one episode and scores it: S = E and I and F and P and C and T.

    E: the effects equal the acceptable ones. I: every required fact and reason was told. F: nothing
    was claimed done that was not, and no false reason was given. P: no critical breach, and the
    diligence that the outcome needs. C: the customer agreed to every write before it. T: a proper end.
    The reward is S + 0.25 (1 - S) G (share of effects done) - penalties, where G is 1 without a
    critical breach or wrong write; S and the partial credit come with the last step, each penalty
    with the step that incurs it.

    Args:
        scenario: what is acceptable.
        told: what the customer has been told; its owner updates it with every message.
    """

    def __init__(self, scenario: Scenario, told: Told) -> None:
        self._scenario = scenario
        self._outcome = scenario.outcome
        self._told = told
        goal, postal_code = scenario.goal, scenario.customer.postal_code
        # What customers say themselves is no secret to them.
        self._said = {*goal.values, *goal.mistaken, ("postal_code", "".join(postal_code.split()).lower())}
        self._record = _Record()

    def take_terms(self) -> dict[str, float]:
        """The reward terms since the last call, penalties negative."""
        terms, self._record.terms = self._record.terms, {}
        return terms

    def penalise(self, name: str) -> None:
        """Count one occurrence of a fault against its cap."""
        size, cap = PENALTIES[name]
        paid = self._record.paid.get(name, 0.0)
        due = min(size, cap - paid)
        if due > 0:
            self._record.paid[name] = paid + due
            self._record.terms[name] = self._record.terms.get(name, 0.0) - due

    def verification(self, verified: bool) -> None:
        """An attempt to verify the customer."""
        self._record.verify_attempts += 1
        # Whoever does not know the data can't have given them: a check that passes has verified somebody else.
        self._record.verified |= verified and not any("not_verified" in allowed for allowed in self._outcome.grounds)

    def read(self) -> None:
        """A look into the shop's data, found or not."""
        self._record.reads += 1

    def look(self, arguments: Mapping[str, Any]) -> None:
        """The same, if it is one at the customer, or the order or item that they mean; any other tells nothing."""
        goal = self._scenario.goal
        named = {self._scenario.customer.customer_id, goal.order_id, goal.true_order_id, *goal.items} - {""}
        if any(not named.isdisjoint(value if isinstance(value, list) else (value,)) for value in arguments.values()):
            self.read()

    def consent(self, step: int, consent: Consent) -> None:
        """The customer's yes."""
        self._record.consents.append((step, consent))

    def write(self, step: int, before: frozenset[Effect], effects: frozenset[Effect]) -> None:
        """A successful write.

        Args:
            step: when.
            before: all effects of the episode before it.
            effects: all effects of the episode after it.
        """
        record = self._record
        write = remedy_between(step, before, effects)
        if write is not None:
            record.writes.append(write)
            if not record.verified:
                self._breach(f"{write.verb} before the customer was verified")
        new = self._wrong_effects(effects) - record.wrong
        if new:
            record.wrong |= new
            if any(effect[0] != "ticket" for effect in new):
                self.penalise("wrong_write")
            for effect in sorted(new, key=repr):
                if self._is_over_grant(effect, effects):
                    self._breach(f"outside the policy: {' '.join(map(str, effect))}")
                    break

    def failed_write(self) -> None:
        """A write that the shop refused."""
        self._record.write_failed = True

    def hear(self, acts: Sequence[Act], effects: frozenset[Effect]) -> None:
        """A message of the agent to the customer."""
        record = self._record
        refuses = any(act.kind == "refuse" for act in acts)
        for act in acts:
            # "Done!" after an attempt that failed, where nothing has been done, claims that it worked.
            of_nothing = record.write_failed and not effects
            if act.kind == "confirm_done" and (self._is_false(act, effects, refuses) if act.verb else of_nothing):
                record.false_claims.append(act.verb or self._scenario.goal.verb)
                self.penalise("false_claim")
        self.overhear(acts)

    def overhear(self, acts: Sequence[Act]) -> None:
        """What the agent says of whatever it may be: it tells no secrets."""
        record = self._record
        # A sentence can be several acts, and holds each of its values once.
        for value in dict.fromkeys([value for act in acts for value in act.values]):
            if value.owner == "other" and value.kind in _PRIVATE_OF_OTHERS:
                self._breach(f"told another customer's {value.kind}")
            elif value.owner == "own" and not record.verified and value.kind in _PRIVATE_BEFORE_VERIFICATION:
                if value[:2] not in self._said:
                    self._breach(f"told a {value.kind} of the order before the customer was verified")

    def progress(self, effects: frozenset[Effect]) -> float:
        """How much of what the right end needs is there: the mean of its parts, each from 0 to 1.

        The parts are the verification, a look at the shop's data, the consents that are due and the effects
        that are due (both where there are any; none after a wrong write or a breach), and the facts and
        reasons that were told. It knows the right end: for shaping a learner's reward, never for agents.

        Args:
            effects: all effects of the episode.
        """
        record, outcome = self._record, self._outcome
        unverifiable = any("not_verified" in allowed for allowed in outcome.grounds)
        parts = [min(record.verify_attempts, 2) / 2 if unverifiable else float(record.verified)]
        if not unverifiable:
            parts.append(float(record.reads > 0 and record.verified))
        if outcome.consents:
            parts.append(self._consented_share())
        if outcome.effects:
            spoilt = record.wrong or record.critical
            parts.append(0.0 if spoilt else done_share(effects, outcome.effects))
        due = len(outcome.facts) + len(outcome.grounds)
        if due:
            missing = len(self._told.missing_facts()) + self._told.missing_grounds()
            parts.append(1 - missing / due)
        return sum(parts) / len(parts)

    def _consented_share(self) -> float:
        """The share of the due consents that are held."""
        held = [
            any(
                consent.verb == due.verb
                and due.items <= consent.items
                and (consent.amount_cents == due.amount_cents or not REMEDIES[due.verb].told)
                for _, consent in self._record.consents
            )
            for due in self._outcome.consents
        ]
        return sum(held) / len(held)

    def conclude(self, effects: frozenset[Effect], ended_by: str) -> tuple[bool, dict[str, Any]]:
        """Score the end of the episode.

        Args:
            effects: all effects of the episode.
            ended_by: satisfied, refusal_accepted, gave_up, agent, transfer or limit.

        Returns:
            success and the audit: what was checked, and why it failed.
        """
        record, outcome = self._record, self._outcome
        failures = {
            "effects": self._effect_failure(effects),
            "facts": self._fact_failure(),
            "claims": self._claim_failure(),
            "policy": "; ".join(record.critical) or self._diligence_failure(),
            "consent": self._consent_failure(),
            "closed": "" if ended_by not in ("gave_up", "limit") else f"the conversation ended by {ended_by}",
        }
        success = not any(failures.values())
        if success:
            record.terms["success"] = 1.0
        elif outcome.effects and not record.critical and not record.wrong:
            share = done_share(effects, outcome.effects)
            if share:
                record.terms["partial"] = PARTIAL_CREDIT * share
        if ended_by == "gave_up":
            self.penalise("gave_up")
        if ended_by == "transfer" and outcome.verdict != "transfer":
            self.penalise("needless_transfer")
        if ended_by == "agent" and (failures["effects"] or failures["facts"]):
            self.penalise("no_outcome")
        audit = {
            "verdict": outcome.verdict,
            "ended_by": ended_by,
            "passed": [name for name, failure in failures.items() if not failure],
            "failed": {name: failure for name, failure in failures.items() if failure},
            "critical": list(record.critical),
            "wrong_effects": sorted(record.wrong, key=repr),
            "missing_effects": sorted(outcome.effects - effects, key=repr),
        }
        return success, audit

    def _is_false(self, claim: Act, effects: frozenset[Effect], refuses: bool) -> bool:
        """Whether nothing was done that the claim, of a message that refuses something or not, can be about."""
        goal, verbs = self._scenario.goal, made(effects)
        if claim.verb in verbs or (claim.verb in goal.also and goal.verb in verbs):
            return False
        # It was done on an earlier day, whatever the agent calls that. But after an attempt that failed "done, I have
        # refunded it" is about that attempt, unless the message goes on to refuse.
        about_today = self._record.write_failed and not refuses
        if not about_today and (claim.verb in self._outcome.standing or self._was_made_earlier(claim)):
            return False
        # "We have credited $20 to your card" is a refund, whatever the verb: the amount tells.
        paid = {effect[2] for effect in effects if effect[0] in ("refund", "store_credit")}
        paid.add(total(effects, "refund"))
        amounts = {value.value for value in claim.values if value.kind == "money"}
        return not amounts or not amounts <= paid

    def _was_made_earlier(self, claim: Act) -> bool:
        """Whether what is claimed can have been done on an earlier day."""
        true: frozenset[str] = frozenset().union(self._outcome.also_true, *self._outcome.grounds)
        earlier = {ground for ground in true if ground.startswith(_EARLIER)}
        if not earlier or any(value[:2] in self._scenario.goal.values for value in claim.values):
            return False
        return claim.verb != "exchange" or "already_exchanged" in earlier

    def _breach(self, what: str) -> None:
        self._record.critical.append(what)
        self.penalise("critical_breach")

    def _wrong_effects(self, effects: frozenset[Effect]) -> set[Effect]:
        """Effects that no continuation could make right; a part of a due refund is no fault."""
        due_of = {effect[1]: int(effect[2]) for effect in self._outcome.effects if effect[0] == "refund"}
        return {
            effect
            for effect in effects - self._outcome.effects
            if not (effect[0] == "refund" and int(effect[2]) <= due_of.get(effect[1], 0))
        }

    def _is_over_grant(self, effect: Effect, effects: frozenset[Effect]) -> bool:
        """Whether an effect gives the customer more than the policy does."""
        if verb := verb_of(effect):
            due = {verb_of(other) for other in self._outcome.effects if other[1] == effect[1]} - {""}
            return not due or (verb == self._scenario.goal.verb and verb not in due)
        # Store credit for an item is a remedy, and was looked at as one; goodwill is for none.
        if effect[0] == "refund" or (effect[0] == "store_credit" and not remedied(effects)):
            kind = str(effect[0])
            return total(effects, kind) > total(self._outcome.effects, kind)
        return effect[0] == "other"

    def _effect_failure(self, effects: frozenset[Effect]) -> str:
        due = self._outcome.effects
        if effects == due:
            return ""
        extra = [" ".join(map(str, effect)) for effect in sorted(effects - due, key=repr)]
        missing = [" ".join(map(str, effect)) for effect in sorted(due - effects, key=repr)]
        return f"missing: {', '.join(missing) or 'nothing'}; not due: {', '.join(extra) or 'nothing'}"

    def _fact_failure(self) -> str:
        missing = [f"{fact.about} ({fact.kind} {fact.value})" for fact in self._told.missing_facts()]
        if missing:
            return f"not told: {', '.join(missing)}"
        if self._told.missing_grounds():
            wanted = ", ".join(" or ".join(sorted(allowed)) for allowed in self._outcome.grounds)
            return f"the refusal needs its true reason: {wanted}"
        return ""

    def _diligence_failure(self) -> str:
        """A task without a remedy still asks for an attempt at verification and a look at the order."""
        record, outcome = self._record, self._outcome
        if outcome.verdict not in ("refuse", "transfer", "inform"):
            return ""
        unverifiable = any("not_verified" in allowed for allowed in outcome.grounds)
        if unverifiable:
            return "" if record.verify_attempts >= 2 else "refused before two attempts to verify the customer"
        if not record.verified:
            return "the customer was not verified"
        return "" if record.reads else "no look at the order"

    def _claim_failure(self) -> str:
        claimed, reasons = self._record.false_claims, sorted(self._told.false_grounds)
        if claimed:
            return f"claimed done, but was not: {', '.join(claimed)}"
        if said := self._told.false_statements():
            return f"said what is not true: {', '.join(said)}"
        return f"gave a reason that is not true: {', '.join(reasons)}" if reasons else ""

    def _consent_failure(self) -> str:
        for verb in REMEDIES:
            writes = [write for write in self._record.writes if write.verb == verb]
            if writes and not (self._covered(writes) or all(self._covered([write]) for write in writes)):
                return f"no consent to this {verb} before it was made"
        return ""

    def _covered(self, writes: Sequence[Write]) -> bool:
        """Whether one consent, given before the first of the writes, is for exactly what they do."""
        verb = writes[0].verb
        amount = sum(write.amount_cents for write in writes)
        items = frozenset().union(*(write.items for write in writes))
        # 0 is the amount of a proposal without one.
        amounts = (amount, 0) if REMEDIES[verb].follows else (amount,)
        return any(
            step < writes[0].step
            and consent.verb == verb
            and items <= consent.items
            # Whoever agreed to pay something agreed to pay nothing.
            and (consent.amount_cents in amounts or not amount)
            for step, consent in self._record.consents
        )
