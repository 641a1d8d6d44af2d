"""Values of the states before action tokens."""

import random
from dataclasses import replace

import pytest
import torch

from ss_trainers.collate import collate, split_by_length
from ss_trainers.critic import Critic, ValueNetwork, restore, state_of, trainable
from tests.ss_trainers.samples import gpt2, llama, trajectories


def made(make=llama, seed=0):
    network = ValueNetwork(make(seed=seed)).double()
    with torch.no_grad():
        network.value.weight.normal_(generator=torch.Generator().manual_seed(1))
        network.value.bias.fill_(0.3)
    return network


@pytest.mark.parametrize("make", [llama, gpt2])
def test_a_value_is_read_from_the_state_before_its_token(make) -> None:
    network, given = made(make), trajectories(random.Random(3))
    batch = collate(given, dtype=torch.float64)
    values = Critic(network).values(batch)
    for row, one in enumerate(given):
        ids = [*one.prompt_ids, *(token for turn in one.turns for token in turn.token_ids)]
        hidden = network.model.get_decoder()(torch.tensor([ids])).last_hidden_state[0]
        expected = network.value(hidden)[:, 0]
        for column in batch.action_mask[row].nonzero()[:, 0].tolist():
            place = column + len(batch.prefix)
            assert values[row, column].item() == pytest.approx(expected[place - 1].item(), abs=1e-9)
    assert not values[~batch.action_mask].any()


def test_a_new_critic_foresees_nothing() -> None:
    network = ValueNetwork(llama())
    assert not Critic(network).values(collate(trajectories(random.Random(1)), dtype=torch.float64)).any()


def test_splitting_and_sharing_the_prompt_change_no_gradient() -> None:
    given, found = trajectories(random.Random(5)), []
    for share, max_tokens in ((False, 10**6), (True, 10**6), (True, 40)):
        network = made()
        critic = Critic(network)
        parts = split_by_length(collate(given, share_prefix=share, dtype=torch.float64), max_tokens)
        with critic.prompt_encoded_once(parts):
            for part in parts:
                critic.values(part).square().sum().backward()
        found.append(torch.cat([value.grad.flatten() for value in trainable(network)]))
    for other in found[1:]:
        assert (other - found[0]).norm() <= 1e-6 * found[0].norm()


def test_the_head_for_words_is_not_trained_unless_it_is_the_embedding() -> None:
    for make in (llama, gpt2):
        network = ValueNetwork(make())
        inside = {id(value) for value in trainable(network)}
        tied = network.model.lm_head.weight is network.model.get_input_embeddings().weight
        assert (id(network.model.lm_head.weight) in inside) == tied
        assert id(network.value.weight) in inside


def test_a_critic_is_kept_and_taken_up_again() -> None:
    network, other = made(), made(seed=2)
    batch = collate(trajectories(random.Random(4)), dtype=torch.float64)
    assert not torch.equal(Critic(network).values(batch), Critic(other).values(batch))
    restore(other, {name: value.clone() for name, value in state_of(network).items()})
    head = network.model.lm_head.weight
    if head is not network.model.get_input_embeddings().weight:
        other.model.lm_head.weight.data = head.data
    assert torch.equal(Critic(network).values(batch), Critic(other).values(batch))
    with pytest.raises(KeyError):
        restore(other, {})


def test_rows_without_actions_have_no_values() -> None:
    batch = collate(trajectories(random.Random(4)), dtype=torch.float64)
    silent = replace(batch, action_mask=batch.action_mask & False)
    assert not Critic(made()).values(silent).any()
