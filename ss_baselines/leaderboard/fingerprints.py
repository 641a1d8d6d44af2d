"""What a protocol's scores depend on, in short: the tasks with their data, and how customers behave."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from hashlib import blake2b
from typing import Any, NamedTuple

import gymnasium as gym

from ss_baselines.leaderboard.protocol import EpisodeKey, family_name
from ss_baselines.leaderboard.replay import Replayer
from ss_gym.families.splits import load_scenario, split_size
from ss_gym.scenario_files import folder_of
from ss_gym.scenarios import scenario_id

_SPLITS = ("dev", "test")
# Which customers are asked, and what is said to them, whatever they want.
_PAIRS = 5
_REMARKS = (
    "Hello! How can I help you?",
    "What is your order number, please?",
    "Could you tell me the e-mail address of your account and your postal code?",
    "I can refund 20.00 to your card. Shall I go on?",
    "I have looked at your order. I am sorry, but that is not possible under our policy.",
    "",
    "Is there anything else?",
)


class SuiteHashes(NamedTuple):
    """What scores of some environments depend on.

    Attributes:
        tasks: a hash of each one's tasks, by id.
        users: a hash of how its customers behave, by id.
    """

    tasks: dict[str, str]
    users: dict[str, str]


def suite_hashes(environments: Iterable[str]) -> SuiteHashes:
    """The hashes of environments as they are here."""
    named = tuple(environments)
    return SuiteHashes({env_id: task_hash(env_id) for env_id in named}, {env_id: user_hash(env_id) for env_id in named})


@cache
def task_hash(env_id: str) -> str:
    """Of the scenarios of dev and test, the files that they are drawn with, prompts, and what tools say to empty calls.

    A submission is of this suite if its hash is: whatever else might have changed is found by playing it again.
    """
    family = family_name(env_id)
    drawn = {
        part.family
        for split in _SPLITS
        for number in range(split_size(family, split))
        for part in load_scenario(family, split, number).parts
    }
    parts: list[bytes] = [env_id.encode()]
    for name in sorted({family, "world", *drawn}):
        for file in sorted(folder_of(name).glob("*")):
            if file.suffix in (".yaml", ".json") or file.name == "policy.md":
                # As text: a checkout may end lines in another way.
                parts += [f"{name}/{file.name}".encode(), file.read_text(encoding="utf-8").encode()]
    return _digest([*parts, *_prompts(env_id, family), *_answers_of_tools(env_id, family)])


@cache
def user_hash(env_id: str) -> str:
    """Of how customers of both splits begin, and of what they answer to a few remarks."""
    family, replayer = family_name(env_id), Replayer(env_id)
    parts: list[bytes] = [env_id.encode()]
    for split in _SPLITS:
        for number in range(min(2 * _PAIRS, split_size(family, split))):
            key = EpisodeKey(env_id, scenario_id(family, split, number), 1)
            observation, _ = replayer.env.reset(options=key.options)
            parts.append(observation.encode())
            for remark in _REMARKS:
                observation, _, terminated, truncated, _ = replayer.env.step(remark)
                parts.append(observation.encode())
                if terminated or truncated:
                    break
    replayer.close()
    return _digest(parts)


def _prompts(env_id: str, family: str) -> Iterable[bytes]:
    """What agents read first, in both forms, which is in no observation."""
    for prompt in ("full", "compact"):
        env = gym.make(env_id, prompt=prompt)
        for number in range(2 * _PAIRS):
            _, info = env.reset(options=EpisodeKey(env_id, scenario_id(family, "test", number), 0).options)
            yield info["system_prompt"].encode()
        env.close()


def _answers_of_tools(env_id: str, family: str) -> Iterable[bytes]:
    replayer = Replayer(env_id)
    first = EpisodeKey(env_id, scenario_id(family, "test", 0), 0)
    _, info = replayer.env.reset(options=first.options)
    tools: list[dict[str, Any]] = info["tools"]
    yield json.dumps(tools, sort_keys=True).encode()
    for tool in tools:
        replayer.env.reset(options=first.options)
        call = json.dumps({"name": tool["function"]["name"], "arguments": {}})
        yield replayer.env.step(f"<tool_call>{call}</tool_call>")[0].encode()
    replayer.close()


def _digest(parts: Iterable[bytes]) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
