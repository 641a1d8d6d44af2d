"""An agent whose language model proposes and whose critic chooses."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import finalize
from zlib import crc32

import torch

from ss_gym.agents import AgentConfig, Conversation, Sampling
from ss_gym.agents.backends import read_options
from ss_gym.agents.checkpoint import checkpoint_folder
from ss_gym.agents.dialects import as_action, dialect_of
from ss_gym.types import Completion
from ss_trainers import causal_lm
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.backends.models import LoadedModel, check_device, end_ids, load_model, write_model
from ss_trainers.chat import ChatFormat, EncodedConversation
from ss_trainers.generation import Generator
from ss_trainers.offline_text.candidates import Proposer
from ss_trainers.offline_text.chooser import CriticsChoice, read_choice, write_choice
from ss_trainers.offline_text.guidance import read_guidance
from ss_trainers.offline_text.recipes import RECIPES
from ss_trainers.offline_text.saved import algorithm_of
from ss_trainers.sessions import Session
from ss_trainers.token_sampling import SamplingSettings

_LOGGER = logging.getLogger(__name__)


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
    same place. Where the sampling has a seed, what is drawn for conversations of a batch that are alike differs.

    Args:
        loaded: the model.
        choice: says which candidate.
        count: replies that are drawn.
        config: the agent's; ``seed`` and ``backend_options["max_context"]`` are read.
    """

    def __init__(self, loaded: LoadedModel, choice: CriticsChoice, count: int, config: AgentConfig) -> None:
        if config.temperature == 0:
            _LOGGER.warning(
                "at temperature 0 all candidates are the likeliest reply, so that the critic has nothing to choose "
                "among: give AgentConfig the temperature of the proposals that it has learnt with"
            )
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
        """One completion for each conversation, in order; an empty one that is cut where there is no room for it.

        Raises:
            UnanswerableError: if a conversation is empty, ends with the agent's own message, begins with a prompt that
                is longer than the context or has messages that the model's chat template does not take.
        """
        while self._freed:
            self._drop(self._freed.popleft())
        dialogues = [self._brought_up_to_date(conversation) for conversation in conversations]
        completions = [Completion("", (), (), "length") for _ in dialogues]
        roomy = [place for place, (_, session) in enumerate(dialogues) if session.length < self.max_context]
        if not roomy:
            return completions
        self._generator.settings = SamplingSettings(
            self._ends,
            sampling.max_new_tokens,
            sampling.temperature,
            sampling.top_p,
            self._stops(sampling),
            own_logprobs=True,
        )
        asked = [dialogues[place] for place in roomy]
        noise = self._noise([dialogue for dialogue, _ in asked], sampling)
        candidates = self._proposer.propose([session for _, session in asked], noise)
        chosen = self._choice(candidates)
        for place, (dialogue, session), proposed, best in zip(roomy, asked, candidates, chosen, strict=True):
            reply = proposed.replies[best]
            self._generator.append(session, reply.token_ids)
            dialogue.known += reply.token_ids
            text = as_action(self._chat.text(reply.token_ids, sampling.stop), self._dialect)
            completions[place] = Completion(text, reply.token_ids, reply.logprobs, reply.finish_reason)
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

    def _noise(self, dialogues: Sequence[_Dialogue], sampling: Sampling) -> list[torch.Generator]:
        """Where the draws of conversations come from."""
        seed = self._seed if sampling.seed is None else sampling.seed
        seen, noise = Counter[bytes](), []
        for dialogue in dialogues:
            said = repr(dialogue.known).encode()
            noise.append(torch.Generator().manual_seed(crc32(b"%d %b" % (seen[said], said), seed & 0xFFFFFFFF)))
            seen[said] += sampling.seed is not None
        return noise

    def _stops(self, sampling: Sampling) -> Callable[[Sequence[int]], bool] | None:
        if not sampling.stop:
            return None
        return lambda ids: any(each in self._chat.decoded(ids) for each in sampling.stop)

    def _drop(self, session: Session) -> None:
        self._sessions.discard(session)
        self._generator.close(session)


def load_backend(location: str, config: AgentConfig) -> RerankingBackend | HuggingFaceBackend:
    """What answers for an agent that was saved, with a critic that chooses what it says or guides how it says it.

    Args:
        location: the folder, or that of the run which made it.
        config: the agent's.

    Raises:
        CheckpointError: if it is missing or damaged.
        ValueError: if there is no such device, or an adapter is asked for.
    """
    location = str(checkpoint_folder(location) or location)
    if config.adapter is not None:
        raise ValueError(
            f"the agent in '{location}' has a critic that reads the hidden states of its own model, which an adapter "
            "changes: leave AgentConfig.adapter out, or train the critic on the model with the adapter"
        )
    if RECIPES[algorithm_of(location)].guide is None:
        return RerankingBackend.load(location, config)
    check_device(config.device)
    guidance = read_guidance(location, torch.device(config.device))
    return HuggingFaceBackend(location, config, guidance=guidance)


def reply_ends(loaded: LoadedModel) -> tuple[int, ...]:
    """The ids that end a model's reply."""
    told = end_ids(causal_lm.underlying(loaded.model).generation_config)
    return tuple(sorted(ChatFormat(loaded.tokenizer).stop_ids.union(told)))
