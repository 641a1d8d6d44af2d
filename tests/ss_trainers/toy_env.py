"""A small text environment as a third party would write one: it knows Gymnasium and nothing of ours."""

import gymnasium as gym

from ss_gym.types import Completion

LETTERS = "ab"


class SayTheLetter(gym.Env):
    """The user asks for a letter, twice; the reward is the share of it in what the agent says.

    Args:
        raise_on: seeds whose episodes break in their second step.
        tells_success: whether infos tell what succeeded.
    """

    observation_space = gym.spaces.Text(200)
    action_space = gym.spaces.Text(10_000)

    def __init__(self, raise_on=(), tells_success=True):
        self._raise_on, self._tells_success = raise_on, tells_success

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._seed, self._step = seed, 0
        return self._ask(), {}

    def step(self, action):
        self._step += 1
        if self._step == 2 and self._seed in self._raise_on:
            raise RuntimeError("the letter box is stuck")
        reward = action.count(self._letter) / max(1, len(action))
        terminated = self._step == 2
        info = {"reward_terms": {"share": reward}} if terminated else {}
        if terminated and self._tells_success:
            info["success"] = reward > 0.5
        return self._ask(), reward, terminated, False, info

    def _ask(self):
        self._letter = str(self.np_random.choice(list(LETTERS)))
        return f"say {self._letter}"


class Obliging:
    """Says the letter it is asked for."""

    def act(self, conversations):
        return [Completion(conversation[-1]["content"].removeprefix("say ")) for conversation in conversations]


def register():
    if "Toy/SayTheLetter-v0" not in gym.registry:
        gym.register("Toy/SayTheLetter-v0", entry_point=SayTheLetter)
    return "Toy/SayTheLetter-v0"
