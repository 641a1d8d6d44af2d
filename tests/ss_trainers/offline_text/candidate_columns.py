"""A conversation of two steps in which only one way earns something, as a model would read it.

What is read of a conversation is three numbers: whether the first action was taken, which it was, and what was said
last. ``GOOD`` is 1 and ``BAD`` is -1. ``ODD``, which the log never has, is 3: to a critic that knows of the others
alone it looks like very good.
"""

import torch

from ss_trainers.offline.learner import Setup
from ss_trainers.offline.transitions import Spaces
from ss_trainers.offline_text.examples import CandidateExamples, FeatureScaling, Support
from ss_trainers.offline_text.reading import StepColumns

GOOD, BAD, ODD = range(3)
SAID = (1.0, -1.0, 3.0)
PLAIN = FeatureScaling(torch.zeros(3), torch.ones(3))
MARGIN = 0.5


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def features(taken, first, said):
    return torch.tensor([float(taken), first, said])


def chain(paid=1.0):
    """Each of the four ways once; it is the good one twice that is paid."""
    steps = []
    for first in (GOOD, BAD):
        for second in (GOOD, BAD):
            reward = paid if (first, second) == (GOOD, GOOD) else 0.0
            steps += [(0, 0.0, first, 0.0, False), (1, SAID[first], second, reward, True)]
    said = torch.stack([features(taken, first, SAID[action]) for taken, first, action, *_ in steps])
    # A place is left empty, of which the numbers would be better still.
    proposed = [[features(taken, first, word) for word in (*SAID, 9.0)] for taken, first, *_ in steps]
    logged = torch.tensor([[place == action for place in range(4)] for _, _, action, _, _ in steps])
    count = len(steps)
    return StepColumns(
        torch.stack([features(taken, first, 0.0) for taken, first, *_ in steps]),
        said,
        torch.tensor([reward for *_, reward, _ in steps]),
        torch.tensor([last for *_, last in steps]),
        torch.stack([torch.stack(each) for each in proposed]),
        torch.tensor([[True, True, True, False]]).expand(count, -1),
        torch.tensor([[-0.2, -0.3, -2.0, 0.0]]).expand(count, -1),
        torch.ones(count, 4),
        torch.tensor([[0.4, 0.5, 0.1, 0.0]]).expand(count, -1),
        logged,
    )


def examples(columns, scaling=PLAIN, reward_scale=1.0):
    return CandidateExamples(columns, scaling, Support(MARGIN), reward_scale, torch.device("cpu"))


def made(kind, config, hidden=(16,), size=3, seed=0):
    """A critic that has learnt nothing."""
    return kind(config, Setup(Spaces(size, size, False), hidden, seeded(seed), seeded(1), torch.device("cpu")))


def trained(kind, config, columns, updates, **changes):
    """A critic that has learnt from all steps at once, and what it has told in each update."""
    learner, source = made(kind, config, **changes), examples(columns)
    told = []
    for step in range(updates):
        (batch,) = source.batches(torch.arange(len(source)), len(source))
        told.append({name: figure.item() for name, figure in learner.update(batch, step).items()})
    return learner, told


def asked(columns):
    """States and candidates of all steps."""
    (batch,) = examples(columns).batches(torch.arange(len(columns.rewards)), len(columns.rewards))
    return batch.states, batch.proposed
