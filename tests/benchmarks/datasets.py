"""A log that does not fit into memory: rows a second, and the most memory that reading it takes.

    python -m tests.benchmarks.datasets --gigabytes 5 [--folder DIR] [--gzip]

Writes a file of recorded refund conversations into a temporary folder, each with words, a scenario and a reward of
its own, and opens it in a fresh process, whose peak includes Python and NumPy. Rows a second are by the wall clock;
CPU seconds are beside them, since other processes may take their share.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from ss_baselines.agents import load_agent
from ss_baselines.trajectories import Plan, recorded
from ss_gym.datasets import ConversationDataset, ConversationDatasetConfig
from ss_gym.wrappers.trajectories import encode_line

# What stands where each row has something of its own.
_NUMBER, _REWARD, _SCENARIO = "7101974", 0.6180339, "refund/train/7101974"
_IN_ORDER, _AT_RANDOM = 100_000, 20_000


class Stage(NamedTuple):
    """What one use of the dataset took."""

    name: str
    rows: int
    seconds: float
    cpu: float


class Reading(NamedTuple):
    """What all of them took in one process."""

    rows: int
    stages: list[Stage]
    peak: int  # bytes


def templates(count: int) -> list[list[bytes]]:
    """Lines of different conversations, cut where each row has something of its own."""
    episodes = recorded(load_agent("rule_bot"), Plan("StateSet/Refund-v0", {}, "train", count))
    return [_template(json.loads(encode_line(episode))) for episode in episodes]


def _template(values: dict[str, object]) -> list[bytes]:
    rewards, messages = values["rewards"], values["messages"]
    assert isinstance(rewards, list) and isinstance(messages, list)
    said = next(message for message in messages if message["role"] == "user")
    said["content"] += f" My reference is {_NUMBER}."
    rewards[-1] = _REWARD
    values["scenario_id"] = _SCENARIO
    line = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    line = line.replace(_SCENARIO.encode(), b"refund/train/\0n").replace(_NUMBER.encode(), b"\0n")
    return line.replace(str(_REWARD).encode(), b"0.\0n").split(b"\0n")


def write(path: Path, size: int, packed: bool = False, kinds: int = 200) -> int:
    """Writes about so many bytes, of so many different conversations; gives the number of rows."""
    forms, written, rows = templates(kinds), 0, 0
    with gzip.open(path, "wb", 1) if packed else path.open("wb") as file:
        while written < size:
            # Numbers of one length, so that rewards lie between 0.1 and 1.
            written += file.write(str(1_000_000 + rows).encode().join(forms[rows % len(forms)]))
            rows += 1
    return rows


def read(path: Path) -> Reading:
    """Opens a file and uses it in several ways."""
    stages: list[Stage] = []

    @contextmanager
    def timed(name: str, rows: int) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        stages.append(Stage(name, rows, time.perf_counter() - wall, time.process_time() - cpu))

    with timed("open: read through and index", 0):
        dataset = ConversationDataset.from_jsonl(path, ConversationDatasetConfig(quality_threshold=0.0))
    rows = len(dataset)
    stages[0] = stages[0]._replace(rows=rows)
    with timed("statistics", rows):
        dataset.statistics()
    with timed("split by customer, scenario and words", rows):
        dataset.split({"train": 0.8, "test": 0.2}, seed=0)
    with timed("order of an epoch", rows):
        epoch = dataset.shuffled(seed=0, epoch=1)
    with timed("conversations in order", min(rows, _IN_ORDER)):
        used = sum(len(conversation.messages) for conversation in dataset[:_IN_ORDER])
    with timed("conversations at random", min(rows, _AT_RANDOM)):
        used += sum(len(conversation.messages) for conversation in epoch[:_AT_RANDOM])
    assert used
    return Reading(rows, stages, peak())


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # that of getrusage is also that of the process which started this one
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def read_apart(path: Path) -> Reading:
    """As ``read``, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.datasets", "--read", str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    rows, stages, most = json.loads(done.stdout)
    return Reading(rows, [Stage(*stage) for stage in stages], most)


def table(reading: Reading, size: int) -> Table:
    """The figures of a file, for a console."""
    title = f"{size / 1e9:.2f} GB, {reading.rows:,} rows, peak memory {reading.peak / 2**20:,.0f} MiB"
    shown = Table("", title=title, title_justify="left")
    for column in ("rows", "seconds", "CPU s", "rows/s", "MB/s"):
        shown.add_column(column, justify="right")
    for name, rows, seconds, cpu in reading.stages:
        rate = rows / max(seconds, 1e-9)
        megabytes = f"{rate * size / reading.rows / 1e6:,.0f}" if "in order" in name or "open" in name else ""
        shown.add_row(name, f"{rows:,}", f"{seconds:.1f}", f"{cpu:.1f}", f"{rate:,.0f}", megabytes)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description="Read a log that does not fit into memory.")
    parser.add_argument("--gigabytes", type=float, default=5.0, help="size of the file")
    parser.add_argument("--folder", type=Path, help="where it is written; the system's temporary folder by default")
    parser.add_argument("--gzip", action="store_true", help="compress it")
    parser.add_argument("--read", type=Path, help="only read this file, and tell the figures as JSON")
    options = parser.parse_args()
    if options.read:
        json.dump(read(options.read), sys.stdout)
        return
    size = int(options.gigabytes * 1e9)
    console = Console(highlight=False)
    free = shutil.disk_usage(options.folder or tempfile.gettempdir()).free
    if free < 1.1 * size * (2 if options.gzip else 1):
        parser.error(f"{size / 1e9:.1f} GB do not fit into {free / 1e9:.1f} GB: give another --folder")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / ("log.jsonl.gz" if options.gzip else "log.jsonl")
        began = time.perf_counter()
        rows = write(path, size, options.gzip)
        console.print(f"{rows:,} rows written in {time.perf_counter() - began:.0f} s")
        console.print(table(read_apart(path), size))


if __name__ == "__main__":
    main()
