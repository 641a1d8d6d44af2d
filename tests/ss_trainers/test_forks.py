"""Conversations that are copied, looked into, steered and answered several times at once."""

import math
import random

import pytest
import torch

from ss_trainers.token_sampling import SamplingSettings
from tests.ss_trainers.samples import llama
from tests.ss_trainers.test_generation import EOS, RUNNERS, fresh_logprobs, ids, make_generator


@pytest.fixture(autouse=True)
def short_prompts_are_shared(monkeypatch):
    # So that small models and short conversations are enough to test with.
    monkeypatch.setattr("ss_trainers.generation._MIN_SHARED_TOKENS", 8)


@pytest.mark.parametrize(("make", "native"), RUNNERS)
def test_forks_go_on_from_where_their_conversation_is_and_leave_it_alone(make, native):
    model, rng = make(), random.Random(6)
    greedy = SamplingSettings(eos_ids=(EOS,), max_new_tokens=5, temperature=0)
    prompt, message, other, last = ids(rng, 12), ids(rng, 4), ids(rng, 3), ids(rng, 2)
    generator = make_generator(model, native, greedy)
    session = generator.open(prompt)
    generator.append(session, message)
    generator.peek([session])
    forks = [generator.fork(session) for _ in range(3)]
    first, second = generator.extend_and_sample(forks[:2], [(), other])
    generator.close(forks[0])
    # A slot that is free again is taken by the next one.
    third = generator.fork(session)
    (again,) = generator.extend_and_sample([third], [()])
    deeper = generator.fork(forks[1])
    ends = generator.extend_and_sample([session, deeper, forks[2]], [last, last, other])

    def alone(ids_before):
        fresh = make_generator(model, native, greedy)
        (reply,) = fresh.extend_and_sample([fresh.open(ids_before)], [()])
        return reply

    said = [*prompt, *message]
    expected = [alone(said), alone([*said, *other]), alone(said), alone([*said, *last])]
    expected += [alone([*said, *other, *second.token_ids, *last]), alone([*said, *other])]
    for reply, wanted in zip([first, second, again, *ends], expected, strict=True):
        assert reply.token_ids == wanted.token_ids
        assert reply.logprobs == pytest.approx(wanted.logprobs, abs=1e-6)


@pytest.mark.parametrize(("make", "native"), RUNNERS)
def test_replies_that_are_drawn_together_are_distributed_as_those_that_are_drawn_alone(make, native):
    model, rng = make(), random.Random(8)
    prompt, others = ids(rng, 12), [ids(rng, 9), ids(rng, 15)]
    settings = SamplingSettings(eos_ids=(EOS,), max_new_tokens=2, temperature=0.3)
    generator = make_generator(model, native, settings)
    sessions = [generator.open(each) for each in (prompt, *others)]
    for session in sessions:
        generator.extend(session, [7], copies=400)
    drawn = {session: [] for session in sessions}
    rows = []
    while generator.waiting:
        rows.append(len(generator._waiting))
        for session, reply in generator.step():
            drawn[session.origin].append((session, reply))
    assert rows[0] == 3 < rows[1] < 3 * 400
    for session, beginning in zip(sessions, (prompt, *others), strict=True):
        replies = drawn[session]
        assert sum(each.copies for each, _ in replies) == 400
        assert len({reply.token_ids for _, reply in replies}) == len(replies)
        for each, reply in replies:
            assert each.length == len(beginning) + 1 + len(reply.token_ids)
            expected = fresh_logprobs(model, [*beginning, 7, *reply.token_ids], 0.3)[len(beginning) :]
            likelihood = [float(row[token]) for row, token in zip(expected, reply.token_ids, strict=False)]
            assert reply.logprobs == pytest.approx(likelihood, abs=1e-5)
            share = math.exp(sum(reply.logprobs))
            if share > 0.02:
                assert abs(each.copies / 400 - share) < 5 * math.sqrt(share * (1 - share) / 400)
            generator.close(each)
        assert max(math.exp(sum(reply.logprobs)) for _, reply in replies) > 0.02
    assert not generator._open


def test_replies_that_are_drawn_together_are_given_up_together():
    settings = SamplingSettings(eos_ids=(), max_new_tokens=4, temperature=5.0)
    generator = make_generator(llama(), settings=settings)
    session = generator.open([5, 6])
    generator.extend(session, [7], copies=6)
    generator.step()
    assert len(generator._open) > 1
    generator.close(session)
    assert not generator.waiting and not generator._open


@pytest.mark.parametrize(("make", "native"), RUNNERS)
def test_a_peek_gives_the_hidden_state_of_the_last_token_and_changes_nothing(make, native, monkeypatch):
    monkeypatch.setattr("ss_trainers.generation._MAX_STEP_TOKENS", 7)
    model, rng = make(), random.Random(7)
    prompts, messages = [ids(rng, 10) for _ in range(3)], [ids(rng, length) for length in (1, 5, 9)]
    greedy = SamplingSettings(eos_ids=(EOS,), max_new_tokens=8, temperature=0)
    looked, plain = make_generator(model, native, greedy), make_generator(model, native, greedy)
    sessions = [looked.open(prompt) for prompt in prompts]
    for session, message in zip(sessions, messages, strict=True):
        looked.append(session, message)
    states, twice = looked.peek(sessions), looked.peek(sessions)
    assert torch.allclose(states, twice, atol=1e-9)
    for prompt, message, state in zip(prompts, messages, states, strict=True):
        whole = model(torch.tensor([prompt + message]), output_hidden_states=True).hidden_states[-1][0, -1]
        assert torch.allclose(state, whole, atol=1e-6)
    replies = looked.extend_and_sample(sessions, [()] * 3)
    others = plain.extend_and_sample([plain.open(prompt) for prompt in prompts], messages)
    assert [reply.token_ids for reply in replies] == [reply.token_ids for reply in others]
    # The end of a reply is read by a peek as well.
    after = looked.peek(sessions)
    for prompt, message, reply, state in zip(prompts, messages, replies, after, strict=True):
        row = torch.tensor([[*prompt, *message, *reply.token_ids]])
        assert torch.allclose(state, model(row, output_hidden_states=True).hidden_states[-1][0, -1], atol=1e-6)


def test_a_guide_changes_what_is_drawn_and_its_logprob():
    model = llama()
    generator = make_generator(model, settings=SamplingSettings(eos_ids=(EOS,), max_new_tokens=3))
    seen = []

    def guide(hidden, logits):
        seen.append(torch.allclose(model.lm_head(hidden), logits, atol=1e-6))
        return torch.full_like(logits, -torch.inf).index_fill(1, torch.tensor([EOS]), 0.0)

    generator.guide = guide
    (reply,) = generator.extend_and_sample([generator.open([5, 6])], [[7]])
    assert reply.token_ids == (EOS,) and reply.logprobs == (0.0,) and seen == [True]


def test_looking_into_or_copying_what_waits_or_is_closed_or_too_long_is_refused():
    generator = make_generator(llama(), max_context=8)
    session = generator.open([5, 6])
    generator.extend(session, [7])
    for misused in (generator.fork, lambda each: generator.peek([each]), lambda each: generator.append(each, [5])):
        with pytest.raises(ValueError, match="already waits"):
            misused(session)
    generator.close(session)
    for misused in (generator.fork, lambda each: generator.peek([each])):
        with pytest.raises(ValueError, match="closed"):
            misused(session)
    longer = generator.open([5, 6])
    generator.append(longer, [7] * 7)
    with pytest.raises(ValueError, match="has 9 tokens, and the context 8"):
        generator.peek([longer])
    twice = generator.open([5, 6])
    with pytest.raises(ValueError, match="the same session is there twice"):
        generator.peek([twice, twice])
