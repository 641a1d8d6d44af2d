"""The space of utterances: any Unicode text up to a length."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NoReturn

import numpy as np
from gymnasium.error import CustomSpaceError
from gymnasium.spaces import Space, Text
from gymnasium.vector.utils import create_shared_memory

_WORDS = (
    "hello thanks for your patience I have checked the order and can refund it to card would you like me to go ahead "
    "please tell which item this is about what the e-mail and postal code are sorry that it arrived damaged we offer "
    "store credit or an exchange instead because return window has passed money arrives in a few days is there "
    "anything else today let me look into that one moment not yet delivered after Monday of $24.00 by 48213"
).split()
_ENDINGS = (".", "?", "!", ".")


class Utterance(Text):
    """Any ``str`` up to ``max_length`` characters, the empty string included.

    Gymnasium's ``Text`` lists its characters one by one, which for Unicode costs seconds; this space
    has no list. It therefore has no numeric form: it can't be flattened or put in shared memory.

    Args:
        max_length: the most characters that a member has.
        seed: seeds ``sample``.
    """

    # Gymnasium reads these when it builds an empty batch; members may hold any other character too.
    _char_list = (" ",)
    _char_set = frozenset(_char_list)
    _char_str = " "

    def __init__(self, max_length: int, *, seed: int | np.random.Generator | None = None) -> None:
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {max_length}")
        self.min_length = 0
        self.max_length = int(max_length)
        Space.__init__(self, dtype=str, seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Draws one to three short sentences of shop talk with the space's generator.

        Raises:
            ValueError: if a mask or probabilities are given; there is no character set to mask.
        """
        if mask is not None or probability is not None:
            raise ValueError("Utterance has no character set, so sample takes neither mask nor probability")
        rng = self.np_random
        sentences = []
        for _ in range(rng.integers(1, 4)):
            words = [_WORDS[index] for index in rng.integers(len(_WORDS), size=rng.integers(3, 13))]
            sentences.append(" ".join(words).capitalize() + _ENDINGS[rng.integers(len(_ENDINGS))])
        return " ".join(sentences)[: self.max_length]

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a ``str`` of at most ``max_length`` characters."""
        return isinstance(x, str) and len(x) <= self.max_length

    @property
    def is_np_flattenable(self) -> bool:
        """Always False: arbitrary text has no fixed numeric form."""
        return False

    def __repr__(self) -> str:
        """``Utterance(max_length)``."""
        return f"Utterance({self.max_length})"

    def __eq__(self, other: object, /) -> bool:
        """Equal to another Utterance with the same ``max_length``."""
        return isinstance(other, Utterance) and self.max_length == other.max_length


@create_shared_memory.register(Utterance)
def _refuse_shared_memory(space: Utterance, n: int = 1, ctx: ModuleType | None = None) -> NoReturn:
    raise CustomSpaceError(
        "Text observations do not fit into shared memory: build AsyncVectorEnv(..., shared_memory=False), "
        'or gymnasium.make_vec(..., vectorization_mode="async", vector_kwargs={"shared_memory": False}), '
        "or leave vectorization_mode out for the batched environment."
    )
