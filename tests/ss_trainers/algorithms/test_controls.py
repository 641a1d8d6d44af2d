"""Shuffled outcomes, what dynamic sampling keeps, and a price that adapts."""

from dataclasses import replace

import pytest
import torch

from ss_gym.types import ConversationTurn, MultiTurnTrajectory
from ss_trainers.algorithms.dapo import DAPO
from ss_trainers.algorithms.ppo import PPO, PPOConfig
from ss_trainers.algorithms.registry import make_algorithm
from ss_trainers.algorithms.shuffled import Shuffled, ShuffledConfig
from ss_trainers.collate import collate
from ss_trainers.functional.preferences import direct_preference_loss


def eight_attempts():
    turns = (ConversationTurn("assistant", "", token_ids=(1,), logprobs=(0.0,)),)
    batch = collate([MultiTurnTrajectory(turns, prompt_ids=(5,), group_id=number // 4) for number in range(8)])
    return replace(batch, returns=torch.arange(8.0).double(), successes=torch.tensor([True] * 2 + [False] * 6))


def test_shuffled_returns_are_the_same_returns_in_another_order() -> None:
    batch = eight_attempts()
    plain = make_algorithm("grpo", {}).prepare(batch).advantages[:, -1]
    first, second = (Shuffled(ShuffledConfig("grpo", {}, 1)) for _ in range(2))
    dealt = []
    for _ in range(3):
        dealt.append(first.prepare(batch))
        # An iteration that is repeated, after Ctrl-C, has the same dealing.
        assert torch.equal(first.prepare(batch).returns, dealt[-1].returns)
        first.observe({})
    for one in dealt:
        assert not torch.equal(one.advantages[:, -1], plain)
        assert one.returns.sort().values.tolist() == batch.returns.tolist()
        assert torch.equal(one.turn_rewards.sum(1), one.returns) and int(one.successes.sum()) == 2
    assert torch.equal(second.prepare(batch).advantages, dealt[0].advantages)
    assert not torch.equal(dealt[0].returns, dealt[1].returns)
    second.restore({"dealt": 2.0})
    assert torch.equal(second.prepare(batch).returns, dealt[2].returns) and first.state() == {"dealt": 3.0}


def test_scenarios_that_all_settle_or_none_are_not_kept() -> None:
    batch, algorithm = eight_attempts(), DAPO()
    assert algorithm.keeps(batch).tolist() == [True] * 4 + [False] * 4
    # Without a notion of success, returns tell attempts apart.
    assert algorithm.keeps(replace(batch, successes=None)).all()


def test_the_price_of_leaving_the_reference_adapts() -> None:
    algorithm = PPO(PPOConfig(kl_coefficient=0.1, kl_target=0.05))
    algorithm.observe({"kl_reference": 0.0, "value_loss": 1.0})  # the critic learnt alone
    assert algorithm.kl_coefficient == 0.1
    algorithm.observe({"kl_reference": 0.06, "policy_loss": 1.0})
    assert algorithm.kl_coefficient == pytest.approx(0.102)
    algorithm.observe({"kl_reference": 0.0, "policy_loss": 1.0})
    assert algorithm.kl_coefficient == pytest.approx(0.102 * 0.98)
    algorithm.observe({})
    twin = PPO(algorithm.config)
    twin.restore(algorithm.state())
    assert twin.kl_coefficient == algorithm.kl_coefficient
    fixed = PPO(PPOConfig(kl_coefficient=0.1))
    fixed.observe({"kl_reference": 9.0, "policy_loss": 1.0})
    assert fixed.kl_coefficient == 0.1


def test_the_step_of_online_dpo_is_that_of_the_pairs_loss() -> None:
    batch = eight_attempts()
    logprobs = torch.linspace(-3, -1, 8).double()[:, None] * batch.action_mask
    batch = replace(batch, old_logprobs=logprobs, reference_logprobs=logprobs.flip(0) * batch.action_mask)
    algorithm, point = make_algorithm("online_dpo", {"beta": 0.7}), logprobs.clone().requires_grad_()
    loss = algorithm.loss(algorithm.prepare(batch), point).loss
    (slope,) = torch.autograd.grad(loss, point)
    # Returns grow with the number: the last of each four is the better one, the first the worse.
    sums, reference = (point * batch.action_mask).sum(1), batch.reference_logprobs.sum(1)
    pairs = direct_preference_loss(sums[[3, 7]], sums[[0, 4]], reference[[3, 7]], reference[[0, 4]], 0.7)
    (expected,) = torch.autograd.grad(pairs.sum() / 8, point)
    torch.testing.assert_close(slope, expected)
    assert not slope[[1, 2, 5, 6]].any()
