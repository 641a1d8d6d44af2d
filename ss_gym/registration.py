"""The table of environment ids. Everything is a string, so that nothing is imported before it is made."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium


class Registration(NamedTuple):
    """What one id stands for: entry points as ``"module:name"`` and keyword arguments.

    Without a vector entry point of its own, ``gymnasium.make_vec`` puts environments together as it always does.
    """

    entry_point: str
    vector_entry_point: str
    kwargs: dict[str, Any]


_CUSTOMER_SERVICE = "ss_gym.customer_service:CustomerServiceEnvironment"
_VECTOR = "ss_gym.vector:make_vector"
# Those with a menu.
_DISCRETE = {
    "Refund": "refund",
    "Cancel": "cancel",
    "OrderStatus": "order_status",
    "AddressChange": "address_change",
    "Subscription": "subscription",
    "Warranty": "warranty",
    "Exchange": "exchange",
    "Adversarial": "adversarial",
}

REMOTE = "StateSet/Remote-v0"
"""Whatever a server has: it can't be made without the server's address, ``url``."""

ENVIRONMENTS = {
    "StateSet/AddressChange-v0": Registration(_CUSTOMER_SERVICE, _VECTOR, {"family": "address_change"}),
    "StateSet/Refund-v0": Registration(_CUSTOMER_SERVICE, _VECTOR, {"family": "refund"}),
    "StateSet/Adversarial-v0": Registration(_CUSTOMER_SERVICE, _VECTOR, {"family": "adversarial"}),
    "StateSet/Cancel-v0": Registration(_CUSTOMER_SERVICE, _VECTOR, {"family": "cancel"}),
    "StateSet/Retail-v0": Registration(_CUSTOMER_SERVICE, _VECTOR, {"family": "retail"}),
    **{
        f"StateSet/{name}Discrete-v0": Registration("ss_gym.discrete:make_discrete", "", {"family": family})
        for name, family in _DISCRETE.items()
    },
    "StateSet/Exchange-v0": Registration(_CUSTOMER_SERVICE, _VECTOR, {"family": "exchange"}),
    "StateSet/Warranty-v0": Registration(_CUSTOMER_SERVICE, _VECTOR, {"family": "warranty"}),
    "StateSet/Subscription-v0": Registration(_CUSTOMER_SERVICE, _VECTOR, {"family": "subscription"}),
    "StateSet/OrderStatus-v0": Registration(_CUSTOMER_SERVICE, _VECTOR, {"family": "order_status"}),
    "StateSet/Conversation-v0": Registration(
        "ss_gym.conversation:ConversationEnvironment", "ss_gym.conversation:make_conversations", {}
    ),
    "StateSet/Task-v0": Registration("ss_gym.task:TaskEnvironment", "ss_gym.task:make_tasks", {}),
    "StateSet/MultiTask-v0": Registration(
        "ss_gym.multi_task:MultiTaskEnvironment", "ss_gym.multi_task:make_tasks_together", {}
    ),
    REMOTE: Registration("ss_gym.remote:RemoteEnvironment", "", {}),
}


def register_environments() -> None:
    """Tells Gymnasium of every id in ``ENVIRONMENTS``; ids that it already knows are left alone."""
    for env_id, entry in ENVIRONMENTS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(
                id=env_id,
                entry_point=entry.entry_point,
                vector_entry_point=entry.vector_entry_point or None,
                kwargs=dict(entry.kwargs),
                # The environments check the order of calls and the types themselves.
                order_enforce=False,
                disable_env_checker=True,
            )
