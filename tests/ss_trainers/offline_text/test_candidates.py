"""What a model proposes: which replies, how often, and what it makes of them."""

import random
from dataclasses import replace

import pytest
import torch

from ss_trainers.generation import Generator
from ss_trainers.offline_text.candidates import Proposer
from ss_trainers.sessions import SampledTokens
from ss_trainers.token_sampling import SamplingSettings
from tests.ss_trainers.offline_text.talks import ids
from tests.ss_trainers.samples import VOCABULARY, gpt2, llama

# A third of all tokens end a reply.
ENDS = tuple(range(0, VOCABULARY, 3))
SETTINGS = SamplingSettings(ENDS, max_new_tokens=4)
COUNT = 12


def proposer(model=None, settings=SETTINGS, count=COUNT, **options):
    return Proposer(Generator(llama() if model is None else model, settings, **options), count)


def opened(proposer, count=3, seed=0):
    """Conversations that have been read in part, with all ids of each."""
    rng, generator = random.Random(seed), proposer.generator
    said = [ids(rng, rng.randint(2, 9)) for _ in range(count)]
    sessions = [generator.open(each) for each in said]
    for session, each in zip(sessions, said, strict=True):
        more = ids(rng, 3)
        generator.append(session, more)
        each += more
    return sessions, said


def noise(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def drawn(candidates):
    return [(reply.token_ids, count) for reply, count in zip(candidates.replies, candidates.counts, strict=True)]


def fresh(model, sequence):
    """The hidden state after each token of a sequence that is read at once."""
    with torch.no_grad():
        read = model(torch.tensor([sequence]), output_hidden_states=True)
    return read.hidden_states[-1][0].float(), read.logits[0].log_softmax(-1)


def assert_left_as_they_were(proposer, sessions, lengths):
    generator = proposer.generator
    assert generator._open == set(sessions) and not generator.waiting
    assert [session.length for session in sessions] == lengths


@pytest.mark.parametrize("most", [2, 384])
def test_what_is_drawn_in_a_conversation_does_not_depend_on_those_beside_it(most, monkeypatch):
    monkeypatch.setattr("ss_trainers.offline_text.candidates._TOGETHER", most)
    one, together = proposer(), proposer()
    (alone, *_), _ = opened(one)
    sessions, _ = opened(together)
    (candidates,) = one.propose([alone], noise(7))
    beside = together.propose(sessions[::-1], noise(5, 6, 7))
    assert drawn(beside[2]) == drawn(candidates) != drawn(beside[1])
    torch.testing.assert_close(beside[2].features, candidates.features)
    assert drawn(one.propose([alone], noise(7))[0]) == drawn(candidates)
    assert drawn(one.propose([alone], noise(8))[0]) != drawn(candidates)


def test_replies_are_counted_and_none_is_there_twice():
    asked = proposer(count=40)
    sessions, _ = opened(asked)
    for candidates in asked.propose(sessions):
        replies = [reply.token_ids for reply in candidates.replies]
        assert sum(candidates.counts) <= 40 and len(set(replies)) == len(replies) == len(candidates.counts)
        assert all(reply.finish_reason == "stop" and reply.token_ids[-1] in ENDS for reply in candidates.replies)
        assert max(candidates.counts) > 1  # those that end at once


def test_the_counts_of_replies_that_all_end_by_themselves_add_up_to_what_was_drawn():
    asked = proposer(settings=SamplingSettings(tuple(range(VOCABULARY))), count=30)
    for candidates in asked.propose(opened(asked)[0]):
        assert sum(candidates.counts) == 30 and all(len(reply.token_ids) == 1 for reply in candidates.replies)


@pytest.mark.parametrize(("make", "temperature"), [(llama, 1.0), (gpt2, 1.0), (llama, 0.5)])
def test_features_and_likelihoods_are_those_of_reading_all_anew(make, temperature):
    model = make()
    # However they are drawn, how likely they are is a matter of the model alone.
    asked = proposer(model, replace(SETTINGS, temperature=temperature, own_logprobs=True))
    sessions, said = opened(asked)
    for candidates, before in zip(asked.propose(sessions), said, strict=True):
        states, _ = fresh(model, before)
        torch.testing.assert_close(candidates.state, states[-1], atol=1e-5, rtol=1e-5)
        for place, reply in enumerate(candidates.replies):
            states, logprobs = fresh(model, [*before, *reply.token_ids])
            torch.testing.assert_close(candidates.features[place], states[-1], atol=1e-5, rtol=1e-5)
            first = len(before) - 1
            own = [logprobs[first + step, token].item() for step, token in enumerate(reply.token_ids)]
            assert candidates.mean_logprobs[place].item() == pytest.approx(sum(own) / len(own), abs=1e-5)
        assert candidates.mean_logprobs.tolist() == sorted(candidates.mean_logprobs.tolist(), reverse=True)


def test_conversations_are_left_as_they_were_and_go_on():
    model = llama()
    asked = proposer(model)
    sessions, said = opened(asked)
    lengths = [session.length for session in sessions]
    asked.propose(sessions)
    assert_left_as_they_were(asked, sessions, lengths)
    more = [9, 8]
    asked.generator.append(sessions[1], more)
    (state,) = asked.generator.peek([sessions[1]])
    torch.testing.assert_close(state.float(), fresh(model, said[1] + more)[0][-1], atol=1e-5, rtol=1e-5)


def test_replies_that_were_cut_are_left_out_unless_there_is_no_other():
    asked = proposer()
    sessions, _ = opened(asked)
    mixed = asked.propose(sessions, noise(1, 2, 3))
    assert any(sum(candidates.counts) < COUNT for candidates in mixed)
    asked.generator.settings = SamplingSettings((), max_new_tokens=2)
    for candidates in asked.propose(sessions):
        assert {reply.finish_reason for reply in candidates.replies} == {"length"} and sum(candidates.counts) == COUNT


def test_a_conversation_without_room_gets_one_reply_that_says_nothing():
    asked = proposer(max_context=8)
    session = asked.generator.open([5, 6, 7])
    asked.generator.append(session, [5] * 5)
    (candidates,) = asked.propose([session])
    assert candidates.replies == (SampledTokens((), (), "length"),) and candidates.counts == (COUNT,)
    assert torch.equal(candidates.features[0], candidates.state) and candidates.mean_logprobs.tolist() == [0.0]


@pytest.mark.parametrize("broken_at", [1, 2, 3])
def test_nothing_stays_open_after_an_error_in_the_middle(broken_at, monkeypatch):
    asked = proposer()
    sessions, _ = opened(asked)
    lengths, step, steps = [session.length for session in sessions], asked.generator.step, []

    def breaking():
        steps.append(1)
        if len(steps) == broken_at:
            raise RuntimeError("out of memory")
        return step()

    monkeypatch.setattr(asked.generator, "step", breaking)
    with pytest.raises(RuntimeError, match="out of memory"):
        asked.propose(sessions, noise(1, 2, 3))
    assert_left_as_they_were(asked, sessions, lengths)
    again, expected = asked.propose(sessions, noise(1, 2, 3)), proposer()
    for one, other in zip(again, expected.propose(opened(expected)[0], noise(1, 2, 3)), strict=True):
        assert drawn(one) == drawn(other)
