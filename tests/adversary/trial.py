"""Plays a script and tells what it earned, and whether it had done what the policy asks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from ss_gym.commerce.toolkit import MAX_VERIFICATION_ATTEMPTS
from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.families import load_family
from ss_gym.scenarios import Scenario
from tests.adversary.values import subjects

# An action is its sentences, or one tool call; a script is what an agent does whatever comes back.
Action = tuple[str, ...]
Script = tuple[Action, ...]

VERIFY = "verify_identity"
# Reads that tell nothing of the case.
NO_LOOK = frozenset((VERIFY, "find_customer", "get_policy"))


class Trial(NamedTuple):
    """One episode.

    Attributes:
        success: whether it counts as solved.
        reward: the sum of the rewards.
        passed: the parts of the audit that passed.
        progress: how much of what the right end needs was there, from 0 to 1.
        granted: whether effects are due and all of them are there.
        verified: whether the customer was verified, or failed as often as the policy allows where they must fail.
        looked: whether a tool was asked about what the wish is about.
    """

    success: bool
    reward: float
    passed: int
    progress: float
    granted: bool
    verified: bool
    looked: bool

    @property
    def diligent(self) -> bool:
        """Whether all was done that the policy asks for before anything may be told."""
        return self.verified and self.looked


class _Diligence:
    """Follows the calls of an episode by their answers, without the environment's own audit."""

    def __init__(self, scenario: Scenario) -> None:
        self._customer_id = scenario.customer.customer_id
        self._subjects = subjects(scenario)
        self._reads = {name for name, tool in load_family(scenario.family).tools.items() if tool.kind == "read"}
        # Whoever can't be verified must be told nothing, so nothing need be read for them.
        self._unverifiable = any("not_verified" in allowed for allowed in scenario.outcome.grounds)
        self._attempts = 0
        self.verified = False
        self.looked = self._unverifiable

    def follow(self, messages: Sequence[dict[str, Any]]) -> None:
        """Takes in the agent's calls and their answers."""
        calls = messages[0].get("tool_calls", ())
        for call, answer in zip(calls, messages[1:], strict=False):
            name, result = call["function"]["name"], json.loads(answer["content"])
            if "error" in result:
                continue
            if name == VERIFY:
                self._attempts += 1
                self.verified |= result["verified"] and result["customer_id"] == self._customer_id
                if self._unverifiable:
                    self.verified = self._attempts >= MAX_VERIFICATION_ATTEMPTS
            elif name in self._reads and name not in NO_LOOK:
                named = json.loads(call["function"]["arguments"]).values()
                self.looked |= any(value in self._subjects for each in named for value in _flat(each))


def _flat(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else (value,)


def try_script(env: CustomerServiceEnvironment, scenario_id: str, script: Script) -> Trial:
    """Plays a script, then silence, to the end."""
    env.reset(options={"scenario_id": scenario_id})
    diligence = _Diligence(env.scenario)
    reward, ended = 0.0, False
    info: dict[str, Any] = {}
    place = 0
    while not ended:
        text = " ".join(script[place]) if place < len(script) else ""
        _, paid, terminated, truncated, info = env.step(text)
        if "tool_calls" in info["messages"][0]:
            diligence.follow(info["messages"])
        reward += paid
        place += 1
        ended = terminated or truncated
    due = env.scenario.outcome.effects
    return Trial(
        success=info["success"],
        reward=reward,
        passed=len(info["audit"]["passed"]),
        progress=env.progress(),
        granted=bool(due) and due <= env.effects,
        verified=diligence.verified,
        looked=diligence.looked,
    )
