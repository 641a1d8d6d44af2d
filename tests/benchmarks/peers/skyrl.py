"""skyrl-gym: questions to a database in SQL. A small one is made here, laid out as the environment wants."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.benchmarks.peers.subject import Episode, Played

_ROWS, _CUSTOMERS = 500, 50


def _solution(customer: int) -> str:
    return f"SELECT item, price FROM orders WHERE customer = {customer} AND status = 'delivered'"


def _actions(number: int, solution: str) -> tuple[str, ...]:
    customer = number % _CUSTOMERS
    return (
        f"<think>Question {number}: what is there?</think><sql>SELECT name FROM sqlite_master -- {number}</sql>",
        f"<think>Question {number}: how many?</think><sql>SELECT status, COUNT(*) FROM orders "
        f"WHERE customer = {customer} GROUP BY status -- {number}</sql>",
        f"<think>Question {number}: let me try.</think><sql>{_solution(customer)} -- {number}</sql>",
        f"<think>Question {number}: that is it.</think><solution>{solution} -- {number}</solution>",
    )


class Database:
    """``text2sql``: three queries and the answer. There is no reset: an episode is a new environment."""

    module = "skyrl_gym"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name) / "spider" / "database" / "shop"
        folder.mkdir(parents=True)
        self._file = folder / "shop.sqlite"
        with sqlite3.connect(self._file) as connection:
            connection.execute(
                "CREATE TABLE orders (id INTEGER, customer INTEGER, item TEXT, price INTEGER, status TEXT)"
            )
            connection.executemany(
                "INSERT INTO orders VALUES (?, ?, ?, ?, ?)",
                [
                    (row, row % _CUSTOMERS, f"item {row % 37}", 100 + row, "delivered" if row % 3 else "open")
                    for row in range(_ROWS)
                ],
            )
        connection.close()
        self.first = Episode(0, _actions(0, _solution(0))[:1])

    def episodes(self, count: int) -> list[Episode]:
        return [Episode(number, _actions(number, _solution(number % _CUSTOMERS))) for number in range(count)]

    def make(self) -> Any:
        return [None]

    def _begin(self, handle: Any, number: int) -> Any:
        import skyrl_gym

        handle[0] = env = skyrl_gym.make(
            "text2sql",
            env_config=SimpleNamespace(db_path=self._folder.name),
            extras={
                "db_id": "shop",
                "data": "spider",
                "reward_spec": {"ground_truth": _solution(number % _CUSTOMERS)},
                "max_turns": 5,
            },
        )
        env.init([{"role": "user", "content": f"Question {number}: which items did the customer receive?"}])
        return env

    def play(self, handle: Any, episodes: Sequence[Episode]) -> Played:
        steps = solved = 0
        for episode in episodes:
            env = self._begin(handle, episode.seed)
            for action in episode.actions:
                output = env.step(action)
                steps += 1
                if output["done"]:
                    solved += output["reward"] == 1
                    break
            env.close()
        return Played(steps, solved)

    def resets(self, handle: Any, episodes: Sequence[Episode]) -> None:
        for episode in episodes:
            self._begin(handle, episode.seed)

    def trace(self, handle: Any, episode: Episode, start: int = 0, stop: int | None = None) -> list[Any]:
        seen: list[Any] = []
        if start == 0:
            self._begin(handle, episode.seed)
        for action in episode.actions[start:stop]:
            seen.append(handle[0].step(action))
            if seen[-1]["done"]:
                break
        return seen

    def environment(self, handle: Any) -> Any:
        return handle[0] or self._begin(handle, 0)

    def raw_step(self, handle: Any) -> Any:
        return self._begin(handle, 0).step(_actions(0, "")[0])

    def reset_method(self, handle: Any) -> Any:
        return self.environment(handle).init

    def checked(self) -> str:
        rewards = []
        for solution in (_solution(0), _solution(1)):
            rewards.append(self.trace(self.make(), Episode(0, _actions(0, solution)))[-1]["reward"])
        self.trace(self.make(), Episode(0, ("<think>Away.</think><sql>DELETE FROM orders</sql>",)))
        with sqlite3.connect(self._file) as connection:
            (left,) = connection.execute("SELECT COUNT(*) FROM orders").fetchone()
        connection.close()
        kept = "changes are undone" if left == _ROWS else "changes stay"
        return f"rows read from a database: {rewards[0]:g} for the right query, {rewards[1]:g} for another; {kept}"

    def vector(self) -> str:
        import skyrl_gym

        return ", ".join(name for name in dir(skyrl_gym) if "vec" in name.lower())
