"""Wrappers that change how an agent sees the conversation; ``ss_gym.wrappers.vector`` has them for batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import gymnasium as gym
import numpy.typing as npt
from gymnasium.utils import RecordConstructorArgs

from ss_gym.types import Message
from ss_gym.wrappers.following import (
    MemoryFactory,
    Resuming,
    check_text,
    opening_messages,
    step_messages,
    with_messages,
)
from ss_gym.wrappers.hashing import HashingEncoder
from ss_gym.wrappers.numeric_views import EmbeddingView, Encoder, Features, FeatureView, HashedView
from ss_gym.wrappers.views import ChatView, Source, TokenView, TranscriptView, View

MAX_CHARS = 1_000_000


class ConversationObservation(Resuming, RecordConstructorArgs):
    """Shows the conversation through a view; ``info["messages"]`` stays as it is.

    Args:
        env: an environment whose own observations are text.
        view: how the conversation is seen.
    """

    def __init__(self, env: gym.Env[Any, Any], view: View) -> None:
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, view=view)
        super().__init__(env)
        check_text(env.unwrapped.observation_space, "observations", type(self).__name__)
        self.observation_space = view.space
        self._view = view
        self._state = view.begin()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The environment's reset, with the observation of the view."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._state = self._view.begin()
        return self._seen(observation, opening_messages(observation, info), info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """The environment's step, with the observation of the view."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        seen, info = self._seen(observation, step_messages(action, observation, info), info)
        return seen, float(reward), terminated, truncated, info

    def _seen(self, observation: Any, messages: list[Message], info: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        self._view.add(self._state, observation, messages)
        (seen,) = self._view.observations([self._state])
        return seen, {**with_messages(info, messages), **self._view.facts(self._state)}

    def _resume(self, messages: list[Message], running: bool) -> None:
        self._state = self._view.begin()
        if running:
            self._view.add(self._state, "", messages)


class TranscriptObservation(ConversationObservation):
    """The whole conversation as text to read, one line a message: the frame-stack of text.

    >>> import ss_gym
    >>> env = TranscriptObservation(gym.make("StateSet/Conversation-v0"))
    >>> env.reset(seed=1)[0].startswith("Customer: ")
    True
    >>> env.step("Hello!")[0].splitlines()[1]
    'Agent: Hello!'

    Args:
        env: an environment whose own observations are text.
        include_system: whether the system prompt is the beginning of it.
        max_chars: of a longer transcript only the newest characters are kept.

    Raises:
        TypeError: if the observations are no text.
    """

    def __init__(self, env: gym.Env[Any, Any], include_system: bool = False, max_chars: int = MAX_CHARS) -> None:
        RecordConstructorArgs.__init__(self, include_system=include_system, max_chars=max_chars)
        super().__init__(env, TranscriptView(include_system, max_chars))


class ChatObservation(ConversationObservation):
    """The whole conversation as JSON text: the list of its messages in OpenAI form.

    Text and no ``Sequence`` of ``Dict``: an assistant's message may hold tool calls, a tool's an id, and
    a space of dictionaries has the same keys for all.

    >>> import json, ss_gym
    >>> env = ChatObservation(gym.make("StateSet/Conversation-v0"), include_system=True)
    >>> observation, _ = env.reset(seed=1)
    >>> [message["role"] for message in json.loads(env.step("Hello!")[0])]
    ['system', 'user', 'assistant', 'user']

    Args:
        env: an environment whose own observations are text.
        include_system: whether the system prompt is the first message.
        max_chars: the longest text; the oldest messages are left out where it would be longer.

    Raises:
        TypeError: if the observations are no text.
    """

    def __init__(self, env: gym.Env[Any, Any], include_system: bool = False, max_chars: int = MAX_CHARS) -> None:
        RecordConstructorArgs.__init__(self, include_system=include_system, max_chars=max_chars)
        super().__init__(env, ChatView(include_system, max_chars))


class TokenObservation(ConversationObservation):
    """Token ids, int64, ``(max_length,)``: the newest ones, padded.

    A transcript is encoded message by message, each with its line break, so that ids once given stay as
    they are when the conversation goes on. ``info["num_tokens"]`` says how many ids are no padding;
    they are the first, or with ``padding_side="left"`` the last ones. It is meant for libraries that
    take arrays; our trainers keep the ids that were sampled and need no such wrapper.

    >>> import ss_gym
    >>> env = TokenObservation(gym.make("StateSet/Conversation-v0"), lambda text: list(text.encode()), 64)
    >>> ids, info = env.reset(seed=1)
    >>> ids.shape, bytes(ids[:9].tolist())
    ((64,), b'Customer:')

    Args:
        env: an environment whose own observations are text.
        tokenizer: a function from ``str`` to ids, or an object with ``encode``, as the tokenizers of
            Hugging Face are; special tokens are left out where ``encode`` takes ``add_special_tokens``.
        max_length: how many ids an observation has; the oldest are cut off.
        source: ``"transcript"``, all that was said, or ``"observation"``, what the environment gives.
        include_system: whether the system prompt is part of the transcript.
        padding_id: what fills the rest.
        padding_side: ``"right"`` or ``"left"``.
        vocabulary_size: the number of ids, for the bounds of the space; None does not bound them.

    Raises:
        TypeError: if the observations are no text, or the tokenizer can't encode.
        ValueError: if a setting is out of range; from ``reset`` and ``step``, if an id is.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        tokenizer: Any,
        max_length: int = 512,
        source: Source = "transcript",
        include_system: bool = False,
        padding_id: int = 0,
        padding_side: Literal["left", "right"] = "right",
        vocabulary_size: int | None = None,
    ) -> None:
        settings = {
            "max_length": max_length,
            "source": source,
            "include_system": include_system,
            "padding_id": padding_id,
            "padding_side": padding_side,
            "vocabulary_size": vocabulary_size,
        }
        # Not copied: a tokenizer may be large.
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, tokenizer=tokenizer, **settings)
        super().__init__(
            env,
            TokenView(tokenizer, max_length, source, include_system, padding_id, padding_side, vocabulary_size),
        )


class FeatureObservation(ConversationObservation):
    """Numbers that functions make of the conversation so far: float32, one entry a feature.

    The functions get what is remembered of the conversation: by default the list of its messages, the
    system message first where there is one. Where that would mean to read everything again at each
    step, give a ``memory`` of your own, such as a dialogue state that takes in each message once.

    >>> import ss_gym
    >>> def replies(messages):
    ...     return sum(message["role"] == "assistant" for message in messages) / 10
    >>> env = FeatureObservation(gym.make("StateSet/Conversation-v0"), [replies])
    >>> env.reset(seed=1)[0], env.step("Hello!")[0]
    (array([0.], dtype=float32), array([0.1], dtype=float32))

    Args:
        env: an environment whose own observations are text.
        features: a function from the memory to all of them, a sequence of functions for one each, or a
            mapping from name to function.
        low: the least value, one for all or one each.
        high: the greatest value, one for all or one each.
        names: what they are called; needed with one function for all, unless it takes an empty memory
            and so tells how many they are.
        clip: whether a value outside of the bounds becomes the bound; without, it is an error.
        memory: makes an empty memory: anything with ``append(message)``.

    Attributes:
        feature_names: in the order of the observation.

    Raises:
        TypeError: if the observations are no text, or features or memory are no functions.
        ValueError: if names or bounds do not fit the features; from ``reset`` and ``step``, if a value
            does not.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        features: Features | Mapping[str, Features] | Sequence[Features],
        low: npt.ArrayLike = 0.0,
        high: npt.ArrayLike = 1.0,
        names: Sequence[str] | None = None,
        clip: bool = False,
        memory: MemoryFactory = list,
    ) -> None:
        RecordConstructorArgs.__init__(
            self,
            _disable_deepcopy=True,
            features=features,
            low=low,
            high=high,
            names=names,
            clip=clip,
            memory=memory,
        )
        view = FeatureView(features, low, high, names, clip, memory)
        super().__init__(env, view)
        self.feature_names = view.names


class EmbeddingObservation(ConversationObservation):
    """A vector for the conversation so far, float32, ``(dimensions,)``.

    >>> import ss_gym
    >>> env = EmbeddingObservation(gym.make("StateSet/Conversation-v0"), dimensions=64)
    >>> vector, _ = env.reset(seed=1)
    >>> vector.shape, round(float(vector @ vector), 5)
    ((64,), 1.0)

    Args:
        env: an environment whose own observations are text.
        encoder: a function from a list of ``n`` texts to an ``(n, dimensions)`` array, such as the
            ``encode`` of a sentence encoder; by default a ``HashingEncoder``.
        dimensions: the length of the encoder's vectors.
        source: ``"transcript"``, all that was said, or ``"observation"``, what the environment gives.
        include_system: whether the system prompt is part of the transcript.
        normalise: whether vectors are divided by their L2 norm, so that they lie in [-1, 1]; without,
            the space has no bounds.

    Raises:
        TypeError: if the observations are no text, or the encoder is no function.
        ValueError: if a setting is out of range; from ``reset`` and ``step``, if the encoder's vectors
            are not finite or of another length.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        encoder: Encoder | None = None,
        dimensions: int = 256,
        source: Source = "transcript",
        include_system: bool = False,
        normalise: bool = True,
    ) -> None:
        settings = {"dimensions": dimensions, "source": source, "include_system": include_system}
        # Not copied: an encoder may be a model.
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, encoder=encoder, normalise=normalise, **settings)
        super().__init__(env, embedding_view(encoder, dimensions, source, include_system, normalise))


def embedding_view(
    encoder: Encoder | None, dimensions: int, source: Source, include_system: bool, normalise: bool
) -> View:
    """The view of an ``EmbeddingObservation``; what is hashed is hashed once."""
    hashing = HashingEncoder(dimensions) if encoder is None else encoder
    if isinstance(hashing, HashingEncoder) and hashing.dimensions != dimensions:
        raise ValueError(f"the encoder has {hashing.dimensions} dimensions: pass dimensions={hashing.dimensions}")
    if isinstance(hashing, HashingEncoder) and source == "transcript":
        return HashedView(hashing, include_system)
    return EmbeddingView(hashing, dimensions, source, include_system, normalise)
