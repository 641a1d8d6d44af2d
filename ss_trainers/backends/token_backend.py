"""What the backends have in common that sample tokens themselves: conversations in, completions out.

Where the tokens come from is a generator's matter: ours (:mod:`ss_trainers.generation`) or an engine's.
"""

from __future__ import annotations

from collections import abc, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar
from weakref import finalize

import numpy as np
import torch

from ss_gym.agents import Conversation, Sampling
from ss_gym.agents.backends import Progress
from ss_gym.agents.dialects import Dialect, as_action, dialect_of
from ss_gym.types import Completion
from ss_trainers.backends.lengths import least_ids
from ss_trainers.chat import ChatFormat, EncodedConversation
from ss_trainers.sessions import SampledTokens
from ss_trainers.text_stream import TextStream
from ss_trainers.token_sampling import SamplingSettings


class SampledSession(Protocol):
    """One conversation, as a generator keeps it."""

    @property
    def reply_ids(self) -> Sequence[int]:
        """The ids of the reply so far, or of the last one."""
        ...


SessionT = TypeVar("SessionT", bound=SampledSession)


class TokenGenerator(Protocol[SessionT]):
    """Samples replies for many conversations at once, as :class:`ss_trainers.generation.Generator` does.

    Attributes:
        max_context: the most tokens of a conversation.
    """

    max_context: int

    def open(self, prompt_ids: Sequence[int]) -> SessionT:
        """Starts a conversation with a prompt."""
        ...

    def extend(
        self,
        session: SessionT,
        new_ids: Sequence[int],
        settings: SamplingSettings,
        noise: torch.Generator | None = None,
    ) -> None:
        """Gives a conversation what arrived since its last reply, and asks for the next one."""
        ...

    def step(self) -> list[tuple[SessionT, SampledTokens]]:
        """Goes on with every conversation that waits; the replies that are finished."""
        ...

    def close(self, session: SessionT) -> None:
        """Ends a conversation."""
        ...

    def weights_changed(self) -> None:
        """Forgets everything that was computed; there must be no open conversation."""
        ...


@dataclass(slots=True)
class _Dialogue(Generic[SessionT]):
    """What the backend keeps on a conversation.

    Attributes:
        encoded: its ids.
        session: the generator's; None before the first.
        known: the ids that the session was given or has sampled.
        asked: messages that the last reply was asked for with.
    """

    encoded: EncodedConversation
    session: SessionT | None
    known: list[int]
    asked: int = 0


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


class TokenBackend(Generic[SessionT]):
    """Answers conversations with the tokens that a generator samples.

    It is a backend of an agent (``generate``) and a player of rollouts (``submit``, ``replies``).
    Both keep what was computed for a :class:`Conversation`, so that a reply costs only the tokens
    that are new; it is freed with the conversation.

    Args:
        chat: how the model's tokenizer writes conversations.
        generator: samples the replies.
        ends: ids that end a reply beside those of ``chat``.
        rng: where the generator's draws come from.
        sampling: how replies are sampled that are submitted without a sampling of their own.
        dialect: how the model writes calls; by default as its chat template shows.

    Attributes:
        chat: as above.
        generator: as above.
        ends: the ids that end a reply, in order.
        trained: whether the weights have changed since they were loaded.
    """

    def __init__(
        self,
        chat: ChatFormat,
        generator: TokenGenerator[SessionT],
        ends: Collection[int],
        rng: torch.Generator,
        sampling: Sampling,
        dialect: Dialect | None = None,
    ) -> None:
        self.chat, self.generator, self.trained = chat, generator, False
        self._dialect = dialect or dialect_of(chat.template)
        self.ends = tuple(sorted(chat.stop_ids.union(ends)))
        self._rng, self._sampling = rng, sampling
        self._known_settings: dict[Sampling, SamplingSettings] = {}
        self._asked: dict[SessionT, _Asked] = {}
        self._sessions: set[SessionT] = set()
        # Replies to conversations that were submitted and finished while ``generate`` went on.
        self._kept: list[tuple[Conversation, Completion]] = []
        # Conversations may be freed at any moment, but their sessions only between two steps.
        self._freed: deque[SessionT] = deque()

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
            UnanswerableError: if a conversation is empty, ends with the agent's own message, begins with a prompt that
                is longer than the model's context, or has messages that the model's chat template does not take.
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

    @property
    def max_context(self) -> int:
        """Most tokens of a conversation, the reply included."""
        return self.generator.max_context

    def room(self, conversation: Conversation) -> int:
        """The tokens that are left for the reply to a conversation; of one that is far too long, so many at most.

        The conversation is encoded here, and not again when it is submitted. Another thread may go on with others
        meanwhile, as long as one alone encodes.

        Raises:
            UnanswerableError: if it has messages that the model's chat template does not take.
        """
        encoded = self._known(conversation).encoded
        if least := least_ids(encoded, conversation, self.max_context):
            return self.max_context - least
        encoded.update(conversation)
        return self.max_context - len(encoded.ids)

    def stream(self, conversation: Conversation, sampling: Sampling) -> abc.Generator[str, None, Completion]:
        """Pieces of a completion while it is sampled; as a whole in another dialect or where it begins with thoughts.

        Raises:
            UnanswerableError: as ``generate``.
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
            UnanswerableError: as ``generate``.
        """
        conversation.check_answerable()
        while self._freed:
            self._drop(self._freed.popleft())
        dialogue, session = self._dialogue(conversation)
        ids = dialogue.encoded.ids
        sampling = sampling or self._sampling
        noise = None if sampling.seed is None else torch.Generator().manual_seed(_mixed(sampling.seed, place))
        self.generator.extend(session, ids[len(dialogue.known) :], self._settings(sampling), noise)
        dialogue.known, dialogue.asked = ids, dialogue.encoded.seen
        # Another dialect can be turned into ours as a whole only, and what is thought known by its end only.
        certain = listening and self._dialect == "hermes" and not self.chat.opens_thought
        text = TextStream(self.chat.decoded, sampling.stop) if certain else None
        self._asked[session] = _Asked(conversation, sampling, listening, text)

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
            text = self.text_of(sampled.token_ids, asked.sampling.stop)
            completion = Completion(text, sampled.token_ids, sampled.logprobs, sampled.finish_reason)
            piece = text if asked.listening else ""
            if asked.text is not None:
                piece = self._heard(session, asked) + asked.text.end()
            done.append(Progress(asked.conversation, piece, completion))
        for session, asked in self._asked.items():
            if piece := self._heard(session, asked):
                done.append(Progress(asked.conversation, piece))
        return done

    def _heard(self, session: SessionT, asked: _Asked) -> str:
        """What the ids that are new add to the text that is certain."""
        if asked.text is None:
            return ""
        new = [token for token in session.reply_ids[asked.read :] if token not in self.chat.stop_ids]
        asked.read = len(session.reply_ids)
        return asked.text.push(new) if new else ""

    def _keep(self, progress: Progress) -> None:
        if progress.completion is not None:
            self._kept.append((progress.conversation, progress.completion))

    def text_of(self, token_ids: Sequence[int], stop: Sequence[str] = ()) -> str:
        """The text of a completion of these ids, ended by the first of the texts in ``stop``; calls in our form."""
        return as_action(self.chat.text(token_ids, stop), self._dialect)

    def encoding(self, conversation: Conversation) -> EncodedConversation | None:
        """The ids that the model saw and sampled, up to its last reply; None if it read a trimmed one in its place."""
        state: _Dialogue[SessionT] | None = conversation.state
        return state.encoded if state is not None and state.asked == state.encoded.seen else None

    def close(self, conversation: Conversation) -> None:
        """Frees the keys and values of a conversation that has ended."""
        self._kept = [(other, completion) for other, completion in self._kept if other is not conversation]
        if isinstance(conversation.state, _Dialogue) and conversation.state.session is not None:
            self._drop(conversation.state.session)

    def _dialogue(self, conversation: Conversation) -> tuple[_Dialogue[SessionT], SessionT]:
        """What is kept on the conversation, with its ids brought up to date, and its session."""
        state = self._known(conversation)
        state.encoded.update(conversation)
        ids, session = state.encoded.ids, state.session
        # The weights have changed since, or the conversation did not go on with what was sampled.
        if session not in self._sessions or ids[: len(state.known)] != state.known:
            if session is not None:
                self._drop(session)
            session = state.session = self.generator.open(state.encoded.prompt_ids)
            state.known = list(state.encoded.prompt_ids)
            self._sessions.add(session)
            finalize(conversation, self._freed.append, session)
        return state, session

    def _known(self, conversation: Conversation) -> _Dialogue[SessionT]:
        """What is kept on the conversation; little at first."""
        state: _Dialogue[SessionT] = conversation.state
        if not isinstance(state, _Dialogue) or state.encoded.chat is not self.chat:
            state = conversation.state = _Dialogue(EncodedConversation(self.chat), None, [])
        return state

    def _drop(self, session: SessionT) -> None:
        self.generator.close(session)
        self._sessions.discard(session)
        self._asked.pop(session, None)

    def _settings(self, sampling: Sampling) -> SamplingSettings:
        known = self._known_settings.get(sampling)
        if known is None:
            stopped = partial(self._has_stop, sampling.stop) if sampling.stop else None
            known = SamplingSettings(self.ends, sampling.max_new_tokens, sampling.temperature, sampling.top_p, stopped)
            self._known_settings = {sampling: known}  # the last one: most replies are sampled alike
        return known

    def _has_stop(self, stop: Sequence[str], ids: Sequence[int]) -> bool:
        """Whether one of the texts has just come to its end; no token is without a byte."""
        longest = max(len(each.encode()) for each in stop)
        text = self.chat.decoded(ids[-longest - 1 :])
        return any(each in text for each in stop)


def first_ids(chat: ChatFormat, choices: Sequence[str]) -> list[int]:
    """The first token of each of several answers.

    Raises:
        ValueError: if two begin with the same one.
    """
    first = [chat.completion_ids(choice)[0] for choice in choices]
    if len(set(first)) < len(first):
        raise ValueError(f"the tokenizer begins two of the choices {', '.join(choices)} with the same token")
    return first


def _mixed(seed: int, place: int) -> int:
    """A seed for each of several replies that share one."""
    return int(np.random.SeedSequence([seed % 2**64, place]).generate_state(1, np.uint64)[0] >> 1)
