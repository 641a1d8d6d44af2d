"""A task for each letter: the user asks for it, and the reward is the share of it in what the agent says."""

import gymnasium as gym

TASKS = ("a", "b", "c")


class OneLetter(gym.Env):
    """Says which letter it wants, twice.

    Args:
        key: the reset option that chooses the letter, and the info that tells it.
    """

    observation_space = gym.spaces.Text(200)
    action_space = gym.spaces.Text(10_000)

    def __init__(self, key="task"):
        self._key = key

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        drawn = str(self.np_random.choice(list(TASKS)))
        self._letter, self._step = (options or {}).get(self._key, drawn), 0
        return f"say {self._letter}", {self._key: self._letter}

    def step(self, action):
        self._step += 1
        reward = action.count(self._letter) / max(1, len(action))
        info = {self._key: self._letter}
        if self._step == 2:
            info["success"] = reward > 0.5
        return f"say {self._letter}", reward, self._step == 2, False, info


class Letters:
    """A population that asks for letters by chance, and notes what it is told."""

    def __init__(self):
        self.outcomes, self.evaluations, self.drawn = [], [], []

    def draw(self, step, count, generator):
        self.drawn.append([{"task": "ab"[int(generator.integers(2))]} for _ in range(count)])
        return self.drawn[-1]

    def learn(self, step, outcomes):
        self.outcomes.append((step, list(outcomes)))
        return {"population/told": float(len(outcomes))}

    def evaluated(self, step, success, episodes):
        self.evaluations.append((step, episodes))

    def state_dict(self):
        return {"told": len(self.outcomes)}

    def load_state_dict(self, state):
        self.outcomes = [None] * state["told"]


def register():
    if "Toy/OneLetter-v0" not in gym.registry:
        gym.register("Toy/OneLetter-v0", entry_point=OneLetter)
    return "Toy/OneLetter-v0"
