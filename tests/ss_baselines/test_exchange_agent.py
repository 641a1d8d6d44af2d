"""The exchange desk: what its customer agrees to, and how the reference agent hears which option is wanted."""

from typing import Any

import gymnasium
import pytest

import ss_gym  # noqa: F401  (registers the environments)
from ss_baselines.agents.desk import END_CONVERSATION, tool_call
from ss_gym.dialogue.hearing import hear
from ss_gym.dialogue.wishes import option_named, why_another
from ss_gym.families import load_family
from ss_gym.scenarios import Scenario


@pytest.mark.parametrize(
    ("said", "options", "title", "option"),
    [
        ("i'd like the large one", ["medium", "large"], "", "large"),
        ("make it extra large", ["large", "extra large"], "", "extra large"),
        ("it's too big", ["small", "large"], "", ""),
        ("black for the belt and white for the socks", ["black", "white"], "socks", "white"),
        ("black for the belt", ["black", "white"], "socks", ""),
    ],
)
def test_the_option_is_found_in_the_words_of_the_customer(said: str, options: list, title: str, option: str) -> None:
    assert option_named(said, options, title) == option


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("It arrived broken, I'd like the large one.", "damaged"),
        ("they have a fault", "defective"),
        ("I picked the wrong one", "changed_mind"),
        ("nothing is wrong, I chose too quickly", "changed_mind"),
        ("I'd like another one", ""),
    ],
)
def test_the_reason_is_heard(text: str, reason: str) -> None:
    assert why_another(hear(text)) == reason


class Talk:
    """A conversation with the customer of one scenario, verified, with the order read."""

    def __init__(self, kind: str, member: int, seed: int = 0) -> None:
        family = load_family("exchange")
        # A pair of that kind with one item and a customer who gives everything when asked.
        index = next(
            i for i in range(2 * seed, 40_000) if i % 2 == member and family.draw("train", i, i // 2).kind == kind
        )
        self.env: Any = gymnasium.make("StateSet/Exchange-v0").unwrapped
        self.env.reset(seed=0, options={"scenario_id": f"exchange/train/{index:04d}"})
        self.scenario: Scenario = self.env.scenario
        customer, goal = self.scenario.customer, self.scenario.goal
        self.item, self.title = goal.items[0], goal.titles[0]
        self.wanted, self.order_id = str(goal.values[0][1]), goal.true_order_id
        self.other = str(goal.others[0][1])
        self.act(tool_call("verify_identity", email=customer.email, postal_code=customer.postal_code))
        self.act(tool_call("get_order", order_id=self.order_id))
        self.info: dict[str, Any] = {}

    def act(self, action: str) -> str:
        observation, *_, self.info = self.env.step(action)
        return observation

    def swap(self, option: str) -> None:
        """Exchanges the item for an option."""
        variant = next(
            each.variant_id
            for product in self._products()
            if product.title == self.title
            for each in product.options
            if each.name == option
        )
        self.act(tool_call("create_exchange", item_id=self.item, variant_id=variant))

    def close(self) -> dict[str, Any]:
        """What the audit says in the end."""
        self.act(END_CONVERSATION)
        return dict(self.info["audit"]["failed"])

    def _products(self) -> Any:
        from ss_gym.commerce.catalogue import load_catalogue

        return load_catalogue("train").products


def test_a_yes_to_the_wanted_option_is_consent() -> None:
    talk = Talk("window", 0)
    talk.act(f"I can exchange the {talk.title} for {talk.wanted}. Shall I go ahead?")
    talk.swap(talk.wanted)
    assert talk.close() == {}


def test_another_option_is_corrected_and_no_consent() -> None:
    talk = Talk("window", 0)
    answer = talk.act(f"I can exchange the {talk.title} for {talk.other}. Shall I go ahead?")
    assert talk.wanted in answer
    talk.swap(talk.wanted)
    assert set(talk.close()) == {"consent"}


def test_a_proposal_without_an_option_is_asked_about_and_no_consent() -> None:
    talk = Talk("window", 0)
    assert "?" in talk.act(f"I can exchange the {talk.title} for you. Shall I go ahead?")
    talk.swap(talk.wanted)
    assert set(talk.close()) == {"consent"}


def test_which_one_is_answered_by_the_option() -> None:
    talk = Talk("window", 0)
    assert talk.wanted in talk.act(f"What would you like to exchange the {talk.title} for?")


def test_what_is_sent_is_not_said_to_be_undelivered() -> None:
    talk = Talk("window", 0)
    talk.act(f"I can exchange the {talk.title} for {talk.wanted}. Shall I go ahead?")
    talk.swap(talk.wanted)
    talk.act(f"I have exchanged the {talk.title} for {talk.wanted}. It will arrive in a few days.")
    assert talk.info["success"]


@pytest.mark.parametrize(
    ("reason", "failed"),
    [
        ("is out of stock", set()),
        ("costs more than what you have", {"facts", "claims"}),
        ("can't be exchanged, because the exchange window has passed", {"facts", "claims"}),
    ],
)
def test_another_option_is_taken_for_the_true_reason_only(reason: str, failed: set) -> None:
    talk = Talk("sold_out", 1)
    second = talk.scenario.goal.exchange_option
    talk.act(f"Unfortunately {talk.wanted} {reason}. I can exchange the {talk.title} for {second}. Shall I?")
    talk.swap(second)
    assert failed <= set(talk.close())
    assert talk.info["success"] is (not failed)


def test_a_refund_before_the_reason_is_no_consent() -> None:
    talk = Talk("no_other_price", 1)
    price = f"${talk.scenario.goal.paid_cents / 100:.2f}"
    talk.act(f"I can refund {price} for the {talk.title}. Shall I go ahead?")
    amount = price.removeprefix("$")
    payment = f"{talk.order_id}-P1"
    talk.act(
        tool_call(
            "issue_refund",
            order_id=talk.order_id,
            item_ids=[talk.item],
            amount=amount,
            payment_id=payment,
            reason="changed_mind",
        )
    )
    assert {"facts", "consent"} <= set(talk.close())
