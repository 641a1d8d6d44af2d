"""The backend for Hugging Face causal language models: conversations in, sampled tokens out."""

from __future__ import annotations

from collections import abc, deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from weakref import finalize

import numpy as np
import torch

from ss_gym.agents import AgentConfig, Conversation, Sampling
from ss_gym.agents.backends import Progress, read_options
from ss_gym.agents.dialects import DIALECTS, Dialect, as_action, dialect_of
from ss_gym.types import Completion
from ss_trainers import causal_lm
from ss_trainers.backends.models import TINY, LoadedModel, load_model
from ss_trainers.chat import ChatFormat, EncodedConversation
from ss_trainers.generation import Generator, Session
from ss_trainers.text_stream import TextStream
from ss_trainers.token_sampling import SamplingSettings

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(slots=True)
class _Dialogue:
    """What the backend keeps on a conversation.

    Attributes:
        encoded: its ids.
        session: the model's keys and values.
        known: the ids that the session was given or has sampled.
    """

    encoded: EncodedConversation
    session: Session
    known: list[int]


@dataclass(slots=True)
class _Asked:
    """A reply that is being sampled.

    Attributes:
        conversation: whose.
        sampling: how.
        listening: whether somebody wants to hear the text before it is complete.
        text: what is certain of it, where it can be told piece by piece.
        read: how many of its ids that text has.
    """

    conversation: Conversation
    sampling: Sampling
    listening: bool
    text: TextStream | None
    read: int = 0


@dataclass(frozen=True, slots=True)
class HuggingFaceOptions:
    """``AgentConfig.backend_options`` of this backend.

    Attributes:
        max_context: most tokens of a conversation; the model's own limit if None.
        dtype: the model's weights are rounded to it for sampling, such as ``"bfloat16"``; its own if None.
        dialect: how the model writes calls, one of ``ss_gym.agents.dialects.DIALECTS``; by default as its chat
            template shows.
    """

    max_context: int | None = None
    dtype: str | None = None
    dialect: Dialect | None = None

    def __post_init__(self) -> None:
        """Refuses precisions that no model computes in."""
        for name, known in (("dtype", _DTYPES), ("dialect", DIALECTS)):
            if getattr(self, name) not in (None, *known):
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r:.80}")


class HuggingFaceBackend:
    """Answers conversations with a causal language model.

    It is a backend of an agent (``generate``) and a player of rollouts (``submit``, ``replies``).
    Both keep what the model computed for a :class:`Conversation`, so that a reply costs only the
    tokens that are new; it is freed with the conversation.

    Args:
        location: which model, as in :func:`ss_trainers.backends.models.load_model`; ``"tiny"`` if
            empty.
        config: the agent's; device, seed and sampling are read, and ``backend_options`` as those of
            :class:`HuggingFaceOptions`.
        loaded: the model, where it is loaded already.
        max_context: in place of the option.
        dtype: in place of the option.

    Attributes:
        loaded: the model and its tokenizer.
        chat: how the tokenizer writes conversations.
        generator: samples the replies.
        trained: whether the weights have changed since they were loaded.
    """

    def __init__(
        self,
        location: str,
        config: AgentConfig,
        loaded: LoadedModel | None = None,
        max_context: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        options = read_options(config, HuggingFaceOptions)
        self.loaded = loaded or load_model(location or TINY, config.device)
        self.chat = ChatFormat(self.loaded.tokenizer)
        self._dialect = options.dialect or dialect_of(self.chat.template)
        self._known_settings: dict[Sampling, SamplingSettings] = {}
        self._rng = torch.Generator().manual_seed(config.seed)
        self._sampling = Sampling.of(config)
        self.generator = Generator(
            self.loaded.model,
            self._settings(Sampling.of(config)),
            max_context=options.max_context if max_context is None else max_context,
            rng=self._rng,
            dtype=_DTYPES.get(options.dtype or "") if dtype is None else dtype,
        )
        self.trained = False
        self._asked: dict[Session, _Asked] = {}
        self._sessions: set[Session] = set()
        # Replies to conversations that were submitted and finished while ``generate`` went on.
        self._kept: list[tuple[Conversation, Completion]] = []
        # Conversations may be freed at any moment, but their sessions only between two steps.
        self._freed: deque[Session] = deque()

    def seed(self, seed: int) -> None:
        """Starts the sampling noise anew, and with it everything that replies can depend on.

        Which rows of the cache are in use decides how sums are rounded, so what was played before
        would show in the last digit, and a run that is resumed would leave the one it resumes.
        """
        self._rng.manual_seed(seed)
        if not self._sessions:
            self.generator.weights_changed()

    def set_sampling(self, sampling: Sampling) -> None:
        """Sets how the replies that are submitted from now on without a sampling of their own are sampled."""
        self._sampling = sampling

    def weights_changed(self) -> None:
        """Forgets what was computed with the model's old weights; to be called when they change."""
        self.trained = True
        for session in list(self._sessions):
            self._drop(session)
        self.generator.weights_changed()

    def generate(self, conversations: Sequence[Conversation], sampling: Sampling) -> list[Completion]:
        """One completion for each conversation, in order.

        If it raises, none of the conversations is waited for any more, and each can be asked again.

        Raises:
            ValueError: if a conversation's prompt is longer than the model's context.
        """
        submitted: list[Conversation] = []
        given: dict[int, Completion] = {}
        try:
            for place, conversation in enumerate(conversations):
                self.submit(conversation, sampling, place)
                submitted.append(conversation)
            own = {id(conversation) for conversation in submitted}
            while len(given) < len(own):
                for conversation, completion in self._advance():
                    if id(conversation) in own:
                        given[id(conversation)] = completion
                    else:
                        self._kept.append((conversation, completion))
        except BaseException:
            for conversation in submitted:
                self.close(conversation)
            raise
        return [given[id(conversation)] for conversation in conversations]

    @torch.inference_mode()
    def choice_logprobs(self, conversations: Sequence[Conversation], choices: Sequence[str]) -> list[list[float]]:
        """See ``ChoosingBackend``: of each choice, the model's log-probability of its first token.

        Raises:
            ValueError: if two choices begin with the same token, or a conversation is longer than the context.
        """
        first = [self.chat.completion_ids(choice)[0] for choice in choices]
        if len(set(first)) < len(first):
            raise ValueError(f"the tokenizer begins two of the choices {', '.join(choices)} with the same token")
        model, rows = self.loaded.model, []
        for conversation in conversations:
            encoded = EncodedConversation(self.chat)
            encoded.update(conversation)
            most = causal_lm.context_length(causal_lm.underlying(model))
            if len(encoded.ids) >= most:
                raise ValueError(f"the prompt has {len(encoded.ids)} tokens and the model's context {most}")
            ids = torch.tensor([encoded.ids], device=next(model.parameters()).device)
            logprobs = model(input_ids=ids).logits[0, -1].float().log_softmax(-1)
            rows.append([float(logprobs[token]) for token in first])
        return rows

    @property
    def max_context(self) -> int:
        """Most tokens of a conversation, the reply included."""
        return self.generator.max_context

    def room(self, conversation: Conversation) -> int:
        """The tokens that are left for the reply to a conversation."""
        state = conversation.state
        kept = isinstance(state, _Dialogue) and state.encoded.chat is self.chat
        encoded = state.encoded if kept else EncodedConversation(self.chat)
        encoded.update(conversation)
        return self.max_context - len(encoded.ids)

    def stream(self, conversation: Conversation, sampling: Sampling) -> abc.Generator[str, None, Completion]:
        """Pieces of a completion while it is sampled; as a whole in another dialect or where it begins with thoughts.

        Raises:
            ValueError: if the conversation's prompt is longer than the model's context.
        """
        self.submit(conversation, sampling, listening=True)
        try:
            while True:
                for progress in self.step():
                    if progress.conversation is not conversation:
                        self._keep(progress)
                        continue
                    if progress.piece:
                        yield progress.piece
                    if progress.completion is not None:
                        return progress.completion
        except BaseException:
            self.close(conversation)
            raise

    def submit(
        self, conversation: Conversation, sampling: Sampling | None = None, place: int = 0, *, listening: bool = False
    ) -> None:
        """Asks for the reply to a conversation.

        Args:
            conversation: ends with a user or tool message.
            sampling: how the reply is sampled; by default as ``set_sampling`` said last.
            place: of the reply among those that share the seed of the sampling, so that they differ.
            listening: whether ``step`` tells its text while it is sampled.

        Raises:
            ValueError: if its prompt is longer than the model's context.
        """
        while self._freed:
            self._drop(self._freed.popleft())
        dialogue = self._dialogue(conversation)
        ids = dialogue.encoded.ids
        sampling = sampling or self._sampling
        noise = None if sampling.seed is None else torch.Generator().manual_seed(_mixed(sampling.seed, place))
        self.generator.extend(dialogue.session, ids[len(dialogue.known) :], self._settings(sampling), noise)
        dialogue.known = ids
        # Another dialect can be turned into ours as a whole only, and what is thought known by its end only.
        certain = listening and self._dialect == "hermes" and not self.chat.opens_thought
        text = TextStream(self.chat.decoded, sampling.stop) if certain else None
        self._asked[dialogue.session] = _Asked(conversation, sampling, listening, text)

    def replies(self) -> list[tuple[Conversation, Completion]]:
        """At least one of the replies that were asked for and not given yet."""
        kept, self._kept = self._kept, []
        return kept or self._advance()

    def _advance(self) -> list[tuple[Conversation, Completion]]:
        """Goes on with all conversations until one at least has its reply."""
        given: list[tuple[Conversation, Completion]] = []
        while self._asked and not given:
            for progress in self.step():
                if progress.completion is not None:
                    given.append((progress.conversation, progress.completion))
        return given

    def step(self) -> list[Progress]:
        """Goes on with all conversations by a token; what is new of those that are listened to or have their reply."""
        done = []
        for session, sampled in self.generator.step():
            asked = self._asked.pop(session)
            asked.conversation.state.known.extend(sampled.token_ids)
            text = as_action(self.chat.text(sampled.token_ids, asked.sampling.stop), self._dialect)
            completion = Completion(text, sampled.token_ids, sampled.logprobs, sampled.finish_reason)
            piece = text if asked.listening else ""
            if asked.text is not None:
                piece = self._heard(session, asked) + asked.text.end()
            done.append(Progress(asked.conversation, piece, completion))
        for session, asked in self._asked.items():
            if piece := self._heard(session, asked):
                done.append(Progress(asked.conversation, piece))
        return done

    def _heard(self, session: Session, asked: _Asked) -> str:
        """What the ids that are new add to the text that is certain."""
        if asked.text is None:
            return ""
        new = [token for token in session.reply_ids[asked.read :] if token not in self.chat.stop_ids]
        asked.read = len(session.reply_ids)
        return asked.text.push(new) if new else ""

    def _keep(self, progress: Progress) -> None:
        if progress.completion is not None:
            self._kept.append((progress.conversation, progress.completion))

    def encoding(self, conversation: Conversation) -> EncodedConversation:
        """The ids that the model saw and sampled, up to its last reply."""
        state: _Dialogue = conversation.state
        return state.encoded

    def close(self, conversation: Conversation) -> None:
        """Frees the keys and values of a conversation that has ended."""
        self._kept = [(other, completion) for other, completion in self._kept if other is not conversation]
        if isinstance(conversation.state, _Dialogue):
            self._drop(conversation.state.session)

    def _dialogue(self, conversation: Conversation) -> _Dialogue:
        """What is kept on the conversation, with its ids brought up to date."""
        state = conversation.state
        if not isinstance(state, _Dialogue) or state.encoded.chat is not self.chat:
            state = conversation.state = _Dialogue(EncodedConversation(self.chat), Session(), [])
        state.encoded.update(conversation)
        ids = state.encoded.ids
        # The weights have changed since, or the conversation did not go on with what was sampled.
        if state.session not in self._sessions or ids[: len(state.known)] != state.known:
            self._drop(state.session)
            state.session = self.generator.open(state.encoded.prompt_ids)
            state.known = list(state.encoded.prompt_ids)
            self._sessions.add(state.session)
            finalize(conversation, self._freed.append, state.session)
        return state

    def _drop(self, session: Session) -> None:
        self.generator.close(session)
        self._sessions.discard(session)
        self._asked.pop(session, None)

    def _settings(self, sampling: Sampling) -> SamplingSettings:
        known = self._known_settings.get(sampling)
        if known is None:
            model_ends = causal_lm.underlying(self.loaded.model).generation_config.eos_token_id or []
            ends = self.chat.stop_ids.union([model_ends] if isinstance(model_ends, int) else model_ends)
            stopped = partial(self._has_stop, sampling.stop) if sampling.stop else None
            known = SamplingSettings(
                tuple(sorted(ends)), sampling.max_new_tokens, sampling.temperature, sampling.top_p, stopped
            )
            self._known_settings = {sampling: known}  # the last one: most replies are sampled alike
        return known

    def _has_stop(self, stop: Sequence[str], ids: Sequence[int]) -> bool:
        """Whether one of the texts has just come to its end; no token is without a byte."""
        longest = max(len(each.encode()) for each in stop)
        text = self.chat.decoded(ids[-longest - 1 :])
        return any(each in text for each in stop)


def _mixed(seed: int, place: int) -> int:
    """A seed for each of several replies that share one."""
    return int(np.random.SeedSequence([seed % 2**64, place]).generate_state(1, np.uint64)[0] >> 1)
