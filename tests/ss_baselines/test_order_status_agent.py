"""What agents can and can't get at the desk that tells where orders are."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta

import pytest

from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import Desk, Moves, hear
from ss_baselines.agents.dialogue import DialogueAgent
from ss_baselines.agents.identification import identify, locate
from ss_baselines.agents.order_status import PLAN
from ss_baselines.agents.order_status_grammar import ORDER_STATUS_GRAMMAR
from ss_baselines.agents.phrasing import count_sentences
from ss_baselines.evaluate import evaluate

ENV_ID = "StateSet/OrderStatus-v0"
CAREFUL = Conduct()
Lines = Callable[[Mapping[str, str]], Iterable[str]]


def dates(desk: Desk) -> dict[str, str]:
    """Every date that can be read or worked out of the order."""
    order = desk.case.order
    if order is None:
        return {}
    names = ("placed_on", "shipped_on", "expected_on", "delivered_on")
    found = {name: order.facts[name] for name in names if order.facts.get(name)}
    placed = date.fromisoformat(order.facts["placed_on"])
    return found | {"ships_by": (placed + timedelta(desk.case.terms.handling_days)).isoformat()}


def teller(lines: Lines) -> DialogueAgent:
    """Verifies, reads the order, and says these lines whatever it found."""

    def dialogue(desk: Desk) -> Moves[None]:
        yield from identify(desk, CAREFUL)
        yield from locate(desk, CAREFUL)
        for line in lines(dates(desk)):
            yield from desk.say(line)

    return DialogueAgent(dialogue)


TELLERS: Mapping[str, Lines] = {
    "all in one sentence": lambda found: [" ".join(found.values()) + "."] * 3,
    "all in one message": lambda found: [" ".join(f"{day}." for day in found.values())] * 3,
    "one after the other": lambda found: [f"{day}." for day in reversed(found.values())],
    "one arrival after the other": lambda found: [f"It arrives on {day}." for day in reversed(found.values())],
    "the same with the date first": lambda found: [f"On {day} it arrives." for day in reversed(found.values())],
    "arrival on any of them": lambda found: ["It arrives on " + " or ".join(found.values()) + "."] * 2,
    "asked for, one after the other": lambda found: [f"Does it arrive on {day}?" for day in reversed(found.values())],
}


@pytest.mark.parametrize("name", TELLERS)
def test_an_agent_that_tries_dates_gets_next_to_nothing(name: str) -> None:
    evaluation = evaluate(teller(TELLERS[name]), ENV_ID, split="train", pairs=60, name="teller")
    assert evaluation.pair_score is not None
    assert evaluation.success.value <= 0.05
    assert evaluation.pair_score.value == 0


def test_whoever_tells_every_date_with_its_name_has_not_judged() -> None:
    names = {
        "placed_on": "ordered on",
        "ships_by": "to be shipped by",
        "shipped_on": "shipped on",
        "expected_on": "expected on",
        "delivered_on": "delivered on",
    }

    def lines(found: Mapping[str, str]) -> list[str]:
        return [" ".join([f"It was {names[name]} {day}." for name, day in found.items()])] * 2

    evaluation = evaluate(teller(lines), ENV_ID, split="train", pairs=150, name="teller")
    assert evaluation.pair_score is not None
    assert evaluation.success.value < 0.6 and evaluation.pair_score.value < 0.3


@pytest.mark.parametrize(
    "text",
    [
        "My wool scarf never arrived. Where is it?",
        "I haven't received order 48213.",
        "Nothing has come so far",
        "I'm still without the tea pot",
        "no tea pot here, order 48213. where?",
    ],
)
def test_that_nothing_came_is_heard(text: str) -> None:
    assert PLAN.reason_of(hear(text)) == "not_received"


@pytest.mark.parametrize(
    "text",
    [
        "Where is my order 48213?",
        "has the present from order no 48213 arrived yet?",
        "When should the tea pot, order no 48213 be here?",
        "I've never done this before. When does it come?",
    ],
)
def test_a_question_is_no_complaint(text: str) -> None:
    assert PLAN.reason_of(hear(text)) == ""


def test_every_move_of_the_desk_has_hundreds_of_sentences() -> None:
    own = [
        *("not_shipped", "on_time", "delivered", "late", "offer_credit", "credited"),
        *("refuse_cancelled", "refuse_window", "refuse_not_found", "refuse_not_verified"),
    ]
    assert min(count_sentences(ORDER_STATUS_GRAMMAR, move) for move in own) >= 200
