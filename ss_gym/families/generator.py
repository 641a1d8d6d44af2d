"""From the design of a family to its scenarios: any index of any split, the same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from ss_gym.commerce.back_end import CommerceBackEnd
from ss_gym.commerce.catalogue import Catalogue, load_catalogue
from ss_gym.commerce.draft import OrderDraft, Person, WorldDraft, day, distinct, draw_order, people
from ss_gym.commerce.records import OrderFacts
from ss_gym.commerce.rules import PolicyRules
from ss_gym.commerce.toolkit import offered
from ss_gym.families.cases import Case, Kind, UnsuitableCase, draw_lines
from ss_gym.families.parameters import FILE, Bounds, read_parameters
from ss_gym.scenario_files import field_error
from ss_gym.scenarios import Customer, Goal, Outcome, Scenario, scenario_id
from ss_gym.streams import Stream
from ss_gym.users.inventory import episode_inventory
from ss_gym.users.values import Inventory

# Share of the orders with a note on them.
_NOTED = 0.08
_MOST_DRAWS = 20


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the policy gives in the world of a case.

    Attributes:
        goal: the customer's wish.
        outcome: the right end.
        order: the facts of the order, if they were taken already.
    """

    goal: Goal
    outcome: Outcome
    order: OrderFacts | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a case takes place that is a part of something larger.

    Attributes:
        key: tells its draws from those of other parts.
        today: the date, as an ordinal.
        customer: who asks.
        rules: the shop's parameters.
        scenario_id: of the whole.
    """

    key: tuple[int | str, ...]
    today: int
    customer: Person
    rules: PolicyRules
    scenario_id: str


@dataclass(frozen=True, slots=True)
class Design:
    """What a family is made of.

    Attributes:
        name: what it and its folder are called.
        rules: the class of its rules.
        bounds: the numbers that ``family.yaml`` gives for a shop, and what each may be.
        kinds: its kinds of case.
        make_rules: the rules that such numbers make.
        order: draws the order that the customer means; None where the wish is not about an order, so that ``begin``
            draws what it is about.
        begin: draws what else there is to a case of some kind, before the kind makes it special.
        settle: what the policy gives.
        reference_turns: replies that a good agent needs, by verdict.
        two_orders: kinds whose customer must have another order.
        policy: the family whose policy and lexicon it has, where it has none of its own.
    """

    name: str
    rules: type[PolicyRules]
    bounds: Mapping[str, Bounds]
    kinds: tuple[Kind, ...]
    make_rules: Callable[[Mapping[str, int]], PolicyRules]
    order: Callable[[Stream, str, Person, Catalogue, PolicyRules], OrderDraft] | None
    begin: Callable[[Case, Kind], None]
    settle: Callable[[Case], Settlement]
    reference_turns: Mapping[str, int]
    two_orders: frozenset[str] = frozenset(("missing_order",))
    policy: str = ""


class Generator:
    """Draws the scenarios of a family.

    Args:
        design: what the family is made of.

    Attributes:
        name: what the family is called.
        policy: the family whose policy and lexicon it has: its own as a rule.
        rules: the class of its rules.
        tools: the tools that the agent has, by name.
        transfers: the reasons for which it may hand over.
        kinds: its kinds of case, and the weight of each among the pairs.

    Raises:
        ValueError: ``family.yaml`` is broken; names the file, the line and the field.
    """

    def __init__(self, design: Design) -> None:
        self.name = design.name
        self.policy = design.policy or design.name
        self.rules = design.rules
        self._design = design
        parameters = read_parameters(design.name, design.bounds, [kind.name for kind in design.kinds])
        try:
            self.tools = offered(parameters.tools, parameters.transfers)
        except ValueError as error:
            raise field_error(design.name, FILE, ("tools",), str(error)) from error
        self.transfers = parameters.transfers
        self._ranges, self._today, self._notes = parameters.rules, parameters.today, parameters.notes
        self.kinds = tuple((kind, parameters.kinds[kind.name]) for kind in design.kinds)
        self._kinds = {kind.name: kind for kind in design.kinds}
        self._cumulative = tuple(accumulate(weight for _, weight in self.kinds))

    def open(self, split: str) -> CommerceBackEnd:
        """A new database of a split's shop, with the tools of this family."""
        return CommerceBackEnd(split, self.policy, self.tools)

    def inventory(self, scenario: Scenario) -> Inventory:
        """The typed values that an agent may meet in a scenario, by whose they are."""
        return episode_inventory(scenario)

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
        for attempt in range(_MOST_DRAWS):
            if kind:
                chosen = self._kinds[kind]
            else:
                stream = Stream(self.name, split, seed, attempt)
                chosen = stream.weighted(self._design.kinds, self._cumulative)
            try:
                return self._draw(split, index, seed, attempt, chosen)
            except UnsuitableCase as reason:
                reasons.append(f"{chosen.name}: {reason}")
        tried = "; ".join(reasons)
        raise RuntimeError(f"{self.name}/{split} seed {seed}: no suitable case in {_MOST_DRAWS} draws ({tried})")

    def draw_rules(self, split: str, stream: Stream) -> PolicyRules:
        """The parameters of a shop of a split."""
        return self._design.make_rules({name: stream.choice(values) for name, values in self._ranges[split].items()})

    def draw_part(self, split: str, index: int, seed: int, kind: Kind, setting: Setting) -> Scenario:
        """One attempt at a scenario that is a part of another.

        Args:
            split: train, dev or test.
            index: even for the case, odd for its twin.
            seed: of the whole.
            kind: the kind of case.
            setting: where and when it takes place.

        Raises:
            UnsuitableCase: the draw gives no suitable pair.
        """
        return self._draw(split, index, seed, 0, kind, setting)

    def _draw(
        self, split: str, index: int, seed: int, attempt: int, kind: Kind, setting: Setting | None = None
    ) -> Scenario:
        design = self._design
        case = self._case(split, seed, attempt, kind, setting)
        settlement = design.settle(case)
        if settlement.outcome.verdict != kind.ends[0]:
            raise UnsuitableCase(f"the case ends with {settlement.outcome.verdict}, not {kind.ends[0]}")
        if index % 2:
            said, base = _said(settlement.goal), settlement.outcome
            kind.flip(case)
            settlement = design.settle(case)
            outcome = settlement.outcome
            if outcome == base or outcome.verdict != kind.ends[1] or said != _said(settlement.goal):
                # Redrawing here would part the twin from its base, which has been drawn without this check.
                raise RuntimeError(f"{self.name}/{split} seed {seed}: {kind.name} and its twin can't be told apart")
        customer_id, name, email = case.customer[:3]
        return Scenario(
            id=setting.scenario_id if setting else scenario_id(self.name, split, index),
            family=self.name,
            split=split,
            index=index,
            kind=kind.name,
            today=day(case.draft.today),
            rules=case.rules,
            world=case.draft.world(settlement.order),
            customer=Customer(customer_id, name, email, case.said_postal_code),
            goal=settlement.goal,
            outcome=settlement.outcome,
            wording_seed=seed,
            reference_turns=design.reference_turns[settlement.outcome.verdict],
        )

    def _case(self, split: str, seed: int, attempt: int, kind: Kind, setting: Setting | None) -> Case:
        design, catalogue = self._design, load_catalogue(split)
        stream = Stream(self.name, split, seed, attempt, "world", *(setting.key if setting else ()))
        if setting is None:
            rules, draft = self.draw_rules(split, stream), WorldDraft(stream.between(*self._today[split]))
        else:
            rules, draft = setting.rules, WorldDraft(setting.today)
        ids = distinct(stream, 10_000, 89_999, 3)
        customer = setting.customer if setting else stream.choice(people(split))
        stranger = stream.choice(people(split))
        if customer.postal_code == stranger.postal_code or customer.name == stranger.name:
            raise UnsuitableCase("the stranger is too much like the customer")
        draft.people.append(customer)
        if design.order is None:
            case = Case(stream, catalogue, rules, draft, customer, stranger, None, [], split=split)
        else:
            order = design.order(stream, str(ids[0]), customer, catalogue, rules)
            order.note = stream.choice(self._notes) if stream.chance(_NOTED) else ""
            draft.orders.append(order)
            if stream.chance(0.5) or kind.name in design.two_orders:
                titles = {line.title for line in order.lines}
                lines = [line for line in draw_lines(stream, catalogue) if line.title not in titles]
                if lines:
                    draft.orders.append(draw_order(stream, str(ids[1]), customer, lines, stream.between(2, 40)))
            case = Case(stream, catalogue, rules, draft, customer, stranger, order, [stream.below(len(order.lines))])
        case.said_postal_code = customer.postal_code
        design.begin(case, kind)
        kind.make(case)
        if len(draft.orders) > 1:
            wanted_titles = {line.title for line in case.wanted_lines()}
            if any([line.title in wanted_titles for other in draft.orders[1:] for line in other.lines]):
                raise UnsuitableCase("the wanted item is in another order too")
        return case


def _said(goal: Goal) -> tuple[object, ...]:
    """What the customer's words depend on."""
    return goal.order_id, goal.titles, goal.reason, goal.verb, goal.details, goal.values
