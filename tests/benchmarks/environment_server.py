"""Environments on a server: steps a second and CPU a step, of one session and of many at once.

    python -m tests.benchmarks.environment_server
    python -m tests.benchmarks.environment_server --episodes 5000 --sessions 1 256

Episodes are those of ``tests.benchmarks.environments``, recorded beforehand and replayed. Sessions are
:class:`ss_gym.RemoteEnvironment`, each in a thread of its own, all threads in one process; the server is another
process on the same machine (``stateset-agents serve-env``). After the time is taken, everything that any session gave
is compared with what a local environment gives; the last column says how much of it was equal, and is never less than
all, or the run fails. The row for HTTP asks for one step at a time over one connection, as a client in another
language would.

Steps a second are those on the wall and need two free cores, one for each process, so the title says how busy the
machine was; CPU times depend much less on that.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import gymnasium as gym
import psutil
from rich.console import Console
from rich.table import Table

from ss_gym import RemoteEnvironment
from tests.benchmarks.environments import ENV_ID, Script, recorded
from tests.ss_baselines.server_process import ServerProcess, serving_env

Step = Callable[[str], Any]


@dataclass(frozen=True)
class Row:
    """What was measured.

    Attributes:
        name: of what.
        steps: that were taken, resets not counted.
        seconds: on the wall.
        here: CPU seconds of the process that asks.
        there: CPU seconds of the server.
        equal: episodes that were equal to local ones, byte for byte.
        episodes: that were played.
    """

    name: str
    steps: int
    seconds: float
    here: float
    there: float
    equal: int
    episodes: int


def local(scripts: Sequence[Script]) -> tuple[Row, list[str]]:
    """An environment in this process, and what it gave."""
    env = gym.make(ENV_ID)
    play(env, scripts[:1])
    seconds, here = time.perf_counter(), time.process_time()
    given = play(env, scripts)
    seconds, here = time.perf_counter() - seconds, time.process_time() - here
    told = list(map(repr, given))
    return Row("local", _steps(scripts), seconds, here, 0.0, len(told), len(told)), told


def remote(scripts: Sequence[Script], expected: Sequence[str], server: ServerProcess, sessions: int) -> Row:
    """So many sessions at once, which share the scripts."""
    process = psutil.Process(server.process.pid)
    envs = [RemoteEnvironment(server.address, timeout=600) for _ in range(sessions)]
    shares = [scripts[place::sessions] for place in range(sessions)]
    with ThreadPoolExecutor(sessions) as pool:
        list(pool.map(lambda env: env.reset(seed=10**9), envs))
        seconds, here, there = time.perf_counter(), time.process_time(), _cpu(process)
        played = list(pool.map(play, envs, shares))
        seconds, here = time.perf_counter() - seconds, time.process_time() - here
        there = _cpu(process) - there
    equal = sum(
        repr(episode) == expected[place + sessions * number]
        for place, share in enumerate(played)
        for number, episode in enumerate(share)
    )
    for env in envs:
        env.close()
    name = "1 session" if sessions == 1 else f"{sessions} sessions at once"
    return checked(Row(name, _steps(scripts), seconds, here, there, equal, len(scripts)))


def plain_http(scripts: Sequence[Script], expected: Sequence[str], server: ServerProcess) -> Row:
    """One session over HTTP; of its infos only what JSON has can be equal, so observations and rewards are compared."""
    process, connection = (
        psutil.Process(server.process.pid),
        http.client.HTTPConnection(urlsplit(server.address).netloc),
    )

    def asked(path: str, **fields: Any) -> dict[str, Any]:
        connection.request("POST", path, json.dumps(fields), {"Content-Type": "application/json"})
        answer: dict[str, Any] = json.load(connection.getresponse())
        return answer

    path = f"/v1/sessions/{asked('/v1/sessions')['id']}"
    seconds, here, there = time.perf_counter(), time.process_time(), _cpu(process)
    given = []
    for script in scripts:
        asked(f"{path}/reset", seed=script.seed)
        given.append([asked(f"{path}/step", action=action) for action in script.actions])
    seconds, here, there = time.perf_counter() - seconds, time.process_time() - here, _cpu(process) - there
    connection.close()
    equal = sum(
        all(f"{step['observation']!r}, {step['reward']!r}, " in told for step in steps)
        for steps, told in zip(given, expected, strict=True)
    )
    return checked(Row("1 session, plain HTTP", _steps(scripts), seconds, here, there, equal, len(scripts)))


def play(env: gym.Env[Any, Any], scripts: Sequence[Script]) -> list[list[Any]]:
    """Everything that comes back, an episode a list."""
    return [[env.reset(seed=script.seed), *map(env.step, script.actions)] for script in scripts]


def measured(episodes: int, sessions: Sequence[int]) -> list[Row]:
    """All rows."""
    scripts = recorded(episodes).scripts
    row, expected = local(scripts)
    rows = [row]
    with serving_env("--env", ENV_ID, "--sessions", str(max(sessions) + 1)) as server:
        for count in sessions:
            rows.append(remote(scripts, expected, server, count))
        some = len(scripts) // 4 + 1
        rows.append(plain_http(scripts[:some], expected[:some], server))
    return rows


def table(rows: Sequence[Row], title: str) -> Table:
    """The rows for people to read."""
    view = Table("environment", title=title, title_justify="left")
    for heading in ("steps/s", "CPU µs a step: client", "server", "equal to local"):
        view.add_column(heading, justify="right")
    for row in rows:
        view.add_row(
            row.name,
            f"{row.steps / row.seconds:,.0f}",
            f"{1e6 * row.here / row.steps:,.0f}",
            f"{1e6 * row.there / row.steps:,.0f}" if row.there else "",
            f"{row.equal:,} of {row.episodes:,}",
        )
    return view


def checked(row: Row) -> Row:
    """The row, if all of its episodes were equal to local ones.

    Raises:
        RuntimeError: if one was not.
    """
    if row.equal != row.episodes:
        raise RuntimeError(f"{row.name}: only {row.equal} of {row.episodes} episodes were equal to local ones")
    return row


def _steps(scripts: Sequence[Script]) -> int:
    return sum(len(script.actions) for script in scripts)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=2_048)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 256])
    options = parser.parse_args()
    rows = measured(options.episodes, options.sessions)
    busy = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} with this"
    Console(width=120).print(table(rows, f"{ENV_ID}, {options.episodes:,} episodes, resets included; {busy}"))


if __name__ == "__main__":
    main()
