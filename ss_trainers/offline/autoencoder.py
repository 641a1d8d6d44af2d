"""A model of what a log's policy does in a state, which proposes actions: a conditional variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from ss_trainers.functional.gaussians import reparameterized, standard_normal_divergence
from ss_trainers.offline.networks import Perceptrons, side_by_side

# Bounds of the logarithm of a latent's standard deviation; as in BCQ's code.
_LOG_STD_MIN, _LOG_STD_MAX = -4.0, 15.0
# What is proposed comes from latents that are no farther from 0 in any component; as in BCQ's code.
_LATENT_BOUND = 0.5


class ActionAutoencoder(nn.Module):
    """Conditional variational autoencoder of actions, Kingma and Welling 2013, arXiv:1312.6114; that of BCQ and BEAR.

    Args:
        observation_size: D.
        action_size: A.
        latent_size: L, numbers in a latent.
        hidden: sizes of the hidden layers of encoder and decoder.
        generator: where the initial values come from.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        latent_size: int,
        hidden: Sequence[int],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.encoder = Perceptrons((observation_size + action_size, *hidden, 2 * latent_size), generator)
        self.decoder = Perceptrons((observation_size + latent_size, *hidden, action_size), generator)

    def loss(self, observations: Tensor, actions: Tensor, noise: Tensor, kl_weight: float) -> Tensor:
        """Mean squared error of the actions that come back, and how far latents are from a standard normal.

        Args:
            observations: float (N, D).
            actions: float (N, A).
            noise: float (N, L), standard normal.
            kl_weight: of the divergence, which is a mean over components too.

        Returns:
            scalar.
        """
        mean, log_std = self.encoder(side_by_side(observations, actions)).chunk(2, -1)
        log_std = log_std.clamp(_LOG_STD_MIN, _LOG_STD_MAX)
        decoded = self(observations, reparameterized(mean, log_std, noise)).tanh()
        return mse_loss(decoded, actions) + kl_weight * standard_normal_divergence(mean, log_std).mean()

    def forward(self, observations: Tensor, latents: Tensor) -> Tensor:
        """Actions before the tanh.

        Args:
            observations: float (N, D).
            latents: float (N, L), or (N, S, L) with S in each state.

        Returns:
            float (N, A) or (N, S, A).
        """
        decoded = cast("Tensor", self.decoder(side_by_side(observations, latents)))
        return decoded.reshape(*latents.shape[:-1], -1)

    def latents(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Latents of likely actions.

        Args:
            shape: of the result but for its last dimension.
            generator: where they come from, on the device on which they are to be.

        Returns:
            float (..., L), standard normal and cut off at ±.5.
        """
        drawn = torch.randn(*shape, self.latent_size, generator=generator, device=generator.device)
        return drawn.clamp_(-_LATENT_BOUND, _LATENT_BOUND)
