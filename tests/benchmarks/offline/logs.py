"""Logs of CartPole-v1 and Pendulum-v1 to learn from, by agents of Stable-Baselines3.

    make d3rlpy                                                                   # Stable-Baselines3 is there too
    .venv-d3rlpy/bin/python -m tests.benchmarks.offline.logs outputs/offline_logs             # all that are missing
    .venv-d3rlpy/bin/python -m tests.benchmarks.offline.logs outputs/offline_logs pendulum    # of one task, anew

One run of an off-policy agent, DQN in CartPole and SAC in Pendulum, gives three logs of a task: ``replay`` is all that
it saw while it learnt; ``expert`` are episodes of the agent as it was best, ``medium`` of the agent as it was when it
earned about half as much, counted from the beginning; both explore as in training. Every episode is whole, next
observations are the true ones, and ends of the task and of time are told apart. The same seed
gives the same logs on the same processor, and others on another: the committed results have learnt from those in
``docs/results/offline_logs.npz``.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from ss_trainers.offline.transitions import Transitions
from tests.benchmarks.offline.episodes import returns

Array = npt.NDArray[Any]
# Episodes that tell how good an agent is, and the seed of the first.
_JUDGED, _JUDGED_SEED = 10, 50_000


@dataclass(frozen=True)
class Task:
    """Where logs come from.

    Attributes:
        env_id: of the environment.
        agent: class of Stable-Baselines3.
        settings: of the agent.
        steps: that it learns for, and of ``replay``.
        judged_every: steps from one judgement of the agent to the next.
        played: steps of the other logs, to the end of an episode.
    """

    env_id: str
    agent: str
    settings: Mapping[str, Any]
    steps: int
    judged_every: int
    played: int = 20_000


# DQN's settings are those of RL Baselines3 Zoo for CartPole-v1 with smaller networks, SAC's those for Pendulum-v1.
TASKS = {
    "cartpole": Task(
        "CartPole-v1",
        "DQN",
        {
            "learning_rate": 2.3e-3,
            "batch_size": 64,
            "buffer_size": 100_000,
            "learning_starts": 1000,
            "gamma": 0.99,
            "target_update_interval": 10,
            "train_freq": 256,
            "gradient_steps": 128,
            "exploration_fraction": 0.16,
            "exploration_final_eps": 0.04,
            "policy_kwargs": {"net_arch": [64, 64]},
        },
        steps=50_000,
        judged_every=1024,
    ),
    "pendulum": Task(
        "Pendulum-v1",
        "SAC",
        {"learning_rate": 1e-3, "learning_starts": 1000, "policy_kwargs": {"net_arch": [64, 64]}},
        steps=10_000,
        judged_every=200,
        played=10_000,
    ),
}
LOGS = ("expert", "medium", "replay")


class Recorder(gym.Wrapper[Any, Any, Any, Any]):
    """Notes all that is seen and done in an environment."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._steps: list[tuple[Array, Any, float, Array, bool, bool]] = []
        self._whole = 0
        self._seen = np.empty(0)

    def __len__(self) -> int:
        return self._whole

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins an episode; what is known of one that was not ended is forgotten."""
        del self._steps[self._whole :]
        self._seen, info = super().reset(seed=seed, options=options)
        return self._seen, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Notes a step."""
        before, stepped = self._seen, super().step(action)
        self._seen, reward, terminated, truncated, _ = stepped
        self._steps.append((before, np.array(action), float(reward), self._seen, terminated, truncated))
        if terminated or truncated:
            self._whole = len(self._steps)
        return stepped

    def transitions(self) -> Transitions:
        """The episodes that were played to their end."""
        columns = [np.stack(column) for column in zip(*self._steps[: self._whole], strict=True)]
        seen, done, earned, after, ended, cut = columns
        return Transitions.from_arrays(
            seen, done, earned, ended, cut, next_observations=after, action_space=self.action_space
        )


class Judgements:
    """How good an agent is while it learns, and what it was then; a callback of Stable-Baselines3.

    Args:
        agent: that learns.
        task: what it learns.
    """

    def __init__(self, agent: Any, task: Task) -> None:
        self._agent, self._task = agent, task
        self._judged: list[tuple[float, Any]] = []
        self._judge()

    def __call__(self, variables: dict[str, Any], outer: dict[str, Any]) -> bool:
        """Judges the agent every so many steps; it always goes on."""
        if self._agent.num_timesteps % self._task.judged_every == 0:
            self._judge()
        return True

    def weights(self, name: str) -> Any:
        """Those of ``expert`` or ``medium``."""
        return self._judged[stage([mean for mean, _ in self._judged], name)][1]

    def _judge(self) -> None:
        def act(observations: Array) -> Array:
            return np.asarray(self._agent.predict(observations, deterministic=True)[0])

        mean = float(np.mean(returns(act, self._task.env_id, _JUDGED, _JUDGED_SEED)))
        self._judged.append((mean, copy.deepcopy(self._agent.policy.state_dict())))


def stage(earned: Sequence[float], name: str) -> int:
    """When an agent was best, or nearest to half as good, counted from the beginning.

    Args:
        earned: what it earned as time went on.
        name: ``expert`` or ``medium``.
    """
    best = max(earned)
    wanted = best if name == "expert" else (earned[0] + best) / 2
    return min(range(len(earned)), key=lambda number: abs(earned[number] - wanted))


def played(act: Callable[[Array], Any], env_id: str, steps: int, seed: int) -> Transitions:
    """Episodes of an agent, as many as have so many steps.

    Args:
        act: from an observation to an action.
        env_id: of the environment.
        steps: how many at least.
        seed: of the environment.
    """
    env = Recorder(gym.make(env_id))
    observation, _ = env.reset(seed=seed)
    while len(env) < steps:
        observation, _, terminated, truncated, _ = env.step(act(observation))
        if terminated or truncated:
            observation, _ = env.reset()
    return env.transitions()


def make_logs(task: Task, folder: Path, seed: int = 0) -> None:
    """Lets an agent learn, and writes the three logs, ``expert.npz``, ``medium.npz`` and ``replay.npz``.

    Raises:
        ImportError: if Stable-Baselines3 is not installed.
    """
    import stable_baselines3
    import torch

    torch.set_num_threads(1)
    env = Recorder(gym.make(task.env_id))
    agent = getattr(stable_baselines3, task.agent)("MlpPolicy", env, seed=seed, device="cpu", **task.settings)
    judgements = Judgements(agent, task)
    agent.learn(task.steps, callback=judgements)
    folder.mkdir(parents=True, exist_ok=True)
    env.transitions().save(folder / "replay.npz")
    for number, name in enumerate(("expert", "medium"), start=1):
        agent.policy.load_state_dict(judgements.weights(name))
        log = played(lambda seen: agent.predict(seen)[0], task.env_id, task.played, seed=1000 * (seed + 1) + number)
        log.save(folder / f"{name}.npz")


def main() -> None:
    """Makes the logs that are missing, or those of the tasks that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where they are written, in a folder for each task")
    told = f"made anew, of {', '.join(TASKS)}; without, those that are missing"
    parser.add_argument("tasks", nargs="*", choices=[[], *TASKS], metavar="TASK", help=told)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="most steps of a log, for a trial")
    options = parser.parse_args()
    for name, whole in TASKS.items():
        place, most = options.folder / name, options.steps or max(whole.steps, whole.played)
        task = replace(whole, steps=min(most, whole.steps), played=min(most, whole.played))
        if name in options.tasks or (not options.tasks and any(not (place / f"{log}.npz").exists() for log in LOGS)):
            make_logs(task, place, options.seed)
        for log in LOGS if place.exists() else ():
            kept = Transitions.from_npz(place / f"{log}.npz")
            print(f"{name}/{log}: {len(kept):,} steps, {len(kept.returns)} episodes, mean {kept.returns.mean():.1f}")


if __name__ == "__main__":
    main()
