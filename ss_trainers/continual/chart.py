"""The matrix of accuracies as a picture."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from ss_gym.whole_file import whole_file
from ss_trainers.continual.tasks import Accuracies

_LIGHT, _DARK = "white", "#22252a"


def write_chart(accuracies: Accuracies, path: str | Path, title: str = "") -> None:
    """Draws how well each task went before training and after each task: a row each, a column for each task.

    Args:
        accuracies: with a row at least.
        path: the file; its suffix says what kind, such as ``.png`` or ``.svg``.
        title: above the matrix.

    Raises:
        ImportError: if matplotlib is not installed (extra ``offline``).
        OSError: if the file can't be written; what was there before is as it was.
        ValueError: if there is nothing to draw, or matplotlib knows no such suffix.
    """
    rows = list(accuracies.rows)
    names = [f"after {task}" for task in accuracies.tasks[: len(rows)]]
    if accuracies.untrained is not None:
        rows, names = [accuracies.untrained, *rows], ["untrained", *names]
    if not rows:
        raise ValueError("there is nothing to draw: no task was measured yet")
    figure = _figure(rows, names, accuracies.tasks, title)
    suffix = Path(path).suffix.removeprefix(".")
    with whole_file(path) as file:
        figure.savefig(file, format=suffix or "png", dpi=150)


def _figure(rows: list[tuple[float, ...]], names: list[str], tasks: tuple[str, ...], title: str) -> Any:
    figure = import_module("matplotlib.figure").Figure(
        figsize=(1.9 + 0.95 * len(tasks), 1.2 + 0.5 * len(rows)), layout="constrained"
    )
    axes = figure.add_subplot()
    low, high = min(0.0, *map(min, rows)), max(1.0, *map(max, rows))
    axes.imshow(rows, cmap="Blues", vmin=low, vmax=high, aspect="auto")
    axes.set_xticks(range(len(tasks)), tasks)
    axes.set_yticks(range(len(rows)), names)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            bright = (value - low) / (high - low) > 0.6
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=_LIGHT if bright else _DARK)
    if title:
        figure.suptitle(title)
    return figure
