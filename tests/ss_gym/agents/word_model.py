"""A language model of a few words, in plain Python: it reads what was said and draws its answer word by word."""

from __future__ import annotations

import math
from random import Random

from ss_gym.agents import Sampling
from ss_gym.agents.backends import cut_at_stop
from ss_gym.types import Completion

WORDS = "\0 the order was sent back to you on Monday and costs less than before if we ask for it again today".split(" ")
END = 0


def logprobs(read: str, ids: list[int], temperature: float) -> list[float]:
    """Log-probabilities of the next word."""
    draws = Random(f"{read} {ids}")
    logits = [draws.gauss(0, 2) / (temperature or 1.0) for _ in WORDS]
    total = math.log(sum(map(math.exp, logits)))
    return [logit - total for logit in logits]


def text_of(ids, stop=()) -> str:
    """What ids stand for."""
    return cut_at_stop(" ".join(WORDS[each] for each in ids if each != END), stop)[0].strip()


def complete(messages, sampling: Sampling, noise: Random, *, whole: bool = False) -> Completion:
    """The answer to some messages; ``whole`` goes on after a stop text, for a while."""
    read = repr([(message["role"], message["content"]) for message in messages])
    ids, told, reason = [], [], "length"
    while len(ids) < sampling.max_new_tokens:
        values = logprobs(read, ids, sampling.temperature)
        if sampling.temperature == 0:
            drawn = values.index(max(values))
        else:
            drawn = noise.choices(range(len(values)), [math.exp(value) for value in values])[0]
        ids.append(drawn)
        told.append(values[drawn])
        said = " ".join(WORDS[each] for each in ids)
        if drawn == END or (not whole and any(stop in said for stop in sampling.stop)):
            reason = "stop"
            break
    return Completion(text_of(ids, sampling.stop), tuple(ids), tuple(told), reason)


class WordModel:
    """A backend that keeps everything a backend has to keep."""

    def __init__(self) -> None:
        self.rng = Random(0)

    def generate(self, conversations, sampling):
        return [self.answer(each, sampling, place) for place, each in enumerate(conversations)]

    def answer(self, conversation, sampling, place=0):
        conversation.check_answerable()
        return complete(conversation, sampling, self.noise(sampling, place))

    def noise(self, sampling, place):
        return self.rng if sampling.seed is None else Random(f"{sampling.seed} {place}")

    def text_of(self, token_ids, stop=()):
        return text_of(token_ids, stop)

    def stream(self, conversation, sampling):
        completion = self.answer(conversation, sampling)
        yield from pieces_of(completion.text)
        return completion


def pieces_of(text: str) -> list[str]:
    """A text word by word."""
    words = text.split(" ")
    return [*(f"{word} " for word in words[:-1]), words[-1]]
