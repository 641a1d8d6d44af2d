"""Small logs with nothing to be learnt from, and what tests have to know of checkpoints."""

import numpy as np

from ss_trainers.offline.saved import LearnerState
from ss_trainers.offline.transitions import Transitions


def columns(steps=20, length=5, size=3, discrete=True, seed=0):
    """Arguments of ``from_arrays``: episodes of the same length, of which every other one ends with a timeout."""
    generator = np.random.default_rng(seed)
    places = np.arange(steps)
    last, odd = places % length == length - 1, places // length % 2 == 1
    return {
        "observations": generator.normal(size=(steps, size)).astype(np.float32),
        "actions": places % 3 if discrete else generator.uniform(-1, 1, (steps, 2)).astype(np.float32),
        "rewards": places.astype(np.float32),
        "terminals": last & ~odd,
        "timeouts": last & odd,
        "next_observations": generator.normal(size=(steps, size)).astype(np.float32),
    }


def log(steps=20, **changes):
    return Transitions.from_arrays(**columns(steps, **changes))


def contents(trainer):
    """All that a checkpoint holds of a run, by name."""
    state = LearnerState.of(trainer._learner, trainer._noise)
    return {name: tensor.clone() for name, tensor in state.tensors.items()}, state.plain


def assert_same(one, other):
    (tensors, plain), (others, other_plain) = one, other
    assert set(tensors) == set(others) and plain == other_plain
    for name, tensor in tensors.items():
        assert (tensor == others[name]).all(), name
