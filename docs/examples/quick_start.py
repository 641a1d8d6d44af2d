"""The shortest way from an environment to an agent that has learnt in it.

    python docs/examples/quick_start.py

The tiny agent handles refunds for customers it has never met, learns with GRPO from others, and handles the first
ones again. It prints a conversation, and the share that it got right before and after; about four minutes on two
cores. `refund_demo.py` trains for longer.
"""

import argparse

from rich.console import Console

from ss_trainers import GRPOConfig, GRPOTrainer, TrainingConfig


def main() -> None:
    """Evaluates, trains, evaluates again."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--groups", type=int, default=12, help="scenarios of an iteration, with 8 attempts each")
    parser.add_argument("--customers", type=int, default=100, help="of an evaluation")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    options = parser.parse_args()
    trainer = GRPOTrainer(
        env="StateSet/Refund-v0",
        env_kwargs={"prompt": "compact"},  # the policy in one line: the tiny agent can't read a page
        model="tiny",
        config=GRPOConfig(aggregation="sequence_mean"),  # every attempt weighs the same, however long it is
        training=TrainingConfig(
            iterations=options.iterations,
            groups_per_iteration=options.groups,
            group_size=8,
            eval_options={"split": "dev"},
            eval_episodes=options.customers,
            workers=options.workers,
        ),
        console=Console(),
    )
    before = trainer.evaluate(temperature=0)
    trainer.train()
    after = trainer.evaluate(temperature=0)
    trainer.close()
    for turn in after.trajectories[0].turns:
        print(f"{turn.role}: {turn.content[:100]}")
    shares = [played.metrics["success"] for played in (before, after)]
    print(f"success with {options.customers} customers: {shares[0]:.2f} before, {shares[1]:.2f} after")


if __name__ == "__main__":
    main()
