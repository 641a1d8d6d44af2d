"""Critics of candidates, where it is known which action is best and the one that looks best was never logged."""

from dataclasses import replace

import pytest
import torch

from ss_trainers import BCQConfig, BEARConfig, CQLConfig, IQLConfig
from ss_trainers.offline_text import critics
from ss_trainers.offline_text.critics import (
    TextBatchConstrainedLearner,
    TextBEARLearner,
    TextConservativeLearner,
    TextImplicitLearner,
)
from ss_trainers.offline_text.examples import Support
from tests.ss_trainers.offline_text.candidate_columns import (
    BAD,
    GOOD,
    ODD,
    asked,
    chain,
    examples,
    features,
    made,
    trained,
)

SMALL = {"learning_rate": 1e-2, "target_rate": 0.1, "gamma": 0.9}
BCQ = (TextBatchConstrainedLearner, BCQConfig(**SMALL))
CQL = (TextConservativeLearner, CQLConfig(**SMALL, conservative_weight=0.2))
BEAR = (TextBEARLearner, BEARConfig(**SMALL, mmd_limit=0.4))
IQL = (TextImplicitLearner, IQLConfig(**SMALL))
ALL = pytest.mark.parametrize("algorithm", [BCQ, CQL, BEAR, IQL], ids=["bcq", "cql", "bear", "iql"])
COLUMNS = chain()
# The first state, and the second after the good action: there it matters what is said.
BEGINNING, LATER = 0, 1


def valued(learner, said, taken=0, first=0.0):
    """The mean of what both critics say of an action."""
    action = features(taken, first, said)[None]
    with torch.no_grad():
        return learner._critics.network(features(taken, first, 0.0)[None], action).mean().item()


def choices(learner, columns=COLUMNS):
    return learner.choose(*asked(columns))


@ALL
def test_the_logged_action_that_leads_to_something_is_chosen_over_the_one_that_does_not(algorithm):
    only_logged = COLUMNS.candidate_mask & torch.tensor([True, True, False, False])
    columns = replace(COLUMNS, candidate_mask=only_logged)
    learner, _ = trained(*algorithm, columns, 120)
    chosen = choices(learner, columns)
    assert chosen[BEGINNING] == chosen[LATER] == GOOD
    assert valued(learner, 1.0) == pytest.approx(0.9, abs=0.3)  # what comes in the second step, discounted
    assert valued(learner, 1.0, 1, 1.0) == pytest.approx(1.0, abs=0.3)


def test_what_the_log_does_not_support_is_never_chosen_though_it_is_valued_most():
    learner, _ = trained(*BCQ, COLUMNS, 120)
    states, proposed = asked(COLUMNS)
    assert learner._critics.least(states, proposed)[[BEGINNING, LATER]].argmax(-1).tolist() == [ODD, ODD]
    chosen = choices(learner)
    assert chosen[BEGINNING] == chosen[LATER] == GOOD and ODD not in chosen.tolist()


def test_values_of_the_next_state_are_those_of_supported_candidates():
    learner, _ = trained(*BCQ, COLUMNS, 100)
    everything = replace(COLUMNS, candidate_logprobs=torch.zeros_like(COLUMNS.candidate_logprobs))
    fooled, _ = trained(*BCQ, everything, 100)
    assert valued(fooled, 1.0) > valued(learner, 1.0) + 0.3  # asks the odd one there, which looks best


def test_candidates_that_were_not_logged_are_held_down_and_without_the_weight_they_are_not():
    held, told = trained(*CQL, COLUMNS, 120)
    free, _ = trained(TextConservativeLearner, replace(CQL[1], conservative_weight=0.0), COLUMNS, 120)
    assert valued(held, 3.0) < valued(held, 1.0) and valued(free, 3.0) > valued(free, 1.0)
    assert choices(held)[[BEGINNING, LATER]].tolist() == [GOOD, GOOD]
    assert choices(free)[[BEGINNING, LATER]].tolist() == [ODD, ODD]
    assert told[-1]["gap"] < told[0]["gap"]


def test_the_gap_is_the_soft_maximum_of_the_logged_action_and_the_others_above_it():
    columns = chain()
    learner = made(*CQL)
    states, _ = asked(columns)
    with torch.no_grad():
        gaps = []
        for row, logged in enumerate(columns.candidate_logged.tolist()):
            values = learner._critics.network(states[row : row + 1], columns.candidates[row : row + 1])[:, 0]
            there = values[:, :3]
            gaps.append(there.logsumexp(-1) - there[:, logged.index(True)])
    _, told = trained(*CQL, columns, 1)
    assert told[0]["gap"] == pytest.approx(torch.stack(gaps).mean().item(), abs=1e-5)


def test_a_policy_of_bear_goes_back_to_its_limit_where_it_has_gone_further(monkeypatch):
    # Whose multiplier learns as fast as the rest, so that a short run shows it.
    monkeypatch.setattr(critics, "_MULTIPLIER_RATE", 0.05)
    strict = BEARConfig(**SMALL, mmd_limit=0.05)
    _, told = trained(TextBEARLearner, strict, COLUMNS, 180)
    _, loose = trained(TextBEARLearner, replace(strict, mmd_limit=10.0), COLUMNS, 60)
    assert max(each["mmd"] for each in told) > 3 * strict.mmd_limit
    assert max(each["mmd"] for each in told[-20:]) <= strict.mmd_limit
    assert loose[-1]["mmd"] > 3 * strict.mmd_limit and loose[-1]["multiplier"] < 1


def test_the_multiplier_rises_exactly_while_the_discrepancy_is_above_its_limit():
    _, told = trained(TextBEARLearner, BEARConfig(**SMALL, mmd_limit=0.0005), COLUMNS, 10)
    rising = [each["multiplier"] for each in told]
    assert rising == sorted(set(rising)) and rising[0] == 1.0  # the discrepancy is never below .001
    _, told = trained(TextBEARLearner, BEARConfig(**SMALL, mmd_limit=5.0), COLUMNS, 10)
    falling = [each["multiplier"] for each in told]
    assert falling == sorted(set(falling), reverse=True)


def test_a_policy_of_bear_begins_as_what_was_drawn():
    learner = made(*BEAR)
    for parameter in learner._policy.parameters():
        torch.nn.init.zeros_(parameter)
    states, proposed = asked(COLUMNS)
    with torch.no_grad():
        shares = learner._logprobs(states, proposed).exp()
    torch.testing.assert_close(shares, COLUMNS.candidate_shares)


def one_state(rewards):
    """A single step that earned different things."""
    columns = chain()
    rows = torch.zeros(len(rewards), dtype=torch.int64)
    changes = {name: column[rows] for name, column in columns.tensors().items()}
    actions = torch.stack([features(0, 0.0, said) for said in (-1.0, -1.0, 1.0)])
    ends = torch.ones(len(rewards), dtype=torch.bool)
    return replace(columns, **{**changes, "actions": actions, "rewards": torch.tensor(rewards), "last": ends})


def test_the_value_of_implicit_q_learning_lies_between_the_mean_and_the_best_of_what_was_logged():
    columns = one_state([0.0, 0.0, 1.0])
    learner, _ = trained(*IQL, columns, 200)
    (batch,) = examples(columns).batches(torch.arange(3), 3)
    value = learner.modules["value"](batch.states[:1]).item()
    assert 1 / 3 < value < 1 and value == pytest.approx(0.538, abs=0.05)  # the .7-expectile of 0, 0 and 1
    weights = learner.weights(batch)
    expected = torch.tensor([(said - value) * IQL[1].beta for said in (0.0, 0.0, 1.0)]).exp()
    torch.testing.assert_close(weights, expected, rtol=0.2, atol=0.1)
    assert weights[2] > 1 > weights[0]


def test_weights_are_above_one_for_what_is_better_than_usual_and_do_not_exceed_the_cap():
    learner, _ = trained(*IQL, COLUMNS, 120)
    (batch,) = examples(COLUMNS).batches(torch.arange(8), 8)
    weights = learner.weights(batch)
    assert weights[LATER] > 1 > weights[LATER + 2]  # after the good action, the good one and the bad one
    assert (learner.weights(batch) <= IQL[1].weight_cap).all()
    capped = made(TextImplicitLearner, replace(IQL[1], weight_cap=0.5, beta=0.0)).weights(batch)
    assert capped.tolist() == [0.5] * 8


@ALL
def test_a_last_step_learns_from_its_reward_alone(algorithm):
    # The step after the last of the first conversation is the first of the second.
    rows = torch.arange(8)
    other = {"states": COLUMNS.states.clone(), "candidates": COLUMNS.candidates.clone()}
    for column in other.values():
        column[rows[2:]] += 5.0
    learnt = []
    for columns in (COLUMNS, replace(COLUMNS, **other)):
        learner, source = made(*algorithm), examples(columns)
        (batch,) = source.batches(torch.tensor([1]), 1)
        assert batch.terminals.all() and batch.rewards.tolist() == [1.0]
        values = learner._critics.network(batch.states, batch.actions).detach()
        loss = learner.update(batch, 0)["critic_loss"].item()
        assert loss == pytest.approx((values - 1.0).square().sum().item(), rel=1e-5)
        learnt.append(torch.cat([value.flatten() for value in learner.modules.state_dict().values()]))
    assert torch.equal(*learnt)


def test_the_next_state_of_a_step_is_that_of_the_conversations_next_step():
    (batch,) = examples(COLUMNS, reward_scale=2.0).batches(torch.tensor([2, 5, 0]), 3)
    assert torch.equal(batch.next_states[[0, 2]], COLUMNS.states[[3, 1]])
    assert torch.equal(batch.next_proposed.features[0], COLUMNS.candidates[3])
    assert batch.terminals.tolist() == [False, True, False] and len(batch) == 3
    (paid,) = examples(COLUMNS, reward_scale=2.0).batches(torch.tensor([1]), 1)
    assert paid.rewards.tolist() == [2.0]
    sizes = [len(each) for each in examples(COLUMNS).batches(torch.arange(8), 3)]
    assert sizes == [3, 3, 2]


@ALL
@pytest.mark.parametrize("place", [GOOD, BAD, ODD])
def test_a_single_candidate_is_chosen_and_one_that_is_not_there_never(algorithm, place):
    mask = torch.zeros_like(COLUMNS.candidate_mask)
    mask[:, place] = True
    columns = replace(COLUMNS, candidate_mask=mask)
    learner, told = trained(*algorithm, columns, 3)
    assert choices(learner, columns).tolist() == [place] * len(mask)
    assert all(abs(figure) < 100 for each in told for figure in each.values())
    fooled, _ = trained(*algorithm, COLUMNS, 20)
    assert (choices(fooled) < 3).all()


def next_values(learner, batch):
    """What each algorithm says of next states, by going through their candidates."""
    proposed = batch.next_proposed
    said = learner._critics.target(batch.next_states, proposed.features)
    if isinstance(learner, TextImplicitLearner):
        return learner.modules["value"](batch.next_states)[:, 0]
    if isinstance(learner, TextBEARLearner):
        tilt = learner.modules["policy"](batch.next_states, proposed.features)[0]
    found = []
    for row in range(len(batch)):
        there = [place for place in range(4) if proposed.mask[row, place]]
        cautious = {place: 0.75 * said[:, row, place].min() + 0.25 * said[:, row, place].max() for place in there}
        if isinstance(learner, TextBatchConstrainedLearner):
            found.append(max(cautious[place] for place in there if proposed.support[row, place]))
        elif isinstance(learner, TextConservativeLearner):
            found.append(max(said[:, row, place].min() for place in there))
        else:
            odds = {place: proposed.shares[row, place] * tilt[row, place].exp() for place in there}
            found.append(sum(odds[place] * cautious[place] for place in there) / sum(odds.values()))
    return torch.stack(found)


@ALL
def test_values_are_learnt_from_what_each_algorithm_says_of_the_next_state(algorithm):
    learner, _ = trained(*algorithm, COLUMNS, 5)
    (batch,) = examples(COLUMNS).batches(torch.arange(8), 8)
    with torch.no_grad():
        targets = batch.rewards + 0.9 * torch.where(batch.terminals, 0.0, next_values(learner, batch))
        values = learner._critics.network(batch.states, batch.actions)
    expected = (values - targets).square().mean(1).sum().item()
    assert learner.update(batch, 5)["critic_loss"].item() == pytest.approx(expected, rel=1e-4)


@ALL
def test_targets_follow_the_critics_slowly(algorithm):
    learner = made(*algorithm)
    before = [value.clone() for value in learner._critics.target.parameters()]
    (batch,) = examples(COLUMNS).batches(torch.arange(8), 8)
    learner.update(batch, 0)
    for old, new, target in zip(
        before, learner._critics.network.parameters(), learner._critics.target.parameters(), strict=True
    ):
        torch.testing.assert_close(target, old + 0.1 * (new - old))
        assert not target.requires_grad


def test_support_is_by_token_and_as_a_whole_and_the_likeliest_always_has_it():
    mean_logprobs = torch.tensor([-0.1, -0.12, -0.3, -0.9])
    tokens, mask = torch.tensor([20.0, 100.0, 5.0, 2.0]), torch.tensor([True, True, True, False])
    # The second is as likely a token as the first, and 22,000 times less likely as a whole.
    assert Support(0.5)(mean_logprobs, tokens, mask).tolist() == [True, True, True, False]
    assert Support(0.1)(mean_logprobs, tokens, mask).tolist() == [True, True, False, False]
    assert Support(0.5, 0.3)(mean_logprobs, tokens, mask).tolist() == [True, False, True, False]
    assert Support(0.5, 0.9)(mean_logprobs, tokens, mask).tolist() == [False, False, True, False]
    assert Support(0.1, 0.3)(mean_logprobs, tokens, mask).tolist() == [True, False, False, False]
    assert not Support(0.1, 0.3)(mean_logprobs, tokens, torch.zeros(4, dtype=torch.bool)).any()
    assert Support.of(BCQConfig(threshold=0.2), 0.1) == Support(0.1, 0.2)
    assert Support.of(CQLConfig(), 0.1) == Support(0.1)
