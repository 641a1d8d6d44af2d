"""Runs of d3rlpy, in its own environment: ``python -m tests.benchmarks.offline.d3rlpy SETTING…``, a line for each.

d3rlpy takes next observations from the row below, and leaves out the last step of an episode that ran out of time,
since its next observation is not there. Here such an episode has one row more, with what was seen then, so that
d3rlpy learns from the same steps; it is checked that it does.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ss_trainers.offline.scaling import Scaling
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.transitions import Transitions
from tests.benchmarks.offline.recipes import theirs, transformer_optimizer
from tests.benchmarks.offline.setting import Clock, Playing, Setting, measured

Array = npt.NDArray[Any]
# Updates whose metrics d3rlpy averages: it averages those of the present epoch anew every ten updates.
_EPOCH = 500


class TheirLearning:
    """d3rlpy on a log.

    Args:
        setting: of the run.

    Raises:
        ValueError: if d3rlpy does not have the algorithm, or would learn from other steps than the log's.
    """

    def __init__(self, setting: Setting) -> None:
        import d3rlpy

        d3rlpy.seed(setting.seed)
        self.version, self.clock = d3rlpy.__version__, Clock()
        self._log = Transitions.from_npz(setting.log)
        self._dataset = dataset(self._log)
        check(self._dataset, self._log)
        self._transformer = setting.algorithm == "decision_transformer"
        self._algorithm = make_config(setting, self._log).create("cpu:0")
        self._algorithm.update = self.clock.timed(self._algorithm.update)

    def fit(self, updates: int) -> None:
        """Goes on for so many updates, with neither a logger nor evaluations nor a progress bar."""
        from d3rlpy.logging import NoopAdapterFactory

        quiet = {"logger_adapter": NoopAdapterFactory(), "show_progress": False}
        rest = updates % _EPOCH
        for steps, epoch in ((updates - rest, _EPOCH), (rest, rest)):
            if steps:
                self._algorithm.fit(self._dataset, n_steps=steps, n_steps_per_epoch=epoch, **quiet)

    def playing(self, episodes: int) -> Playing:
        """The policy at the beginning of so many episodes."""
        return _Asked(self._algorithm, self._log, episodes) if self._transformer else _Greedy(self._algorithm)


class _Greedy:
    """A policy that does what is best in what it sees."""

    def __init__(self, algorithm: Any) -> None:
        self._algorithm = algorithm

    def act(self, observations: Array) -> Array:
        actions: Array = self._algorithm.predict(observations)
        return actions

    def earned(self, rewards: Array) -> None:
        """Nothing is made of it."""


class _Asked:
    """A Decision Transformer that is asked for as much as the best episode of the log, in each episode by itself."""

    def __init__(self, algorithm: Any, log: Transitions, episodes: int) -> None:
        from d3rlpy.algos import GreedyTransformerActionSampler

        sampler = GreedyTransformerActionSampler() if log.spaces.discrete else None
        best = float(log.returns.max())
        self._each = [algorithm.as_stateful_wrapper(best, action_sampler=sampler) for _ in range(episodes)]
        self._rewards = np.zeros(episodes, np.float32)

    def act(self, observations: Array) -> Array:
        rows = zip(self._each, observations, self._rewards, strict=True)
        return np.stack([wrapper.predict(seen, float(reward)) for wrapper, seen, reward in rows])

    def earned(self, rewards: Array) -> None:
        self._rewards = rewards


def dataset(log: Transitions) -> Any:
    """The log as d3rlpy takes it, with what was seen after each timeout in a row of its own."""
    import d3rlpy

    cut = log.timeouts
    after = np.flatnonzero(cut) + 1
    discrete = log.spaces.discrete
    return d3rlpy.dataset.MDPDataset(
        np.insert(log.observations, after, log.next_observations[cut], axis=0),
        np.insert(log.actions, after, 0, axis=0),
        np.insert(log.rewards, after, 0.0),
        np.insert(log.terminals, after, False).astype(np.float32),
        np.insert(np.zeros(len(log), np.float32), after, 1.0),
        action_space=d3rlpy.ActionSpace.DISCRETE if discrete else d3rlpy.ActionSpace.CONTINUOUS,
        action_size=log.spaces.action_size,
    )


def check(found: Any, log: Transitions) -> None:
    """Makes sure that d3rlpy learns from each step of a log, once, with what came next.

    Raises:
        ValueError: if it does not.
    """
    if found.transition_count != len(log):
        raise ValueError(f"d3rlpy learns from {found.transition_count} steps, and the log has {len(log)}")
    steps = [found.transition_picker(*found.buffer[number]) for number in range(found.transition_count)]
    going_on = ~log.terminals
    pairs = {
        "observation": log.observations,
        "action": log.actions.reshape(len(log), -1),
        "reward": log.rewards[:, None],
        "terminal": log.terminals,
        "next_observation": log.next_observations,
    }
    for name, column in pairs.items():
        own = np.stack([np.asarray(getattr(step, name)) for step in steps])
        # What came after the end of the task is zeros in d3rlpy; nothing is made of it.
        rows = going_on if name == "next_observation" else slice(None)
        if not np.array_equal(own[rows], column[rows]):
            raise ValueError(f"d3rlpy's {name} are not those of the log")


def make_config(setting: Setting, log: Transitions) -> Any:
    """d3rlpy's config of an algorithm.

    Raises:
        ValueError: if d3rlpy does not have it for such actions.
    """
    import d3rlpy

    transformer, recipe = setting.algorithm == "decision_transformer", theirs(setting, log.spaces.discrete)
    hidden = [setting.width] if transformer else [setting.width] * 2
    network = d3rlpy.models.VectorEncoderFactory(hidden, exclude_last_activation=transformer)
    chosen: dict[str, Any] = {**scalers(setting, log), **recipe.settings}
    chosen |= dict.fromkeys(recipe.networks, network) | dict.fromkeys(recipe.rates, setting.learning_rate)
    if transformer:
        warm_up = d3rlpy.optimizers.WarmupSchedulerFactory(max(setting.warm_up, 1))
        chosen["optim_factory"] = d3rlpy.optimizers.AdamWFactory(
            **transformer_optimizer(), lr_scheduler_factory=None if log.spaces.discrete else warm_up
        )
        chosen["position_encoding_type"] = d3rlpy.PositionEncodingType.SIMPLE
    return getattr(d3rlpy.algos, recipe.config)(batch_size=setting.batch, gamma=setting.gamma, **chosen)


def scalers(setting: Setting, log: Transitions) -> dict[str, Any]:
    """What our trainer does to observations, actions and rewards, as d3rlpy's scalers; none where it does nothing."""
    from d3rlpy.preprocessing import MinMaxActionScaler, MultiplyRewardScaler, StandardObservationScaler

    scaling = Scaling.of(log, OfflineTraining(normalize_observations=setting.normalize))
    rewards = 1 / greatest_return(log) if setting.algorithm == "decision_transformer" else setting.reward_scale
    chosen: dict[str, Any] = {}
    if setting.normalize:
        chosen["observation_scaler"] = StandardObservationScaler(scaling.shift, scaling.spread, eps=0.0)
    if rewards != 1:
        chosen["reward_scaler"] = MultiplyRewardScaler(rewards)
    low, high = scaling.action_low, scaling.action_high
    if low is not None and high is not None and not ((low == -1).all() and (high == 1).all()):
        chosen["action_scaler"] = MinMaxActionScaler(low, high)
    return chosen


def greatest_return(log: Transitions) -> float:
    """The greatest amount that is still earned after any step, by which our Decision Transformer divides returns."""
    parts = np.split(log.rewards.astype(np.float64), np.flatnonzero(log.starts)[1:])
    return max(float(np.abs(part[::-1].cumsum()).max()) for part in parts)


def main() -> None:
    """Prints what was found."""
    import logging

    # Gym, which d3rlpy imports, says that it is old.
    warnings.simplefilter("ignore")
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    torch.set_num_threads(1)
    for path in sys.argv[1:]:
        setting = Setting.load(path)
        print(json.dumps(measured(TheirLearning(setting), setting)), flush=True)


if __name__ == "__main__":
    main()
