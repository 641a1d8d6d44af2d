"""What users ask for is found in what they say, and what only looks like it is not."""

import pytest

from ss_gym.agents.wishes import asks_for_more, further_wishes, has_all, substance, takes_back, wishes_in


@pytest.mark.parametrize(
    ("said", "wishes"),
    [
        ("Refund my lamp.", ["Refund my lamp"]),
        (
            "Hi there!\nCan I change the grinder from order #58750?\nThank you",
            ["Can I change the grinder from order #58750?"],
        ),
        (
            "I want to return the lamp, cancel my subscription and change my address to 5 Elm Road.",
            ["I want to return the lamp", "cancel my subscription", "change my address to 5 Elm Road"],
        ),
        (
            "Please do three things: refund the lamp; cancel order 55; and tell me where order 66 is.",
            ["refund the lamp", "cancel order 55", "tell me where order 66 is"],
        ),
        (
            "1. refund the lamp\n2. cancel order 55\n- where is order 66?",
            ["refund the lamp", "cancel order 55", "where is order 66?"],
        ),
        ("First, refund the lamp. Then cancel the order.", ["refund the lamp", "cancel the order"]),
        ("Refund the lamp. Also, is the shop open?", ["Refund the lamp", "is the shop open?"]),
        (
            "I want a refund for the lamp. Cancel my tea subscription.",
            ["I want a refund for the lamp", "Cancel my tea subscription"],
        ),
        (
            "Write a haiku about autumn and translate it into German.",
            ["Write a haiku about autumn", "translate it into German"],
        ),
    ],
)
def test_each_wish_is_found_in_the_users_own_words(said, wishes):
    assert wishes_in(said) == wishes


@pytest.mark.parametrize(
    "said",
    [
        "The towel was a present. Has it been delivered, and when?",
        "I want a refund for my yoga mat, order no. 81366. How does that work?",
        "The address of order 84776 is wrong, can you change it?",
        "I'm sending back the slippers and I need a refund",
        "Could the subscription for the powder be cancelled, please?",
        "I need to return the lamp and get my money back",
    ],
)
def test_several_sentences_about_one_thing_are_one_wish(said):
    assert wishes_in(said) == [said.rstrip(".")]


@pytest.mark.parametrize(
    "said", ["", "Hello!", "Hello, can you help me?", "yes please do", "Sure, go ahead!", "It broke."]
)
def test_greetings_and_answers_ask_for_nothing(said):
    assert wishes_in(said) == [] == further_wishes(said, announced=True)


def test_a_complaint_is_what_a_message_may_be_about():
    assert substance("Hi. My lamp arrived broken.") == ["My lamp arrived broken"]
    assert substance("Hello there!") == []


@pytest.mark.parametrize(
    ("said", "wishes"),
    [
        ("OK then. One more thing. Can you exchange the doll house? It failed.", ["Can you exchange the doll house?"]),
        ("Thanks, now for another matter: my lamp never came", ["my lamp never came"]),
        ("Leave it. I have another request instead. Where is order 5?", ["Where is order 5?"]),
        ("Cancel order 5 as well.", ["Cancel order 5 as well"]),
        ("Could I have the black one?", []),
        ("Can't you make an exception?", []),
        ("It is also broken.", []),
    ],
)
def test_another_wish_is_told_from_an_answer_by_how_it_is_begun(said, wishes):
    assert further_wishes(said) == wishes


def test_after_the_question_for_more_a_wish_must_name_something():
    assert further_wishes("Yes, cancel my subscription.", announced=True) == ["cancel my subscription"]
    assert further_wishes("What can you offer?", announced=True) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Never mind.", True),
        ("No, leave it as it is. One more thing: a lamp.", True),
        ("One more thing: forget it", False),
    ],
)
def test_what_is_taken_back_comes_before_what_is_wished_for_instead(said, expected):
    assert takes_back(said) is expected


def test_the_end_is_heard():
    assert asks_for_more("Is there anything else?") and not asks_for_more("Which one would you like?")
    assert has_all("That's all, thanks.") and not has_all("No, thanks.") and has_all("No, thanks.", asked=True)
