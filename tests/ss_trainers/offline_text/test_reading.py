"""A log as a model reads it: each state and action as if all before it were read anew, in the order of the log."""

import pytest
import torch

from ss_trainers.generation import Generator
from ss_trainers.offline_text.candidates import Proposer
from ss_trainers.offline_text.reading import read_log
from ss_trainers.offline_text.token_log import TokenLog
from ss_trainers.token_sampling import SamplingSettings
from tests.ss_trainers.offline_text.talks import ids, seeded, spoken, tokens, whole
from tests.ss_trainers.offline_text.test_candidates import ENDS, fresh
from tests.ss_trainers.samples import llama

# Conversations of different lengths, the longest neither first nor last; the agent begins one.
STEPS = [2, 1, 4, 1, 3]
SETTINGS = SamplingSettings(ENDS, max_new_tokens=4)


def log(steps=STEPS, seed=0):
    rng = seeded(seed)
    return TokenLog([spoken(rng, actions, begins=place == 3) for place, actions in enumerate(steps)])


def close(one, other):
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("lanes", [2, 128])
@pytest.mark.parametrize("proposing", [False, True])
def test_states_and_actions_are_those_of_reading_all_anew_in_the_order_of_the_log(proposing, lanes, monkeypatch):
    monkeypatch.setattr("ss_trainers.offline_text.reading._LANES", lanes)
    model, told = llama(), []
    generator = Generator(model, SETTINGS)
    columns = read_log(log(), generator, Proposer(generator, 6) if proposing else None, told.append)
    states, actions = [], []
    for conversation in log():
        sequence, spans = whole(conversation)
        hidden, _ = fresh(model, sequence)
        states += [hidden[start - 1] for start, _ in spans]
        actions += [hidden[end - 1] for _, end in spans]
    close(columns.states, torch.stack(states))
    close(columns.actions, torch.stack(actions))
    assert columns.rewards.tolist() == pytest.approx([reward for each in log() for reward in each.rewards])
    assert columns.last.tolist() == [step + 1 == steps for steps in STEPS for step in range(steps)]
    assert sum(told) == len(STEPS) and len(told) == -(-len(STEPS) // lanes)
    assert not generator._open and not generator.waiting


def test_candidates_are_what_the_model_would_have_said_in_each_state():
    model, whole_log = llama(), log()
    generator = Generator(model, SETTINGS)
    columns = read_log(whole_log, generator, Proposer(generator, 6))
    shares, mask = columns.candidate_shares, columns.candidate_mask
    assert len(mask) == sum(STEPS) and mask.any(1).all() and not mask.all()
    torch.testing.assert_close(shares.sum(1), torch.ones(len(shares)))
    assert not shares[~mask].any() and not columns.candidates[~mask].any() and (shares[mask] > 0).all()
    # The same draws in the same states, without a log around: the first states of all, shortest log first.
    again = Generator(model, SETTINGS)
    proposer, order = Proposer(again, 6), sorted(range(len(STEPS)), key=STEPS.__getitem__)
    sessions = [again.open(whole(whole_log[place])[0][: whole(whole_log[place])[1][0][0]]) for place in order]
    for place, proposed in zip(order, proposer.propose(sessions), strict=True):
        row, size = sum(STEPS[:place]), len(proposed.replies)
        assert mask[row].sum() == size
        close(columns.candidates[row, :size], proposed.features)
        close(columns.candidate_logprobs[row, :size], proposed.mean_logprobs)
        assert (shares[row, :size] * sum(proposed.counts)).round().int().tolist() == list(proposed.counts)


def test_the_candidate_is_marked_that_is_what_was_said():
    model, rng = llama(), seeded(1)
    greedy = SamplingSettings(ENDS, max_new_tokens=4, temperature=0.0)
    prompt, ask = ids(rng, 5), ids(rng, 4)
    generator = Generator(model, greedy)
    (reply,) = generator.extend_and_sample([generator.open(prompt)], [ask])
    said, other = list(reply.token_ids), [*reply.token_ids[:-1], reply.token_ids[-1] + 1]
    longer = [*reply.token_ids, 5]
    conversations = [tokens(prompt, [ask, own], [1], [0.0]) for own in (said, other, longer)]
    generator = Generator(model, greedy)
    columns = read_log(TokenLog(conversations), generator, Proposer(generator, 3))
    assert columns.candidate_mask.tolist() == [[True]] * 3
    assert columns.candidate_logged.tolist() == [[True], [False], [False]]
    close(columns.candidates[0, 0], columns.actions[0])


def test_without_a_proposer_there_is_no_candidate():
    columns = read_log(log([1, 2]), Generator(llama(), SETTINGS))
    assert columns.candidates.shape == (3, 1, 32) and not columns.candidate_mask.any()
    assert set(columns.tensors()) == {
        *("states", "actions", "rewards", "last", "candidates"),
        *(f"candidate_{name}" for name in ("mask", "logprobs", "tokens", "shares", "logged")),
    }


def test_nothing_stays_open_after_an_error_in_the_middle(monkeypatch):
    generator = Generator(llama(), SETTINGS)
    proposer = Proposer(generator, 2)
    proposed = proposer.propose

    def breaking(sessions):
        if len(sessions) < len(STEPS):
            raise RuntimeError("out of memory")
        return proposed(sessions)

    monkeypatch.setattr(proposer, "propose", breaking)
    with pytest.raises(RuntimeError, match="out of memory"):
        read_log(log(), generator, proposer)
    assert not generator._open and not generator.waiting
