"""Episodes by their names, for libraries that keep them as rows of a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from typing import Any

import gymnasium

from ss_gym.families.splits import split_size
from ss_gym.scenarios import scenario_id


def resets(environment: str, split: str = "", **kwargs: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The names of episodes, and what each is begun with.

    >>> next(resets("StateSet/Refund-v0", "dev")), next(resets("StateSet/Refund-v0"))
    (('refund/dev/0000', {'options': {'scenario_id': 'refund/dev/0000'}}), ('seed-0', {'seed': 0}))

    Args:
        environment: its id.
        split: whose scenarios they are; without, they are seeds, from 0 on without end.
        **kwargs: of the environment.

    Yields:
        names, and the arguments of ``reset``.

    Raises:
        ValueError: for a split of an environment that has no scenarios.
    """
    if not split:
        yield from ((f"seed-{seed}", {"seed": seed}) for seed in count())
        return
    with closing(gymnasium.make(environment, disable_env_checker=True, **kwargs)) as env:
        family = str(getattr(env.unwrapped, "family", ""))
    if not family:
        raise ValueError(f"{environment} has no scenarios: leave out the split for an episode a seed")
    for index in range(split_size(family, split)):
        name = scenario_id(family, split, index)
        yield name, {"options": {"scenario_id": name}}


def opening(observation: str, info: dict[str, Any]) -> list[dict[str, str]]:
    """What there is to read at the beginning, as messages: the system prompt, and what the customer says."""
    system = [{"role": "system", "content": text} for text in [info.get("system_prompt", "")] if text]
    return [*system, {"role": "user", "content": observation}]
