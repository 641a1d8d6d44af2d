"""Customers who want an order elsewhere: details of a wish, slips, second wishes, and what a question is about."""

import pytest

from ss_gym.families import FAMILIES, load_family
from ss_gym.families.splits import load_scenario
from ss_gym.scenarios import Scenario
from ss_gym.streams import Stream
from ss_gym.users.acts import Act
from ss_gym.users.agenda import UserReply
from ss_gym.users.inventory import episode_inventory
from ss_gym.users.persona import Persona
from ss_gym.users.scripted import ScriptedUser
from ss_gym.users.told import Told
from ss_gym.users.understanding import load_understanding
from ss_gym.users.values import Inventory
from ss_gym.users.wording import Wording

FAMILY = "address_change"
PLAIN = Persona(patience=9, insists=0, disclosure=1.0, verbosity=0.0)


class Talk:
    """A conversation with a customer whom only words reach."""

    def __init__(self, kind: str, twin: bool = False, seed: int = 3) -> None:
        self.scenario: Scenario = load_family(FAMILY).draw("train", 2 * seed + twin, seed, kind)
        self.told = Told(self.scenario)
        wording, stream = Wording.load(FAMILY), Stream("talk", seed)
        self.user = ScriptedUser(self.scenario, self.told, wording, PLAIN, stream)
        self.inventory = episode_inventory(self.scenario)

    def say(self, text: str) -> UserReply:
        acts = load_understanding(FAMILY).read(text, self.inventory)
        self.told.hear(acts)
        return self.user.respond(acts, frozenset())

    @property
    def wish(self) -> str:
        return self.scenario.goal.details[0][1]


def read(text: str, *own: tuple[str, str]) -> tuple[Act, ...]:
    return load_understanding(FAMILY).read(text, Inventory(own))  # type: ignore[arg-type]


HOME = (("street", "12 elm"), ("city", "carrow"), ("postal_code", "cw23ef"))


def test_a_customer_agrees_to_the_address_that_they_want_and_to_no_other() -> None:
    talk = Talk("window")
    other = talk.say("Shall I change the address to 999 Elm Street, Nowhere, ZZ9 9ZZ?")
    assert other.consents == () and talk.wish in other.text
    agreed = talk.say(f"Shall I change the address to {talk.wish}?")
    assert [consent.verb for consent in agreed.consents] == ["address_change"]
    assert agreed.consents[0].items == frozenset(talk.scenario.goal.items)


@pytest.mark.parametrize(
    "question",
    [
        "Just to confirm: the new address is {}. Is that right?",
        "I have {} as the new address, correct?",
        "Is {} the right address for your order?",
    ],
)
def test_reading_the_address_back_is_asking_for_a_yes(question: str) -> None:
    talk = Talk("window")
    assert len(talk.say(question.format(talk.wish)).consents) == 1


def test_the_old_address_may_stand_beside_the_new_one() -> None:
    talk = Talk("window")
    home = next(row for row in talk.scenario.world.addresses if row[1] == talk.scenario.customer.customer_id)
    text = f"It goes to {home[2]}, {home[3]}, {home[4]} now. Shall I send it to {talk.wish} instead?"
    assert len(talk.say(text).consents) == 1


def test_a_slip_is_corrected_when_it_is_read_back() -> None:
    for seed in range(8):
        talk = Talk("wrong_house_number", seed=seed)
        (slip,) = talk.scenario.goal.slips
        assert slip.text in talk.user.open()
        corrected = talk.say(f"Shall I change the address to {slip.text}?")
        assert corrected.consents == () and talk.wish in corrected.text
        assert len(talk.say(f"So shall I change it to {talk.wish}?").consents) == 1


def test_some_customers_notice_their_slip_by_themselves_once() -> None:
    noticed = 0
    for seed in range(40):
        talk = Talk("wrong_house_number", seed=seed)
        (slip,) = talk.scenario.goal.slips
        talk.user.open()
        texts = [talk.say(text).text for text in ("What is your e-mail?", "What is your postal code?")]
        found = [slip.right in text.split() or f"{slip.right}," in text for text in texts]
        assert found[1] is False
        noticed += found[0]
    assert 8 <= noticed <= 32  # half of 40, within four standard deviations


def test_the_new_postal_code_comes_first_from_who_mixes_them_up_and_then_the_old_one() -> None:
    talk = Talk("old_postal_code")
    new, old = talk.scenario.goal.slips[0].text, talk.scenario.customer.postal_code
    assert new in talk.say("What are your e-mail and postal code?").text
    assert old in talk.say("That does not match. What are your e-mail and postal code?").text


def test_a_second_question_for_the_postal_code_is_about_the_one_that_was_left_out() -> None:
    talk = Talk("no_postal_code")
    assert talk.wish not in talk.user.open()
    assert talk.scenario.customer.postal_code in talk.say("What is the postal code of your account?").text
    assert talk.wish in talk.say("And the postal code?").text


def test_a_second_wish_is_told_once_the_first_is_refused() -> None:
    for text in ("We don't deliver there. Is there another address?", "We can't deliver there. Do you have any other?"):
        talk = Talk("second_address", twin=True)
        assert talk.wish in talk.user.open()
        assert talk.scenario.goal.seconds[0][1] in talk.say(text).text
    served = Talk("second_address")
    served.user.open()
    assert served.scenario.goal.seconds[0][1] not in served.say("What is the new address?").text


def test_a_second_wish_comes_by_itself_after_a_question_what_else_there_is() -> None:
    talk = Talk("box_or_street")
    talk.user.open()
    second = talk.scenario.goal.seconds[0][1]
    texts = [talk.say("Sorry, we don't deliver to PO boxes and parcel lockers.").text for _ in range(2)]
    assert [second in text for text in texts] == [False, True]


def test_who_has_no_other_address_says_so_and_accepts() -> None:
    talk = Talk("no_delivery", twin=True)
    talk.user.open()
    text = talk.say("We don't deliver there. Is there another address?").text
    assert talk.wish not in text
    ends = [talk.say("Then I can't change it, because we don't deliver there.").ended_by for _ in range(3)]
    assert "refusal_accepted" in ends


def test_customers_do_not_betray_that_a_true_reason_is_not_the_one_that_decides() -> None:
    own, others = Talk("box"), Talk("box", twin=True)
    said = [[talk.say("Sorry, we don't deliver to PO boxes.") for _ in range(3)] for talk in (own, others)]
    assert said[0] == said[1] and said[0][-1].ended_by == "refusal_accepted"
    assert [own.told.missing_grounds(), others.told.missing_grounds()] == [0, 1]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_detail_that_was_refused_can_be_asked_for_again_and_again(family: str) -> None:
    slots = load_understanding(load_family(family).policy)._vocabulary.slots.values()  # what can be asked for
    for index in range(200):
        scenario = load_scenario(family, "train", index)
        told, persona = Told(scenario), PLAIN._replace(patience=99)
        user = ScriptedUser(scenario, told, Wording.load(family), persona, Stream("again", index))
        told.grounds |= frozenset().union(*scenario.outcome.grounds)
        for slot in dict(scenario.goal.details).keys() & slots:
            for _ in range(3):
                assert user.respond((Act("ask", slot=slot),), frozenset()).text


def test_every_item_of_the_order_that_is_meant_is_meant() -> None:
    talk = Talk("gift_card")
    titles = [line[3] for line in talk.scenario.world.order_items if line[1] in talk.scenario.goal.items]
    assert len(titles) == 2 and len(talk.scenario.goal.titles) == 1
    text = f"Shall I send your order with the {titles[0]} and the {titles[1]} to {talk.wish}?"
    assert len(talk.say(text).consents) == 1


def test_an_item_of_another_order_is_not_meant() -> None:
    talk = Talk("two_orders")
    other = next(line[3] for line in talk.scenario.world.order_items if line[1] not in talk.scenario.goal.items)
    assert talk.say(f"Shall I send your order with the {other} to {talk.wish}?").consents == ()


# --- what words mean ------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["12 Elm Street", "12 Elm St.", "12 elm st", "12 Elm"])
def test_a_street_is_known_however_it_is_written(written: str) -> None:
    values = [value for act in read(f"It goes to {written}, Carrow.", *HOME) for value in act.values]
    assert ("street", "12 elm") in [value[:2] for value in values]


def test_a_question_for_an_address_is_no_proposal() -> None:
    for text in ("Which address shall I send it to?", "Where should I send it?", "What address may I change it to?"):
        assert [(act.kind, act.slot) for act in read(text)] == [("ask", "new_address")]


def test_a_question_that_names_the_address_does_not_ask_for_it() -> None:
    acts = read("Shall I set 12 Elm Street, Carrow, CW2 3EF as the new address?", *HOME)
    assert "new_address" not in {act.slot for act in acts}


@pytest.mark.parametrize("words", ["2 more days", "two extra days", "2 additional days", "2 days"])
def test_more_days_are_days(words: str) -> None:
    (act,) = read(f"It takes {words}.")
    assert [value[:2] for value in act.values] == [("days", 2)]


@pytest.mark.parametrize(
    "text",
    [
        "It will be shipped to the new address.",
        "It will be on its way to the new address soon.",
        "It will be delivered to 12 Elm Street, 2 days later than planned.",
        "The parcel arrives 2 days late.",
        "You'll get a confirmation by e-mail.",
        "The change has been made.",
        "Please tell me where you'd like it shipped.",
    ],
)
def test_what_is_said_of_a_change_is_no_refusal(text: str) -> None:
    assert "refuse" not in {act.kind for act in read(text, *HOME)}


@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("I can't change it: the order is shipped.", "shipped"),
        ("It's too late, the parcel was delivered.", "delivered"),
        ("The order was cancelled, so nothing is sent.", "cancelled"),
        ("It was paid by PayPal, so I can't redirect it.", "paypal"),
        ("I can't redirect it again.", "already_changed"),
        ("We don't deliver to that postal code.", "no_delivery"),
        ("There's no address to change, since gift cards are sent by e-mail.", "gift_card_item"),
        ("More than 10 days have passed, so I can't change it.", "window"),
    ],
)
def test_a_refusal_tells_its_reason_and_no_other(text: str, ground: str) -> None:
    assert {act.ground for act in read(text) if act.kind == "refuse"} == {ground}
