"""Which scenarios there are: endless in train, frozen lists in dev and test."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ss_gym.families import load_family
from ss_gym.families.parameters import kind_weights
from ss_gym.scenario_files import field_error, folder_of, read_text
from ss_gym.scenarios import Scenario
from ss_gym.spelling import nearest
from ss_gym.streams import Stream

# Train indices are drawn below this; every one of them is a scenario.
TRAIN_SIZE = 2**40

_FILE = "splits.json"
_DIGEST = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class FrozenPair:
    """One entry of a frozen list: a scenario and its twin.

    Attributes:
        seed: what the pair is drawn from.
        kind: the kind of case.
        digest: of both scenarios in full, so that a change of any of their details is noticed.
    """

    seed: int
    kind: str
    digest: str


@cache
def frozen_pairs(family: str, split: str) -> tuple[FrozenPair, ...]:
    """The frozen list of a split, from ``splits.json`` of the family.

    Raises:
        ValueError: the file is broken; names the file, the line and the field.
    """
    try:
        data: Any = json.loads(read_text(family, _FILE))
    except json.JSONDecodeError as error:
        raise ValueError(f"{family}/{_FILE}, line {error.lineno}: {error.msg}") from None
    entries = data.get(split) if isinstance(data, dict) else None
    if not isinstance(entries, list) or not entries:
        raise field_error(family, _FILE, (split,), "expected a list of pairs")
    kinds = tuple(kind_weights(family))
    return tuple(_frozen_pair(family, (split, number), entry, kinds) for number, entry in enumerate(entries))


def _frozen_pair(family: str, field: tuple[str | int, ...], entry: Any, kinds: tuple[str, ...]) -> FrozenPair:
    """One entry of a list, checked."""
    if not isinstance(entry, dict) or set(entry) != {"seed", "kind", "digest"}:
        raise field_error(family, _FILE, field, f"expected seed, kind and digest, got {entry!r:.120}")
    seed, kind, expected = entry["seed"], entry["kind"], entry["digest"]
    if type(seed) is not int or seed < 0:
        raise field_error(family, _FILE, (*field, "seed"), f"expected an integer from 0 up, got {seed!r:.80}")
    if kind not in kinds:
        raise field_error(family, _FILE, (*field, "kind"), f"{kind!r:.80} is no kind of case; {nearest(kind, kinds)}")
    if not isinstance(expected, str) or not _DIGEST.fullmatch(expected):
        raise field_error(
            family, _FILE, (*field, "digest"), f"expected 16 hexadecimal digits in lower case, got {expected!r:.80}"
        )
    return FrozenPair(seed, kind, expected)


def split_size(family: str, split: str) -> int:
    """How many scenarios a split has, twins included."""
    return TRAIN_SIZE if split == "train" else 2 * len(frozen_pairs(family, split))


@lru_cache(maxsize=16)
def load_scenario(family: str, split: str, index: int) -> Scenario:
    """The scenario ``index`` of a split; attempts at the same one follow each other, and draw it once.

    Raises:
        ValueError: there is no such scenario; or a frozen one is no longer what it was, in which case
            the error names the file, the line and the field.
    """
    if not 0 <= index < split_size(family, split):
        raise ValueError(f"unknown scenario {family}/{split}/{index:04d}: {split} has {split_size(family, split)}")
    if split == "train":
        return load_family(family).draw(split, index, index // 2)
    pair = frozen_pairs(family, split)[index // 2]
    _check_digest(family, split, index // 2, pair)
    return load_family(family).draw(split, index, pair.seed, pair.kind)


@cache
def _check_digest(family: str, split: str, number: int, pair: FrozenPair) -> None:
    """Raises unless a frozen pair is still the one that was frozen; draws it once a process."""
    drawn = load_family(family)
    found = digest(*[drawn.draw(split, 2 * number + member, pair.seed, pair.kind) for member in (0, 1)])
    if found != pair.digest:
        raise field_error(
            family,
            _FILE,
            (split, number, "digest"),
            f"seed {pair.seed} and kind {pair.kind} give other scenarios, with the digest {found}: this entry, another "
            f"file of the family or its generator has been changed; undo that, or freeze new lists for a new version",
        )


def digest(*scenarios: Scenario) -> str:
    """A short hash of everything that scenarios hold, equal on every platform."""
    text = "\n".join(_canonical(scenario) for scenario in scenarios)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def write_frozen_lists(family: str, pairs: int = 300) -> Path:
    """Draw and write ``splits.json`` of a family; run once, when a version of the environment is made.

    The lists hold the kinds of case in the proportions of ``family.yaml``.

    Args:
        family: the family's name.
        pairs: length of each list.

    Returns:
        the file that was written.
    """
    kinds = kind_weights(family)
    lists = {split: _drawn_list(family, split, kinds, pairs) for split in ("dev", "test")}
    # A line a pair, so that a change of one is a change of one line.
    blocks = [f'"{split}": [\n' + ",\n".join(map(json.dumps, entries)) + "\n]" for split, entries in lists.items()]
    target = folder_of(family) / _FILE
    partial = target.with_suffix(".json.partial")
    partial.write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")
    partial.replace(target)
    return target


def _drawn_list(family: str, split: str, kinds: Mapping[str, float], pairs: int) -> list[dict[str, Any]]:
    drawn, stream = load_family(family), Stream(family, split, "freeze")
    entries = []
    for position, kind in enumerate(stream.sample(_proportional(kinds, pairs), pairs)):
        seed = stream.below(2**40)
        twins = [drawn.draw(split, 2 * position + member, seed, kind) for member in (0, 1)]
        entries.append({"seed": seed, "kind": kind, "digest": digest(*twins)})
    return entries


def _proportional(kinds: Mapping[str, float], count: int) -> list[str]:
    """``count`` names in proportion to their weights, by largest remainder."""
    total = sum(kinds.values())
    shares = {name: count * weight / total for name, weight in kinds.items()}
    counts = Counter({name: int(share) for name, share in shares.items()})
    rest = sorted(shares, key=lambda name: (counts[name] - shares[name], name))
    for name in rest[: count - counts.total()]:
        counts[name] += 1
    return list(counts.elements())


def _canonical(value: Any) -> str:
    """Like ``repr``, with sets in a fixed order and without named fields that have their default value.

    A field that is added later, with a default, leaves the digests of the scenarios that do not use it alone.
    """
    if isinstance(value, frozenset):
        return "{" + ",".join(sorted(map(_canonical, value))) + "}"
    if isinstance(value, tuple):
        defaults: Mapping[str, Any] = getattr(value, "_field_defaults", {})
        names = getattr(value, "_fields", ())
        if names:
            parts = [
                f"{name}={_canonical(part)}"
                for name, part in zip(names, value, strict=True)
                if name not in defaults or part != defaults[name]
            ]
            return f"({','.join(parts)})"
        return "(" + ",".join(map(_canonical, value)) + ")"
    if is_dataclass(value):
        held = [(field, getattr(value, field.name)) for field in fields(value)]
        parts = [
            f"{field.name}={_canonical(part)}"
            for field, part in held
            if field.default is MISSING or part != field.default
        ]
        return f"{type(value).__name__}({','.join(parts)})"
    return repr(value)
