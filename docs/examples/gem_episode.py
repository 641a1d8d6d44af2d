"""Customers in GEM: a vector of environments with GEM's own wrappers around them.

pip install gem-llm
python docs/examples/gem_episode.py
"""

from __future__ import annotations

import gem
from gem.wrappers.observation_wrapper import ObservationWrapper

from ss_gym.interop.gem import register

ENV_ID = register("StateSet/Refund-v0")
SAID = "Hello! Could you tell me the e-mail address of your account and your postal code?"


def main() -> None:
    """Says one thing to four customers, and shows what they answer."""
    wrappers = [lambda env: ObservationWrapper(env, include_action=False, include_chat_template=False)]
    vector = gem.make_vec([ENV_ID] * 4, wrappers=wrappers, seed=1, prompt="compact")
    openings, _ = vector.reset()
    observations, *_ = vector.step([SAID] * 4)
    for opening, observation in zip(openings, observations, strict=True):
        print("customer:", opening.strip().splitlines()[-1])
        print("   agent:", SAID)
        print("customer:", observation.strip().splitlines()[-1], end="\n\n")


if __name__ == "__main__":
    main()
