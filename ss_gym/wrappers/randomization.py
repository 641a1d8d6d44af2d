"""A hook that draws the options of each reset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from ss_gym.reset_options import as_options

OptionSampler = Callable[[np.random.Generator], Mapping[str, Any]]

# A stream of its own, so that what is drawn here says nothing of what the environment draws from the same seed.
_STREAM = int.from_bytes(b"domain", "big")


class DomainRandomization(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Draws reset options, such as who the customer is, before each episode.

    What the caller of ``reset`` passes comes first. The draw follows from the reset's seed, so attempts
    of a group that share the seed share the domain; a reset without a seed goes on with the generator,
    as environments do. What was drawn is in ``info["drawn_options"]`` of ``reset``.

    There is no version for whole batches: resets happen inside them. Put it around each environment,
    ``TextVectorEnv([build] * 8)`` where ``build`` makes a wrapped one. Setting a state restores the
    episode with the options that it had, and does not touch the generator.

    >>> import ss_gym
    >>> def anybody(rng):
    ...     return {"user_seed": int(rng.integers(1000))}
    >>> env = DomainRandomization(gym.make("StateSet/Refund-v0"), anybody)
    >>> _, first = env.reset(seed=1)
    >>> _, again = env.reset(seed=1)
    >>> first["drawn_options"] == again["drawn_options"]
    True
    >>> env.reset(seed=1, options={"user_seed": 7})[1]["drawn_options"]
    {}

    Args:
        env: any environment that takes reset options.
        sample: draws options with the generator that it gets.

    Raises:
        TypeError: if ``sample`` is no function; from ``reset``, if it gives no mapping of options.
    """

    def __init__(self, env: gym.Env[Any, Any], sample: OptionSampler) -> None:
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, sample=sample)
        gym.Wrapper.__init__(self, env)
        if not callable(sample):
            raise TypeError(f"sample must be a function from a generator to reset options, got {sample!r:.80}")
        self._sample = sample
        self._rng: np.random.Generator | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The environment's reset, with options that were drawn under those that are given."""
        given = as_options(options)
        if seed is not None or self._rng is None:
            self._rng = np.random.default_rng(None if seed is None else [int(seed), _STREAM])
        drawn = self._sample(self._rng)
        if not isinstance(drawn, Mapping):
            raise TypeError(f"sample must give a mapping of reset options, got {type(drawn).__name__}")
        drawn = {name: value for name, value in as_options(drawn).items() if name not in given}
        observation, info = self.env.reset(seed=seed, options={**drawn, **given})
        return observation, {**info, "drawn_options": drawn}
