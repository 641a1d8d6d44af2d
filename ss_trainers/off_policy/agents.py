"""What an agent thinks of the replies in a log, and what it would say in their place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from ss_gym.agents import Conversation, MultiTurnAgent
from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.types import Completion, Message
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.off_policy.episodes import padded
from ss_trainers.off_policy.fitted_q import PolicyActions
from ss_trainers.offline_text.token_log import LoggedTokens, TokenLog
from ss_trainers.policy import LanguagePolicy, on_action_tokens, scored_actions
from ss_trainers.types import TokenBatch

_Item = TypeVar("_Item")
# Conversations that are read at once, before they are split by length.
_AT_ONCE = 64
# Elements of logits that are computed at once.
_LOGITS = 2**24
# Of states with each of some replies, float (N, F): such as ``HashedText.after``.
ActionFeatures = Callable[[Sequence[Message], Sequence[str]], Any]


class Speaker(Protocol):
    """Whoever answers conversations."""

    def act(self, conversations: Sequence[Sequence[Message]], /) -> list[Completion]:
        """The next action of each conversation, in the same order."""
        ...


def agent_logprobs(
    agent: MultiTurnAgent,
    conversations: Iterable[LoggedConversation],
    micro_batch_tokens: int = 16_384,
    console: Console | None = None,
) -> Tensor:
    """How likely the logged replies are to a language model's agent, nats, as ``policy_logprobs`` gives them.

    That of a reply is the sum over its tokens, its end included, at the agent's temperature; minus infinity for what is
    longer than it may be, or ends where the agent would go on. Where a log has the ids that were sampled they count,
    and must be those of the agent's tokenizer and chat template; without them the text is encoded.

    Args:
        agent: ready to answer, whose model is here: as it comes, fine-tuned, or guided by a critic (``ilql``), and not
            one whose critic chooses among proposals (``bcq``, ``bear``, ``cql``).
        conversations: of a log.
        micro_batch_tokens: most tokens that go through the model at once.
        console: where progress is drawn; nowhere if None.

    Returns:
        float64 (N, H), 0 behind the last reply of each.

    Raises:
        TypeError: if the model is elsewhere, or a critic chooses.
        ValueError: if the agent does not draw from its whole distribution of what it reads (temperature 0, ``top_p``,
            ``stop``, ``trim_history``), or the model can't read a conversation, which is named, before any is scored.
    """
    backend = _readable(agent)
    policy, rows = LanguagePolicy(backend.loaded.model), list[list[float]]()
    with ExitStack() as held:
        advance = _progress(held, console, "conversations read", conversations)
        encoded = []
        for one in conversations:
            encoded.append(_encoded(one, agent, backend, policy.vocabulary))
            advance(1)
    with ExitStack() as held:
        advance = _progress(held, console, "conversations scored", encoded)
        for some in _parts(encoded, _AT_ONCE):
            for tokens, scores in zip(
                some, _scored(policy, backend, some, agent.config.temperature, micro_batch_tokens), strict=True
            ):
                possible = _possible(tokens, backend, agent.config.max_new_tokens)
                rows.append([score if may else -math.inf for score, may in zip(scores, possible, strict=True)])
            advance(len(some))
    return padded(rows)[0]


def drawn_actions(
    agent: Speaker,
    conversations: Iterable[LoggedConversation],
    features: ActionFeatures,
    draws: int = 1,
    batch: int = 64,
    console: Console | None = None,
) -> PolicyActions:
    """What an agent says in each state of a log, for ``fitted_q_evaluation``: it answers, whoever it is.

    Each state is read from its beginning, and each draw is answered by itself.

    Args:
        agent: ready to answer; of those that draw by chance, several ``draws`` tell more.
        conversations: of a log.
        features: of a state with each of some replies; those of the log must be of the same kind.
        draws: replies in each state.
        batch: conversations that are answered at once.
        console: where progress is drawn; nowhere if None.

    Raises:
        ValueError: if there is no draw, or no state.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    states = ((one.messages[:place], one.episode.tools) for one in conversations for place in one.episode.own_places)
    rows, steps = list[Tensor](), 0
    with ExitStack() as held:
        advance = _progress(held, console, "states answered", None)
        for some in _parts(states, max(1, batch // draws)):
            asked = [Conversation(messages, tools) for messages, tools in some for _ in range(draws)]
            said = [completion.text for completion in agent.act(asked)]
            for place, (messages, _) in enumerate(some):
                made = features(messages, said[place * draws : (place + 1) * draws])
                rows.append(torch.as_tensor(np.asarray(made)))
            steps += len(some)
            advance(len(some))
    if not rows:
        raise ValueError("there is no state to answer in: the log has no conversation in which an agent speaks")
    chances = torch.full((steps * draws,), 1 / draws, dtype=torch.float64)
    return PolicyActions(torch.cat(rows), torch.arange(steps).repeat_interleave(draws), chances)


def _readable(agent: MultiTurnAgent) -> HuggingFaceBackend:
    """The backend of an agent whose replies have a probability that can be told."""
    backend, config = agent.backend, agent.config
    if not isinstance(backend, HuggingFaceBackend):
        raise TypeError(
            f"how likely the replies of '{config.model_name}' are can't be told: its model is not here, or a critic "
            "chooses among what it proposes. Let it answer in the log's states (drawn_actions) and evaluate by "
            "fitted_q_evaluation"
        )
    for name, all_of_it in (("temperature", config.temperature > 0), ("top_p", config.top_p == 1)):
        if not all_of_it:
            raise ValueError(
                f"with {name}={getattr(config, name):g} the agent never says most of what is in a log: evaluate it "
                "with a temperature above 0 and top_p=1, or by drawn_actions and fitted_q_evaluation"
            )
    if config.stop:
        raise ValueError("replies that end at a text (stop) have no probability that can be told: leave stop out")
    if config.trim_history:
        raise ValueError(
            "what an agent reads that trims its history depends on its replies: set trim_history to False, and leave "
            "conversations out that are too long for its model"
        )
    return backend


def _encoded(
    one: LoggedConversation, agent: MultiTurnAgent, backend: HuggingFaceBackend, vocabulary: int
) -> LoggedTokens:
    """A conversation as the agent reads it, with its own instructions where there are none."""
    if agent.config.system_prompt and one.messages[0]["role"] != "system":
        instructions = {"role": "system", "content": agent.config.system_prompt}
        one = replace(one, episode=replace(one.episode, messages=(instructions, *one.messages)))
    try:
        (tokens,) = TokenLog.of([one], backend.chat, backend.max_context, vocabulary)
    except ValueError as error:
        raise ValueError(f"the agent's model can't read conversation {one.id!r:.80}: {error}") from error
    assert isinstance(tokens, LoggedTokens)
    return tokens


def _scored(
    policy: LanguagePolicy,
    backend: HuggingFaceBackend,
    conversations: Sequence[LoggedTokens],
    temperature: float,
    micro_batch_tokens: int,
) -> list[list[float]]:
    """The log-probability of each reply of each conversation, as the backend draws them."""
    size = max(1, _LOGITS // policy.vocabulary)

    def of_tokens(hidden: Tensor, targets: Tensor) -> Tensor:
        logits = policy.logits(hidden)
        if backend.guidance is not None:
            logits = backend.guidance(hidden, logits)
        return (logits.float() / temperature).log_softmax(-1).gather(-1, targets[:, None])[:, 0]

    def score(batch: TokenBatch) -> Tensor:
        hidden, targets = policy.hidden_states(batch), batch.input_ids[batch.action_mask]
        chunks = zip(torch.split(hidden, size), torch.split(targets, size), strict=True)
        return on_action_tokens(torch.cat([of_tokens(*chunk) for chunk in chunks]), batch)

    device = next(policy.model.parameters()).device
    found = scored_actions([each.trajectory() for each in conversations], score, micro_batch_tokens, device)
    return [
        [float(reply.sum()) for reply in torch.split(values.double(), _lengths(each))]
        for each, values in zip(conversations, found, strict=True)
    ]


def _lengths(tokens: LoggedTokens) -> list[int]:
    """Of the replies."""
    return [len(tokens.message_ids(place)) for place in tokens.actions.tolist()]


def _possible(tokens: LoggedTokens, backend: HuggingFaceBackend, limit: int) -> list[bool]:
    """Which replies an agent can give that says at most so many tokens at once."""
    replies = [tokens.message_ids(place) for place in tokens.actions.tolist()]
    possible = [len(ids) <= limit if ids[-1] in backend.ends else len(ids) == limit for ids in replies]
    # The last one may have been cut off by the end of the context.
    possible[-1] = possible[-1] or (len(replies[-1]) < limit and len(tokens) >= backend.max_context)
    return possible


def _parts(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Some at a time, in order."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _progress(
    held: ExitStack, console: Console | None, name: str, items: Iterable[Any] | None
) -> Callable[[int], None]:
    """Counts what is done, on a console if there is one, and how much of it where that is known."""
    if console is None:
        return lambda _: None
    progress = held.enter_context(Progress(console=console))
    task = progress.add_task(name, total=len(items) if isinstance(items, Sized) else None)
    return lambda count: progress.advance(task, count)
