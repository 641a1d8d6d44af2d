"""Measures one subject in this process and prints the result; run by ``side_by_side`` in the subject's environment.

    python -m tests.benchmarks.peers.measure start|speed|memory|facts MODULE:CLASS [ARGUMENT] [--episodes N]

Standard library only, since it runs beside any peer's packages. Each part wants a process of its own:
what one has loaded or cached must not count for another.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

MARK = "@@ measured "  # packages print on import; the result is the line that begins so


def load(target: str, *arguments: str) -> Any:
    """The subject that ``module:class`` names."""
    module, name = target.split(":")
    return getattr(import_module(module), name)(*arguments)


def start(subject: Any, options: argparse.Namespace) -> dict[str, float]:
    """CPU seconds to import the package, and until a first step is through."""
    begin = time.process_time()
    import_module(subject.module)
    imported = time.process_time()
    subject.trace(subject.make(), subject.first, 0, 1)
    return {"import_s": imported - begin, "first_step_s": time.process_time() - begin}


def speed(subject: Any, options: argparse.Namespace) -> dict[str, float | None]:
    """Steps per CPU second over episodes that were not seen before, then over the same once more; and resets."""
    episodes = subject.episodes(options.episodes + options.episodes // 10)
    warm_up, episodes = episodes[options.episodes :], episodes[: options.episodes]
    handle = subject.make()
    subject.play(handle, warm_up)
    begin = time.process_time()
    played = subject.play(handle, episodes)
    fresh = time.process_time() - begin
    begin = time.process_time()
    subject.play(handle, episodes)
    again = time.process_time() - begin
    begin = time.process_time()
    subject.resets(handle, episodes)
    resets = time.process_time() - begin
    return {
        "steps_per_s": played.steps / fresh,
        "again_per_s": played.steps / again,
        "steps": played.steps / len(episodes),
        "solved": None if played.solved is None else played.solved / len(episodes),
        "reset_us": 1e6 * resets / len(episodes),
    }


def resident() -> int:
    """Bytes of memory that this process has in use."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # not Linux: the largest that it ever was
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def memory(subject: Any, options: argparse.Namespace) -> dict[str, float]:
    """Megabytes with one environment, and kilobytes of each further one, all of them two steps into an episode."""
    first, *episodes = subject.episodes(options.environments + 1)
    handles = [subject.make()]
    subject.trace(handles[0], first, 0, 2)
    before = resident()
    for episode in episodes:
        handles.append(subject.make())
        subject.trace(handles[-1], episode, 0, 2)
    return {"process_mb": before / 1e6, "environment_kb": (resident() - before) / 1e3 / len(episodes)}


def facts(subject: Any, options: argparse.Namespace) -> dict[str, Any]:
    """What the environment was seen to do; a check that raises is told as such."""
    from tests.benchmarks.peers import observed

    questions: dict[str, Callable[[Any], Any]] = {
        "checked": lambda subject: subject.checked(),
        "gymnasium": observed.gymnasium_check,
        "step_gives": observed.step_form,
        "seeded": observed.seeding,
        "reused": observed.reuse,
        "saved": observed.saving,
        "vector": lambda subject: subject.vector() or "none",
    }
    answers = {}
    for name, question in questions.items():
        try:
            answers[name] = question(subject)
        except Exception as error:
            answers[name] = f"failed: {type(error).__name__}: {error}"
    return answers


PARTS: dict[str, Callable[[Any, argparse.Namespace], dict[str, Any]]] = {
    "start": start,
    "speed": speed,
    "memory": memory,
    "facts": facts,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure one environment in this process.")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("target", help="the subject, as module:class")
    parser.add_argument("arguments", nargs="*")
    parser.add_argument("--episodes", type=int, default=1_000)
    parser.add_argument("--environments", type=int, default=200)
    options = parser.parse_args()
    result = PARTS[options.part](load(options.target, *options.arguments), options)
    print(f"\n{MARK}{json.dumps(result)}", flush=True)


if __name__ == "__main__":
    main()
