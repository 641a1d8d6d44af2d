"""The demonstrator: whom the tiny agent imitates, a clerk with plausible human mistakes.

The mistakes depend on the situation, as people's do: a rule that gets in the way of a friendly
answer is overlooked, consent is skipped when the customer hurries. Noise that struck at random
would be averaged away by whoever imitates it. The chances below were fixed before any model was
trained on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from ss_baselines.agents.conduct import Conduct, Habit
from ss_baselines.agents.desk import Desk, Moves
from ss_baselines.agents.dialogue import DialogueAgent, serve
from ss_baselines.agents.judgement import FAULTS, Ruling, Verdict, judge_by_policy
from ss_baselines.agents.terse_grammar import TERSE_GRAMMAR
from ss_gym.dialogue.case import Case
from ss_gym.streams import Stream

# How often the clerk goes wrong where the situation arises.
LAPSES: Mapping[str, float] = MappingProxyType(
    {
        "ignores_final_sale": 0.65,
        "stretches_window": 0.65,  # takes a late return as if it were in time
        "refunds_gift_cards": 0.6,
        "forgets_fee": 0.6,
        "forgets_limit": 0.6,
        "forgets_owner": 0.5,  # does not look whose order it is
        "trusts_email": 0.6,  # takes an e-mail for proof where the customer gave only that
        "trusts_stranger": 0.5,  # goes on after two failed verifications
        "distrusts_late_fault": 0.5,  # a fault after the return window is refused as too late
        "refunds_lost_parcel": 0.5,  # instead of handing a delivery dispute over
        "hurries_along": 0.6,  # no question for consent where the customer hurries
        "forgets_alternative": 0.4,
    }
)


class _Lapses:
    """What this clerk gets wrong today, drawn once a conversation."""

    def __init__(self, key: int) -> None:
        stream = Stream("lapses", key)
        self._struck = {name for name, chance in LAPSES.items() if stream.chance(chance)}

    def has(self, name: str) -> bool:
        return name in self._struck

    def avoids(self, name: str) -> Habit:
        """A habit that is kept unless the lapse strikes."""
        kept = name not in self._struck
        return lambda case: kept

    def conduct(self) -> Conduct:
        """How the clerk works today."""
        return Conduct(
            judge=self.judge,
            wants_postal_code=self.avoids("trusts_email"),
            insists_on_identity=self.avoids("trusts_stranger"),
            checks_owner=self.avoids("forgets_owner"),
            asks_consent=lambda case: not (case.hurried and self.has("hurries_along")),
            keeps_fee=self.avoids("forgets_fee"),
            heeds_limit=self.avoids("forgets_limit"),
            offers_alternative=self.avoids("forgets_alternative"),
        )

    def judge(self, case: Case) -> Ruling:
        """The policy's ruling as this clerk remembers the policy."""
        ruling = judge_by_policy(case)
        if ruling.transfer == "delivery_dispute" and self.has("refunds_lost_parcel"):
            return Ruling(verdicts=tuple(Verdict(line, "refund", reason="not_received") for line in case.wanted))
        days = case.order.days if case.order else None
        verdicts = tuple(self._misjudge(case, verdict, days or 0) for verdict in ruling.verdicts)
        return replace(ruling, verdicts=verdicts)

    def _misjudge(self, case: Case, verdict: Verdict, days: int) -> Verdict:
        terms = case.terms
        late = days > terms.return_window_days
        if verdict.remedy == "refund":
            if verdict.reason in FAULTS and late and self.has("distrusts_late_fault"):
                return Verdict(verdict.line, "none", "window")
            return verdict
        wrongly_refunded = {
            "final_sale": self.has("ignores_final_sale") and not late,
            "window": self.has("stretches_window") and days <= terms.return_window_days + 30,
            "gift_card_item": self.has("refunds_gift_cards"),
        }
        return Verdict(verdict.line, "refund") if wrongly_refunded.get(verdict.ground) else verdict


def _serve(desk: Desk) -> Moves[None]:
    if desk.case.family != "refund":
        raise ValueError(f"the demonstrator works at the refund desk only, not at that of {desk.case.family!r}")
    yield from serve(desk, _Lapses(desk.key).conduct())


class Demonstrator(DialogueAgent):
    """A clerk who speaks briefly and goes wrong where the policy is inconvenient.

    Args:
        seed: varies words and lapses.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(_serve, TERSE_GRAMMAR, seed, takes_notes=True)
