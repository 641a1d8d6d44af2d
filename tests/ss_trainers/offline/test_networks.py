"""Networks side by side are the networks one by one; what follows, what is frozen, and the optimizer."""

import math

import pytest
import torch
from torch.nn.functional import linear

from ss_trainers.offline.networks import (
    LOG_STD_MAX,
    LOG_STD_MIN,
    Critics,
    GaussianActor,
    Perceptrons,
    follow,
    side_by_side,
    target_of,
)
from ss_trainers.offline.optimizers import Adam

SIZES = (3, 8, 5, 2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(*shape, seed=1):
    return torch.randn(shape, generator=generator(seed))


def one_by_one(network, inputs):
    """What each member says, by plain matrix products."""
    said = []
    for member in range(network.members):
        hidden = inputs if inputs.ndim == 2 else inputs[member]
        for weight, bias in zip(network.weights, network.biases, strict=True):
            hidden = (hidden if weight is network.weights[0] else hidden.relu()) @ weight[member] + bias[member]
        said.append(hidden)
    return torch.stack(said)


def gradients(network, loss):
    return torch.autograd.grad(loss, list(network.parameters()))


@pytest.mark.parametrize("shape", [(7, 3), (4, 7, 3)])
def test_networks_side_by_side_are_the_networks_one_by_one(shape):
    network, inputs = Perceptrons(SIZES, generator(), members=4), drawn(*shape)
    together, apart = network(inputs), one_by_one(network, inputs)
    assert together.shape == (4, 7, 2)
    torch.testing.assert_close(together, apart)
    torch.testing.assert_close(gradients(network, together.square().sum()), gradients(network, apart.square().sum()))
    torch.testing.assert_close(network(inputs[:2] if inputs.ndim == 3 else inputs, first=2), apart[:2])


@pytest.mark.parametrize("sizes", [SIZES, (3, 2)])
def test_a_single_network_is_a_plain_perceptron(sizes):
    network, inputs = Perceptrons(sizes, generator()), drawn(7, 3)
    hidden = inputs
    for place, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        hidden = linear(hidden if place == 0 else hidden.relu(), weight, bias)
    torch.testing.assert_close(network(inputs), hidden)


@pytest.mark.parametrize(("members", "shape"), [(None, (1100, 3)), (2, (1100, 3)), (2, (2, 1100, 3))])
def test_many_rows_without_a_gradient_are_computed_in_parts_with_the_same_result(members, shape):
    # A layer of 1100 rows has more numbers than are computed at once.
    network, inputs = Perceptrons((3, 512, 2), generator(), members), drawn(*shape)
    together = network(inputs)
    with torch.no_grad():
        in_parts = network(inputs)
    assert not in_parts.requires_grad
    torch.testing.assert_close(in_parts, together.detach())


@pytest.mark.parametrize("members", [None, 2])
def test_a_frozen_network_passes_the_gradient_to_its_inputs_alone(members):
    network, inputs = Perceptrons(SIZES, generator(), members), drawn(7, 3).requires_grad_()
    frozen, moving = network(inputs, frozen=True), network(inputs)
    assert torch.equal(frozen, moving)
    frozen.sum().backward()
    found = inputs.grad.clone()
    assert all(parameter.grad is None for parameter in network.parameters())
    inputs.grad = None
    moving.sum().backward()
    assert torch.equal(found, inputs.grad) and found.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("members", [None, 3])
def test_initial_weights_are_uniform_and_come_from_the_generator_alone(members):
    state = torch.get_rng_state()
    one, same, other = (Perceptrons((4, 400, 300), generator(seed), members) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    for place, inputs in enumerate((4, 400)):
        for parameters in (one.weights, one.biases):
            values = parameters[place]
            assert values.abs().max() <= 1 / math.sqrt(inputs)
            # The standard deviation of a uniform distribution is its width over the root of 12.
            assert values.std().item() == pytest.approx(1 / math.sqrt(3 * inputs), rel=0.1)
    inputs = drawn(2, 4)
    assert torch.equal(one(inputs), same(inputs)) and not torch.equal(one(inputs), other(inputs))


def test_critics_value_given_actions_several_of_a_state_or_all_there_are():
    critics = Critics(3, 2, (8,), generator())
    seen, done = drawn(5, 3), drawn(5, 4, 2, seed=2)
    several = critics(seen, done)
    assert several.shape == (2, 5, 4)
    for sample in range(4):
        single = critics(seen, done[:, sample])
        assert single.shape == (2, 5)
        torch.testing.assert_close(several[:, :, sample], single)
        torch.testing.assert_close(single, critics.network(torch.cat([seen, done[:, sample]], -1)).squeeze(-1))
    discrete = Critics(3, 6, (8,), generator(), members=3, discrete=True)
    assert discrete(seen).shape == (3, 5, 6) and torch.equal(discrete(seen), discrete.network(seen))


def test_the_best_candidate_is_that_which_the_first_critic_values_most():
    critics, seen, candidates = Critics(3, 2, (8,), generator()), drawn(5, 3), drawn(5, 4, 2, seed=2)
    values = critics(seen, candidates)[0]
    best = critics.best(seen, candidates)
    assert torch.equal(best, torch.stack([candidates[row, values[row].argmax()] for row in range(5)]))
    assert not best.requires_grad


def test_states_stand_beside_each_of_their_inputs():
    seen, inputs = torch.tensor([[1.0], [2.0]]), torch.tensor([[[3.0], [4.0]], [[5.0], [6.0]]])
    assert side_by_side(seen, inputs).tolist() == [[1, 3], [1, 4], [2, 5], [2, 6]]
    assert side_by_side(seen, inputs[:, 0]).tolist() == [[1, 3], [2, 5]]


def test_the_spread_of_a_gaussian_actor_is_bounded():
    actor = GaussianActor(3, 2, (8,), generator())
    mean, log_std = actor(drawn(5, 3))
    torch.testing.assert_close(torch.cat([mean, log_std], -1), actor.network(drawn(5, 3)))
    assert set(actor(1e4 * drawn(5, 3))[1].unique().tolist()) == {LOG_STD_MIN, LOG_STD_MAX}


def test_a_target_is_moved_a_share_of_the_way():
    network = Critics(3, 2, (8,), generator())
    target = target_of(network)
    assert not any(parameter.requires_grad for parameter in target.parameters())
    before = [parameter.clone() for parameter in target.parameters()]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert all(torch.equal(*pair) for pair in zip(target.parameters(), before, strict=True))
    follow(target, network, 0.25)
    for moved, start, end in zip(target.parameters(), before, network.parameters(), strict=True):
        torch.testing.assert_close(moved, torch.lerp(start, end, 0.25), rtol=0, atol=0)
    follow(target, network, 1.0)
    assert all(torch.equal(*pair) for pair in zip(target.parameters(), network.parameters(), strict=True))


def step(network, optimizer, seed):
    optimizer.zero_grad()
    network(drawn(7, 3, seed=seed)).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_optimizer_is_adamw_to_the_bit(decay):
    networks = [Perceptrons(SIZES, generator(), members=2) for _ in range(2)]
    ours = Adam(networks[0].parameters(), 1e-2, decay)
    theirs = torch.optim.AdamW(networks[1].parameters(), 1e-2, weight_decay=decay, fused=True)
    for seed in range(20):
        for network, optimizer in zip(networks, (ours, theirs), strict=True):
            optimizer.param_groups[0]["lr"] = 1e-2 / (1 + seed)
            step(network, optimizer, seed)
    begun = Perceptrons(SIZES, generator(), members=2)
    for one, other, start in zip(*(network.parameters() for network in (*networks, begun)), strict=True):
        assert torch.equal(one, other) and not torch.equal(one, start)


def test_the_optimizer_goes_on_from_its_state():
    whole, halves = Perceptrons(SIZES, generator()), Perceptrons(SIZES, generator())
    optimizer = Adam(whole.parameters(), 1e-2)
    for seed in range(6):
        step(whole, optimizer, seed)
    first = Adam(halves.parameters(), 1e-2)
    for seed in range(3):
        step(halves, first, seed)
    second = Adam(halves.parameters(), 99.0)
    second.load_state_dict(first.state_dict())
    for seed in range(3, 6):
        step(halves, second, seed)
    assert all(torch.equal(*pair) for pair in zip(whole.parameters(), halves.parameters(), strict=True))


def test_the_optimizer_leaves_alone_what_has_no_gradient_but_not_a_part():
    network = Perceptrons(SIZES, generator())
    optimizer, before = Adam(network.parameters(), 1e-2), [each.clone() for each in network.parameters()]
    optimizer.step()
    assert all(torch.equal(*pair) for pair in zip(network.parameters(), before, strict=True))
    step(network, optimizer, 0)
    network.weights[0].grad = None
    with pytest.raises(RuntimeError, match="1 of 6 parameters have no gradient"):
        optimizer.step()
