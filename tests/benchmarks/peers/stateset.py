"""stateset-agents: its conversation environment, and its refund sandbox, whose job is the nearest to ours.

Both are asynchronous; a whole block of episodes runs in one event loop, so that starting loops is not measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.peers.lines import LINES, REPLIES
from tests.benchmarks.peers.subject import Episode, Played


class Conversation:
    """``ConversationEnvironment`` without a reward function: the user says the lines of a list in order."""

    module = "stateset_agents"
    first = Episode(7, ("Hello, how can I help?",))

    def episodes(self, count: int) -> list[Episode]:
        return [
            Episode(number, tuple(f"{reply} (No. {number}-{turn})" for turn, reply in enumerate(REPLIES)))
            for number in range(count)
        ]

    def make(self) -> Any:
        from stateset_agents import ConversationEnvironment

        scenarios = [{"id": name, "topic": name, "user_turns": list(lines)} for name, lines in LINES.items()]
        return ConversationEnvironment(scenarios=scenarios, max_turns=len(REPLIES))

    def play(self, handle: Any, episodes: Sequence[Episode]) -> Played:
        async def loop() -> int:
            steps = 0
            for episode in episodes:
                await handle.reset()
                for action in episode.actions:
                    result = await handle.step(action)
                    steps += 1
                    if result["done"]:
                        break
            return steps

        return Played(asyncio.run(loop()), None)

    def resets(self, handle: Any, episodes: Sequence[Episode]) -> None:
        async def loop() -> None:
            for _ in episodes:
                await handle.reset()

        asyncio.run(loop())

    def trace(self, handle: Any, episode: Episode, start: int = 0, stop: int | None = None) -> list[Any]:
        # Without the random id that each episode is given.
        async def loop() -> list[Any]:
            seen: list[Any] = []
            if start == 0:
                seen.append((await handle.reset()).context["history"])
            for action in episode.actions[start:stop]:
                result = await handle.step(action)
                seen.append((list(result["context"]["history"]), result["reward"], result["done"]))
                if result["done"]:
                    break
            return seen

        return asyncio.run(loop())

    def environment(self, handle: Any) -> Any:
        return handle

    def raw_step(self, handle: Any) -> Any:
        asyncio.run(handle.reset())
        return handle.step("Hello.")

    def reset_method(self, handle: Any) -> Any:
        return handle.reset

    def checked(self) -> str:
        rewards = []
        for text in ("Your refund of $20 is on its way.", "Purple noodles sing under the sea."):
            rewards.append(self.trace(self.make(), Episode(0, (text,)))[-1][1])
        if rewards[0] == rewards[1]:
            return (
                f"nothing unless one gives a reward function: {rewards[0]:g} for sense and for nonsense of one length"
            )
        return f"what is said: {rewards[0]:g} for sense, {rewards[1]:g} for nonsense"

    def vector(self) -> str:
        env = self.make()

        async def replies(histories: list[Any], contexts: list[Any]) -> list[str]:
            return ["Hello."] * len(histories)

        trajectories = asyncio.run(env.run_episodes_batched(replies, [None] * 3))
        return "run_episodes_batched" if len(trajectories) == 3 else ""


def _call(tool: str, spaces: int, **arguments: Any) -> str:
    import json

    # Blanks around the object tell repeated calls apart and mean nothing.
    return " " * spaces + json.dumps({"tool": tool, "args": arguments})


class Refund:
    """``RefundEnvironment``: look the order up, refund or deny, finish. Its state goes through each step by hand."""

    module = "stateset_agents.core.environments.refund_environment"

    def __init__(self) -> None:
        self.first = Episode(0, (_call("finish", 0),))
        self._rows: list[dict[str, Any]] = []

    def _row(self, number: int) -> dict[str, Any]:
        if not self._rows:
            from stateset_agents.core.environments.refund_environment import refund_benchmark

            self._rows = refund_benchmark("train", count=128, seed=0)
        return self._rows[number % len(self._rows)]

    def episodes(self, count: int) -> list[Episode]:
        made = []
        for number in range(count):
            row, blanks = self._row(number), number // 128
            order = row["order_id"]
            deed = (
                _call("refund", blanks, order_id=order, amount_cents=row["amount_cents"])
                if row["eligible"]
                else _call("deny", blanks, order_id=order)
            )
            made.append(Episode(number, (_call("lookup_order", blanks, order_id=order), deed, _call("finish", number))))
        return made

    def make(self) -> Any:
        from stateset_agents.core.environments.refund_environment import RefundEnvironment
        from stateset_agents.core.trajectory import ConversationTurn

        return [RefundEnvironment(), None, ConversationTurn]

    async def _play(self, handle: Any, episodes: Sequence[Episode]) -> Played:
        env, _, turn = handle
        steps = solved = 0
        for episode in episodes:
            state = await env.reset(self._row(episode.seed))
            for action in episode.actions:
                state, reward, done, _ = await env.step(state, turn(role="assistant", content=action))
                steps += 1
                if done:
                    solved += reward == 1
                    break
        return Played(steps, solved)

    def play(self, handle: Any, episodes: Sequence[Episode]) -> Played:
        return asyncio.run(self._play(handle, episodes))

    def resets(self, handle: Any, episodes: Sequence[Episode]) -> None:
        async def loop() -> None:
            for episode in episodes:
                await handle[0].reset(self._row(episode.seed))

        asyncio.run(loop())

    def trace(self, handle: Any, episode: Episode, start: int = 0, stop: int | None = None) -> list[Any]:
        env, _, turn = handle

        async def loop() -> list[Any]:
            seen: list[Any] = []
            if start == 0:
                handle[1] = await env.reset(self._row(episode.seed))
                seen.append(handle[1].context["messages"])
            for action in episode.actions[start:stop]:
                handle[1], *rest = await env.step(handle[1], turn(role="assistant", content=action))
                seen.append(rest)
                if rest[1]:
                    break
            return seen

        return asyncio.run(loop())

    def environment(self, handle: Any) -> Any:
        return handle[0]

    def raw_step(self, handle: Any) -> Any:
        env, _, turn = handle
        state = asyncio.run(env.reset(self._row(0)))
        return env.step(state, turn(role="assistant", content=self.first.actions[0]))

    def reset_method(self, handle: Any) -> Any:
        return handle[0].reset

    def checked(self) -> str:
        number = next(number for number in range(128) if self._row(number)["eligible"])
        episode = self.episodes(number + 1)[number]
        look, _, finish = episode.actions
        rewards = [
            self.trace(self.make(), Episode(number, actions))[-1][0] for actions in (episode.actions, (look, finish))
        ]
        return f"a ledger in memory: {rewards[0]:g} with the refund, {rewards[1]:g} without it"

    def vector(self) -> str:
        env = self.make()[0]
        if not env.supports_concurrent_episodes:
            return ""
        return "run_episodes_batched"
