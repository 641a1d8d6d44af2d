"""What a language model proposes to say, and what it makes of it: the actions that a critic chooses among.

A proposal costs only its own tokens: the conversation is read once, and copies of it are what replies are sampled from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ss_trainers.generation import Generator
from ss_trainers.sessions import SampledTokens, Session

# Conversations that replies are drawn in at once: each needs keys and values for every reply that differs.
_TOGETHER = 32


@dataclass(frozen=True, slots=True)
class Candidates:
    """Replies that a model might give in a conversation; no two are the same.

    Attributes:
        state: float (D,); the hidden state in which the reply begins.
        replies: their tokens, the likeliest a token first.
        counts: how often each was drawn.
        features: float (C, D); the hidden state after each.
        mean_logprobs: float (C,); log-probability a token of each, nats.

    What has support is a matter of how likely replies are to the model, and not of how they were drawn: the generator
    tells the model's own log-probabilities (``SamplingSettings.own_logprobs``).
    """

    state: Tensor
    replies: tuple[SampledTokens, ...]
    counts: tuple[int, ...]
    features: Tensor
    mean_logprobs: Tensor

    @property
    def tokens(self) -> Tensor:
        """How many tokens each has, float (C,); 1 for one that the context left no room for."""
        return torch.tensor([float(max(1, len(reply.token_ids))) for reply in self.replies])


class Proposer:
    """Samples candidates in many conversations at once.

    Args:
        generator: of the language model; nobody else waits for its replies meanwhile.
        count: replies that are drawn in each conversation.

    Attributes:
        generator: as above.
        count: as above.
    """

    def __init__(self, generator: Generator, count: int) -> None:
        self.generator, self.count = generator, count

    def propose(self, sessions: Sequence[Session], noise: Sequence[torch.Generator] | None = None) -> list[Candidates]:
        """Candidates for the next reply in each conversation, which is left as it is.

        A reply that its length or the context has cut is left out, unless there is no other.

        Args:
            sessions: distinct, with all that was said so far; each has room for a reply.
            noise: where the draws of each conversation come from; from the generator's own if None.
        """
        made = []
        for first in range(0, len(sessions), _TOGETHER):
            part = slice(first, first + _TOGETHER)
            made += self._proposed(sessions[part], None if noise is None else noise[part])
        return made

    def _proposed(self, sessions: Sequence[Session], noise: Sequence[torch.Generator] | None) -> list[Candidates]:
        states = self.generator.peek(sessions).float().cpu()
        forks = [self.generator.fork(session) for session in sessions]
        drawn: dict[Session, list[tuple[Session, SampledTokens]]] = {fork: [] for fork in forks}
        try:
            for place, fork in enumerate(forks):
                self.generator.extend(fork, (), noise=None if noise is None else noise[place], copies=self.count)
            while self.generator.waiting:
                for session, reply in self.generator.step():
                    drawn[session.origin or session].append((session, reply))
            return self._read(states, [_whole(drawn[fork]) for fork in forks])
        finally:
            for fork, replies in drawn.items():
                for session in (fork, *(session for session, _ in replies)):
                    self.generator.close(session)

    def _read(self, states: Tensor, drawn: Sequence[Sequence[tuple[Session, SampledTokens]]]) -> list[Candidates]:
        """What the model makes of the replies that it has drawn in some states."""
        # One that the context left no room for has no token that could be read.
        spoken = [session for replies in drawn for session, reply in replies if reply.token_ids]
        features = iter(self.generator.peek(spoken).float().cpu()) if spoken else iter(())
        made = []
        for state, replies in zip(states, drawn, strict=True):
            rows = [next(features) if reply.token_ids else state for _, reply in replies]
            scores = [sum(reply.logprobs) / max(1, len(reply.logprobs)) for _, reply in replies]
            order = sorted(range(len(replies)), key=scores.__getitem__, reverse=True)
            made.append(
                Candidates(
                    state,
                    tuple(replies[place][1] for place in order),
                    tuple(replies[place][0].copies for place in order),
                    torch.stack([rows[place] for place in order]),
                    torch.tensor([scores[place] for place in order]),
                )
            )
        return made


def _whole(replies: Sequence[tuple[Session, SampledTokens]]) -> Sequence[tuple[Session, SampledTokens]]:
    """The replies that ended by themselves, if any did."""
    return [each for each in replies if each[1].finish_reason == "stop"] or replies
