"""Backends: what answers for an agent, found by the scheme of its model name."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from ss_gym.agents.config import AgentConfig
from ss_gym.agents.conversation import Conversation, content_of
from ss_gym.spelling import nearest
from ss_gym.streams import Stream
from ss_gym.types import Completion

ENTRY_POINT_GROUP = "ss_gym.backends"

# A model name without a scheme is one of these words or a Hugging Face folder or hub id.
_WORDS = frozenset({"tiny"})
_DEFAULT_SCHEME = "hf"
# The extra that brings the packages of each scheme of ours.
_EXTRAS = {"hf": "train", "offline": "train", "openai": "openai", "tiny": "train", "vllm": "vllm"}
# Settings of an agent that only some backends have: each is an option of theirs.
_SHARED_OPTIONS = ("dtype", "adapter")
_WORD, _PIECE = re.compile(r"\s*\S+"), re.compile(r"\s*\S+\s*\Z|\s*\S+|\s+")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample completions.

    Attributes:
        max_new_tokens: most tokens of one completion.
        temperature: softmax temperature; 0 takes the most likely token.
        top_p: only the likeliest tokens that together have at least this probability are drawn.
        stop: texts that end a completion; none of them is part of its text.
        seed: of the noise of these completions, whatever else is sampled meanwhile; None goes on with the
            backend's own.
    """

    max_new_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None

    @classmethod
    def of(cls, config: AgentConfig) -> Sampling:
        """How an agent samples."""
        return cls(config.max_new_tokens, config.temperature, config.top_p, config.stop)


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """A text up to the first of the texts that end it, and whether there was one.

    >>> cut_at_stop("One. Two. Three.", ("Three", " Two"))
    ('One.', True)
    >>> cut_at_stop("One.", ("Two",))
    ('One.', False)
    """
    places = [place for each in stop if (place := text.find(each)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


class Backend(Protocol):
    """What answers for an agent."""

    def generate(self, conversations: Sequence[Conversation], sampling: Sampling) -> list[Completion]:
        """One completion for each conversation, in order; each ends with a user or tool message.

        Conversations are left as they are, but for their ``state``.
        :func:`ss_gym.testing.check_backend` checks what a backend has to keep.

        Raises:
            UnanswerableError: if a conversation can't be answered as it is asked for: it is empty, ends with the
                agent's own message, or is too long or otherwise not for this model. Servers take this error alone
                for the fault of whoever asks.
            BackendError: if the backend can't answer at all.
        """
        ...


@runtime_checkable
class ChoosingBackend(Backend, Protocol):
    """A backend that can also tell how likely given answers are; optional, judges make use of it."""

    def choice_logprobs(
        self, conversations: Sequence[Conversation], choices: Sequence[str]
    ) -> Sequence[Sequence[float]]:
        """Log-probability, in nats, that the answer to each conversation begins with each of the choices.

        Args:
            conversations: as for ``generate``.
            choices: short texts, no one the beginning of another.

        Returns:
            A row for each conversation, a column for each choice.
        """
        ...


@runtime_checkable
class StreamingBackend(Backend, Protocol):
    """A backend that tells a completion while it is being made; optional, others tell it as a whole."""

    def stream(self, conversation: Conversation, sampling: Sampling) -> Generator[str, None, Completion]:
        """Pieces of the completion's text, in order; returns the completion. Closed early, it is given up."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step did for one of the conversations.

    Attributes:
        conversation: which.
        piece: text of its completion that is certain now, where somebody listens; may be empty.
        completion: the whole, once it is there.
    """

    conversation: Conversation
    piece: str = ""
    completion: Completion | None = None


@runtime_checkable
class SteppingBackend(Backend, Protocol):
    """A backend that goes on with all conversations by a token at a time; optional.

    Conversations can join and leave between two steps, so that those of many callers make one batch.
    """

    def submit(
        self, conversation: Conversation, sampling: Sampling | None = None, place: int = 0, *, listening: bool = False
    ) -> None:
        """Asks for a completion; ``place`` tells apart those that share a seed, ``listening`` asks for pieces.

        Raises:
            UnanswerableError: as ``generate``.
        """
        ...

    def step(self) -> list[Progress]:
        """Goes on with all conversations; tells of those that have a new piece or their completion."""
        ...

    def close(self, conversation: Conversation) -> None:
        """Gives up what was asked, if it is not there yet, and frees what is kept on the conversation."""
        ...


@runtime_checkable
class ConcurrentBackend(Backend, Protocol):
    """A backend whose calls may be made from several threads at once; optional.

    Attributes:
        concurrency: how many calls may be under way at once.
    """

    concurrency: int


@runtime_checkable
class MeasuringBackend(Backend, Protocol):
    """A backend that knows how long conversations are; optional, agents that trim histories need it.

    Attributes:
        max_context: most tokens of a conversation, the reply included.
    """

    max_context: int

    def room(self, conversation: Conversation) -> int:
        """The tokens that are left for a reply; none or less than none if it is too long.

        Another thread may answer other conversations meanwhile.

        Raises:
            UnanswerableError: as ``generate``.
        """
        ...


@runtime_checkable
class DecodingBackend(Backend, Protocol):
    """A backend that tells what its token ids stand for; optional."""

    def text_of(self, token_ids: Sequence[int], stop: Sequence[str] = ()) -> str:
        """The text of a completion of these ids, ended by the first of the texts in ``stop``."""
        ...


@runtime_checkable
class SavingBackend(Backend, Protocol):
    """A backend whose model may be here, to be written; optional, agents of others are saved by their name."""

    def save(self, folder: Path) -> Mapping[str, Any] | None:
        """Writes the model's files into an empty folder; weights as safetensors.

        Returns:
            what goes into the manifest's provenance, such as the ``base_model`` of adapters; None if the model is not
            here after all: nothing is written, and its name says which it is.

        Raises:
            OSError: if they can't be written.
        """
        ...


# Called with the part of the model name after "SCHEME://" and the agent's config.
BackendFactory = Callable[[str, AgentConfig], Backend]


class BackendError(RuntimeError):
    """A backend can't answer; the message says why and what to do."""


Options = TypeVar("Options")


def read_options(config: AgentConfig, kind: type[Options]) -> Options:
    """The options of an agent's backend, ``config.dtype`` and ``config.adapter`` among them where it has these.

    Args:
        config: the agent's.
        kind: a dataclass with a field for each option.

    Raises:
        ValueError: if there is no such option, a value is out of its range, or one is given twice and differs.
    """
    known = [entry.name for entry in fields(kind)]  # type: ignore[arg-type]
    for name in config.backend_options:
        if name not in known:
            hint = nearest(name, known) if known else "it has none"
            raise ValueError(f"'{config.model_name}' has no backend option {name!r:.80}; {hint}")
    # A list, as JSON and YAML give it, stands for a tuple.
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in config.backend_options.items()}
    for name in _SHARED_OPTIONS:
        value = getattr(config, name)
        if value is not None and name not in known:
            raise ValueError(f"'{config.model_name}' takes no {name}: leave it out of the AgentConfig")
        if value is not None and given.setdefault(name, value) != value:
            raise ValueError(f"{name} is {value!r:.80} and, in backend_options, {given[name]!r:.80}: give it once")
    try:
        return kind(**given)
    except TypeError as error:
        raise ValueError(f"'{config.model_name}' has a backend option of a wrong kind ({error})") from error


def split_model_name(model_name: str) -> tuple[str, str]:
    """The scheme of a model name and what it names.

    >>> split_model_name("stub://demo")
    ('stub', 'demo')
    >>> split_model_name("tiny")
    ('tiny', '')
    >>> split_model_name("./outputs/refund")
    ('hf', './outputs/refund')
    """
    scheme, separator, location = model_name.partition("://")
    if separator:
        return scheme, location
    return (model_name, "") if model_name in _WORDS else (_DEFAULT_SCHEME, model_name)


def check_model_name(model_name: str) -> None:
    """Refuses a model name that no installed backend answers for, without loading anything.

    Raises:
        ValueError: if no installed backend has the scheme.
    """
    scheme, _ = split_model_name(model_name)
    known = sorted({"stub", *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})
    if scheme not in known:
        near = get_close_matches(scheme, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"installed: {', '.join(known)}."
        raise ValueError(f"no backend for '{model_name}': unknown scheme '{scheme}'; {hint}")


def load_backend(config: AgentConfig) -> Backend:
    """The backend that answers for a model name.

    Raises:
        ValueError: if no installed backend has the scheme.
        ImportError: if the backend needs packages that are not installed.
    """
    check_model_name(config.model_name)
    scheme, location = split_model_name(config.model_name)
    if scheme == "stub":
        return StubBackend(location, config)
    installed = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    try:
        factory: BackendFactory = installed[scheme].load()
    except ModuleNotFoundError as error:
        remedy = f"pip install 'stateset-gym[{_EXTRAS[scheme]}]'" if scheme in _EXTRAS else "install it"
        raise ImportError(f"the backend of '{config.model_name}' needs the package '{error.name}': {remedy}") from error
    return factory(location, config)


@dataclass(frozen=True, slots=True)
class _NoOptions:
    """Of backends that have none."""


class StubBackend:
    """A deterministic stand-in for a language model, for demonstrations and tests.

    It follows ``config.stub_responses`` where there are any, the n-th answer of a conversation
    being the n-th response; otherwise it refers to what the user said last. The same
    conversation always gets the same answer.

    Args:
        name: what stands after ``stub://``; agents with other names word their answers differently.
        config: the agent's config.

    Attributes:
        concurrency: how many threads may ask it at once.
    """

    concurrency = 64
    _TEMPLATES = (
        "Thank you for telling me about “{topic}”. Could you give me a few more details?",
        "I understand: “{topic}”. What would you like me to do about it?",
        "Thanks for reaching out about “{topic}”. Let me help you with that.",
    )
    _TOPIC_WORDS = 8

    def __init__(self, name: str, config: AgentConfig) -> None:
        read_options(config, _NoOptions)
        self._key = (name, config.seed)
        self._responses = config.stub_responses

    def generate(self, conversations: Sequence[Conversation], sampling: Sampling) -> list[Completion]:
        """The scripted or made-up answer to each conversation; its words are its tokens."""
        return [self._completed(self._answer(conversation), sampling) for conversation in conversations]

    def stream(self, conversation: Conversation, sampling: Sampling) -> Generator[str, None, Completion]:
        """The answer word by word."""
        (completion,) = self.generate([conversation], sampling)
        yield from _PIECE.findall(completion.text)
        return completion

    @staticmethod
    def _completed(answer: str, sampling: Sampling) -> Completion:
        text, _ = cut_at_stop(answer, sampling.stop)
        words = list(_WORD.finditer(text))
        if len(words) <= sampling.max_new_tokens:
            return Completion(text)
        return Completion(text[: words[sampling.max_new_tokens - 1].end()], finish_reason="length")

    def _answer(self, conversation: Conversation) -> str:
        conversation.check_answerable()
        turn = sum(1 for message in conversation if message["role"] == "assistant")
        if self._responses:
            return self._responses[turn % len(self._responses)]
        heard = (content_of(message) for message in reversed(conversation) if message["role"] == "user")
        words = next(heard, "").split()
        if not words:
            return "Hello! How can I help you today?"
        topic = " ".join(words[: self._TOPIC_WORDS]) + ("…" if len(words) > self._TOPIC_WORDS else "")
        return Stream(*self._key, turn, topic).choice(self._TEMPLATES).format(topic=topic)
