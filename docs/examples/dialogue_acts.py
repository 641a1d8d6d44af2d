"""Makes the act classifiers that come with the package, and tells how well they do.

    python docs/examples/dialogue_acts.py sgd_dialogues.jsonl.gz                        # learn, and measure
    python docs/examples/dialogue_acts.py sgd_dialogues.jsonl.gz --out ss_gym/sim2real  # put them into the package

The file has dialogues of Schema-Guided Dialogue, one a line: ``{"id": "train/…", "turns": [{"role", "content",
"acts"}]}``. They learn from the train split and are measured on the test split, whose dialogues they have not seen.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from ss_gym.sim2real.act_classifier import ActClassifier


class Quality(NamedTuple):
    """How well a classifier does on messages whose acts are known.

    Attributes:
        messages: how many.
        exact: share of messages of which all acts are told, and no other.
        f1: of all acts of all messages together (micro-averaged).
        by_act: precision, recall and number of messages, by act.
    """

    messages: int
    exact: float
    f1: float
    by_act: dict[str, tuple[float, float, int]]


def quality(classifier: ActClassifier, texts: Sequence[str], acts: Sequence[Sequence[str]]) -> Quality:
    """Measures a classifier.

    Args:
        classifier: whose acts are counted.
        texts: the messages.
        acts: of each.
    """
    told = np.array([[name in each for name in classifier.acts] for each in classifier.read(texts)])
    truth = np.array([[name in each for name in classifier.acts] for each in acts])
    right, said, there = (told & truth).sum(0), told.sum(0), truth.sum(0)
    by_act = {
        name: (float(right[place] / max(1, said[place])), float(right[place] / max(1, there[place])), int(there[place]))
        for place, name in enumerate(classifier.acts)
    }
    f1 = 2 * right.sum() / max(1, said.sum() + there.sum())
    return Quality(len(texts), float((told == truth).all(1).mean()), float(f1), by_act)


def messages(path: str | Path, split: str, role: str) -> tuple[list[str], list[list[str]]]:
    """The messages of a split and a role, with their acts.

    Args:
        path: the file, as gzip or plain.
        split: ``"train"``, ``"dev"`` or ``"test"``.
        role: ``"user"`` or ``"assistant"``.
    """
    turns = [
        turn
        for dialogue in _dialogues(path)
        if dialogue["id"].startswith(f"{split}/")
        for turn in dialogue["turns"]
        if turn["role"] == role and turn["acts"]
    ]
    return [turn["content"] for turn in turns], [turn["acts"] for turn in turns]


def _dialogues(path: str | Path) -> Iterator[dict[str, Any]]:
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def main(words: Sequence[str] | None = None) -> None:
    """Learns and measures the classifiers of both roles."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="dialogues with acts")
    parser.add_argument("--out", type=Path, help="folder that they are written to")
    options = parser.parse_args(words)
    for role in ("user", "assistant"):
        classifier = ActClassifier.fit(*messages(options.file, "train", role))
        measured = quality(classifier, *messages(options.file, "test", role))
        title = f"{role}: {measured.messages:,} messages, all acts right {measured.exact:.3f}, F1 {measured.f1:.3f}"
        table = Table("act", "precision", "recall", "messages", title=title)
        for name, (precision, recall, count) in measured.by_act.items():
            table.add_row(name, f"{precision:.2f}", f"{recall:.2f}", f"{count:,}")
        Console().print(table)
        if options.out is not None:
            classifier.save(options.out / f"acts_{role}.npz")


if __name__ == "__main__":
    main()
