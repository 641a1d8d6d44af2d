"""The shortest way from an environment to an agent that has learnt in it.

    python docs/examples/quick_start.py

The tiny agent handles refunds for customers it has never met, learns with GRPO from others, and handles the first
ones again. It prints a table with both; two to three minutes on two cores. `refund_demo.py` trains for longer.
"""

import argparse

from rich.console import Console

from ss_baselines.evaluate import evaluate
from ss_baselines.report import Evaluation, evaluation_table
from ss_gym import MultiTurnAgent
from ss_trainers import GRPOConfig, GRPOTrainer, TrainingConfig

ENV_ID = "StateSet/Refund-v0"
PROMPT = {"prompt": "compact"}  # the policy in one line: the tiny agent can't read a page


def measured(agent: MultiTurnAgent, name: str, customers: int) -> Evaluation:
    """How the agent does with the first customers of the dev list."""
    return evaluate(agent, ENV_ID, "dev", episodes=customers, name=name, env_kwargs=PROMPT)


def main() -> None:
    """Evaluates, trains, evaluates again."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--groups", type=int, default=8, help="scenarios of an iteration, with 8 attempts each")
    parser.add_argument("--customers", type=int, default=100, help="of an evaluation")
    options = parser.parse_args()
    training = TrainingConfig(iterations=options.iterations, groups_per_iteration=options.groups, group_size=8)
    loss = GRPOConfig(aggregation="sequence_mean")  # every attempt weighs the same, however long it is
    trainer = GRPOTrainer(ENV_ID, "tiny", loss, training, env_kwargs=PROMPT, console=Console())
    before = measured(trainer.agent(), "before", options.customers)
    trainer.train()
    after = measured(trainer.agent(), "after", options.customers)
    trainer.close()
    Console().print(evaluation_table([before, after]))
    print(f"success: {after.minus(before).value:+.3f}")


if __name__ == "__main__":
    main()
