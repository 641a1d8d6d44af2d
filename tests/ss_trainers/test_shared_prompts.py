"""Which prompts share their keys and values where conversations begin and end all the time."""

import random

import pytest
import torch

from ss_trainers.generation import Generator
from ss_trainers.token_sampling import SamplingSettings
from tests.ss_trainers.samples import gpt2, llama
from tests.ss_trainers.test_generation import RUNNERS, ids, make_generator, worst_difference

KEPT = 3


@pytest.fixture(autouse=True)
def few_and_short_prompts_are_shared(monkeypatch):
    monkeypatch.setattr("ss_trainers.generation._MIN_SHARED_TOKENS", 8)
    monkeypatch.setattr("ss_trainers.generation._MAX_SHARED_PROMPTS", KEPT)


class Service:
    """Begins conversations with a generator, and counts the tokens that each one's beginning reads."""

    def __init__(self, generator: Generator, monkeypatch):
        self.generator, self.tokens, self._forward = generator, 0, generator._decoder.hidden
        monkeypatch.setattr(generator._decoder, "hidden", self._counted)

    def _counted(self, slots, tokens):
        self.tokens += sum(map(len, tokens))
        return self._forward(slots, tokens)

    def begin(self, prompt):
        """A conversation that begins with the prompt, and the tokens that were read until its first reply."""
        before = self.tokens
        session = self.generator.open(prompt)
        (reply,) = self.generator.extend_and_sample([session], [[5]])
        return session, self.tokens - before - (len(reply.token_ids) - 1)


@pytest.mark.parametrize("make", [llama, gpt2])
def test_a_service_that_never_ends_all_conversations_shares_the_prompts_that_come_later(make, monkeypatch):
    service, rng, remembered = Service(make_generator(make()), monkeypatch), random.Random(0), []
    for number in range(3 * KEPT):
        prompt = ids(rng, 30)
        # A new prompt is read as a whole, a later one twice; then its last token (never shared) and the message.
        for expected in (31, 2 if number < KEPT else 31, 2):
            session, read = service.begin(prompt)
            assert read == expected
            remembered.append(session)
            if len(remembered) > 4:
                service.generator.close(remembered.pop(0))


@pytest.mark.parametrize(("make", "native"), RUNNERS)
@pytest.mark.parametrize("lengths", [(40, 12, 25), (12, 40, 30), (20, 20, 20)])
def test_conversations_go_on_unharmed_where_another_prompt_takes_the_place_of_one(make, native, lengths):
    model, rng = make(torch.float64), random.Random(2)
    generator = make_generator(model, native)
    prompts = [ids(rng, length) for length in lengths]
    plain = ids(rng, 4)  # too short to be shared
    said, replies = {}, {}

    def turn(*sessions):
        messages = [ids(rng, rng.randint(1, 5)) for _ in sessions]
        for session, message in zip(sessions, messages, strict=True):
            said[session].extend(message)
        given = generator.extend_and_sample(sessions, messages)
        for session, reply in zip(sessions, given, strict=True):
            replies[session].append((len(said[session]), reply))
            said[session].extend(reply.token_ids)

    def begun(prompt):
        session = generator.open(prompt)
        said[session], replies[session] = list(prompt), []
        return session

    sessions = [*map(begun, prompts), begun([*prompts[2], 7, 8]), begun(prompts[0][:15]), begun(plain)]
    turn(*sessions)
    for place in (0, 1):  # the first in the bank, and then one in its middle
        ended = [session for session in sessions if said[session][:9] == prompts[place][:9]]
        for session in ended:
            generator.close(session)
            sessions.remove(session)
        again, once = ids(rng, 18 + place), ids(rng, 33)
        sessions += map(begun, (again, once, again))  # one takes the place, the other stays without
        turn(*sessions)
        turn(*sessions[::-1])
    assert len(generator._prompts) == KEPT
    assert worst_difference(model, list(said.values()), list(replies.values())) <= 1e-5


def test_the_prompt_that_was_used_longest_ago_goes_first_and_none_that_is_in_use(monkeypatch):
    service, rng = Service(make_generator(llama()), monkeypatch), random.Random(1)
    one, two, three, four, five = (ids(rng, 20) for _ in range(5))
    service.generator.open(ids(rng, 3))  # somebody is always there
    for prompt in (one, two, three, one, three):
        service.generator.close(service.begin(prompt)[0])
    assert [service.begin(prompt)[1] for prompt in (four, four, four)] == [21, 21, 2]  # in place of the second
    assert [service.begin(prompt)[1] for prompt in (one, three)] == [2, 2]
    # All that are kept are in use now, so each of these is read anew, however often it comes.
    assert [service.begin(prompt)[1] for prompt in (two, two, five, five)] == [21] * 4
    for session in [session for session in service.generator._open if session._prompt in (0, 2)]:
        service.generator.close(session)
    assert [service.begin(prompt)[1] for prompt in (five, five, two, two, four)] == [21, 2, 21, 2, 2]
    assert [service.begin(prompt)[1] for prompt in (one, three)] == [21, 21]


def test_prompts_that_come_once_do_not_take_the_place_of_any(monkeypatch):
    service, rng = Service(make_generator(llama()), monkeypatch), random.Random(1)
    service.generator.open(ids(rng, 3))
    kept = [ids(rng, 20) for _ in range(KEPT)]
    for prompt in [*kept, *(ids(rng, 20) for _ in range(3 * KEPT))]:
        service.generator.close(service.begin(prompt)[0])
    assert [service.begin(prompt)[1] for prompt in kept] == [2] * KEPT


@pytest.mark.parametrize(("make", "native"), RUNNERS)
def test_greedy_replies_are_those_of_a_generator_that_shares_nothing(make, native, monkeypatch):
    model, rng, greedy = make(), random.Random(4), SamplingSettings((), 6, 0.0)
    beginnings = [ids(rng, rng.randint(10, 40)) for _ in range(7)]
    prompts = [beginnings[rng.randrange(7)] + ids(rng, rng.randint(0, 3)) for _ in range(20)]
    messages = [ids(rng, 3) for _ in prompts]

    def played(generator):
        open_ones, given = [], []
        for prompt, message in zip(prompts, messages, strict=True):
            open_ones.append(generator.open(prompt))
            given += generator.extend_and_sample(open_ones[-3:], [message, [9], [9]][: len(open_ones[-3:])])
            for session in open_ones[:-2]:
                generator.close(session)
        return given

    sharing = played(make_generator(model, native, greedy))
    monkeypatch.setattr("ss_trainers.generation._MIN_SHARED_TOKENS", 1000)
    for one, other in zip(sharing, played(make_generator(model, native, greedy)), strict=True):
        assert one.token_ids == other.token_ids
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
