"""What was learnt, in environments: how episodes are played, and where they can't be."""

from dataclasses import dataclass, field

import gymnasium as gym
import numpy as np
import pytest
import torch

from ss_trainers.offline.policies import NumericPolicy
from ss_trainers.offline.scaling import Scaling
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.transitions import Transitions

CPU = torch.device("cpu")
PENDULUM = "Pendulum-v1"


class Corridor(gym.Env):
    """Ends after as many steps as the seed says; each earns what was done."""

    def __init__(self, count=4, start=0, shape=(2,), limit=10.0, observation_space=None, actions=(2,)):
        self.observation_space = observation_space or gym.spaces.Box(0, 99, shape)
        if count:
            self.action_space = gym.spaces.Discrete(count, start=start)
        else:
            self.action_space = gym.spaces.Box(-limit, limit, actions)
        self._shape = shape

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._length, self._step = seed, 0
        return self._seen(), {}

    def step(self, action):
        assert self._step < self._length, "an episode that has ended was stepped on"
        assert self.action_space.contains(action), action
        self._step += 1
        over = self._step == self._length
        return self._seen(), float(np.sum(action)), over and self._length % 2 == 0, over and self._length % 2 == 1, {}

    def _seen(self):
        return np.full(self._shape, 10 * self._length + self._step, np.float32)


gym.register("Offline/Corridor-v0", Corridor)


@dataclass
class Noting:
    """Does always the same, and notes what it is shown and told."""

    action: torch.Tensor
    seen: list = field(default_factory=list)
    earnings: list = field(default_factory=list)

    def actor(self, rows):
        self.rows = rows
        return self

    def act(self, observations):
        self.seen.append(observations.clone())
        return self.action.expand(len(observations), *self.action.shape)

    def earned(self, rewards):
        self.earnings.append(rewards.tolist())


def policy(action, space, seen=((0, 0), (2, 4)), **training):
    actions = [0, 1] if isinstance(space, gym.spaces.Discrete) else [space.low, space.high]
    made = Transitions.from_arrays(seen, actions, [0, 0], [0, 1], [0, 0], next_observations=seen, action_space=space)
    learner = Noting(torch.as_tensor(action))
    return NumericPolicy(learner, Scaling.of(made, OfflineTraining(**training)), made.spaces, CPU), learner


def test_episodes_are_played_to_their_own_end_and_no_further():
    made, learner = policy(3, gym.spaces.Discrete(4), reward_scale=0.5)
    returns = made.evaluate("Offline/Corridor-v0", episodes=3, seed=2)
    assert returns.tolist() == [6, 9, 12] and returns.dtype == np.float64
    # All rows act until the last has ended, and are told what they earned, as the algorithm has it.
    assert learner.rows == 3 and len(learner.seen) == 4
    assert learner.earnings == [[1.5] * 3, [1.5] * 3, [0, 1.5, 1.5], [0, 0, 1.5]]
    # Observations are scaled: less their mean, over their deviation.
    shown = torch.stack(learner.seen) * torch.tensor([1.0, 2.0]) + torch.tensor([1.0, 2.0])
    assert shown[:, 2].tolist() == [[40 + step] * 2 for step in range(4)]


def test_actions_are_within_the_bounds_of_the_log():
    made, _ = policy([1.0, -0.5], gym.spaces.Box(np.array([-2, 0], np.float32), np.array([6, 8], np.float32)))
    assert made.evaluate("Offline/Corridor-v0", 1, seed=3, env_kwargs={"count": 0}).tolist() == [3 * (6 + 2)]


def test_actions_have_the_shape_that_the_environment_takes():
    # Rows one after the other; Corridor takes nothing but members of its space.
    space = gym.spaces.Box(np.zeros((2, 2), np.float32), np.array([[1, 2], [4, 8]], np.float32))
    made, _ = policy([-1.0, 0.0, 0.5, 1.0], space)
    kwargs = {"count": 0, "actions": (2, 2)}
    assert made.evaluate("Offline/Corridor-v0", 2, seed=2, env_kwargs=kwargs).tolist() == [2 * 12, 3 * 12]
    flat = made.begin(1).act(np.zeros((1, 2)))
    assert flat.reshape(1, *space.shape).tolist() == [[[0, 1], [3, 8]]]


def test_images_and_numbers_are_observations():
    images, _ = policy(1, gym.spaces.Discrete(4), np.arange(12).reshape(2, 3, 2))
    assert images.evaluate("Offline/Corridor-v0", 1, seed=5, env_kwargs={"shape": (3, 2)}).tolist() == [5]
    numbers, _ = policy(1, gym.spaces.Discrete(4), np.arange(2))
    kwargs = {"shape": (), "observation_space": gym.spaces.Discrete(99)}
    assert numbers.evaluate("Offline/Corridor-v0", 1, seed=5, env_kwargs=kwargs).tolist() == [5]


def test_the_returns_are_those_of_playing_by_hand():
    made, _ = policy([0.3], gym.spaces.Box(-2, 2, (1,)), np.eye(2, 3))
    env, earned = gym.make(PENDULUM), []
    for seed in (7, 8):
        seen, _ = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            seen, reward, terminated, truncated, _ = env.step(made.begin().act(seen[None])[0])
            total, over = total + reward, terminated or truncated
        earned.append(total)
    assert made.evaluate(PENDULUM, 2, seed=7).tolist() == pytest.approx(earned)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (
            {"count": 3},
            r"its actions Discrete\(3\), and the policy was trained on Spaces\(.*action_size=4, discrete=True",
        ),
        ({"start": 1}, r"its actions Discrete\(4, start=1\)"),
        ({"count": 0}, r"its actions Box\(-10.0, 10.0, \(2,\), float32\)"),
        ({"shape": (3,)}, r"observations of 'Offline/Corridor-v0' are Box\(0.0, 99.0, \(3,\)"),
        ({"observation_space": gym.spaces.Text(9)}, r"observations of 'Offline/Corridor-v0' are Text"),
    ],
)
def test_environments_of_another_kind_are_refused(kwargs, message):
    made, _ = policy(3, gym.spaces.Discrete(4))
    with pytest.raises(ValueError, match=message):
        made.evaluate("Offline/Corridor-v0", 1, seed=2, env_kwargs=kwargs)


def test_an_environment_with_narrower_bounds_is_refused():
    made, _ = policy([0.0, 0.0], gym.spaces.Box(-2, 2, (2,)))
    with pytest.raises(ValueError, match=r"those of the policy are from \[-2. -2.\] to \[2. 2.\]"):
        made.evaluate("Offline/Corridor-v0", 1, seed=2, env_kwargs={"count": 0, "limit": 1.5})


def test_no_episodes_and_unknown_environments_are_told():
    made, _ = policy(3, gym.spaces.Discrete(4))
    with pytest.raises(ValueError, match="episodes must be at least 1, not 0"):
        made.evaluate("Offline/Corridor-v0", 0)
    with pytest.raises(gym.error.Error, match="Nowhere"):
        made.evaluate("Nowhere-v0")
