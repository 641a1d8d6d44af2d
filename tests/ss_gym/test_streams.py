from collections import Counter
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.streams import Stream


def test_a_stream_is_the_keyed_hash_of_its_block_numbers():
    key = blake2b(repr((7, "goal")).encode(), digest_size=32).digest()
    blocks = b"".join(blake2b(n.to_bytes(8, "little"), key=key).digest() for n in range(2))
    words = [int.from_bytes(blocks[start : start + 8], "little") for start in range(0, 128, 8)]
    stream = Stream(7, "goal")
    # The words of a block come last to first.
    assert [stream.bits() for _ in range(16)] == words[7::-1] + words[:7:-1]


def test_draws_are_the_same_in_every_version():
    stream = Stream(7, "goal")
    assert [stream.bits() for _ in range(2)] == [9254896057117589616, 14672992000593261632]
    assert stream.below(1000) == 664  # 12264515799798967964 * 1000 >> 64


def test_streams_of_other_keys_are_independent():
    assert Stream(7, "goal").bits() != Stream(7, "wording").bits()
    assert Stream(1, 23).bits() != Stream(12, 3).bits()


@given(st.integers(0, 2**32), st.integers(-50, 50), st.integers(0, 100))
def test_draws_stay_within_their_bounds(seed, low, width):
    stream = Stream(seed)
    assert low <= stream.between(low, low + width) <= low + width
    assert 0 <= stream.below(width + 1) <= width
    assert 0.0 <= stream.uniform() <= 1.0
    assert stream.choice(range(low, low + width + 1)) in range(low, low + width + 1)
    assert not stream.chance(0.0)
    assert stream.chance(1.0)


def test_weighted_draws_follow_the_weights():
    stream = Stream("weights")
    drawn = Counter(stream.weighted("abc", (0.5, 0.8, 1.0)) for _ in range(20_000))
    assert drawn["a"] / 20_000 == pytest.approx(0.5, abs=0.015)
    assert drawn["b"] / 20_000 == pytest.approx(0.3, abs=0.015)


@pytest.mark.parametrize(("point", "item"), [(0.0, "a"), (0.4999, "a"), (0.5, "b"), (0.9, "c"), (1.0, "c")])
def test_a_weighted_draw_takes_the_first_item_whose_sum_is_above_the_point(point, item, monkeypatch):
    monkeypatch.setattr(Stream, "uniform", lambda self: point)
    assert Stream("weights").weighted("abc", (0.5, 0.8, 1.0)) == item


@given(st.integers(0, 2**32), st.integers(0, 10))
def test_a_sample_has_no_item_twice(seed, count):
    sample = Stream(seed).sample(range(10), count)
    assert len(sample) == len(set(sample)) == count
