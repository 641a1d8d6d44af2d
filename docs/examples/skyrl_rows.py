"""Customers in SkyRL: a dataset of rows, each of which names its customer, and the episodes that come of them.

    pip install skyrl-gym
    python docs/examples/skyrl_rows.py

SkyRL's generator makes an environment for each row, as here; the agent is a scripted one, in place of the model.
"""

from __future__ import annotations

import skyrl_gym

from ss_baselines.agents import load_agent
from ss_gym.interop.skyrl import register

ENV_ID = register("StateSet/Refund-v0")
ROWS = [
    {"env_class": ENV_ID, "prompt": [], "extra_info": {"options": {"scenario_id": f"refund/dev/{number:04d}"}}}
    for number in range(4)
]


def main() -> None:
    """Plays the rows and tells what they came to."""
    agent = load_agent("rule_bot")
    for row in ROWS:
        env = skyrl_gym.make(row["env_class"], extras=row["extra_info"])
        messages, _ = env.init(row["prompt"])
        conversation, done = list(messages), False
        while not done:
            text = agent.act([conversation])[0].text
            told = env.step(text)
            done = told["done"]
            # The agent's own action as the environment understood it, then what came back.
            conversation += told["metadata"]["messages"]
        print(row["extra_info"]["options"]["scenario_id"], env.get_metrics())
        env.close()


if __name__ == "__main__":
    main()
