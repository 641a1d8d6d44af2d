"""A chain of five states that is walked to its end, and a third action of which the log says nothing.

Each step costs 1. ``RIGHT`` goes on, and from the last state to the end of the task; ``LEFT`` goes back, at the first
state nowhere. The log goes right 6 times in 10 and left otherwise, so that all it knows is worth less than 0, and what
it does not know is worth what a network happens to say. ``WAIT`` would change nothing, for ever.
"""

import gymnasium as gym
import numpy as np

from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.trainer import OfflineTrainer
from ss_trainers.offline.transitions import Transitions

RIGHT, LEFT, WAIT = range(3)
STATES, GAMMA = 5, 0.9
# Of each state, if one goes right to the end: -1, -1.9, -2.71, ...
BEST = [-(1 - GAMMA ** (STATES - state)) / (1 - GAMMA) for state in range(STATES)]
SEEN = np.eye(STATES, dtype=np.float32)


def logged(episodes=60, seed=0):
    """States are shown as one of five numbers that is 1."""
    generator, steps = np.random.default_rng(seed), []
    for _ in range(episodes):
        state, ended = 0, False
        while not ended:
            action = RIGHT if generator.random() < 0.6 else LEFT
            ended = state == STATES - 1 and action == RIGHT
            after = min(state + 1, STATES - 1) if action == RIGHT else max(state - 1, 0)
            steps.append((state, action, after, ended))
            state = after
    states, actions, following, ends = (np.array(column) for column in zip(*steps, strict=True))
    costs, never = -np.ones(len(states), np.float32), np.zeros(len(states), bool)
    return Transitions.from_arrays(
        SEEN[states],
        actions,
        costs,
        ends,
        never,
        next_observations=SEEN[following],
        action_space=gym.spaces.Discrete(3),
    )


def trained(config, updates, seed=0):
    """A run on the chain."""
    training = OfflineTraining(batch_size=128, max_updates=updates, normalize_observations=False, seed=seed)
    return OfflineTrainer(config, training).train(logged())


def choices(trainer):
    """What the policy does in each state."""
    return trainer.policy().begin(STATES).act(SEEN).tolist()
