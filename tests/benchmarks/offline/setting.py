"""What a run of either library is given, and what is measured of it, in the same way for both."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tests.benchmarks.grpo.setting import Stored
from tests.benchmarks.offline.episodes import returns

Array = npt.NDArray[Any]
# Updates that warm a library up before its pace is measured, and the fewest that are measured.
_WARM_UP, _FEWEST = 20, 20
# Seed of the first episode that tells how good a policy is; none of the logs has it.
_EVALUATION_SEED = 90_000


@dataclass(frozen=True)
class Setting(Stored):
    """One run.

    Attributes:
        algorithm: a name of ours.
        log: an ``npz`` that :meth:`Transitions.save` wrote.
        width: of the two hidden layers, and of Decision Transformer's tokens.
        batch: steps of an update; of Decision Transformer, windows.
        seed: of weights, order and noise.
        updates: how many are done before the policy is judged.
        env_id: where it is judged.
        episodes: in how many; 0 to measure the pace of learning instead.
        seconds: CPU seconds that about as many updates are measured for.
        learning_rate: of all networks.
        gamma: discount; Decision Transformer has none.
        reward_scale: what rewards are multiplied by; Decision Transformer divides returns by the greatest instead.
        warm_up: updates in which BEAR only comes near to the log, and Decision Transformer's learning rate rises.
        normalize: whether observations are shifted and scaled by the log's mean and standard deviation.
    """

    algorithm: str
    log: str
    width: int = 64
    batch: int = 256
    seed: int = 0
    updates: int = 0
    env_id: str = ""
    episodes: int = 0
    seconds: float = 0.0
    learning_rate: float = 1e-3
    gamma: float = 0.99
    reward_scale: float = 1.0
    warm_up: int = 0
    normalize: bool = True


class Playing(Protocol):
    """A policy in episodes that go on side by side."""

    def act(self, observations: Array) -> Array:
        """From observations (N, D) to actions, in the environment's units."""
        ...

    def earned(self, rewards: Array) -> None:
        """What the last actions earned, (N,)."""
        ...


class Learning(Protocol):
    """A library with an algorithm and a log.

    Attributes:
        version: of the library.
        clock: how long updates alone take, without choosing what they learn from.
    """

    version: str
    clock: Clock

    def fit(self, updates: int) -> None:
        """Goes on for so many updates, with nothing reported or written."""
        ...

    def playing(self, episodes: int) -> Playing:
        """The policy at the beginning of so many episodes."""
        ...


class Clock:
    """CPU seconds that a function takes, all calls together."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose time is counted."""

        def counted(*arguments: Any, **keywords: Any) -> Any:
            begun = time.process_time()
            result = work(*arguments, **keywords)
            self.seconds += time.process_time() - begun
            return result

        return counted


def measured(learning: Learning, setting: Setting) -> dict[str, Any]:
    """How good the policy is, or how fast it learns, as the setting asks."""
    found = _judged(learning, setting) if setting.episodes else _timed(learning, setting)
    return {**found, "version": learning.version}


def _judged(learning: Learning, setting: Setting) -> dict[str, Any]:
    begun = time.process_time()
    learning.fit(setting.updates)
    learnt, playing = time.process_time() - begun, learning.playing(setting.episodes)
    begun = time.process_time()
    earned = returns(playing.act, setting.env_id, setting.episodes, _EVALUATION_SEED, playing.earned)
    return {
        "return": round(float(np.mean(earned)), 2),
        "deviation": round(float(np.std(earned)), 2),
        "updates": setting.updates,
        "learning_s": round(learnt, 1),
        "playing_s": round(time.process_time() - begun, 1),
    }


def _timed(learning: Learning, setting: Setting) -> dict[str, Any]:
    learning.fit(_WARM_UP)
    begun = time.process_time()
    learning.fit(_WARM_UP)
    updates = max(_FEWEST, round(setting.seconds * _WARM_UP / (time.process_time() - begun)))
    learning.clock.seconds, begun = 0.0, time.process_time()
    learning.fit(updates)
    whole = time.process_time() - begun
    return {
        "updates": updates,
        "per_s": updates / whole,
        "learning_per_s": updates / learning.clock.seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
    }
