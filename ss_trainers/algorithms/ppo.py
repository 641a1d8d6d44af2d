"""PPO with a critic, over tokens or turns, and a price of leaving the reference that adapts.

Schulman et al. 2017, "Proximal Policy Optimization Algorithms", arXiv:1707.06347; Ziegler et al. 2019,
"Fine-Tuning Language Models from Human Preferences", arXiv:1909.08593.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ss_trainers.algorithms.actor_critic import ActorCritic, CriticSettings
from ss_trainers.algorithms.checks import require_between, require_choice, require_not_negative
from ss_trainers.algorithms.parts import Clip
from ss_trainers.algorithms.settings import AlgorithmConfig
from ss_trainers.functional import divergences


@dataclass(frozen=True, slots=True)
class PPOConfig(AlgorithmConfig):
    """The loss of PPO.

    Attributes:
        clip: how far a token's ratio may leave 1 before its gradient stops.
        dual_clip: the most that a bad action costs, in multiples of its advantage; no bound if None.
        gamma: discount from one action to the next.
        gae_lambda: of generalised advantage estimation, for the policy and for the critic's targets.
        level: actions are ``"token"``s, or ``"turn"``s.
        normalize_advantages: give them mean 0 and standard deviation 1 in each batch.
        value_clip: how far a value may move before its gradient stops; no bound if None.
        value_coefficient: weight of the critic's loss.
        critic_iterations: iterations at the beginning in which the critic alone is trained.
        kl_coefficient: price of each token, in its reward, of being likelier than under the reference, per nat.
        kl_target: nats a token that the price is adapted to hold; it stays as it is if None.
    """

    clip: float = 0.2
    dual_clip: float | None = None
    gamma: float = 1.0
    gae_lambda: float = 0.95
    level: Literal["token", "turn"] = "token"
    normalize_advantages: bool = True
    value_clip: float | None = 0.2
    value_coefficient: float = 0.5
    critic_iterations: int = 0
    kl_coefficient: float = 0.0
    kl_target: float | None = None

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_choice(self, level=("token", "turn"))
        require_not_negative(self, "clip", "value_clip", "value_coefficient", "critic_iterations", "kl_coefficient")
        require_between(self, 0.0, 1.0, "gamma", "gae_lambda")
        require_between(self, 1.0, float("inf"), "dual_clip")
        if self.kl_target is not None and not (self.kl_target > 0 and self.kl_coefficient > 0):
            raise ValueError("PPOConfig.kl_target must be positive, and needs a kl_coefficient to begin with")


class PPO(ActorCritic):
    """Proximal policy optimisation.

    Args:
        config: the loss.
    """

    name = "ppo"
    config_class = PPOConfig

    def __init__(self, config: PPOConfig | None = None) -> None:
        config = config or PPOConfig()
        super().__init__(
            config,
            critic=CriticSettings(
                gamma=config.gamma,
                actor_lambda=config.gae_lambda,
                critic_lambda=config.gae_lambda,
                level=config.level,
                normalize=config.normalize_advantages,
                value_clip=config.value_clip,
                value_coefficient=config.value_coefficient,
            ),
            surrogate=Clip(config.clip, config.clip, config.dual_clip),
            kl_coefficient=config.kl_coefficient,
            critic_iterations=config.critic_iterations,
        )

    def observe(self, metrics: Mapping[str, float]) -> None:
        """Adapts the price to how far the policy has gone, which an iteration's ``kl_reference`` tells."""
        # While the critic learns alone, the policy goes nowhere.
        if self.config.kl_target is not None and {"kl_reference", "policy_loss"} <= set(metrics):
            distance = metrics["kl_reference"]
            self.kl_coefficient = divergences.adapted_coefficient(self.kl_coefficient, distance, self.config.kl_target)

    def state(self) -> dict[str, float]:
        """What changes in a run, for checkpoints."""
        return {"kl_coefficient": self.kl_coefficient}

    def restore(self, state: Mapping[str, float]) -> None:
        """Takes up the state of a checkpoint."""
        self.kl_coefficient = state["kl_coefficient"]
