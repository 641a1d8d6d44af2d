"""An agent whose language model proposes and whose critic chooses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import finalize
from zlib import crc32

import torch

from ss_gym.agents import AgentConfig, Conversation, Sampling
from ss_gym.agents.backends import read_options
from ss_gym.agents.dialects import as_action, dialect_of
from ss_gym.types import Completion
from ss_trainers import causal_lm
from ss_trainers.backends.models import LoadedModel, end_ids, load_model, write_model
from ss_trainers.chat import ChatFormat, EncodedConversation
from ss_trainers.generation import Generator
from ss_trainers.offline_text.candidates import Proposer
from ss_trainers.offline_text.chooser import CriticsChoice, read_choice, write_choice
from ss_trainers.sessions import Session
from ss_trainers.token_sampling import SamplingSettings


@dataclass(frozen=True, slots=True)
class RerankingOptions:
    """``AgentConfig.backend_options`` of this backend.

    Attributes:
        max_context: most tokens of a conversation; the model's own limit if None.
    """

    max_context: int | None = None


@dataclass(slots=True)
class _Dialogue:
    """What is kept of a conversation: its ids, the session that has read them, and which those were."""

    encoded: EncodedConversation
    session: Session | None
    known: list[int]


class RerankingBackend:
    """Answers conversations with the best of what a language model proposes.

    What is drawn depends on the conversation and the seed alone, whatever else is answered: the same is said in the
    same place.

    Args:
        loaded: the model.
        choice: says which candidate.
        count: replies that are drawn.
        config: the agent's; ``seed`` and ``backend_options["max_context"]`` are read.
    """

    def __init__(self, loaded: LoadedModel, choice: CriticsChoice, count: int, config: AgentConfig) -> None:
        self._loaded, self._choice, self._seed = loaded, choice, config.seed
        self._chat, self._ends = ChatFormat(loaded.tokenizer), reply_ends(loaded)
        options = read_options(config, RerankingOptions)
        self._generator = Generator(loaded.model, SamplingSettings(self._ends), max_context=options.max_context)
        self._proposer = Proposer(self._generator, count)
        self._dialect = dialect_of(self._chat.template)
        self._sessions: set[Session] = set()
        # Conversations may be freed at any moment, but their sessions only between two steps.
        self._freed: deque[Session] = deque()

    @classmethod
    def load(cls, location: str, config: AgentConfig) -> RerankingBackend:
        """One that was saved.

        Args:
            location: the folder.
            config: the agent's.

        Raises:
            CheckpointError: if it is missing or damaged.
        """
        loaded = load_model(location, config.device)
        choice, count = read_choice(location, torch.device(config.device))
        return cls(loaded, choice, count, config)

    def save(self, folder: Path) -> Mapping[str, Any]:
        """See ``SavingBackend``."""
        write_choice(folder, self._choice, self._proposer.count)
        return write_model(self._loaded, folder, trained=True)

    @property
    def max_context(self) -> int:
        """Most tokens of a conversation, the reply included."""
        return self._generator.max_context

    def generate(self, conversations: Sequence[Conversation], sampling: Sampling) -> list[Completion]:
        """One completion for each conversation, in order.

        Raises:
            UnanswerableError: if a conversation is empty, ends with the agent's own message, is longer than the context
                or has messages that the model's chat template does not take.
        """
        while self._freed:
            self._drop(self._freed.popleft())
        dialogues = [self._brought_up_to_date(conversation) for conversation in conversations]
        sessions = [session for _, session in dialogues]
        self._generator.settings = SamplingSettings(
            self._ends, sampling.max_new_tokens, sampling.temperature, sampling.top_p, self._stops(sampling)
        )
        candidates = self._proposer.propose(sessions, [self._noise(dialogue, sampling) for dialogue, _ in dialogues])
        completions = []
        for (dialogue, session), proposed, place in zip(dialogues, candidates, self._choice(candidates), strict=True):
            reply = proposed.replies[place]
            self._generator.append(session, reply.token_ids)
            dialogue.known += reply.token_ids
            text = as_action(self._chat.text(reply.token_ids, sampling.stop), self._dialect)
            completions.append(Completion(text, reply.token_ids, reply.logprobs, reply.finish_reason))
        return completions

    def _brought_up_to_date(self, conversation: Conversation) -> tuple[_Dialogue, Session]:
        """What is kept of a conversation, and a session that has all that was said."""
        conversation.check_answerable()
        state = conversation.state
        if not isinstance(state, _Dialogue) or state.encoded.chat is not self._chat:
            state = conversation.state = _Dialogue(EncodedConversation(self._chat), None, [])
        state.encoded.update(conversation)
        ids, session = state.encoded.ids, state.session
        if session not in self._sessions or ids[: len(state.known)] != state.known:
            if session is not None:
                self._drop(session)
            session = state.session = self._generator.open(ids)
            self._sessions.add(session)
            finalize(conversation, self._freed.append, session)
        else:
            assert session is not None
            self._generator.append(session, ids[len(state.known) :])
        state.known = ids
        return state, session

    def _noise(self, dialogue: _Dialogue, sampling: Sampling) -> torch.Generator:
        seed = self._seed if sampling.seed is None else sampling.seed
        return torch.Generator().manual_seed(crc32(repr(dialogue.known).encode(), seed & 0xFFFFFFFF))

    def _stops(self, sampling: Sampling) -> Callable[[Sequence[int]], bool] | None:
        if not sampling.stop:
            return None
        return lambda ids: any(each in self._chat.decoded(ids) for each in sampling.stop)

    def _drop(self, session: Session) -> None:
        self._sessions.discard(session)
        self._generator.close(session)


def reply_ends(loaded: LoadedModel) -> tuple[int, ...]:
    """The ids that end a model's reply."""
    told = end_ids(causal_lm.underlying(loaded.model).generation_config)
    return tuple(sorted(ChatFormat(loaded.tokenizer).stop_ids.union(told)))
