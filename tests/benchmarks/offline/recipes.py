"""How each algorithm is run in both libraries: the same settings, as far as both have them.

What both have, and is not in these tables, comes from :class:`Setting`: widths of networks, batches, the learning
rate of every network, discount, seed. Observations, actions and rewards are scaled alike in both. ``DIFFERENCES``
tells what can't be made the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.offline.setting import Setting

# What BCQ proposes in a state. d3rlpy has one number for targets and for acting.
CANDIDATES = 10
# Updates after which d3rlpy's target networks are copied where actions are counted; ours move 1/200 in each.
_COPIED_EVERY = 200
_LAYERS, _CONTEXT, _DROPOUT, _MAX_NORM, _WEIGHT_DECAY = 1, 20, 0.1, 0.25, 1e-4
DIFFERENCES = {
    "all": "d3rlpy draws each batch with replacement, ours goes through the log in a new order each epoch.",
    "bcq": "d3rlpy's autoencoder has no tanh, and draws new candidates each time it acts. Discrete: d3rlpy's target is "
    "a copy that is renewed every 200 updates.",
    "bear": "d3rlpy adds the entropy of soft actor-critic with a learnt temperature, and has no target policy.",
    "cql": "Discrete: d3rlpy's target is a copy that is renewed every 200 updates.",
    "decision transformer": "Discrete: d3rlpy counts the padding of windows in its loss, and embeddings go through a "
    "tanh.",
    "iql": "The standard deviation of d3rlpy's actor is a sigmoid of its parameter, ours an exponential. d3rlpy has no "
    "IQL where actions are counted.",
}


@dataclass(frozen=True)
class Recipe:
    """An algorithm of d3rlpy.

    Attributes:
        config: its class in ``d3rlpy.algos``.
        networks: settings that take the hidden layers of a network.
        rates: settings that take a learning rate.
        settings: all that is not d3rlpy's default besides.
    """

    config: str
    networks: tuple[str, ...]
    rates: tuple[str, ...]
    settings: Mapping[str, Any]


def _one_network(config: str, **settings: Any) -> Recipe:
    return Recipe(config, ("encoder_factory",), ("learning_rate",), settings)


def ours(setting: Setting, discrete: bool) -> dict[str, Any]:
    """Settings of our config that are not its defaults."""
    own: dict[str, dict[str, Any]] = {
        "bcq": {} if discrete else {"candidates": CANDIDATES, "acting_candidates": CANDIDATES},
        "bear": {"warmup_updates": setting.warm_up, "acting_candidates": CANDIDATES},
        "cql": {"conservative_weight": 1.0} if discrete else {"actor_learning_rate": setting.learning_rate},
        "decision_transformer": {
            "gamma": 1.0,
            "context_length": _CONTEXT,
            "layers": _LAYERS,
            "dropout": _DROPOUT,
            "weight_decay": _WEIGHT_DECAY,
            "warmup_updates": setting.warm_up,
        },
    }
    # Epochs never end a run: updates do.
    alike = {"hidden_dim": setting.width, "num_epochs": 10**9, "learning_rate": setting.learning_rate}
    return {**alike, "gamma": setting.gamma, **own.get(setting.algorithm, {})}


def theirs(setting: Setting, discrete: bool) -> Recipe:
    """The same for d3rlpy.

    Raises:
        ValueError: if d3rlpy does not have the algorithm for such actions.
    """
    found = (_discrete(setting) if discrete else _continuous(setting)).get(setting.algorithm)
    if found is None:
        raise ValueError(f"d3rlpy has no {setting.algorithm} where actions are {'' if discrete else 'not '}counted")
    return found


def _continuous(setting: Setting) -> dict[str, Recipe]:
    imitator = ("actor_encoder_factory", "critic_encoder_factory", "imitator_encoder_factory")
    rates = ("actor_learning_rate", "critic_learning_rate", "imitator_learning_rate")
    temperature = ("temp_learning_rate",)
    return {
        "bc": _one_network("BCConfig"),
        "bcq": Recipe("BCQConfig", imitator, rates, {"n_action_samples": CANDIDATES}),
        "bear": Recipe(
            "BEARConfig",
            imitator,
            rates + temperature,
            {"n_action_samples": CANDIDATES, "warmup_steps": setting.warm_up},
        ),
        # Without a learning rate the weight stays what it is: 5.
        "cql": Recipe(
            "CQLConfig",
            imitator[:2],
            rates[:2] + temperature,
            {"alpha_learning_rate": 0.0, "conservative_weight": 5.0},
        ),
        "decision_transformer": _one_network("DecisionTransformerConfig", **_transformer()),
        "iql": Recipe("IQLConfig", (*imitator[:2], "value_encoder_factory"), rates[:2], {}),
    }


def _discrete(setting: Setting) -> dict[str, Recipe]:
    copied = {"target_update_interval": _COPIED_EVERY}
    tokens = {"warmup_tokens": setting.warm_up * setting.batch * _CONTEXT, "final_tokens": 10**12}
    return {
        "bc": _one_network("DiscreteBCConfig", beta=0.0),
        "bcq": _one_network("DiscreteBCQConfig", beta=0.01, share_encoder=False, **copied),
        "cql": _one_network("DiscreteCQLConfig", alpha=1.0, **copied),
        "decision_transformer": _one_network("DiscreteDecisionTransformerConfig", **_transformer(), **tokens),
    }


def _transformer() -> dict[str, Any]:
    """Ours leaves out nothing of what attention weighs."""
    dropout = {"attn_dropout": 0.0, "resid_dropout": _DROPOUT, "embed_dropout": _DROPOUT}
    return {"num_layers": _LAYERS, "num_heads": 1, "context_size": _CONTEXT, "activation_type": "relu", **dropout}


def transformer_optimizer() -> dict[str, float]:
    """What the optimizer of d3rlpy's Decision Transformer is given beside its learning rate."""
    return {"weight_decay": _WEIGHT_DECAY, "clip_grad_norm": _MAX_NORM}
