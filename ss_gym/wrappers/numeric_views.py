"""How a conversation is seen as numbers: features of what is remembered, or the vector of its text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box

from ss_gym.rendering import transcript
from ss_gym.types import Message
from ss_gym.wrappers.following import MemoryFactory, check_memory, fill
from ss_gym.wrappers.hashing import HashingEncoder, unit
from ss_gym.wrappers.views import Source, check_source, kept, text_in

Encoder = Callable[[Sequence[str]], npt.ArrayLike]
Features = Callable[[Any], npt.ArrayLike]


class FeatureView:
    """Numbers that functions make of what is remembered of the conversation."""

    def __init__(
        self,
        features: Features | Mapping[str, Features] | Sequence[Features],
        low: npt.ArrayLike,
        high: npt.ArrayLike,
        names: Sequence[str] | None,
        clip: bool,
        memory: MemoryFactory,
    ) -> None:
        check_memory(memory)
        self._memory, self._clip = memory, clip
        self._whole, self._parts, self.names = _feature_functions(features, names)
        size = len(self.names) if self.names else np.size(np.asarray(self._values(memory())))
        self.names = self.names or tuple(f"feature_{index}" for index in range(size))
        bounds = []
        for name, bound in (("low", low), ("high", high)):
            given = np.asarray(bound, np.float32)
            if given.shape not in ((), (size,)):
                raise ValueError(f"{name} must be a number or {size} of them, one a feature, got shape {given.shape}")
            bounds.append(np.broadcast_to(given, (size,)))
        if not np.all(bounds[0] <= bounds[1]):
            raise ValueError(f"low must not be above high, got low={low!r:.80} and high={high!r:.80}")
        self.space = Box(bounds[0], bounds[1], (size,), np.float32)

    def begin(self) -> Any:
        """An empty memory."""
        return self._memory()

    def add(self, state: Any, observation: Any, messages: Sequence[Message]) -> None:
        """Appends the messages to the memory."""
        fill(state, messages)

    def observations(self, states: Sequence[Any]) -> list[npt.NDArray[np.float32]]:
        """The features of each memory."""
        return [self._row(state) for state in states]

    def facts(self, state: Any) -> dict[str, Any]:
        """Nothing."""
        return {}

    def _values(self, state: Any) -> npt.ArrayLike:
        if self._whole is not None:
            return self._whole(state)
        return [float(function(state)) for function in self._parts]  # type: ignore[arg-type]

    def _row(self, state: Any) -> npt.NDArray[np.float32]:
        row = np.array(self._values(state), np.float32)  # a copy: the function may keep what it gave
        low, high = self.space.low, self.space.high
        if row.shape != low.shape:
            raise ValueError(f"the features must have shape {low.shape}, got {row.shape}")
        if self._clip:
            row = np.clip(row, low, high)
        fits = (row >= low) & (row <= high)  # False for what is no number
        if not fits.all():
            index = int(np.argmin(fits))
            raise ValueError(
                f"the feature {self.names[index]!r} is {row[index]:g}, outside of {low[index]:g} to {high[index]:g}: "
                "give its bounds as low and high, scale it, or say clip=True"
            )
        return row


def _feature_functions(
    features: Any, names: Sequence[str] | None
) -> tuple[Features | None, tuple[Features, ...], tuple[str, ...]]:
    """One function for all features or one for each, and the names where they are known."""
    if isinstance(names, str):
        raise TypeError(f"names must be a sequence of str, got the str {names!r:.80}")
    given = tuple(names or ())
    if callable(features):
        return features, (), given
    if isinstance(features, Mapping):
        names_of, parts = tuple(map(str, features)), tuple(features.values())
    elif isinstance(features, Sequence):
        parts = tuple(features)
        names_of = tuple(getattr(part, "__name__", f"feature_{index}") for index, part in enumerate(parts))
    else:
        parts = names_of = ()
    if not parts or not all(map(callable, parts)):
        raise TypeError(
            f"features must be a function, or a sequence of functions or mapping to functions, got {features!r:.80}"
        )
    if given and len(given) != len(parts):
        raise ValueError(f"there are {len(parts)} features and {len(given)} names")
    return None, parts, given or names_of


class EmbeddingView:
    """The vector of the transcript, or of the observation, by an encoder of texts."""

    def __init__(
        self, encoder: Encoder, dimensions: int, source: Source, include_system: bool, normalise: bool
    ) -> None:
        check_source(source)
        if not callable(encoder):
            raise TypeError(f"an encoder is a function from a list of str to an (n, d) array, got {encoder!r:.80}")
        if dimensions < 1:
            raise ValueError(f"dimensions must be at least 1, got {dimensions}")
        bound = 1.0 if normalise else np.inf
        self.space = Box(-bound, bound, (dimensions,), np.float32)
        self._encoder, self._normalise = encoder, normalise
        self._source, self._include_system = source, include_system

    def begin(self) -> list[str]:
        """No lines."""
        return []

    def add(self, state: list[str], observation: Any, messages: Sequence[Message]) -> None:
        """Appends what was said, or puts the observation in its place."""
        if self._source == "observation":
            state[:] = [text_in(observation)]
        elif lines := transcript(kept(messages, self._include_system)):
            state.append(lines)

    def observations(self, states: Sequence[list[str]]) -> list[npt.NDArray[np.float32]]:
        """Encodes all texts in one call."""
        vectors = np.asarray(self._encoder(["\n".join(state) for state in states]))
        expected = (len(states), *self.space.shape)
        if vectors.shape != expected:
            raise ValueError(
                f"the encoder gave shape {vectors.shape} for {len(states)} texts, expected {expected}: "
                "dimensions must be the length of its vectors"
            )
        if not np.isfinite(vectors).all():
            raise ValueError("the encoder gave a value that is not finite")
        return list(unit(vectors.astype(np.float64)) if self._normalise else vectors.astype(np.float32))

    def facts(self, state: list[str]) -> dict[str, Any]:
        """Nothing."""
        return {}


class HashedView:
    """The hashed vector of the transcript; each message is hashed once."""

    def __init__(self, encoder: HashingEncoder, include_system: bool) -> None:
        self.space = Box(-1.0, 1.0, (encoder.dimensions,), np.float32)
        self._encoder, self._include_system = encoder, include_system

    def begin(self) -> npt.NDArray[np.float64]:
        """No counts."""
        return np.zeros(self.space.shape)

    def add(self, state: npt.NDArray[np.float64], observation: Any, messages: Sequence[Message]) -> None:
        """Counts the new messages."""
        self._encoder.add(state, transcript(kept(messages, self._include_system)))

    def observations(self, states: Sequence[npt.NDArray[np.float64]]) -> list[npt.NDArray[np.float32]]:
        """Normalises each."""
        return list(unit(np.stack(states)))

    def facts(self, state: npt.NDArray[np.float64]) -> dict[str, Any]:
        """Nothing."""
        return {}
