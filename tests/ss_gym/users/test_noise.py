import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.streams import Stream
from ss_gym.users.noise import add_noise, group_digits

SENTENCE = "Hello, I would really like to return my wool scarf because it arrived damaged, please help me today."

words = st.text(alphabet=string.ascii_letters + string.digits + ".,!?'@-", min_size=1, max_size=12)
messages = st.lists(words, min_size=1, max_size=30).map(" ".join)
rates = st.floats(min_value=0.0, max_value=1.0)
seeds = st.integers(min_value=0, max_value=2**32)


def bare(word: str) -> str:
    return word.rstrip(".,!?;:").lower()


@given(messages, seeds)
def test_rate_zero_leaves_the_text_as_it_is(text: str, seed: int) -> None:
    assert add_noise(text, 0.0, Stream(seed)) == text


@given(messages, rates, seeds)
def test_the_number_of_words_stays_and_no_more_than_the_rate_are_misspelt(text: str, rate: float, seed: int) -> None:
    before, after = text.split(" "), add_noise(text, rate, Stream(seed)).split(" ")
    assert len(before) == len(after)
    misspelt = sum(bare(old) != bare(new) for old, new in zip(before, after, strict=True))
    assert misspelt <= math.ceil(rate * len(before))


@given(messages, rates, seeds, st.data())
def test_protected_words_arrive_as_written(text: str, rate: float, seed: int, data: st.DataObject) -> None:
    before = text.split(" ")
    protected = set(data.draw(st.lists(st.sampled_from(before), max_size=5)))
    after = add_noise(text, rate, Stream(seed), protected).split(" ")
    for old, new in zip(before, after, strict=True):
        if old in protected:
            assert new == old


@given(
    st.sampled_from(
        ["mia.stone@example.com", "AB1 2CD", "10115", "$24.90", "48213-1", "C4821", "2025-03-01", "K1A 0B1"]
    ),
    st.sampled_from(["", ".", ",", "!", "?"]),
    rates,
    seeds,
)
def test_values_are_never_touched(value: str, mark: str, rate: float, seed: int) -> None:
    protected = set(value.split())
    text = add_noise(f"really, I think it is {value}{mark} thanks", rate, Stream(seed), protected)
    assert value in text


@given(st.sampled_from(["no", "not", "yes", "ok"]), rates, seeds)
def test_the_shortest_words_keep_their_letters(word: str, rate: float, seed: int) -> None:
    assert add_noise(f"{word}, that is {word} what I want", rate, Stream(seed)).split(" ")[0].rstrip(",") == word


def test_a_high_rate_does_misspell() -> None:
    texts = [add_noise(SENTENCE, 0.3, Stream(seed)) for seed in range(200)]
    misspelt = [
        sum(bare(a) != bare(b) for a, b in zip(SENTENCE.split(" "), text.split(" "), strict=True)) for text in texts
    ]
    assert 3.0 < sum(misspelt) / len(misspelt) <= 6.0


def test_shortcuts_capitals_and_commas_are_among_the_slips() -> None:
    texts = [add_noise(SENTENCE, 0.2, Stream(seed)) for seed in range(400)]
    assert any("pls" in text for text in texts)
    assert any(text.startswith("hello ") for text in texts)
    assert any(not text.endswith(".") for text in texts)


def test_apostrophes_get_lost() -> None:
    assert {add_noise("don't", 1.0, Stream(seed)) for seed in range(20)} == {"dont"}


def test_line_breaks_survive() -> None:
    for seed in range(100):
        assert add_noise("Hello,\nplease help me with this order\nThanks", 0.5, Stream(seed)).count("\n") == 2


def test_equal_streams_make_equal_slips() -> None:
    assert add_noise(SENTENCE, 0.2, Stream(3)) == add_noise(SENTENCE, 0.2, Stream(3))
    assert len({add_noise(SENTENCE, 0.2, Stream(seed)) for seed in range(50)}) > 40


@pytest.mark.parametrize(
    ("digits", "grouped"), [("48213", "48 213"), ("123456", "123 456"), ("4821", "4821"), ("A8213", "A8213"), ("", "")]
)
def test_long_numbers_are_grouped(digits: str, grouped: str) -> None:
    assert group_digits(digits) == grouped
