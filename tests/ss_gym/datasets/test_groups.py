"""Parts of a split have nothing in common, and stay as they are when data are added."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.datasets.fingerprints import mixed
from ss_gym.datasets.groups import group_keys, part_of
from tests.ss_gym.datasets.logs import keyed

# customer, scenario, text; 0 is not told, but each conversation has a text.
_ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(1, 30)), min_size=1, max_size=25)
SHARES = {"train": 0.6, "dev": 0.2, "test": 0.2}


def groups(rows: list[tuple[int, int, int]], *ties: str) -> list[int]:
    customer, pair, text = map(list, zip(*rows, strict=True))
    columns = keyed(customer=customer, pair=[key and key + 100 for key in pair], text=[key + 1000 for key in text])
    return list(map(int, group_keys(columns, *([ties] if ties else []))))


def connected(rows: list[tuple[int, int, int]]) -> list[set[int]]:
    """The groups, found one by one."""
    left, found = set(range(len(rows))), []
    while left:
        group, border = set(), {min(left)}
        while border:
            row = border.pop()
            group.add(row)
            for other in left - group:
                if any(one and one == two for one, two in zip(rows[row], rows[other], strict=True)):
                    border.add(other)
        found.append(group)
        left -= group
    return found


@given(_ROWS)
def test_groups_are_what_hangs_together(rows: list[tuple[int, int, int]]) -> None:
    keys = groups(rows)
    for group in connected(rows):
        assert len({keys[row] for row in group}) == 1
    assert len(set(keys)) == len(connected(rows))


def test_the_key_of_a_group_is_a_customer_then_a_scenario_then_a_text() -> None:
    assert groups([(3, 1, 1), (2, 1, 2), (0, 2, 3), (0, 2, 4), (0, 0, 5)]) == [2, 2, 102, 102, 1005]
    assert groups([(3, 1, 1), (2, 1, 2), (0, 0, 2)], "customer") == [3, 2, 1002]
    assert groups([(3, 1, 1), (2, 1, 2), (0, 0, 2)], "scenario", "text") == [101, 101, 101]


@given(_ROWS, _ROWS, st.integers(0, 3))
def test_a_group_that_is_not_tied_to_another_stays_in_its_part(
    rows: list[tuple[int, int, int]], more: list[tuple[int, int, int]], seed: int
) -> None:
    before, after = groups(rows), groups(rows + more)
    parts_before = part_of(np.array(before, np.uint64), SHARES, seed)
    parts_after = part_of(np.array(after, np.uint64), SHARES, seed)
    tied = {key for key in set(after) if len({one for one, two in zip(before, after, strict=False) if two == key}) > 1}
    for row, key in enumerate(before):
        # A group without a customer takes the name of one who joins it, and of two names the lesser is kept.
        if after[row] == key and key not in tied:
            assert all(parts_before[name][row] == parts_after[name][row] for name in SHARES)
        else:
            assert after[row] in tied or after[row] < key


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.integers(0, 3))
def test_each_row_is_in_one_part_and_equal_keys_are_in_the_same(keys: list[int], seed: int) -> None:
    drawn = part_of(np.array(keys, np.uint64), SHARES, seed)
    assert (sum(part.astype(int) for part in drawn.values()) == 1).all()
    again = part_of(np.array(keys[::-1], np.uint64), SHARES, seed)
    assert all((drawn[name] == again[name][::-1]).all() for name in SHARES)


def test_parts_have_their_shares_and_depend_on_the_seed() -> None:
    keys = np.arange(1, 20_001, dtype=np.uint64)
    first, second = part_of(keys, SHARES, 0), part_of(keys, SHARES, 1)
    for name, share in SHARES.items():
        assert first[name].mean() == pytest.approx(share, abs=0.02)  # five standard deviations
    assert (first["train"] != second["train"]).mean() == pytest.approx(2 * 0.6 * 0.4, abs=0.03)
    grown = part_of(keys, {"train": 0.7, "dev": 0.1, "test": 0.2}, 0)
    assert not (first["train"] & ~grown["train"]).any()


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ({}, "a split needs the share of each part by its name, such as {'train': 0.8, 'test': 0.2}"),
        ([0.8, 0.2], "a split needs the share of each part by its name"),
        ({"train": 1.0, "test": 0}, "the share of 'test' must be a number above 0 and at most 1, got 0"),
        ({"train": "0.8", "test": 0.2}, "the share of 'train' must be a number"),
        ({"train": 0.8, "test": 0.1}, "the shares of the parts must add up to 1, got 0.9"),
    ],
)
def test_shares_that_make_no_split_are_refused(shares: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        part_of(np.ones(3, np.uint64), shares, 0)  # type: ignore[arg-type]


def test_an_unknown_tie_is_refused() -> None:
    with pytest.raises(ValueError, match="kept together by customer, scenario, text, not by 'turn'"):
        groups([(1, 1, 1)], "turn")


def test_mixed_keys_are_those_of_the_published_generator() -> None:
    # SplitMix64 from the state 0 begins with these (Vigna, splitmix64.c).
    begun = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [int(mixed(np.zeros(1, np.uint64), seed)[0]) for seed in range(3)] == begun
