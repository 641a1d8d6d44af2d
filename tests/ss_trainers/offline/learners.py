"""Learners on small logs in double precision, and their networks as loops over numbers."""

from dataclasses import fields, replace

import torch

from ss_gym.agents.checkpoint import CHECKPOINT
from ss_trainers.offline.learner import Setup
from ss_trainers.offline.registry import make_learner
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.trainer import OfflineTrainer
from ss_trainers.offline.transitions import TransitionBatch
from tests.ss_trainers.offline.logs import assert_same, contents, log


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def made(config, steps=7, discrete=False, **changes):
    """A learner, a batch with the end of a task and a timeout in it, and a copy of its generator of noise."""
    # Episodes of three steps; small rewards, of the size that new networks' values have.
    transitions = log(steps, length=3, discrete=discrete, **changes)
    learner = make_learner(config, Setup(transitions.spaces, (6, 5), seeded(), seeded(1), torch.device("cpu")))
    learner.modules.double()
    whole = transitions.tensors()
    columns = (getattr(whole, entry.name) for entry in fields(whole))
    batch = TransitionBatch(*(column.double() if column.is_floating_point() else column for column in columns))
    return learner, replace(batch, rewards=batch.rewards / 10), seeded(1)


def said(network, row, member=None):
    """What one perceptron says of one row, differentiable."""
    last = len(network.weights) - 1
    for place, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        row = weight @ row + bias if member is None else row @ weight[member] + bias[member][0]
        row = row if place == last else torch.where(row > 0, row, torch.zeros_like(row))
    return row


def valued(critics, member, observation, action):
    """What one critic says of one action."""
    return said(critics.network, torch.cat([observation, action]), member)[0]


def assert_gradients(module, loss):
    """The gradients that an update left in a network are those of a loss."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    expected = torch.autograd.grad(loss, parameters, retain_graph=True)
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-8, atol=1e-10)


def assert_goes_on_exactly(config, folder, discrete):
    """A run that is cut in the middle ends as one that is not."""
    training, transitions = OfflineTraining(batch_size=8, max_updates=7), log(discrete=discrete)
    whole = OfflineTrainer(config, training).train(transitions)
    OfflineTrainer(config, replace(training, max_updates=4, output_dir=str(folder))).train(transitions)
    resumed = OfflineTrainer(config, training, resume_from=folder / CHECKPOINT)
    assert resumed.updates == 4
    assert_same(contents(resumed.train(transitions)), contents(whole))
