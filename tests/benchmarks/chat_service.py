"""The chat service under load: the tiny agent, many clients, then four times as many as it takes.

    python -m tests.benchmarks.chat_service                       # 64 clients, 2,000 requests
    python -m tests.benchmarks.chat_service --requests 200

The service is a process of its own; the clients are coroutines of this one, which write HTTP by hand to cost little.
Each request is the second turn of a refund conversation, sampled at temperature 1. First one client asks, one request
at a time; then as many as the service answers at once; then four times as many, a quarter of which it lets wait: those
that are refused (503) come again when they were told to. Times are those of the answers, without that. They
are on the wall and disturbed by whatever else the machine does; CPU seconds are the service's. Memory is its resident
set after the first tenth of the requests and at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles

import gymnasium
import psutil
from rich.console import Console
from rich.table import Table

import ss_gym  # noqa: F401  (registers the environments)

MODEL, MOST_TOKENS = "tiny", 64


@dataclass
class Outcome:
    """What a number of clients met with.

    Attributes:
        seconds: of each request that was answered.
        statuses: how many answers of each status there were.
        tokens: that were written.
        wall: seconds for all.
        cpu: seconds of the service for all.
        memory: resident bytes, after a tenth of the requests and at the end.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    tokens: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    memory: list[int] = field(default_factory=list)


def bodies(count: int) -> list[bytes]:
    """Requests as a client of a shop makes them."""
    env = gymnasium.make("StateSet/Refund-v0", prompt="compact")
    made = []
    for seed in range(count):
        said, info = env.reset(seed=seed)
        tools = [{**tool, "function": dict(tool["function"])} for tool in info["tools"]]
        messages = [
            {"role": "system", "content": info["system_prompt"]},
            {"role": "user", "content": said},
            {"role": "assistant", "content": "Which order is it?"},
            {"role": "user", "content": f"It is the order {10_000 + seed}."},
        ]
        asked = {"model": MODEL, "messages": messages, "tools": tools, "max_tokens": MOST_TOKENS, "temperature": 1.0}
        made.append(json.dumps(asked).encode())
    env.close()
    return made


class Connection:
    """A connection that is kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, body: bytes) -> tuple[int, dict, int]:
        """The status and the content of an answer, and in how many seconds to come again if it is refused."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        header = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(re.search(r"content-length: (\d+)", header, re.IGNORECASE)[1])
        again = re.search(r"retry-after: (\d+)", header, re.IGNORECASE)
        content = json.loads(await reader.readexactly(length))
        return int(header.split(" ", 2)[1]), content, int(again[1]) if again else 0

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


async def asked(port: int, process: psutil.Process, clients: int, requests: Sequence[bytes]) -> Outcome:
    """Has so many clients make the requests, each one after the other."""
    outcome, left = Outcome(), list(reversed(requests))
    tenth = len(requests) * 9 // 10

    async def client() -> None:
        connection = Connection(port)
        while left:
            body, status = left.pop(), 503
            if len(left) == tenth:
                outcome.memory.append(process.memory_info().rss)
            while status == 503:
                began = time.perf_counter()
                status, content, pause = await connection.post(body)
                outcome.statuses[status] += 1
                if status == 503:
                    assert content["error"]["message"] and pause, content
                    await asyncio.sleep(pause)
            if status == 200:
                outcome.seconds.append(time.perf_counter() - began)
                outcome.tokens += content["usage"]["completion_tokens"]
        connection.close()

    cpu, began = sum(process.cpu_times()[:2]), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    outcome.wall = time.perf_counter() - began
    outcome.cpu = sum(process.cpu_times()[:2]) - cpu
    outcome.memory.append(process.memory_info().rss)
    return outcome


def measured(clients: int, requests: int) -> dict[str, Outcome]:
    """The rows of the table: one at a time, as many as it takes, and four times as many."""
    command = [sys.executable, "-m", "ss_baselines.cli", "serve", "--agent", MODEL, "--port", "0"]
    command += ["--batch", str(clients), "--waiting", str(clients)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    service = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables)
    try:
        while not (found := re.search(r":(\d+)/v1", service.stderr.readline())):
            assert service.poll() is None, "the service did not start"
        port = int(found[1])
        # What it logs must be read, or it would wait for that.
        reader = subprocess.Popen(["cat"], stdin=service.stderr, stdout=subprocess.DEVNULL)
        process, made = psutil.Process(service.pid), bodies(min(requests, 500))
        many = (made * (requests // len(made) + 1))[:requests]
        # As many at once as it takes in all, so that all keys and values that it may ever hold have their place.
        rows = {"warm-up": asyncio.run(asked(port, process, 2 * clients, many[: 4 * clients]))}
        rows["one client"] = asyncio.run(asked(port, process, 1, many[: max(20, requests // 10)]))
        rows[f"{clients} clients"] = asyncio.run(asked(port, process, clients, many))
        rows[f"{4 * clients} clients"] = asyncio.run(asked(port, process, 4 * clients, many))
        service.terminate()
        assert service.wait(60) == 0
        reader.wait(10)
    finally:
        service.kill()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="The chat service under load.")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--requests", type=int, default=2_000)
    options = parser.parse_args()
    console = Console(width=140)
    table = Table("", title=f"The chat service, model {MODEL}, at most {MOST_TOKENS} tokens", title_justify="left")
    headings = (
        "requests",
        "200",
        "503",
        "other",
        "p50 ms",
        "p95 ms",
        "answers/s",
        "tokens/s",
        "CPU ms an answer",
        "MB",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    with console.status("measuring …"):
        rows = measured(options.clients, options.requests)
    for name, row in rows.items():
        cuts = quantiles(row.seconds, n=20)
        other = sum(row.statuses.values()) - row.statuses[200] - row.statuses[503]
        table.add_row(
            name,
            str(sum(row.statuses.values())),
            str(row.statuses[200]),
            str(row.statuses[503]),
            str(other),
            f"{1e3 * cuts[9]:.0f}",
            f"{1e3 * cuts[18]:.0f}",
            f"{row.statuses[200] / row.wall:.1f}",
            f"{row.tokens / row.wall:.0f}",
            f"{1e3 * row.cpu / row.statuses[200]:.1f}",
            " → ".join(f"{each / 1e6:.0f}" for each in row.memory),
        )
    console.print(table)
    for name, row in rows.items():
        allowed = {200, 503} if name == f"{4 * options.clients} clients" else {200}
        if not row.statuses.keys() <= allowed:
            raise RuntimeError(f"{name}: there were answers of other statuses than {allowed}: {dict(row.statuses)}")


if __name__ == "__main__":
    main()
