"""The conformance suite of backends: those that keep the contract pass, and each way to break it is found."""

import json
import math
from dataclasses import replace
from random import Random

import pytest

from ss_gym.agents import AgentConfig, Conversation, Sampling
from ss_gym.testing import check_backend
from ss_gym.types import Completion
from tests.ss_gym.agents.chat_server import answered, serving
from tests.ss_gym.agents.word_model import WordModel, complete, pieces_of, text_of


def without_ids(completion):
    return replace(completion, token_ids=None, logprobs=None)


class Server(WordModel):
    """Tells texts alone, as servers do."""

    text_of = None  # it can't tell what ids stand for

    def generate(self, conversations, sampling):
        return [without_ids(completion) for completion in super().generate(conversations, sampling)]

    def stream(self, conversation, sampling):
        return without_ids((yield from super().stream(conversation, sampling)))


def test_a_backend_that_keeps_the_contract_passes():
    check_backend(WordModel())
    check_backend(Server())


def test_the_stub_passes_and_always_answers_the_same():
    check_backend(AgentConfig("stub://demo"), seeded=False)
    with pytest.raises(AssertionError, match=r"another seed gave the same completions .*seeded=False"):
        check_backend(AgentConfig("stub://demo"))
    with pytest.raises(AssertionError, match="is said not to be seeded"):
        check_backend(WordModel(), seeded=False)


def events(completion):
    """A completion as a server streams it."""
    pieces = [{"content": piece} for piece in pieces_of(completion.text)]
    told = [{"index": 0, "delta": piece, "finish_reason": None} for piece in pieces]
    told.append({"index": 0, "delta": {}, "finish_reason": completion.finish_reason})
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    lines = [f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n" for choice in told]
    return 200, "".join([*lines, "data: [DONE]\n\n"]).encode(), {"Content_Type": "text/event-stream"}


def served(request, number):
    stop = tuple(request.get("stop", ()))
    sampling = Sampling(request["max_tokens"], request["temperature"], stop=stop, seed=request.get("seed"))
    noise = Random(number if sampling.seed is None else sampling.seed)
    completion = complete(request["messages"], sampling, noise)
    return events(completion) if request.get("stream") else answered(completion.text, None, completion.finish_reason)


def test_the_backend_for_servers_passes_in_front_of_a_server_that_does_what_the_api_says():
    with serving(served) as (port, told):
        check_backend(AgentConfig(f"openai://127.0.0.1:{port}/words"))
    assert any(request.get("tools") for request in told.requests)


def test_a_server_that_ignores_stop_texts_is_found_behind_its_backend():
    with serving(lambda request, n: served({**request, "stop": ()}, n)) as (port, _):
        with pytest.raises(AssertionError, match=r"the stop text '.*' is in the text"):
            check_backend(AgentConfig(f"openai://127.0.0.1:{port}/words"))


def broken(base=WordModel, **methods):
    return type("Broken", (base,), methods)()


def changed(change, base=WordModel):
    """A backend whose completions are changed by ``change(completion, conversation, sampling, place, batch)``."""

    def generate(self, conversations, sampling):
        completions = base.generate(self, conversations, sampling)
        given = zip(completions, conversations, strict=True)
        return [change(each, asked, sampling, place, len(completions)) for place, (each, asked) in enumerate(given)]

    return broken(base, generate=generate)


def every(function):
    return lambda completion, *_: function(completion)


def given_more(self, conversations, sampling):
    return WordModel.generate(self, conversations, sampling) or [Completion("Hello!")]


def changes_conversations(self, conversations, sampling):
    completions = WordModel.generate(self, conversations, sampling)
    for conversation in conversations:
        conversation[-1]["content"] += " "
    return completions


def answers_whatever(self, conversation, sampling, place=0):
    return complete(conversation, sampling, self.noise(sampling, place))


def refuses_as_anybody_would(self, conversation, sampling, place=0):
    if not conversation:
        raise ValueError("max() arg is an empty sequence")
    return WordModel.answer(self, conversation, sampling, place)


def answers_itself(self, conversation, sampling, place=0):
    if not conversation:
        conversation.check_answerable()
    return complete(conversation, sampling, self.noise(sampling, place))


def apart_in_batches(completion, conversation, sampling, place, batch):
    if batch == 1:
        return completion
    return replace(completion, logprobs=tuple(value - 1e-3 for value in completion.logprobs))


def by_place(self, conversation, sampling, place=0):
    conversation.check_answerable()
    return complete(
        [*conversation[:-1], {"role": "user", "content": str(place)}], sampling, self.noise(sampling, place)
    )


def ignores_the_limit(self, conversation, sampling, place=0):
    return WordModel.answer(self, conversation, replace(sampling, max_new_tokens=40), place)


def says_stop_when_cut(completion, *_):
    return replace(completion, finish_reason="stop")


def says_length_when_whole(completion, conversation, sampling, *_):
    return replace(completion, finish_reason="length") if sampling.max_new_tokens < 5 else completion


def whole_but_cut(self, conversation, sampling, place=0):
    if sampling.max_new_tokens > 5:
        return WordModel.answer(self, conversation, sampling, place)
    return replace(WordModel.answer(self, conversation, Sampling(16, 0.0), place), finish_reason="length")


def otherwise_within(reason):
    """Answers otherwise where less than usual may be said, and the answer ends for that reason."""

    def answer(self, conversation, sampling, place=0):
        completion = WordModel.answer(self, conversation, sampling, place)
        if sampling.temperature or sampling.max_new_tokens == 16 or completion.finish_reason != reason:
            return completion
        for times in range(1, 100):
            louder = Conversation([*conversation, {"role": "user", "content": "!" * times}])
            other = WordModel.answer(self, louder, sampling, place)
            if other.finish_reason == reason and other.text and other.text != completion.text:
                return other
        raise NotImplementedError

    return answer


def ignores_stop_texts(self, conversation, sampling, place=0):
    return WordModel.answer(self, conversation, replace(sampling, stop=()), place)


def goes_on_after_stop_texts(self, conversation, sampling, place=0):
    conversation.check_answerable()
    completion = complete(conversation, sampling, self.noise(sampling, place), whole=True)
    return replace(completion, finish_reason="stop") if sampling.stop else completion


def ends_a_word_early(completion, conversation, sampling, *_):
    return replace(completion, text=completion.text.rpartition(" ")[0]) if sampling.stop else completion


def says_length_at_stop_texts(completion, conversation, sampling, *_):
    return replace(completion, finish_reason="length") if sampling.stop else completion


def keeps_the_first_turn(self, conversation, sampling, place=0):
    conversation.state = conversation.state or list(conversation)
    conversation.check_answerable()
    return complete(conversation.state, sampling, self.noise(sampling, place))


def loses_spaces(self, conversation, sampling):
    completion = self.answer(conversation, sampling)
    yield from completion.text.split(" ")
    return completion


def streams_another(self, conversation, sampling):
    completion = self.answer(conversation, replace(sampling, temperature=1.0))
    yield completion.text
    return completion


def streams_other_ids(self, conversation, sampling):
    completion = self.answer(conversation, sampling)
    yield completion.text
    return replace(completion, token_ids=(*completion.token_ids[:-1], 3))


class LeavesTheRest(WordModel):
    """What is left of a stream that was closed comes out at the next call."""

    left = None

    def stream(self, conversation, sampling):
        completion = self.answer(conversation, sampling)
        try:
            yield from pieces_of(completion.text)
        except GeneratorExit:
            self.left = completion
            raise
        return completion

    def generate(self, conversations, sampling):
        if self.left is None:
            return super().generate(conversations, sampling)
        left = replace(self.left, text=text_of(self.left.token_ids[1:]), token_ids=self.left.token_ids[1:])
        return [replace(left, logprobs=left.logprobs[1:])]


def fixed_seed(self, sampling, place):
    return Random(f"7 {place}")


def unseeded(self, sampling, place):
    return self.rng


def placeless(self, sampling, place):
    return Random(f"{sampling.seed}")


def of_nothing(self, conversation, sampling, place=0):
    conversation.check_answerable()
    return complete([], sampling, self.noise(sampling, place))


def lost(self, conversations, sampling):
    return WordModel.generate(self, conversations, sampling)[1:]


def turned(self, conversations, sampling):
    return WordModel.generate(self, conversations, sampling)[::-1]


def with_logprobs(change):
    return every(lambda completion: replace(completion, logprobs=change(completion.logprobs)))


BROKEN = [
    (broken(generate=given_more), "no conversations must get no completions, got 1"),
    (broken(generate=lost), "6 conversations got 5 completions"),
    (broken(generate=turned), "conversation 0 of a batch got something else than alone"),
    (broken(answer=by_place), "conversation [1-5] of a batch got something else than alone"),
    (broken(generate=changes_conversations), "generate changed a conversation"),
    (broken(answer=answers_whatever), "an empty conversation must raise UnanswerableError"),
    (broken(answer=refuses_as_anybody_would), "an empty conversation must raise UnanswerableError, not ValueError"),
    (broken(answer=answers_itself), "one that ends with its own message must raise UnanswerableError"),
    (broken(answer=of_nothing), "all conversations of the suite got the same answer"),
    (changed(every(lambda completion: completion.text)), "it must be a Completion, got str"),
    (changed(every(lambda completion: replace(completion, text=b"a"))), "its text must be a str, got bytes"),
    (changed(every(lambda completion: replace(completion, finish_reason="eos"))), "unknown finish_reason 'eos'"),
    (changed(every(lambda completion: replace(completion, token_ids=None))), "for exactly the token_ids"),
    (changed(with_logprobs(lambda values: values[1:])), "for exactly the token_ids"),
    (changed(with_logprobs(lambda values: (0.5, *values[1:]))), "finite and at most 0"),
    (changed(with_logprobs(lambda values: (math.nan, *values[1:]))), "finite and at most 0"),
    (changed(with_logprobs(lambda values: (-math.inf, *values[1:]))), "finite and at most 0"),
    (changed(apart_in_batches), "log-probabilities of the same tokens differ by 0.001"),
    (changed(every(lambda completion: replace(completion, text=completion.text.upper()))), "the ids stand for"),
    (broken(answer=ignores_the_limit), "tokens where max_new_tokens is 16"),
    (broken(Server, answer=ignores_the_limit), "no completion was cut off with max_new_tokens 1"),
    (changed(says_stop_when_cut), "a completion was cut off .*, and its finish_reason is 'stop'"),
    (broken(Server, answer=whole_but_cut), "a completion is said to be cut off .*, and is whole"),
    (broken(answer=otherwise_within("length")), "a completion begins otherwise with max_new_tokens"),
    (broken(answer=otherwise_within("stop")), "a completion that is short enough is another with max_new_tokens"),
    (broken(Server, answer=otherwise_within("length")), "is no beginning of"),
    (broken(Server, answer=ignores_stop_texts), "the stop text '.*' is in the text"),
    (broken(answer=goes_on_after_stop_texts), "it goes on for tokens after the stop text"),
    (changed(ends_a_word_early, Server), "ended by '.*' it says"),
    (changed(says_length_at_stop_texts), "a stop text ended it, and its finish_reason is 'length'"),
    (broken(noise=unseeded), "the same seed gave other completions the second time"),
    (broken(noise=fixed_seed), "another seed gave the same completions"),
    (broken(noise=placeless), "share a batch and a seed are the same"),
    (broken(answer=keeps_the_first_turn), "a conversation that went on got something else than one that is read anew"),
    (broken(stream=loses_spaces), "the pieces make"),
    (broken(stream=streams_another), "a stream's completion is another than that of generate"),
    (broken(stream=streams_other_ids), "the ids stand for"),
    (LeavesTheRest(), "after a stream that was closed early its conversation gets something else"),
    (
        changed(every(lambda completion: replace(completion, text="é" * len(completion.text.split()))), Server),
        "no answer of the suite has a text that could be ended",
    ),
]


@pytest.mark.parametrize(("backend", "problem"), BROKEN, ids=range(len(BROKEN)))
def test_each_way_to_break_the_contract_is_found(backend, problem):
    with pytest.raises(AssertionError, match=problem):
        check_backend(backend)


class Wavering(WordModel):
    """Log-probabilities that depend on the batch, and words that are nearly as likely as the likeliest."""

    def generate(self, conversations, sampling):
        completions = super().generate(conversations, sampling)
        if len(conversations) < 2 or sampling.temperature:
            return completions
        last = completions[1]
        other = (last.token_ids[-1] + 1) % 20 or 1
        ids, logprobs = (*last.token_ids[:-1], other), (*last.logprobs[:-1], last.logprobs[-1] - 0.04)
        return [completions[0], Completion(text_of(ids), ids, logprobs, last.finish_reason), *completions[2:]]


def test_in_lower_precision_completions_may_part_where_two_words_are_as_likely():
    with pytest.raises(AssertionError, match=r"conversation 1 of a batch got something else than alone: token \d+ is"):
        check_backend(Wavering())
    check_backend(Wavering(), tolerance=0.1)
