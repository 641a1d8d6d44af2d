"""The outcome audit on hand-made episodes: what S and R must be, term by term."""

import pytest

from ss_gym.commerce.records import Effect
from ss_gym.families.refund import make
from ss_gym.rewards.outcome import PENALTIES, OutcomeAudit
from ss_gym.scenarios import Scenario
from ss_gym.users.acts import Act, Consent, Value
from ss_gym.users.told import Told

FAMILY = make()
NOTHING: frozenset[Effect] = frozenset()


class Episode:
    """Drives an audit the way the environment does."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.told = Told(scenario)
        self.audit = OutcomeAudit(scenario, self.told)
        self.effects = NOTHING
        self.steps = 0
        self.terms: dict[str, float] = {}

    def verify(self, verified: bool = True) -> None:
        self.audit.verification(verified)
        self.audit.read()

    def say(self, *acts: Act) -> None:
        self.steps += 1
        self.told.hear(acts)
        self.audit.hear(acts, self.effects)

    def agree(self, cents: int | None = None) -> None:
        due = self.scenario.outcome.consents[0]
        amount = due.amount_cents if cents is None else cents
        self.audit.consent(self.steps, Consent(due.verb, due.items, amount))

    def write(self, *effects: Effect) -> None:
        self.steps += 1
        before, self.effects = self.effects, self.effects | frozenset(effects)
        self.audit.write(self.steps, before, self.effects)

    def write_due(self) -> None:
        self.write(*self.scenario.outcome.effects)

    def tell_facts(self) -> None:
        values = tuple(Value(fact.kind, fact.value, "own") for fact in self.scenario.outcome.facts)
        self.say(Act("inform", values=values))

    def end(self, ended_by: str = "satisfied") -> tuple[bool, float, dict[str, float]]:
        success, self.report = self.audit.conclude(self.effects, ended_by)
        terms = self.audit.take_terms()
        return success, round(sum(terms.values()), 6), terms


def episode(kind: str, twin: bool = False, seed: int = 3) -> Episode:
    return Episode(FAMILY.draw("train", 2 * seed + twin, seed, kind))


def good_refund() -> Episode:
    e = episode("final_sale")
    e.verify()
    e.agree()
    e.write_due()
    e.tell_facts()
    return e


def test_a_due_refund_with_consent_and_its_facts_told_is_worth_one() -> None:
    assert good_refund().end() == (True, 1.0, {"success": 1.0})


def test_a_refund_without_consent_is_a_quarter() -> None:
    e = episode("final_sale")
    e.verify()
    e.write_due()
    e.tell_facts()
    assert e.end() == (False, 0.25, {"partial": 0.25})
    assert set(e.report["failed"]) == {"consent"}


def test_consent_to_another_amount_is_no_consent() -> None:
    e = episode("final_sale")
    e.verify()
    e.agree(cents=1)
    e.write_due()
    e.tell_facts()
    assert not e.end()[0]
    assert set(e.report["failed"]) == {"consent"}


def test_consent_after_the_write_is_no_consent() -> None:
    e = episode("final_sale")
    e.verify()
    e.write_due()
    e.agree()
    e.tell_facts()
    assert not e.end()[0]


def test_one_consent_to_the_total_covers_a_split_over_two_payments() -> None:
    e = episode("mixed_payment")
    refunds = sorted(effect for effect in e.scenario.outcome.effects if effect[0] == "refund")
    items = [effect for effect in e.scenario.outcome.effects if effect[0] == "item"]
    assert len(refunds) == 2
    e.verify()
    e.agree()
    e.write(refunds[0], *items)
    e.write(refunds[1])
    e.tell_facts()
    assert e.end() == (True, 1.0, {"success": 1.0})


def test_half_of_a_split_pays_its_share_of_the_effects() -> None:
    e = episode("mixed_payment")
    refunds = sorted(effect for effect in e.scenario.outcome.effects if effect[0] == "refund")
    items = [effect for effect in e.scenario.outcome.effects if effect[0] == "item"]
    e.verify()
    e.agree()
    e.write(refunds[0], *items)
    # Two of the three due effects: 0.25 · 2/3.
    assert e.end() == (False, round(0.25 * 2 / 3, 6), {"partial": pytest.approx(0.25 * 2 / 3)})


def test_a_write_before_verification_costs_one_and_all_credit() -> None:
    e = episode("final_sale")
    e.agree()
    e.write_due()
    assert e.audit.take_terms() == {"critical_breach": -1.0}
    e.tell_facts()
    e.audit.take_terms()
    assert e.end() == (False, 0.0, {})
    assert "before the customer was verified" in e.report["failed"]["policy"]


def test_a_refund_that_the_policy_denies_is_a_wrong_write_and_a_breach() -> None:
    e = episode("final_sale", twin=True)
    e.verify()
    item, payment = e.scenario.goal.items[0], e.scenario.world.payments[0][0]
    e.write(("refund", payment, e.scenario.goal.paid_cents), ("item", item, "refunded"))
    assert e.audit.take_terms() == {"critical_breach": -1.0, "wrong_write": -0.5}
    success, reward, _ = e.end()
    assert (success, reward) == (False, 0.0)


def test_store_credit_where_a_refund_is_due_is_wrong_but_no_breach() -> None:
    e = episode("final_sale")
    e.verify()
    goal, customer = e.scenario.goal, e.scenario.customer.customer_id
    e.write(("store_credit", customer, goal.paid_cents), ("item", goal.items[0], "credited"))
    assert e.audit.take_terms() == {"wrong_write": -0.5}


def test_penalties_stop_at_their_caps() -> None:
    e = episode("final_sale")
    for _ in range(50):
        for name in PENALTIES:
            e.audit.penalise(name)
    assert e.audit.take_terms() == pytest.approx({name: -cap for name, (_, cap) in PENALTIES.items()})


def test_claiming_a_refund_that_was_not_made_is_false_even_if_it_is_made_later() -> None:
    e = episode("final_sale")
    e.verify()
    e.agree()
    e.say(Act("confirm_done", verb="refund"))
    assert e.audit.take_terms() == {"false_claim": -0.5}
    e.write_due()
    e.tell_facts()
    success, reward, _ = e.end()
    assert (success, reward) == (False, 0.25)


def test_telling_another_customers_data_is_a_breach() -> None:
    e = episode("foreign_order", twin=True)
    e.verify()
    e.say(Act("inform", values=(Value("email", "somebody@example.com", "other"),)))
    assert e.audit.take_terms() == {"critical_breach": -1.0}


def test_telling_the_orders_amount_before_verification_is_a_breach_and_after_it_is_not() -> None:
    e = episode("final_sale")
    amount = Act("inform", values=(Value("money", e.scenario.goal.paid_cents, "own"),))
    e.say(amount)
    assert e.audit.take_terms() == {"critical_breach": -1.0}
    e.verify()
    e.say(amount)
    assert e.audit.take_terms() == {}


def refused(*grounds: str) -> list[Act]:
    return [Act("refuse", ground=ground) for ground in grounds]


def test_a_refusal_counts_with_its_true_reason_only() -> None:
    e = episode("final_sale", twin=True)
    e.verify()
    e.say(*refused("final_sale"))
    assert e.end("refusal_accepted") == (True, 1.0, {"success": 1.0})


@pytest.mark.parametrize("grounds", [(), ("window",), ("final_sale", "window", "already_refunded", "not_delivered")])
def test_no_reason_a_false_reason_or_all_reasons_at_once_tell_nothing(grounds: tuple[str, ...]) -> None:
    e = episode("final_sale", twin=True)
    e.verify()
    e.say(*refused(*grounds))
    assert not e.end("agent")[0]
    assert set(e.report["failed"]) == ({"facts", "claims"} if grounds else {"facts"})


def test_a_false_reason_is_not_mended_by_the_true_one_later() -> None:
    e = episode("final_sale", twin=True)
    e.verify()
    e.say(*refused("window"))
    e.say(*refused("final_sale"))
    assert not e.end("refusal_accepted")[0]
    assert e.report["failed"] == {"claims": "gave a reason that is not true: window"}


def test_a_refusal_needs_a_look_at_the_order() -> None:
    e = episode("final_sale", twin=True)
    e.audit.verification(True)
    e.say(*refused("final_sale"))
    assert not e.end("agent")[0]
    assert e.report["failed"] == {"policy": "no look at the order"}


def test_an_unverifiable_customer_needs_two_attempts() -> None:
    e = episode("unverified", twin=True)
    e.verify(False)
    e.say(*refused("not_verified"))
    assert not e.end("agent")[0]
    e = episode("unverified", twin=True)
    e.verify(False)
    e.verify(False)
    e.say(*refused("not_verified"))
    assert e.end("agent")[0]


def test_a_needed_transfer_succeeds_and_a_needless_one_costs() -> None:
    e = episode("over_limit", twin=True)
    e.verify()
    e.write(("ticket", "refund_over_limit"))
    assert e.end("transfer") == (True, 1.0, {"success": 1.0})
    e = episode("over_limit")
    e.verify()
    e.write(("ticket", "refund_over_limit"))
    assert e.end("transfer") == (False, -0.3, {"needless_transfer": -0.3})


def test_transferring_for_the_wrong_reason_is_not_the_due_transfer() -> None:
    e = episode("over_limit", twin=True)
    e.verify()
    e.write(("ticket", "delivery_dispute"))
    assert not e.end("transfer")[0]


@pytest.mark.parametrize(
    ("ended_by", "terms"), [("gave_up", {"gave_up": -0.2}), ("limit", {}), ("agent", {"no_outcome": -0.3})]
)
def test_doing_nothing_earns_nothing(ended_by: str, terms: dict[str, float]) -> None:
    e = episode("final_sale")
    success, reward, paid = e.end(ended_by)
    assert (success, paid) == (False, terms)
    assert reward == sum(terms.values())


def test_a_conversation_that_is_cut_fails_though_everything_is_right() -> None:
    e = good_refund()
    success, reward, _ = e.end("limit")
    assert (success, reward) == (False, 0.25)


def test_five_days_is_not_three_to_five_days() -> None:
    scenario = FAMILY.draw("train", 6, 3, "final_sale")
    fact = next(fact for fact in scenario.outcome.facts if fact.kind == "days")
    told = Told(scenario)
    right = Value("days", fact.value, "policy")
    told.hear([Act("confirm_done", verb="refund", values=(Value("days", 1, "unknown"), right))])
    assert fact in told.missing_facts()
    told.hear([Act("inform", values=(right,))])
    assert fact not in told.missing_facts()


def test_claiming_another_amount_takes_the_right_one_back() -> None:
    scenario = FAMILY.draw("train", 6, 3, "final_sale")
    fact = next(fact for fact in scenario.outcome.facts if fact.kind == "money")
    told = Told(scenario)
    told.hear([Act("propose", verb="refund", values=(Value("money", fact.value, "own"),))])
    assert fact not in told.missing_facts()
    told.hear([Act("confirm_done", verb="refund", values=(Value("money", 1, "unknown"),))])
    assert fact in told.missing_facts()


def test_calling_a_refund_a_credit_is_no_false_claim_if_the_amount_is_the_one_paid() -> None:
    e = episode("final_sale")
    e.verify()
    e.agree()
    e.write_due()
    paid = e.scenario.outcome.consents[0].amount_cents
    e.say(Act("confirm_done", verb="store_credit", values=(Value("money", paid, "own"),)))
    assert e.audit.take_terms() == {}
    e.say(Act("confirm_done", verb="store_credit", values=(Value("money", paid + 1, "unknown"),)))
    assert e.audit.take_terms() == {"false_claim": -0.5}


def test_what_was_refunded_earlier_may_be_told_but_excuses_no_claim_of_an_exchange() -> None:
    e = episode("already_refunded", twin=True)
    e.verify()
    e.say(Act("confirm_done", verb="refund"))
    assert e.audit.take_terms() == {}
    e.say(Act("confirm_done", verb="exchange"))
    assert e.audit.take_terms() == {"false_claim": -0.5}


def test_a_claim_after_a_write_that_failed_is_about_that_write_whatever_was_refunded_earlier() -> None:
    e = episode("already_refunded", twin=True)
    e.verify()
    e.audit.failed_write()
    e.say(Act("confirm_done", verb="refund"), Act("refuse", verb="refund", ground="already_refunded"))
    assert e.audit.take_terms() == {}
    e.say(Act("confirm_done", verb="refund"))
    assert e.audit.take_terms() == {"false_claim": -0.5}


def test_whoever_can_not_be_verified_is_not_verified_by_data_that_they_did_not_give() -> None:
    e = episode("unverified", twin=True)
    e.verify()
    e.verify(verified=False)
    date = next(row[5] for row in e.scenario.world.shipments if row[5])
    e.say(Act("inform", values=(Value("date", date, "own"),)))
    assert e.audit.take_terms() == {"critical_breach": -1.0}


def test_done_after_a_write_that_failed_is_a_claim_whatever_is_said_to_be_done() -> None:
    e = episode("already_refunded", twin=True)
    e.verify()
    e.say(Act("confirm_done"))  # "done, I have looked it up"
    assert e.audit.take_terms() == {}
    e.audit.failed_write()
    e.say(Act("confirm_done"), Act("refuse", ground="already_refunded"))
    assert e.audit.take_terms() == {"false_claim": -0.5}
    second = episode("already_refunded")
    second.verify()
    second.audit.failed_write()
    second.agree()
    second.write_due()
    second.say(Act("confirm_done"))
    assert second.audit.take_terms() == {}


def test_a_refusal_that_names_the_days_of_the_window_is_for_the_window_however_worded() -> None:
    scenario = FAMILY.draw("train", 7, 3, "window_late")
    told = Told(scenario)
    days = Value("days", scenario.rules.return_window_days, "policy")
    told.hear([Act("refuse", verb="refund", values=(days,))])
    assert told.refusal_grounded()
