"""Typed facts and what prose is made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.rewards.facts import Fact, facts
from ss_gym.rewards.prose import Prose, stem
from tests.growth import grows_with_length


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$1,200.50", {("money$", 1200.5)}),
        ("12 euros or €12", {("money€", 12.0)}),
        ("120%, that is 120 percent", {("percent", 120.0)}),
        ("2 pm, 14:00", {("time", 840.0)}),
        ("12 am and 12 p.m.", {("time", 0.0), ("time", 720.0)}),
        ("12 June, June 12th, 2025-06-12", {("date", "06-12")}),
        ("two weeks, 14 days, 14 working days", {("days", 14.0)}),
        ("3 months and 2 years", {("months", 3.0), ("years", 2.0)}),
        ("30 seconds, 5 min", {("seconds", 30.0), ("minutes", 5.0)}),
        ("version 4.3.", {("number", 4.3)}),
        ("0800 555 010", {("phone", "0800555010")}),
        ("a.b@c.example", {("email", "a.b@c.example")}),
        ("order OC-118 and KP553201", {("code", "oc-118"), ("code", "kp553201")}),
        ("on Mondays", {("weekday", "monday")}),
        ("42", {("number", 42.0)}),
        ("may I help?", set()),
        ("", set()),
    ],
)
def test_values_are_read_by_their_kind(text, expected):
    assert facts(text) == {Fact(*pair) for pair in expected}


@given(st.text(max_size=300))
def test_any_text_is_read(text):
    read = Prose(text)
    assert 0.0 <= read.shape <= 1.0 and 0.0 <= read.novelty <= 1.0
    assert all(fact.kind for fact in facts(text))


@pytest.mark.parametrize("part", ["1", "1 ", "a@", "(", "a.b", "<think>", "1-"])
def test_a_text_takes_time_with_its_length_and_not_with_its_square(part):
    def read(text):
        facts(text)
        prose = Prose(text)
        assert prose.shape <= 1.0 and prose.novelty <= 1.0

    assert grows_with_length(read, part, short=2_500, long=20_000)


@pytest.mark.parametrize(
    ("text", "shaped"),
    [
        ("You have 30 days from the day they were delivered.", True),
        ("14 days from delivery.", True),
        ("Push the cable in until it clicks, then hold the button.", True),
        ("Yes.", True),
        ("If that matches, turn it off: wait for half a minute and try again.", True),
        ("return refund policy days money help support order customer", False),
        ("refund and the return of order in days with policy before customer and service", False),
        ("Order, refund, return, policy, help, support, customer, service, days", False),
        ('{"order": 1, "state": "open"}', False),
        ("we and the if is the a of the or and the to my in the", False),
    ],
)
def test_sentences_are_told_from_salad(text, shaped):
    assert (Prose(text).shape > 0.9) if shaped else (Prose(text).shape < 0.35)


def test_repetition_is_counted_in_sentences_and_runs():
    assert Prose("One two three. Four five six.").novelty == 1.0
    assert Prose("One two three. One two three.").novelty == 0.5
    assert Prose("no no no no no no").novelty == pytest.approx(1 - 3 / 4)


def test_copied_words_are_those_of_runs_of_five():
    source = Prose("Shoes may be sent back within 30 days of delivery.")
    assert Prose("Shoes may be sent back tomorrow, and may be sent on.").copied_words(source.runs) == 5
    assert Prose("They may be sent back within 30 days of that.").copied_words(source.runs) == 8
    assert Prose("Shoes may be kept.").copied_words(source.runs) == 0


@pytest.mark.parametrize("words", [("cancel", "cancelled", "cancels"), ("deliver", "delivery", "delivered")])
def test_forms_of_a_word_have_one_stem(words):
    assert len(set(map(stem, words))) == 1
