"""Dialogues as numbers."""

import numpy as np
import pytest

from ss_gym.datasets.messages import logged
from ss_gym.sim2real import Dialogue, DialogueFeatures
from ss_gym.sim2real.dialogues import act_sequence, dialogues_of

MESSAGES = [
    {"role": "system", "content": "the policy"},
    {"role": "user", "content": "Hi! Where is my lamp?"},
    {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]},
    {"role": "tool", "content": "{}", "tool_call_id": "1"},
    {"role": "assistant", "content": "On its way."},
    {"role": "user", "content": "thanks, bye"},
]


def of(*customer):
    return Dialogue(customer, ())


def test_instructions_tools_and_silence_are_left_out() -> None:
    expected = Dialogue(("Hi! Where is my lamp?", "thanks, bye"), ("On its way.",))
    assert Dialogue.of(MESSAGES) == expected == Dialogue.of(expected)
    plain = [message for message in MESSAGES if "tool" not in str(message)]
    assert Dialogue.of(logged([*plain, {"role": "assistant", "content": "Bye!"}])).customer == expected.customer


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([{"role": "assistant", "content": "Hello?"}], ValueError, "conversation 1: the customer says nothing"),
        ("hello", TypeError, "conversation 1: a conversation has messages in OpenAI form"),
        ([["user", "hello"]], TypeError, "conversation 1: a message in OpenAI form has a role"),
        (7, TypeError, "conversation 1: a conversation has messages"),
    ],
)
def test_what_is_no_dialogue_is_named(given, error, message) -> None:
    with pytest.raises(error, match=message):
        dialogues_of([MESSAGES, given])


def test_features_are_what_they_are_called() -> None:
    known = [of("where is the red lamp"), of("Where is my lamp, please?"), of("where IS that lamp")]
    features = DialogueFeatures(known)
    (row,) = features([of("Hello, wheer is lamp 42?", "I need it NOW!!\nplease")])
    told = dict(zip(features.names, row.tolist(), strict=True))
    expected = {
        "messages": 2,
        "words a message": 5,
        "words of the first": 5,
        "words of the longest": 5,
        "with a question": 0.5,
        "with a number": 0.5,
        "with a capital first": 1,
        "with a mark at the end": 0.5,
        "polite": 0.5,
        "upset": 0.5,
        "greets": 1,
        "of several lines": 0.5,
        # is and lamp stand in two dialogues, whichever of the three is left out; numbers are no words.
        "words not known": 7 / 9,
        "says goodbye": 0,
    }
    assert {name: told[name] for name in expected} == pytest.approx(expected)
    acts = [value for name, value in told.items() if name.startswith("act ")]
    assert len(acts) == 11 and all(0 <= value <= 1 for value in acts)


def test_a_dialogue_does_not_know_a_word_because_it_stands_in_itself() -> None:
    known = [of("lamp one"), of("lamp two"), of("lamp red"), of("red two")]
    features = DialogueFeatures(known)
    place = features.names.index("words not known")
    # Two others have "lamp"; one other has "two", and "red". Of a stranger, red is known unless one of the two that
    # have it is left out, which happens in half of the cases.
    assert features(known)[:, place].tolist() == [0.5, 0.5, 0.5, 1.0]
    assert features([of("lamp red"), of("lamp  red")])[:, place].tolist() == [0.5, 0.25]


def test_words_of_strangers_are_as_often_unknown_as_those_of_the_dialogues_themselves() -> None:
    generator, differences = np.random.default_rng(0), []
    for _ in range(400):
        drawn = generator.zipf(1.5, (5, 6)).clip(max=400)
        *known, stranger = [of(" ".join(f"w{word}" for word in row)) for row in drawn]
        features = DialogueFeatures(known)
        place = features.names.index("words not known")
        differences.append(features([stranger])[0, place] - features(known)[:, place].mean())
    off = np.mean(differences) / (np.std(differences) / np.sqrt(len(differences)))
    assert abs(off) < 3


def test_a_message_of_marks_alone_has_features_too() -> None:
    row = DialogueFeatures([of("a"), of("a")])([of("?!")])
    assert np.isfinite(row).all() and row.shape == (1, 25)


def test_acts_of_a_message_are_one_word() -> None:
    assert act_sequence(["Thanks so much, goodbye!"])[0] == "GOODBYE+THANK_YOU"
    assert act_sequence(["Can I help you with anything else?"], "assistant") == ["REQ_MORE"]
