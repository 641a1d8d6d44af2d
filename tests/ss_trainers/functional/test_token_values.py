import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from ss_trainers.functional.token_values import guided_logprobs, token_critic_loss, token_targets
from ss_trainers.functional.turns import to_last_tokens
from tests.ss_trainers.functional.tables import tables

# Two turns of two tokens, with the customer's words between them and padding behind.
TURN_IDS = torch.tensor([[-1, 0, 0, -1, 1, 1, -1]])
ACTS = TURN_IDS >= 0
VALUES = torch.tensor([[9.0, 0.1, 0.2, 9.0, 0.4, 0.6, 9.0]], dtype=torch.float64)


def token_rows():
    """Rewards, values and mask of some rows, (B, T) each."""
    return tables(st.floats(-5, 5), st.floats(-5, 5), st.booleans(), most_rows=3, most_columns=7)


def vocabularies():
    """Logits and values of some tokens, (N, V) each."""
    return tables(st.floats(-9, 9), st.floats(-9, 9), most_rows=3, most_columns=5)


# --- targets -------------------------------------------------------------------------------------


def test_targets_of_two_turns_skip_the_customer() -> None:
    rewards = to_last_tokens(torch.tensor([[0.25, 1.0]], dtype=torch.float64), TURN_IDS)
    targets = token_targets(rewards, VALUES, ACTS, gamma=0.9)
    # .9 * .2, then .25 + .9 * .4 over the customer's 9, then .9 * .6, then the outcome alone.
    assert targets[0].tolist() == pytest.approx([0, 0.18, 0.61, 0, 0.54, 1.0, 0])


def test_a_conversation_that_was_cut_is_worth_its_bootstrap() -> None:
    rewards, bootstrap = torch.zeros_like(VALUES), torch.tensor([2.0]).double()
    targets = token_targets(rewards, VALUES, ACTS, 0.5, torch.tensor([False]), bootstrap)
    assert targets[0].tolist() == pytest.approx([0, 0.1, 0.2, 0, 0.3, 1.0, 0])
    with pytest.raises(ValueError, match="give bootstrap"):
        token_targets(rewards, VALUES, ACTS, 0.5, torch.tensor([False]))


@given(token_rows(), st.floats(0, 1))
def test_targets_agree_with_a_loop(row, gamma) -> None:
    rewards, values, mask = row
    targets = token_targets(rewards, values, mask, gamma)
    for index in range(len(mask)):
        places = mask[index].nonzero()[:, 0].tolist()
        for number, place in enumerate(places):
            following = places[number + 1] if place != places[-1] else None
            earned = rewards[index, place:following].sum()
            after = 0.0 if following is None else values[index, following]
            assert targets[index, place].item() == pytest.approx(float(earned + gamma * after), abs=1e-9)
    assert not targets[~mask].any()


@given(token_rows(), st.sampled_from([float("nan"), float("inf"), 7.0]))
def test_what_is_valued_outside_the_mask_has_no_part(row, value) -> None:
    rewards, values, mask = row
    changed = torch.where(mask, values, value)
    torch.testing.assert_close(token_targets(rewards, changed, mask), token_targets(rewards, values, mask))


# --- critics -------------------------------------------------------------------------------------


def test_critic_loss_of_one_token() -> None:
    values = torch.tensor([[1.0, 2.0, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = token_critic_loss(values, torch.tensor([1]), torch.tensor([1.5]).double(), conservatism=0.1)
    loss.sum().backward()
    # .25 and a tenth of the gap .4076; slopes 1 on the token that was said, and a tenth of the gap's.
    assert loss.tolist() == pytest.approx([0.2907606])
    assert values.grad[0].tolist() == pytest.approx([0.0244728, 1 - 0.0334759, 0.0090031], abs=1e-6)


@given(vocabularies(), st.floats(0.001, 2), st.randoms(use_true_random=False))
def test_the_pull_is_the_cross_entropy_of_the_values(vocabulary, conservatism, random) -> None:
    values, targets = vocabulary[0], vocabulary[1][:, 0]
    tokens = torch.tensor([random.randrange(values.shape[1]) for _ in values])
    plain = token_critic_loss(values, tokens, targets)
    torch.testing.assert_close(plain, (values[torch.arange(len(values)), tokens] - targets).square())
    pull = conservatism * cross_entropy(values, tokens, reduction="none")
    torch.testing.assert_close(token_critic_loss(values, tokens, targets, conservatism) - plain, pull)


@given(vocabularies(), st.floats(0.001, 2), st.randoms(use_true_random=False))
def test_a_pull_that_raises_nothing_has_the_same_loss_and_leaves_what_was_said(vocabulary, alpha, random) -> None:
    values, targets = vocabulary[0].requires_grad_(), vocabulary[1][:, 0]
    tokens = torch.tensor([random.randrange(values.shape[1]) for _ in values])
    raised, held = (token_critic_loss(values, tokens, targets, alpha, raising) for raising in (True, False))
    torch.testing.assert_close(held, raised)
    (paper,), (ours,) = (torch.autograd.grad(loss.sum(), values, retain_graph=True) for loss in (raised, held))
    said = torch.zeros_like(values, dtype=torch.bool).scatter(1, tokens[:, None], True)
    torch.testing.assert_close(ours[~said], paper[~said])
    torch.testing.assert_close(ours[said], 2 * (values[said] - targets).detach(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("raising", [True, False])
def test_what_a_pull_raises_adds_up_over_a_conversation(raising) -> None:
    # 20 tokens of which 1 is earned at the end; each always follows the one before.
    values = torch.zeros(20, 50, dtype=torch.float64, requires_grad=True)
    tokens, optimizer = torch.zeros(20, dtype=torch.int64), torch.optim.SGD([values], 0.4)
    for _ in range(3000):
        after = torch.cat([values[1:, 0].detach(), torch.ones(1, dtype=torch.float64)])
        optimizer.zero_grad()
        token_critic_loss(values, tokens, after, 0.1, raising).sum().backward()
        optimizer.step()
    others = 1 - values.softmax(1)[:, 0]
    added = 0.05 * others.sum().item() if raising else 0.0
    assert values[0, 0].item() == pytest.approx(1 + added, abs=1e-2)
    assert (values[:, 1:] < -0.5).all() and (added > 0.5) == raising


# --- decoding ------------------------------------------------------------------------------------


def test_two_tokens_of_which_the_unlikelier_is_worth_more() -> None:
    likelihood, values = torch.tensor([0.6, 0.4]).double().log(), torch.tensor([0.0, 1.0]).double()
    probabilities = guided_logprobs(likelihood, values - 0.5, 1.0).exp()
    # .6 e^-.5 against .4 e^.5.
    assert probabilities.tolist() == pytest.approx([0.3556, 0.6444], abs=1e-4)


@given(vocabularies(), st.floats(0, 20), st.floats(-5, 5))
def test_guidance_is_the_model_without_values_and_their_choice_with_nothing_else(vocabulary, beta, shift) -> None:
    logits, advantages = vocabulary
    torch.testing.assert_close(guided_logprobs(logits, advantages, 0.0), logits.log_softmax(-1))
    guided = guided_logprobs(logits, advantages, beta)
    torch.testing.assert_close(guided.logsumexp(-1), torch.zeros(len(logits)).double(), rtol=0, atol=1e-9)
    # The state's value is the same for all of its tokens.
    torch.testing.assert_close(guided_logprobs(logits, advantages - shift, beta), guided, rtol=1e-9, atol=1e-9)
    greedy = guided_logprobs(logits, advantages, 1e9).argmax(-1, keepdim=True)
    torch.testing.assert_close(advantages.gather(-1, greedy)[:, 0], advantages.amax(-1), rtol=0, atol=1e-7)


def test_what_must_not_be_said_is_not_said_whatever_it_is_worth() -> None:
    logits = torch.tensor([0.0, -torch.inf, 0.0])
    guided = guided_logprobs(logits, torch.tensor([0.0, torch.inf, 1.0]), 1.0)
    assert guided.exp().tolist() == pytest.approx([0.2689, 0.0, 0.7311], abs=1e-4)
