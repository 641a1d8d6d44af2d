"""A log as numbers that a language model makes of it: what critics of conversations learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ss_trainers.generation import Generator
from ss_trainers.offline_text.candidates import Candidates, Proposer
from ss_trainers.offline_text.token_log import LoggedTokens, TokenLog

# Conversations that are read side by side: each needs keys and values for itself, and for every proposal that differs.
_LANES = 32


@dataclass(frozen=True, slots=True)
class StepColumns:
    """The agent's steps in a log, conversation after conversation.

    Attributes:
        states: float (S, D); the hidden state in which each action begins.
        actions: float (S, D); the one after it.
        rewards: float (S,); what it was paid.
        last: bool (S,); whether the conversation has no further step.
        candidates: float (S, C, D); the hidden states after what the model would have said, 0 where there is none.
        candidate_mask: bool (S, C); which there are.
        candidate_logprobs: float (S, C); the model's own log-probability a token, nats.
        candidate_tokens: float (S, C); how many tokens there are in each, and 1 where there is none.
        candidate_shares: float (S, C); how often each was drawn.
        candidate_logged: bool (S, C); whether it is what the agent did.
    """

    states: Tensor
    actions: Tensor
    rewards: Tensor
    last: Tensor
    candidates: Tensor
    candidate_mask: Tensor
    candidate_logprobs: Tensor
    candidate_tokens: Tensor
    candidate_shares: Tensor
    candidate_logged: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """All of them by name."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


def read_log(
    log: TokenLog,
    generator: Generator,
    proposer: Proposer | None = None,
    progress: Callable[[int], None] | None = None,
) -> StepColumns:
    """Goes through a log with a language model, as it was said.

    Args:
        log: in the model's tokens.
        generator: of the model.
        proposer: draws what the model would have said at each step; none is drawn if None.
        progress: is told how many more conversations have been read.
    """
    found: dict[int, list[_Step]] = {}
    # Those with as many steps go side by side: none waits for the others' further ones.
    order = sorted(range(len(log)), key=lambda place: len(log[place].actions))
    for first in range(0, len(order), _LANES):
        places = order[first : first + _LANES]
        found.update(zip(places, _read_together([log[place] for place in places], generator, proposer), strict=True))
        if progress is not None:
            progress(len(places))
    return _columns(log, [found[place] for place in range(len(log))])


@dataclass(slots=True)
class _Step:
    state: Tensor
    said: tuple[int, ...]
    action: Tensor
    candidates: Candidates | None


def _read_together(
    conversations: Sequence[LoggedTokens], generator: Generator, proposer: Proposer | None
) -> list[list[_Step]]:
    """The steps of some conversations, in lockstep."""
    sessions = [generator.open(each.prompt_ids.tolist()) for each in conversations]
    steps: list[list[_Step]] = [[] for _ in conversations]
    try:
        for number in range(max(len(each.actions) for each in conversations)):
            active = [place for place, each in enumerate(conversations) if number < len(each.actions)]
            for place in active:
                generator.append(sessions[place], list(_between(conversations[place], number)))
            going = [sessions[place] for place in active]
            proposed = proposer.propose(going) if proposer is not None else None
            states = generator.peek(going).float().cpu() if proposed is None else [each.state for each in proposed]
            said = [conversations[place].message_ids(int(conversations[place].actions[number])) for place in active]
            for session, ids in zip(going, said, strict=True):
                generator.append(session, ids)
            after = generator.peek(going).float().cpu()
            candidates = proposed if proposed is not None else [None] * len(active)
            for place, step in zip(active, map(_Step, states, said, after, candidates), strict=True):
                steps[place].append(step)
    finally:
        for session in sessions:
            generator.close(session)
    return steps


def _between(conversation: LoggedTokens, number: int) -> Iterator[int]:
    """The ids from the end of the action before to the beginning of this one."""
    start = int(conversation.actions[number - 1]) + 1 if number else 0
    for place in range(start, int(conversation.actions[number])):
        yield from conversation.message_ids(place)


def _columns(log: TokenLog, read: Sequence[Sequence[_Step]]) -> StepColumns:
    steps = [step for conversation in read for step in conversation]
    most = max(len(step.candidates.replies) if step.candidates is not None else 1 for step in steps)
    width = len(steps[0].state)
    shape = (len(steps), most)
    candidates, mask = torch.zeros(*shape, width), torch.zeros(shape, dtype=torch.bool)
    logprobs, shares, logged = torch.zeros(shape), torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
    tokens = torch.ones(shape)
    for row, step in enumerate(steps):
        if step.candidates is not None:
            size, counts = len(step.candidates.replies), torch.tensor(step.candidates.counts, dtype=torch.float32)
            candidates[row, :size], mask[row, :size] = step.candidates.features, True
            logprobs[row, :size], shares[row, :size] = step.candidates.mean_logprobs, counts / counts.sum()
            tokens[row, :size] = step.candidates.tokens
            logged[row, :size] = torch.tensor([reply.token_ids == step.said for reply in step.candidates.replies])
    return StepColumns(
        torch.stack([step.state for step in steps]),
        torch.stack([step.action for step in steps]),
        torch.tensor([float(reward) for each in log for reward in each.rewards]),
        torch.tensor([number + 1 == len(each.actions) for each in log for number in range(len(each.actions))]),
        candidates,
        mask,
        logprobs,
        tokens,
        shares,
        logged,
    )
