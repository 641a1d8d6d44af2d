"""The Refund family: a customer wants money back, and the policy says what they get.

A scenario is drawn as one of the kinds of ``refund_cases``. Its twin has the same customer with the same words
and one fact of the database changed, so that the right outcome is another one.
"""

from __future__ import annotations

from itertools import accumulate

from ss_gym.commerce.catalogue import Catalogue, load_catalogue
from ss_gym.commerce.draft import Line, WorldDraft, day, distinct, draw_order, people
from ss_gym.commerce.policy import decide
from ss_gym.commerce.records import Decision, OrderFacts, Reason, Rules
from ss_gym.families.outcomes import compile_outcome
from ss_gym.families.parameters import Bounds, read_parameters
from ss_gym.families.refund_cases import KINDS, Case, Kind, UnsuitableCase, draw_line, never_arrived
from ss_gym.scenarios import Customer, Goal, Scenario, scenario_id
from ss_gym.streams import Stream

# The rules that are drawn, and the least and the greatest value that each may have.
_RULES: dict[str, Bounds] = {
    "return_window_days": (1, 365),
    "extra_credit_days": (1, 365),
    "extra_damage_days": (1, 365),
    "restocking_fee_percent": (0, 99),
    "transfer_limit_cents": (1_000, 10_000_000),
    "refund_days": (1, 60),
}
# Share of the orders with a note on them.
_NOTED = 0.08
# Kinds whose customer must give the right number, since the account holds nothing to find it by.
_NUMBER_GIVEN = frozenset(("foreign_order", "missing_order", "wrong_number"))


class RefundFamily:
    """Draws Refund scenarios: any index of any split, the same on every machine.

    Raises:
        ValueError: ``family.yaml`` is broken; names the file, the line and the field.
    """

    name = "refund"

    def __init__(self) -> None:
        parameters = read_parameters("refund", _RULES, [kind.name for kind in KINDS])
        self._ranges, self._today, self._notes = parameters.rules, parameters.today, parameters.notes
        self._kinds = {kind.name: kind for kind in KINDS}
        self._cumulative = tuple(accumulate(parameters.kinds[kind.name] for kind in KINDS))

    def draw(self, split: str, index: int, seed: int, kind: str | None = None) -> Scenario:
        """The scenario ``index`` of a split, drawn from the pair's seed.

        Args:
            split: train, dev or test: which worlds, rule parameters and words.
            index: its number; odd numbers are the twins of the even ones before them.
            seed: the pair's seed.
            kind: the kind of case; by the family's weights if None.

        Raises:
            RuntimeError: twenty draws gave no suitable pair, or a twin that is no twin: a fault in the
                family's data.
        """
        reasons = []
        for attempt in range(20):
            if kind:
                chosen = self._kinds[kind]
            else:
                chosen = Stream("refund", split, seed, attempt).weighted(KINDS, self._cumulative)
            try:
                return self._draw(split, index, seed, attempt, chosen)
            except UnsuitableCase as reason:
                reasons.append(f"{chosen.name}: {reason}")
        raise RuntimeError(f"refund/{split} seed {seed}: no suitable case in 20 draws ({'; '.join(reasons)})")

    def _draw(self, split: str, index: int, seed: int, attempt: int, kind: Kind) -> Scenario:
        case = self._case(split, seed, attempt, kind)
        decision, order = _decide(case)
        if kind.make is not never_arrived and not decision.refund_cents:
            raise UnsuitableCase("the case ends without a refund")
        if index % 2:
            wanted, base = _wanted(case), decision
            kind.flip(case)
            decision, order = _decide(case)
            same_end = (decision.transfer, decision.ground, decision.split) == (base.transfer, base.ground, base.split)
            if same_end or wanted != _wanted(case):
                # Redrawing here would part the twin from its base, which has been drawn without this check.
                raise RuntimeError(f"refund/{split} seed {seed}: {kind.name} and its twin can't be told apart")
        today = day(case.draft.today)
        goal = _goal(case, order)
        outcome = compile_outcome(decision, order, goal, case.rules, today)
        customer_id, name, email = case.customer[:3]
        return Scenario(
            id=scenario_id("refund", split, index),
            family="refund",
            split=split,
            index=index,
            kind=kind.name,
            today=today,
            rules=case.rules,
            world=case.draft.world(order),
            customer=Customer(customer_id, name, email, case.said_postal_code),
            goal=goal,
            outcome=outcome,
            wording_seed=seed,
            reference_turns=_REFERENCE_TURNS[outcome.verdict],
        )

    def _case(self, split: str, seed: int, attempt: int, kind: Kind) -> Case:
        catalogue = load_catalogue(split)
        stream = Stream("refund", split, seed, attempt, "world")
        rules = self._rules(split, stream)
        low, high = self._today[split]
        draft = WorldDraft(stream.between(low, high))
        ids = distinct(stream, 10_000, 89_999, 3)
        customer, stranger = stream.choice(people(split)), stream.choice(people(split))
        if customer.postal_code == stranger.postal_code or customer.name == stranger.name:
            raise UnsuitableCase("the stranger is too much like the customer")
        draft.people.append(customer)
        window = rules.return_window_days
        days = window if stream.chance(0.2) else stream.between(1, window)
        order = draw_order(stream, str(ids[0]), customer, _lines(stream, catalogue), days)
        order.note = stream.choice(self._notes) if stream.chance(_NOTED) else ""
        draft.orders.append(order)
        if stream.chance(0.5) or kind.name == "missing_order":
            titles = {line.title for line in order.lines}
            lines = [x for x in _lines(stream, catalogue) if x.title not in titles] or None
            if lines:
                draft.orders.append(draw_order(stream, str(ids[1]), customer, lines, stream.between(2, 40)))
        case = Case(
            stream=stream,
            catalogue=catalogue,
            rules=rules,
            draft=draft,
            customer=customer,
            stranger=stranger,
            order=order,
            wanted=[stream.below(len(order.lines))],
            late=window + 1 if stream.chance(0.3) else stream.between(window + 1, rules.credit_window_days),
            very_late=rules.damage_window_days + stream.between(1, 30),
            said_order_id=order.order_id if stream.chance(0.8) or kind.name in _NUMBER_GIVEN else "",
            said_postal_code=customer.postal_code,
            accepts_credit=stream.chance(0.85) or kind.name in _CREDIT_WELCOME,
        )
        kind.make(case)
        if len(draft.orders) > 1:
            wanted_titles = {order.lines[n].title for n in case.wanted}
            if any([line.title in wanted_titles for other in draft.orders[1:] for line in other.lines]):
                raise UnsuitableCase("the wanted item is in another order too")
        return case

    def _rules(self, split: str, stream: Stream) -> Rules:
        drawn = {name: stream.choice(values) for name, values in self._ranges[split].items()}
        window = drawn["return_window_days"]
        credit = window + drawn["extra_credit_days"]
        return Rules(
            return_window_days=window,
            credit_window_days=credit,
            damage_window_days=credit + drawn["extra_damage_days"],
            restocking_fee_percent=drawn["restocking_fee_percent"],
            transfer_limit_cents=drawn["transfer_limit_cents"],
            refund_days=drawn["refund_days"],
        )


# Kinds whose twin is settled with store credit; elsewhere the customer may decline it.
_CREDIT_WELCOME = frozenset(
    ("window_credit", "restocking_fee", "mixed_payment", "wrong_number", "unknown_number", "other_card")
)
# Replies that a good agent needs, by how the scenario ends.
_REFERENCE_TURNS = {"refund": 6, "store_credit": 8, "exchange": 8, "refuse": 7, "transfer": 6}


def _lines(stream: Stream, catalogue: Catalogue) -> list[Line]:
    count = stream.weighted((1, 2, 3), (0.5, 0.8, 1.0))
    return [draw_line(stream, product) for product in stream.sample(catalogue.sellable, count)]


def _wanted(case: Case) -> tuple[str, list[str], Reason]:
    """What the customer's words depend on."""
    return case.said_order_id, [case.order.lines[n].title for n in case.wanted], case.reason


def _decide(case: Case) -> tuple[Decision, OrderFacts | None]:
    """What the policy gives in the world as it stands, and the order that it is about."""
    order, today = case.order, case.draft.today
    facts = order.facts(today) if order in case.draft.orders else None
    verified = case.said_postal_code == case.customer.postal_code
    decision = decide(
        facts,
        case.customer.customer_id if verified else None,
        [order.item_id(n) for n in case.wanted],
        case.reason,
        case.rules,
        day(today),
        case.catalogue.alternatives,
    )
    return decision, facts


def _goal(case: Case, order: OrderFacts | None) -> Goal:
    lines = [case.order.lines[n] for n in case.wanted]
    return Goal(
        order_id=case.said_order_id,
        true_order_id=order.order_id if order else "",
        items=tuple([case.order.item_id(n) for n in case.wanted]),
        titles=tuple([line.title for line in lines]),
        reason=case.reason,
        paid_cents=sum([line.price_cents for line in lines]),
        accepts_credit=case.accepts_credit,
        exchange_option=case.exchange[0],
        exchange_variant=case.exchange[1],
        wants_other_card=case.wants_other_card,
    )
