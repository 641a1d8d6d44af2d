"""Plays recorded actions again, and scores the episode that comes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import gymnasium as gym

from ss_baselines.leaderboard.protocol import EpisodeKey
from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.types import Message, is_tool_error

MARK = 4
"""Hexadecimal digits of an observation's mark: enough to say where two episodes part, which the digest decides."""


@dataclass(frozen=True, slots=True)
class Score:
    """What came of an episode.

    Attributes:
        env_id: the environment.
        scenario_id: the scenario.
        trial: which attempt at it.
        pair_id: equal for a scenario and its counterfactual twin.
        kind: which kind of case of its family.
        attack: how the customer tries to get more than is due; empty for an honest one.
        success: whether the audit passed.
        reward: the return, undiscounted.
        reward_terms: the episode's sum of each component.
        critical: the critical breaches, as the audit says them.
        failed: the checks of the audit that did not hold.
        wrong_effects: how many changes were not due.
        turns: messages said to the customer.
        steps: actions.
        tool_errors: results of tools that were errors.
        truncated: whether a limit ended it.
        digest: of all that was observed.
    """

    env_id: str
    scenario_id: str
    trial: int
    pair_id: str
    kind: str
    attack: str
    success: bool
    reward: float
    reward_terms: Mapping[str, float]
    critical: tuple[str, ...]
    failed: tuple[str, ...]
    wrong_effects: int
    turns: int
    steps: int
    tool_errors: int
    truncated: bool
    digest: str

    @property
    def key(self) -> EpisodeKey:
        """Which episode it is."""
        return EpisodeKey(self.env_id, self.scenario_id, self.trial)

    @property
    def yielded(self) -> bool:
        """Whether somebody got what was not due, or learnt what is not theirs; a transfer gives nothing."""
        return "wrong_write" in self.reward_terms or bool(self.critical)

    def line(self) -> str:
        """It as a line of JSON, always the same for the same score."""
        return json.dumps(asdict(self), allow_nan=False)


class Replay(NamedTuple):
    """An episode that was played again.

    Attributes:
        score: what came of it.
        marks: of the first observation and of the one after each action, ``MARK`` digits each, in one string.
    """

    score: Score
    marks: str


class ReplayError(ValueError):
    """Recorded actions that are no episode: it ends before they do, or does not end with them."""


class Replayer:
    """An environment that plays recorded actions.

    Args:
        env_id: the environment.

    Attributes:
        env: it.
        audit: of the last episode.
    """

    def __init__(self, env_id: str) -> None:
        # The policy's text is in no observation: the short form is read faster.
        made = gym.make(env_id, prompt="compact").unwrapped
        if not isinstance(made, CustomerServiceEnvironment):
            raise ValueError(f"{env_id} keeps no audit of its episodes")
        self.env = made
        self.audit: Mapping[str, Any] = {}

    def play(self, key: EpisodeKey, actions: Sequence[str], messages: list[Message] | None = None) -> Replay:
        """Plays an episode.

        Args:
            key: which.
            actions: of the agent, from the first to the one that ends it.
            messages: gets what was said and done, in OpenAI form.

        Raises:
            ReplayError: if they are not the actions of a whole episode.
        """
        env, digest = self.env, blake2b(digest_size=8)
        observation, info = env.reset(options=key.options)
        marks, reward, errors, ended, truncated = [_mark(observation, digest)], 0.0, 0, False, False
        if messages is not None:
            messages += info["messages"]
        for place, action in enumerate(actions):
            if ended:
                raise ReplayError(f"{key}: the episode ends with action {place} of {len(actions)}")
            observation, step_reward, terminated, truncated, info = env.step(action)
            marks.append(_mark(observation, digest))
            reward += float(step_reward)
            errors += sum(is_tool_error(message["role"], message["content"]) for message in info["messages"])
            ended = terminated or truncated
            if messages is not None:
                messages += info["messages"]
        if not ended:
            raise ReplayError(f"{key}: the episode has not ended after its {len(actions)} actions")
        return Replay(self._score(key, reward, errors, truncated, info, digest.hexdigest()), "".join(marks))

    def close(self) -> None:
        """Frees its databases."""
        self.env.close()

    def _score(
        self, key: EpisodeKey, reward: float, errors: int, truncated: bool, info: Mapping[str, Any], digest: str
    ) -> Score:
        audit, scenario = info["audit"], self.env.scenario
        self.audit = audit
        return Score(
            env_id=key.env_id,
            scenario_id=key.scenario_id,
            trial=key.trial,
            pair_id=scenario.pair_id,
            kind=scenario.kind,
            attack=scenario.goal.attack,
            success=bool(info["success"]),
            reward=reward,
            reward_terms=dict(info["episode_terms"]),
            critical=tuple(audit["critical"]),
            failed=tuple(audit["failed"]),
            wrong_effects=len(audit["wrong_effects"]),
            turns=info["turn"],
            steps=info["step"],
            tool_errors=errors,
            truncated=truncated,
            digest=digest,
        )


def _mark(observation: str, digest: Any) -> str:
    """The mark of an observation, which is added to the episode's digest together with its length."""
    # Agents write halves of surrogate pairs, and tools repeat what they were asked.
    content = observation.encode("utf-8", "surrogatepass")
    digest.update(len(content).to_bytes(8, "big"))
    digest.update(content)
    return blake2b(content, digest_size=MARK // 2).hexdigest()
