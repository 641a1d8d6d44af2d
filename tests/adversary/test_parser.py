"""The parsers read whatever a model writes, and the trial of them finds what it is for."""

from __future__ import annotations

import pytest

from ss_gym.actions import parse_action
from ss_gym.agents.dialects import as_action
from tests.adversary.completions import Sample, sample
from tests.adversary.parser import Trial

INPUTS = 3_000


def tried(inputs=INPUTS, **settings):
    trial = Trial(**settings)
    for _ in trial.run(range(inputs)):
        pass
    return trial


def test_no_completion_of_thousands_is_misread_raises_or_takes_long():
    trial = tried()
    assert not trial.findings
    assert {"right", "spoilt", "pieces", "unicode", "thoughts", "numbers", "nested", "long"} == set(trial.tallies)


def test_a_sample_follows_from_its_number():
    assert [sample(number) for number in range(50)] == [sample(number) for number in range(50)]
    assert [sample(number) for number in range(50)] != [sample(number, seed=1) for number in range(50)]


def raises(text, first_id):
    if "\x00" in text:
        raise KeyError(text)
    return parse_action(text, first_id)


def says_thoughts(text, first_id):
    action = parse_action(text, first_id)
    return action if action.tool_calls else action._replace(say=f"{action.say} {action.thought}".strip())


def misnumbers(text, first_id):
    return parse_action(text, 0)


def says_beside_calls(text, first_id):
    action = parse_action(text, first_id)
    return action._replace(say="Done.") if action.tool_calls else action


def keeps_control_characters(text, first_id):
    action = parse_action(text, first_id)
    return action if action.tool_calls or action.thought else action._replace(say=text)


def loses_arguments(text, first_id):
    action = parse_action(text, first_id)
    return action._replace(tool_calls=tuple(call._replace(arguments={}) for call in action.tool_calls))


def takes_the_square(text, first_id):
    for place in range(0, len(text), 2):
        sum(map(len, text[place:]))
    return parse_action(text, first_id)


@pytest.mark.parametrize(
    ("parse", "what"),
    [
        (raises, "raised KeyError"),
        (says_thoughts, "a thought is said"),
        (misnumbers, "the ids are not consecutive"),
        (says_beside_calls, "something is said beside calls"),
        (keeps_control_characters, "what is said can't be shown"),
        (loses_arguments, "read as"),
    ],
)
def test_what_a_parser_does_wrong_is_found(parse, what):
    assert any(what in finding.what for finding in tried(300, parse=parse).findings)


def test_time_that_grows_with_the_square_is_found():
    trial = Trial(parse=takes_the_square)
    trial.try_sample(Sample(0, "long", "<" * 6_000))
    assert any("took" in finding.what for finding in trial.findings)


def no_such_dialect(text, dialect):
    return as_action(text, "hermes")


def changes_our_form(text, dialect):
    return text.strip() if dialect == "hermes" else as_action(text, dialect)


@pytest.mark.parametrize(
    ("translate", "what"), [(no_such_dialect, "read as"), (changes_our_form, "our own form was changed")]
)
def test_what_a_reader_of_dialects_does_wrong_is_found(translate, what):
    assert any(what in finding.what for finding in tried(300, translate=translate).findings)
