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


def register():
    if "Toy/OneLetter-v0" not in gym.registry:
        gym.register("Toy/OneLetter-v0", entry_point=OneLetter)
    return "Toy/OneLetter-v0"
