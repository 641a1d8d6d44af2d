"""Our own environments, measured in the project's environment by the same harness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.benchmarks.peers.lines import LINES, REPLIES
from tests.benchmarks.peers.subject import Episode, FiveValues, Played


class _Gymnasium(FiveValues):
    """What any environment of this package has in common with any other of Gymnasium."""

    module = "ss_gym"
    first = Episode(7, ("Hello, how can I help?",))
    env_id = ""

    def make(self) -> Any:
        import gymnasium

        import ss_gym  # noqa: F401 - registers the ids

        return gymnasium.make(self.env_id)

    def vector(self) -> str:
        import gymnasium

        envs = gymnasium.make_vec(self.env_id, num_envs=3)
        envs.reset(seed=1)
        observations = envs.step(["Hello."] * 3)[0]
        return f"gymnasium.make_vec ({type(envs).__name__})" if len(observations) == 3 else ""


class Family(_Gymnasium):
    """A family, played by the reference agent; what it says was recorded in another process and never repeats."""

    def __init__(self, env_id: str) -> None:
        self.env_id = env_id

    def episodes(self, count: int) -> list[Episode]:
        from tests.benchmarks.environments import recorded

        return [Episode(script.seed, script.actions) for script in recorded(count, self.env_id).scripts]

    def checked(self) -> str:
        """Of solved episodes that write, plays every word again with the call before in place of the last write."""
        from tests.benchmarks.environments import recorded

        env = self.make()
        tried = missed = 0
        for script in recorded(60, self.env_id).scripts:
            calls = [place for place, action in enumerate(script.actions) if action.startswith("<tool_call>")]
            writes = [number for number, place in enumerate(calls) if self._writes(env, script.actions[place])]
            if not script.success or not writes or writes[-1] == 0:
                continue
            actions = list(script.actions)
            actions[calls[writes[-1]]] = actions[calls[writes[-1] - 1]]
            env.reset(seed=script.seed)
            ended, waiting = False, iter(actions)
            while not ended:
                _, _, terminated, truncated, info = env.step(next(waiting, ""))
                ended = terminated or truncated
            tried += 1
            missed += not info["success"] and bool(info["audit"]["missing_effects"])
        return (
            f"rows written to a database: {missed} of {tried} solved episodes with a write fail for its effect "
            "if only the write is left out"
        )

    def _writes(self, env: Any, action: str) -> bool:
        from ss_gym.actions import parse_action
        from ss_gym.families import load_family

        tools = load_family(env.unwrapped.family).tools
        return any(tools[call.name].kind == "write" for call in parse_action(action).tool_calls)


class Conversation(_Gymnasium):
    """``StateSet/Conversation-v0`` without a reward function, with the lines that stateset-agents is given."""

    env_id = "StateSet/Conversation-v0"

    def episodes(self, count: int) -> list[Episode]:
        return [
            Episode(number, tuple(f"{reply} (No. {number}-{turn})" for turn, reply in enumerate(REPLIES)))
            for number in range(count)
        ]

    def make(self) -> Any:
        import gymnasium

        import ss_gym  # noqa: F401 - registers the ids

        scenarios = [{"id": name, "topic": name, "user_responses": list(lines)} for name, lines in LINES.items()]
        return gymnasium.make(self.env_id, scenarios=scenarios, max_turns=len(REPLIES))

    def play(self, handle: Any, episodes: Sequence[Episode]) -> Played:
        return Played(super().play(handle, episodes).steps, None)

    def checked(self) -> str:
        rewards = []
        for text in ("Your refund of $20 is on its way.", "Purple noodles sing under the sea."):
            rewards.append(sum(step[1] for step in self.trace(self.make(), Episode(0, (text,) * len(REPLIES)))[1:]))
        if rewards[0] == rewards[1]:
            return (
                f"nothing unless one gives a reward function: {rewards[0]:g} for sense and for nonsense of one length"
            )
        return f"what is said: {rewards[0]:g} for sense, {rewards[1]:g} for nonsense"
