"""Every algorithm comes within two per cent of a known optimum; the table of ten seeds is in the docs."""

import json

import pytest

from ss_trainers.algorithms.registry import ALGORITHMS
from tests.benchmarks import bandit

# Controls: imitation of what was best so far is left with what it has seen, and shuffled outcomes teach nothing.
CONTROLS = {"rejection_sampling", "shuffled"}


@pytest.mark.parametrize("name", [name for name in bandit.NAMES if name not in CONTROLS])
def test_the_optimum_is_found(name: str) -> None:
    curve = bandit.trained(name, seed=100)
    assert curve[0] == pytest.approx(0.25) and curve[-1] >= 0.98


def test_the_controls_are_behind() -> None:
    assert 0.9 < bandit.trained("rejection_sampling", seed=100)[-1]
    assert bandit.trained("shuffled", seed=100)[-1] < 0.6


def test_the_table_in_the_docs_is_of_every_algorithm() -> None:
    kept = json.loads(bandit.RESULTS.read_text(encoding="utf-8"))
    assert set(kept) == set(bandit.NAMES) and set(ALGORITHMS) - set(kept) == set(bandit.LEFT_OUT)
    for name, cell in kept.items():
        last = [curve[-1] for curve in cell["curves"]]
        assert len(last) == bandit.SEEDS
        assert name in CONTROLS or min(last) >= 0.98
