"""Terms of the reward for batches; import them from ``ss_gym.wrappers.vector``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import VectorWrapper

from ss_gym.wrappers.batches import HEARD, Envs, Rows, Told, VectorStep, added, heard, mask_of, missing
from ss_gym.wrappers.shaping import (
    PROGRESS_WEIGHT,
    SHAPING,
    TURN_PENALTY,
    Potential,
    check_gamma,
    check_penalty,
    finite_potential,
    no_progress,
    taken,
    turns_among,
)


class PotentialShaping(VectorWrapper[Any, Any, Any, Any, Any]):
    """Adds F = γΦ(s') − Φ(s) to the rewards of each row, with Φ = 0 at the end of every episode.

    A ``potential`` of one's own is a function of one environment, so it needs a batch whose environments
    are in this process (``envs.unwrapped.envs``). The default calls the environments' ``progress``.
    """

    def __init__(self, env: Envs, potential: Potential | None = None, gamma: float = 1.0) -> None:
        super().__init__(env)
        check_gamma(gamma)
        if potential is not None and not callable(potential):
            raise TypeError(f"a potential is a function of the environment, got {potential!r:.80}")
        base: Any = env.unwrapped
        if potential is not None and not hasattr(base, "envs"):
            raise TypeError(f"{type(base).__name__} keeps no environments here that a potential could be asked of")
        inner = getattr(base, "envs", ())
        if potential is None and inner and not hasattr(inner[0].unwrapped, "progress"):
            raise TypeError(no_progress(type(inner[0].unwrapped).__name__))
        self._potential = potential
        self._gamma = float(gamma)
        self._rows = Rows(env, ("reward_terms", "episode_terms"))
        self._before = np.zeros(self.num_envs)
        self._totals = np.zeros(self.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The batch's reset."""
        mask = mask_of(options)
        observations, infos = self.env.reset(seed=seed, options=options)
        rows = [told.row for told in self._rows.begun(mask, observations, infos)]
        self._before[rows], self._totals[rows] = self._potentials()[rows], 0.0
        return observations, infos

    def step(self, actions: Any) -> VectorStep:
        """The batch's step, with the shaping."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        told = self._rows.stepped(observations, terminated, truncated, infos)
        now, rewards, facts = self._potentials(), np.array(rewards, np.float64), []
        for one in told:
            row = one.row
            if one.began:
                self._before[row], self._totals[row] = now[row], 0.0
                continue
            after = 0.0 if one.ended else now[row]
            term = float(self._gamma * after - self._before[row])
            self._before[row] = after
            self._totals[row] += term
            rewards[row] += term
            facts.append((one, _terms(one, SHAPING, term, float(self._totals[row]))))
        return observations, rewards, terminated, truncated, added(infos, facts, self.num_envs)

    def _potentials(self) -> npt.NDArray[np.float64]:
        """The potential of every row."""
        base: Any = self.env.unwrapped
        if self._potential is None:
            return np.array([PROGRESS_WEIGHT * finite_potential(value) for value in base.call("progress")])
        return np.array([finite_potential(self._potential(one)) for one in base.envs])


class TurnPenalty(VectorWrapper[Any, Any, Any, Any, Any]):
    """Takes something off the reward of each row for each turn beyond the free ones."""

    def __init__(self, env: Envs, penalty: float = 0.01, free_turns: int = 0) -> None:
        super().__init__(env)
        check_penalty(penalty, free_turns)
        self._penalty, self._free_turns = float(penalty), int(free_turns)
        self._rows = Rows(env, (*HEARD, "reward_terms", "episode_terms"))
        self._turns = [0] * self.num_envs

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The batch's reset."""
        mask = mask_of(options)
        observations, infos = self.env.reset(seed=seed, options=options)
        facts = self._begun(self._rows.begun(mask, observations, infos))
        return observations, added(infos, facts, self.num_envs)

    def step(self, actions: Any) -> VectorStep:
        """The batch's step, with the penalties."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        told = self._rows.stepped(observations, terminated, truncated, infos)
        rewards, facts = np.array(rewards, np.float64), []
        for one in told:
            if one.began:
                facts.extend(self._begun([one]))
                continue
            messages = heard(one, actions)
            turns = turns_among(messages)
            self._turns[one.row] += turns
            paid = max(self._turns[one.row] - self._free_turns, 0)
            term = -self._penalty if paid and turns else None
            rewards[one.row] += term or 0.0
            fact = _terms(one, TURN_PENALTY, term, -self._penalty * paid)
            facts.append((one, {**missing(one, messages), **fact}))
        return observations, rewards, terminated, truncated, added(infos, facts, self.num_envs)

    def _begun(self, told: Sequence[Told]) -> list[tuple[Told, dict[str, Any]]]:
        for one in told:
            self._turns[one.row] = 0
        return [(one, missing(one, heard(one, None))) for one in told]


def _terms(told: Told, name: str, term: float | None, total: float) -> dict[str, Any]:
    """What goes into an info for one more term of the reward; see ``with_term``."""
    if name in told.info.get("reward_terms", ()):
        raise ValueError(taken(name))
    fact: dict[str, Any] = {} if term is None else {"reward_terms": {name: term}}
    if told.ended and (total or term is not None) and "episode_terms" in told.info:
        fact["episode_terms"] = {name: total}
    return fact
