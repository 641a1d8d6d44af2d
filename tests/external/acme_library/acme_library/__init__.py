"""The desk of a lending library: members who want to keep a book longer.

Importing the package registers its environment; everything else is found by the entry points in ``pyproject.toml``.
"""

import gymnasium

ENV_ID = "Acme/Library-v0"

gymnasium.register(
    id=ENV_ID,
    entry_point="ss_gym.customer_service:CustomerServiceEnvironment",
    vector_entry_point="ss_gym.vector:make_vector",
    kwargs={"family": "library"},
    # The environment checks the order of calls and the types itself.
    order_enforce=False,
    disable_env_checker=True,
)
