import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.shaping import overlong_penalty


def test_the_penalty_grows_over_the_last_twenty_of_a_hundred_tokens() -> None:
    lengths = torch.tensor([0, 80, 90, 100, 101])
    assert overlong_penalty(lengths, 100, 20).tolist() == pytest.approx([0, 0, -0.5, -1, -1])


@given(st.integers(1, 200), st.integers(1, 200))
def test_it_never_rises_and_makes_no_jump(max_length, buffer) -> None:
    penalties = overlong_penalty(torch.arange(0, 300), max_length, min(buffer, max_length))
    steps = penalties.diff()
    assert bool((steps <= 0).all()) and steps.abs().max() <= 1 / min(buffer, max_length) + 1e-12
    assert penalties[0] == 0 and penalties[-1] == -1
